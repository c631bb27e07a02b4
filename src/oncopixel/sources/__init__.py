"""Where cohorts come from: one module per kind of source, loaded only when it is asked for.

`load` reads a cohort, `survey` asks a server what it has, `query` tells whether the parameters of a
download are the same as before. A source that downloads has a *listing*, the files that its cohort
is made of (columns `listing.LISTING`). `ingest` keeps it as the cohort's manifest, and by the same
listing the same cohort is built again. Other sources have an empty one.
"""

import hashlib
import inspect
import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ..cohort.contract import Cohort
from ..core.errors import SourceError
from ..core.params import (
    BundledSource,
    GdcSource,
    SegmentFile,
    SegmentFiles,
    SegmentReading,
    SegmentsSource,
    Source,
)

_MATRICES = ("expression", "copy_number", "mutation", "samples")


@dataclass(frozen=True)
class _Kind:
    """The functions of a kind of source, `module:function` in this package."""

    load: str
    """Of a source that downloads it gives the listing, too."""
    survey: str = ""
    """"" for a source that downloads nothing."""
    not_asked: tuple[str, ...] = ()
    """Parameters of how files are had and read, which have no part in what is downloaded."""
    files: tuple[str, ...] = ()
    """Parameters that name files."""


_ADDRESSES = "http.locations:list_files"
_PACE = ("connections", "minutes")
_READING = tuple(SegmentReading.model_fields)
_KINDS = {
    "simulated": _Kind("simulated:simulate"),
    "bundled": _Kind("bundled:load_bundled"),
    "files": _Kind("files:load_files", files=_MATRICES),
    "segments": _Kind(
        "segments_cohort:load_segments",
        _ADDRESSES,
        (*_PACE, *_READING, "patients", "pixels", "bins", "x_chromosome"),
        ("samples", "mutations"),
    ),
    "h5ad": _Kind("h5ad:load_h5ad", files=("path",)),
    "gdc": _Kind("gdc.cohort:load_gdc", "gdc.listing:list_files", (*_PACE, "expression", "genes")),
    "xena": _Kind("xena:load_xena", _ADDRESSES, (*_PACE, "scale", "patients"), _MATRICES),
    "cbioportal": _Kind(
        "cbioportal:load_cbioportal",
        _ADDRESSES,
        (*_PACE, "scale"),
        (*_MATRICES, "patients", "sequenced"),
    ),
}
UNWATCHED = {".dvc", ".git", ".hg"}
"""Folders that DVC leaves out."""


def query(source: Source) -> str:
    """A digest of what decides which files `source` downloads; "" when it downloads none."""
    kind = _KINDS[source.kind]
    if not kind.survey:
        return ""
    asked = source.model_dump(exclude=set(kind.not_asked))
    asked = {key: value for key, value in asked.items() if not key.endswith("_column")}
    if isinstance(getattr(source, "copy_number", None), SegmentFile):
        asked["copy_number"] = asked["copy_number"]["segments"]
    if isinstance(source, GdcSource):
        asked["mutation"] = source.mutation is not None
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def survey(source: Source) -> pd.DataFrame:
    """The listing of what `source` would download, as its server has it now; nothing is fetched."""
    from .listing import as_listing

    kind = _KINDS[source.kind]
    listed: pd.DataFrame = _function(kind.survey)(source) if kind.survey else as_listing([])
    return listed


def load(
    source: Source, folder: Path, listing: pd.DataFrame | None = None
) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort that `source` describes, and the listing of what it was made of.

    Returns
    -------
    tuple
        Of the files in the `listing` of an earlier run, whatever the server has now.

    Raises
    ------
    SourceError
        When something cannot be had or read as declared, and for a file that DVC does not watch.
    """
    from .listing import as_listing

    for name in _names_on_disk(source, folder):
        _check_watched(folder, name)
    kind = _KINDS[source.kind]
    listing = as_listing([]) if listing is None else listing
    given = {"source": source, "folder": folder, "listing": listing}
    function = _function(kind.load)
    loaded = function(**{name: given[name] for name in inspect.signature(function).parameters})
    return loaded if kind.survey else (loaded, listing)


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f".{module}", __name__), function)


def _names_on_disk(source: Source, folder: Path) -> list[str]:
    """The names of the files that `source` reads below the `inputs` of its cohort."""
    if isinstance(source, BundledSource):
        from .bundled import FILES, SUMS

        return [*FILES, SUMS]
    if getattr(source, "hub", None) or getattr(source, "url", None):
        return []
    from .segment_files import segment_files

    given = [getattr(source, key) for key in _KINDS[source.kind].files]
    if isinstance(source, SegmentsSource):
        given.append(source)
    names: list[str] = []
    for one in given:
        if isinstance(one, SegmentFile):
            names.append(one.segments)
        elif isinstance(one, SegmentFiles):
            names += segment_files(one.segments, folder)
        elif one is not None:
            names.append(one)
    return names


def _check_watched(folder: Path, name: str) -> None:
    """Raises `SourceError` for what DVC does not see change when it watches `folder`."""
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
