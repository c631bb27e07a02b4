"""`ingest`: from a source to a labelled cohort, and to the one that it is validated by."""

import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.contract import Cohort, write_cohort
from ..cohort.labels import label_cohort, pick_aliquots, same_people
from ..cohort.scales import refuse_relative
from ..core.errors import LabelError, SourceError, first_few
from ..core.params import CohortParams, ExternalParams, GdcSource, LabelledSource, Params
from ..core.project import Paths
from ..core.storage import read_bytes, write_csv
from ..sources import load, query, survey
from ..sources.http.download import (
    LISTING,
    RemoteFile,
    cache_path,
    cached,
    keep,
    listing,
    remote_files,
    seems_cached,
)

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
"""The files that a cohort is made of: its listing and that of its external cohort."""
CLINICAL = "clinical.csv"
"""The clinical tables of the GDC by `part`, which its server may not have in this form again."""
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
NOTHING_PLANTED = pd.DataFrame(columns=["gene", "channel", "kind", "effect"])


def run(paths: Paths, params: Params, *, refresh: bool = False) -> None:
    """Writes `manifest.csv`, `clinical.csv`, `cohort.h5ad`, `external.h5ad` and `truth.csv`.

    The manifest lists the files of a source that downloads. If it is there and of the same source
    parameters, the same files are used, unless `refresh` asks the server what it has now;
    `clinical.csv` has no rows for sources other than the GDC.
    `external.h5ad` has no samples when the entry names no external cohort, `truth.csv` no rows when
    the cohort is real and nothing was planted.
    """
    entry = params.cohort(paths.cohort)
    folder = paths.root / entry.inputs
    known = _empty_manifest() if refresh else read_manifest(paths)
    cohort, listed = _labelled(paths, "cohort", entry, folder, known)
    manifest = [_manifest_of(listed, "cohort", entry)]
    clinical = [_clinical_of(listed, "cohort", entry)]
    _report(cohort)
    if entry.external is None:
        external = cohort.take(np.array([], dtype=int))
    else:
        try:
            external, listed = _labelled(paths, "external", entry.external, folder, known)
        except (SourceError, LabelError) as error:
            raise type(error)(f"external cohort: {error}") from error
        manifest.append(_manifest_of(listed, "external", entry.external))
        clinical.append(_clinical_of(listed, "external", entry.external))
        log.info("external cohort:")
        _report(external)
        check_external(cohort, external)
    # The manifest first: after a kill in between, the next run builds what it lists.
    write_csv(paths.data(MANIFEST), pd.concat(manifest, ignore_index=True))
    write_csv(paths.data(CLINICAL), pd.concat(clinical, ignore_index=True))
    write_cohort(paths.data("cohort.h5ad"), cohort)
    write_cohort(paths.data("external.h5ad"), external)
    planted = cohort.truth
    write_csv(paths.data("truth.csv"), NOTHING_PLANTED if planted is None else planted)


def ingest(paths: Paths, entry: CohortParams) -> Cohort:
    """The labelled cohort of one entry, one aliquot per patient and sample type."""
    folder = paths.root / entry.inputs
    cohort, _ = _labelled(paths, "cohort", entry, folder, read_manifest(paths))
    return cohort


def _labelled(
    paths: Paths, part: str, entry: LabelledSource, folder: Path, known: pd.DataFrame
) -> tuple[Cohort, pd.DataFrame]:
    listed = _listing_of(paths, known, part, entry)
    _restore_clinical(paths, listed, part, entry)
    cohort, listed = load(entry.source, folder, listed)
    if not (isinstance(entry, ExternalParams) and entry.align == "zscore"):
        refuse_relative(cohort.layer("expression"), cohort.scale, str(cohort.data.uns["origin"]))
    return label_cohort(pick_aliquots(cohort), entry), listed


def _restore_clinical(paths: Paths, listed: pd.DataFrame, part: str, entry: LabelledSource) -> None:
    """The clinical table of an earlier run is in the cache, if it is the one that is listed."""
    path = paths.data(CLINICAL)
    for file in _clinical_files(listed, entry):
        if not path.exists() or cached(file):
            continue
        try:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            rows = frame[frame["part"] == part].drop(columns="part")
        except (ValueError, KeyError):
            continue
        content = rows.to_csv(index=False, lineterminator="\n").encode()
        keep(content, file.name, file.url, only=file.md5)


def _clinical_of(listed: pd.DataFrame, part: str, entry: LabelledSource) -> pd.DataFrame:
    """The rows of `clinical.csv` of one part."""
    frame = pd.DataFrame(columns=["patient"])
    for file in _clinical_files(listed, entry):
        frame = pd.read_csv(cache_path(file.md5), dtype=str, keep_default_na=False)
    frame.insert(0, "part", part)
    return frame


