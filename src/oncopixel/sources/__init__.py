"""Where cohorts come from: one module per kind of source, loaded only when it is asked for."""

from pathlib import Path

from ..cohort import Cohort
from ..params import BundledSource, FilesSource, H5adSource, Source


def load(source: Source, folder: Path) -> Cohort:
    """The unlabelled cohort that `source` describes; its file names start at `folder`.

    Raises `SourceError` when something cannot be read as declared.
    """
    if isinstance(source, BundledSource):
        from .bundled import load_bundled

        return load_bundled(folder)
    if isinstance(source, FilesSource):
        from .files import load_files

        return load_files(source, folder)
    if isinstance(source, H5adSource):
        from .h5ad import load_h5ad

        return load_h5ad(source, folder)
    from .simulated import simulate

    return simulate(source)
