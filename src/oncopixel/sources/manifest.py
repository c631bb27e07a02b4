"""The manifest of a cohort: which files it was made of, so that the same ones are used again.

The clinical table of the GDC is kept beside it, as its server may not have it in this form again.
"""

import io
import logging

import numpy as np
import pandas as pd

from ..core.errors import SourceError
from ..core.params import CohortParams, GdcSource, Source
from ..core.project import Paths
from ..core.storage import read_bytes
from . import query, survey
from .http.cache import RemoteFile, cache_path, cached, keep, seems_cached
from .listing import LISTING, as_listing, remote_files

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
"""The files that a cohort is made of: its listing and that of its external cohort."""
CLINICAL = "clinical.csv"
"""The clinical tables of the GDC by `part`."""
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def read_manifest(paths: Paths) -> pd.DataFrame:
    """The manifest of an earlier run; without rows when there is none."""
    path = paths.data(MANIFEST)
    if not path.exists():
        return empty_manifest()
    if path.is_dir():
        raise _no_manifest(paths)
    try:
        frame = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
        frame = frame[["part", *LISTING, "query"]].astype({"size": "int64"})
        if (frame["query"] != "").all() and frame["size"].between(-1, 1 << 50).all():
            return frame
        raise ValueError("a row was cut short")
    except (ValueError, KeyError, OverflowError):
        raise _no_manifest(paths) from None


def empty_manifest() -> pd.DataFrame:
    """A manifest without rows."""
    return as_manifest(as_listing([]), "", None)


def as_manifest(listed: pd.DataFrame, part: str, source: Source | None) -> pd.DataFrame:
    """The rows of a listing as those of one `part` ("cohort" or "external") of the manifest."""
    asked = query(source) if source else ""
    return listed.assign(part=part, query=asked)[["part", *LISTING, "query"]]


def listing_of(paths: Paths, manifest: pd.DataFrame, part: str, source: Source) -> pd.DataFrame:
    """The listing of one part, if it is of the source as it is described now."""
    rows = manifest[manifest["part"] == part]
    fitting = rows[rows["query"] == query(source)]
    if 0 < len(fitting) < len(rows):
        raise _no_manifest(paths)
    if len(fitting) < len(rows):
        log.info("  %s is of other source parameters: the server is asked anew", MANIFEST)
    return fitting[list(LISTING)].reset_index(drop=True)


def restore_clinical(paths: Paths, listed: pd.DataFrame, part: str, source: Source) -> None:
    """The clinical table of an earlier run is in the cache, if it is the one that is listed."""
    path = paths.data(CLINICAL)
    for file in _clinical_files(listed, source):
        if not path.exists() or cached(file):
            continue
        try:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            rows = frame[frame["part"] == part].drop(columns="part")
        except (ValueError, KeyError):
            continue
        content = rows.to_csv(index=False, lineterminator="\n").encode()
        keep(content, file.name, file.url, only=file.md5)


def clinical_rows(listed: pd.DataFrame, part: str, source: Source) -> pd.DataFrame:
    """The rows of `clinical.csv` of one part."""
    frame = pd.DataFrame(columns=["patient"])
    for file in _clinical_files(listed, source):
        frame = pd.read_csv(cache_path(file.md5), dtype=str, keep_default_na=False)
    frame.insert(0, "part", part)
    return frame


def _clinical_files(listed: pd.DataFrame, source: Source) -> list[RemoteFile]:
    """The one clinical table of a listing of the GDC."""
    if not isinstance(source, GdcSource):
        return []
    return [file for file in remote_files(listed[listed["channel"] == "samples"]) if file.md5]


def describe_downloads(paths: Paths, entry: CohortParams, *, refresh: bool = False) -> str:
    """What `ingest` would download, by channel, and what is here already; nothing is fetched."""
    known = empty_manifest() if refresh else read_manifest(paths)
    parts = {"cohort": entry, "external": entry.external}
    paragraphs = [
        _describe_part(part, labelled.source, listing_of(paths, known, part, labelled.source))
        for part, labelled in parts.items()
        if labelled is not None
    ]
    return "\n\n".join(paragraphs)


def _describe_part(part: str, source: Source, listed: pd.DataFrame) -> str:
    if not query(source):
        return f"{part}: source `{source.kind}` downloads nothing"
    origin = "asked of its server now" if listed.empty else f"listed in {MANIFEST}"
    if listed.empty:
        listed = survey(source)
    if listed.empty:
        return f"{part}: the files of source `{source.kind}` are on disk"
    here = np.array([seems_cached(file) for file in remote_files(listed)])
    releases = ", ".join(sorted(set(listed["release"]) - {""}))
    lines = [
        f"{part}: source `{source.kind}`, {origin}"
        + (f", data release {releases}" if releases else "")
    ]
    row = "  {:<14}{:>8}{:>14}{:>12}{:>14}".format
    lines.append(row("channel", "files", "bytes", "cached", "to download"))
    groups = {channel: listed["channel"] == channel for channel in listed["channel"].unique()}
    for name, rows in (groups | {"all": listed["channel"] != ""}).items():
        sizes = listed["size"][rows]
        missing = sizes[~here[rows]]
        cells = (_bytes(sizes), f"{here[rows].sum()}", _bytes(missing))
        lines.append(row(name, len(sizes), *cells))
    return "\n".join(lines)


def _bytes(sizes: pd.Series) -> str:
    """A sum of sizes, of which some may not be known (-1) before the download."""
    total, unknown = sizes[sizes >= 0].sum(), bool((sizes < 0).any())
    shown = next(
        (f"{total / scale:.1f} {unit}" for scale, unit in _UNITS if total >= scale), f"{total} B"
    )
    return ("?" if total == 0 else f"{shown} + ?") if unknown else shown


def _no_manifest(paths: Paths) -> SourceError:
    path = paths.data(MANIFEST)
    return SourceError(
        f"{path} is no manifest. Bring it back with `git checkout -- {path}`, or run "
        f"`oncopixel ingest {paths.cohort} --refresh` to ask the server what it has now."
    )
