"""Where cohorts come from: one module per kind of source, loaded only when it is asked for.

A source that downloads has a *listing*, the files that its cohort is made of (columns
`download.LISTING`). `ingest` keeps it as the cohort's manifest, and by the same listing the same
cohort is built again. Other sources have an empty one.
"""

import hashlib
import json
import os
from pathlib import Path

import pandas as pd

from ..cohort.contract import Cohort
from ..core.errors import SourceError
from ..core.params import (
    BundledSource,
    CbioportalSource,
    FilesSource,
    GdcSource,
    H5adSource,
    Source,
    XenaSource,
)

Remote = GdcSource | XenaSource | CbioportalSource
_HOW = {
    GdcSource: {"connections", "minutes", "expression", "genes"},
    XenaSource: {"connections", "minutes", "scale", "patients"},
    CbioportalSource: {"connections", "minutes", "scale"},
}
"""Parameters of how files are had and read, which have no part in what is downloaded."""
_MATRICES = ("expression", "copy_number", "mutation", "samples")
_FILES = {
    FilesSource: _MATRICES,
    H5adSource: ("path",),
    XenaSource: _MATRICES,
    CbioportalSource: (*_MATRICES, "patients", "sequenced"),
}
"""Parameters that name files."""
UNWATCHED = {".dvc", ".git", ".hg"}
"""Folders that DVC leaves out."""


def query(source: Source) -> str:
    """A digest of what decides which files `source` downloads; "" when it downloads none."""
    if not isinstance(source, Remote):
        return ""
    asked = source.model_dump(exclude=_HOW[type(source)])
    asked = {key: value for key, value in asked.items() if not key.endswith("_column")}
    if isinstance(source, GdcSource):
        asked["mutation"] = source.mutation is not None
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def survey(source: Source) -> pd.DataFrame:
    """The listing of what `source` would download, as its server has it now; nothing is fetched.

    Raises `SourceError` when the server cannot be asked.
    """
    if isinstance(source, GdcSource):
        from .gdc import source as gdc

        return gdc.list_files(source)
    if isinstance(source, XenaSource):
        from . import xena

        return xena.list_files(source)
    if isinstance(source, CbioportalSource):
        from . import cbioportal

        return cbioportal.list_files(source)
    from .http.download import listing

    return listing([])


def load(
    source: Source, folder: Path, listing: pd.DataFrame | None = None
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort that `source` describes, and the listing of what it was made of.

    File names start at `folder`. With the `listing` of an earlier run the same files are used,
    whatever the server has now. Raises `SourceError` when something cannot be had or read as
    declared, and for a file that DVC does not watch.
    """
    from .http import download

    for name in _names_on_disk(source):
        _check_watched(folder, name)
    listing = download.listing([]) if listing is None else listing
    if isinstance(source, GdcSource):
        from .gdc.source import load_gdc

        return load_gdc(source, listing)
    if isinstance(source, XenaSource):
        from .xena import load_xena

        return load_xena(source, folder, listing)
    if isinstance(source, CbioportalSource):
        from .cbioportal import load_cbioportal

        return load_cbioportal(source, folder, listing)
    if isinstance(source, BundledSource):
        from .bundled import load_bundled

        return load_bundled(folder), listing
    if isinstance(source, FilesSource):
        from .files import load_files

        return load_files(source, folder), listing
    if isinstance(source, H5adSource):
        from .h5ad import load_h5ad

        return load_h5ad(source, folder), listing
    from .simulated import simulate

    return simulate(source), listing


def _names_on_disk(source: Source) -> list[str]:
    """The names of the files that `source` reads below the `inputs` of its cohort."""
    if isinstance(source, BundledSource):
        from .bundled import FILES, SUMS

        return [*FILES, SUMS]
    if getattr(source, "hub", None) or getattr(source, "url", None):
        return []
    names = [getattr(source, key) for key in _FILES.get(type(source), ())]
    return [name for name in names if name is not None]


def _check_watched(folder: Path, name: str) -> None:
    """`SourceError` unless `name` is of a file that DVC sees change when it watches `folder`.

    DVC reads what linked files hold, but enters no linked folder, none that is another project of
    its own, and no folder of `UNWATCHED`.
    """
    path = folder / name
    try:
        root = folder.resolve()
        straight = Path(os.path.normpath(root / name))
        below = straight.is_relative_to(root) and path.resolve().is_relative_to(root)
        watched = straight.parent == (root / name).parent.resolve() and not any(
            at.name in UNWATCHED or (at / ".dvc").is_dir()
            for at in (straight, *straight.parents)
            if at.is_relative_to(root)
        )
        plain = path.is_file() or not path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, NUL, links in a ring
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{str(path)!r:.120} is no name of a file: {reason}.") from None
    if not below or not watched:
        fact = "lies in a linked folder or another project" if below else "does not lie"
        raise SourceError(
            f"{path} {fact} below {folder}, the `inputs` of its cohort: DVC would not see when it "
            "changes. Move or copy the file there, or name its own folder as `inputs`."
        )
    if not plain:
        kind = "a folder" if path.is_dir() else "a device or pipe"
        raise SourceError(f"{path} is {kind}, not a file.")