def _clinical_files(listed: pd.DataFrame, entry: LabelledSource) -> list[RemoteFile]:
    """The one clinical table of a listing of the GDC."""
    if not isinstance(entry.source, GdcSource):
        return []
    return [file for file in remote_files(listed[listed["channel"] == "samples"]) if file.md5]


def describe_downloads(paths: Paths, params: Params, *, refresh: bool = False) -> str:
    """What `run` would download: a table of files and bytes per channel, and what is here already.

    Nothing is fetched but the list of the files, and nothing is written.
    """
    entry = params.cohort(paths.cohort)
    known = _empty_manifest() if refresh else read_manifest(paths)
    parts = {"cohort": entry, "external": entry.external}
    paragraphs = [
        _describe_part(part, labelled, _listing_of(paths, known, part, labelled))
        for part, labelled in parts.items()
        if labelled is not None
    ]
    return "\n\n".join(paragraphs)


def _describe_part(part: str, entry: LabelledSource, listed: pd.DataFrame) -> str:
    if not query(entry.source):
        return f"{part}: source `{entry.source.kind}` downloads nothing"
    origin = "asked of its server now" if listed.empty else f"listed in {MANIFEST}"
    if listed.empty:
        listed = survey(entry.source)
    if listed.empty:
        return f"{part}: the files of source `{entry.source.kind}` are on disk"
    here = np.array([seems_cached(file) for file in remote_files(listed)])
    releases = ", ".join(sorted(set(listed["release"]) - {""}))
    lines = [
        f"{part}: source `{entry.source.kind}`, {origin}"
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
        (f"{total / scale:.1f} {unit}" for scale, unit in UNITS if total >= scale), f"{total} B"
    )
    return ("?" if total == 0 else f"{shown} + ?") if unknown else shown


def _empty_manifest() -> pd.DataFrame:
    return _manifest_of(listing([]), "", None)


def _manifest_of(listed: pd.DataFrame, part: str, entry: LabelledSource | None) -> pd.DataFrame:
    asked = query(entry.source) if entry else ""
    return listed.assign(part=part, query=asked)[["part", *LISTING, "query"]]


def read_manifest(paths: Paths) -> pd.DataFrame:
    """The manifest of an earlier run; without rows when there is none."""
    path = paths.data(MANIFEST)
    if not path.exists():
        return _empty_manifest()
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


def _no_manifest(paths: Paths) -> SourceError:
    path = paths.data(MANIFEST)
    return SourceError(
        f"{path} is no manifest. Bring it back with `git checkout -- {path}`, or run "
        f"`oncopixel ingest {paths.cohort} --refresh` to ask the server what it has now."
    )


def _listing_of(
    paths: Paths, manifest: pd.DataFrame, part: str, entry: LabelledSource
) -> pd.DataFrame:
    """The rows of one part, if they are of the source as it is described now.

    Raises `SourceError` when only some are, as after a merge.
    """
    rows = manifest[manifest["part"] == part]
    fitting = rows[rows["query"] == query(entry.source)]
    if 0 < len(fitting) < len(rows):
        raise _no_manifest(paths)
    if len(fitting) < len(rows):
        log.info("  %s is of other source parameters: the server is asked anew", MANIFEST)
    return fitting[list(LISTING)].reset_index(drop=True)


def check_external(cohort: Cohort, external: Cohort) -> None:
    """Nothing, or an error that says why `external` cannot validate what `cohort` teaches.

    `LabelError` when its classes are others or one has a single sample, `SourceError` when patients
    are in both.
    """
    if external.classes != cohort.classes:
        raise LabelError(
            f"the external cohort has the classes {', '.join(external.classes)}, but the cohort "
            f"has {', '.join(cohort.classes)}. They must have the same names and order: set "
            "`label`, `positive` or `classes` of `external`, or rename them in its sample sheet."
        )
    counts = np.bincount(external.y)
    if counts.min() < 2:
        raise LabelError(
            f"the external cohort has one sample of class {external.classes[counts.argmin()]}: too "
            "few to compare the classes. Add samples, or leave `external` out."
        )
    both = sorted(set(external.patients[same_people(external, cohort)]))
    if both:
        raise SourceError(
            f"{len(both)} patients of the external cohort are in the cohort itself: "
            f"{first_few(both)}. It is not independent then. Leave them out of one of the two, or, "
            "if they are other people, give them other ids in `patient_column`."
        )


def _report(cohort: Cohort) -> None:
    for note in cohort.data.uns["notes"]:
        log.info("  %s", note)
    log.info(
        "%d samples of %d patients, %d genes, channels %s, classes %s",
        len(cohort.samples),
        len(set(cohort.patients)),
        len(cohort.genes),
        ", ".join(cohort.channels),
        ", ".join(cohort.classes),
    )
