"""Where cohorts come from: one module per kind of source, loaded only when it is asked for.

A source that downloads has a *listing*, the files that its cohort is made of (columns
`download.LISTING`). `ingest` keeps it as the cohort's manifest, and by the same listing the same
cohort is built again. Other sources have an empty one.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd

from ..cohort import Cohort
from ..params import (
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
        from . import gdc

        return gdc.list_files(source)
    if isinstance(source, XenaSource):
        from . import xena

        return xena.list_files(source)
    if isinstance(source, CbioportalSource):
        from . import cbioportal

        return cbioportal.list_files(source)
    from .download import listing

    return listing([])


def load(
    source: Source, folder: Path, listing: pd.DataFrame | None = None
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort that `source` describes, and the listing of what it was made of.

    File names start at `folder`. With the `listing` of an earlier run the same files are used,
    whatever the server has now. Raises `SourceError` when something cannot be had or read as
    declared.
    """
    from . import download

    listing = download.listing([]) if listing is None else listing
    if isinstance(source, GdcSource):
        from .gdc import load_gdc

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
