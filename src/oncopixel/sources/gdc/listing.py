"""Which files a cohort of the GDC is made of: the listing, asked of its server."""

import logging
from typing import Any

import pandas as pd

from ...cohort.barcodes import NORMAL_CODES, TUMOUR_CODES, barcode
from ...core.errors import SourceError, did_you_mean, first_few
from ...core.params import CHANNELS, GdcSource
from ..http.cache import MD5
from ..http.client import Client
from ..listing import as_listing
from .query import (
    LISTINGS,
    address,
    as_object,
    as_objects,
    data_release,
    read_token,
    search,
    unsettled,
)

log = logging.getLogger(__name__)

CLINICAL = "samples"
"""Channel of the clinical table in a listing."""
EXPRESSION = ("Gene Expression Quantification", "STAR - Counts")
COPY_NUMBER = {
    "ascat2": ("Gene Level Copy Number", "ASCAT2"),
    "ascat3": ("Gene Level Copy Number", "ASCAT3"),
    "absolute": ("Gene Level Copy Number", "ABSOLUTE LiftOver"),
    "masked_segments": ("Masked Copy Number Segment", "DNAcopy"),
}
MUTATION = ("Masked Somatic Mutation", "Aliquot Ensemble Somatic Variant Merging and Masking")
"""Data type and workflow of the files of each channel."""
PAIRED = {kind for kind, _ in (COPY_NUMBER["ascat3"], MUTATION)}
"""Data types whose files are of a tumour and name the normal tissue that it was compared to."""
_SAMPLE = "cases.samples"
FILE_FIELDS = (
    *("file_id", "file_name", "md5sum", "file_size", "cases.project.project_id"),
    *(f"{_SAMPLE}.submitter_id", f"{_SAMPLE}.tissue_type", f"{_SAMPLE}.tumor_descriptor"),
    f"{_SAMPLE}.portions.analytes.aliquots.submitter_id",
)
_TISSUES = {"Tumor": TUMOUR_CODES, "Normal": NORMAL_CODES}


def list_files(source: GdcSource) -> pd.DataFrame:
    """The listing (`sources.listing.LISTING`) of the files of `source`, as the server has them now.

    Returns
    -------
    DataFrame
        Expression of all wanted samples, and copy number and mutations of the same patients and
        sample types; the clinical table is a row without MD5.
    """
    with Client(source.minutes, read_token()) as client:
        return list_with(client, source)


def list_with(client: Client, source: GdcSource) -> pd.DataFrame:
    """The listing, read anew when a data release came meanwhile."""
    release = data_release(client, source)
    for _ in range(LISTINGS):
        listed = _list_of(client, source, release)
        before, release = release, data_release(client, source)
        if release == before:
            return listed
        log.info("  data release %s came while the list was read: reading it again", release)
    raise unsettled(address(source, "files"))


def _list_of(client: Client, source: GdcSource, release: str) -> pd.DataFrame:
    log.info("  listing %s (GDC data release %s)", ", ".join(source.projects), release)
    rows = _rows_of_channel(client, source, "expression", EXPRESSION, release)
    _refuse_empty(client, source, rows, release)
    wanted = {row["samples"][:15] for row in rows}
    kinds = {
        "copy_number": COPY_NUMBER[source.copy_number] if source.copy_number else None,
        "mutation": MUTATION if source.mutation else None,
    }
    for channel, kind in kinds.items():
        if kind:
            found = _rows_of_channel(client, source, channel, kind, release)
            rows += [row for row in found if row["samples"][:15] in wanted]
            if not any(row["channel"] == channel for row in rows):
                raise SourceError(
                    f"{', '.join(source.projects)} has no open {channel} files of workflow "
                    f"{kind[1]!r} for its samples (GDC data release {release}). Choose another "
                    f"one, or leave the channel out: `{channel}: null`."
                )
    rows.sort(key=lambda row: (CHANNELS.index(row["channel"]), row["samples"], row["id"]))
    clinical = {
        "channel": CLINICAL,
        "name": "clinical.csv",
        "url": address(source, "cases"),
        "release": release,
    }
    return as_listing([*rows, clinical])


def _rows_of_channel(
    client: Client, source: GdcSource, channel: str, kind: tuple[str, str], release: str
) -> list[dict[str, Any]]:
    """The files of one channel, of the wanted sample types."""
    conditions = {
        "cases.project.project_id": source.projects,
        "data_type": [kind[0]],
        "analysis.workflow_type": [kind[1]],
    }
    if not client.has_token:
        conditions["access"] = ["open"]
    rows, unclear, contradicted = [], [], []
    for hit in search(client, address(source, "files"), conditions, FILE_FIELDS, release):
        aliquot, tissue = _measured(hit, paired=kind[0] in PAIRED)
        code = sample_type(aliquot)
        if not code:
            unclear.append(hit.get("file_name") or hit["id"])
            continue
        if code not in (source.sample_types or TUMOUR_CODES | NORMAL_CODES):
            continue
        if code not in _TISSUES.get(tissue, {code}):
            contradicted.append(aliquot)
        rows.append(_row(source, hit, channel, aliquot, release))
    for names, fact in (
        (unclear, "are not of one TCGA aliquot: left out"),
        (contradicted, "are of another `tissue_type` than their barcode tells, which counts"),
    ):
        if names:
            log.warning("warning: %d %s files %s: %s", len(names), channel, fact, first_few(names))
    return rows


def _row(
    source: GdcSource, hit: dict[str, Any], channel: str, aliquot: str, release: str
) -> dict[str, Any]:
    """A row of the listing, and the file's project; `SourceError` for one of no use."""
    what = f"file {hit.get('id')}"
    projects = [
        as_object(case.get("project"), f"project of {what}").get("project_id")
        for case in as_objects(hit.get("cases"), f"cases of {what}")
    ]
    facts = {key: hit.get(key) for key in ("file_id", "file_name", "md5sum", "file_size")}
    facts |= {"project_id": projects[0] if projects else None, "aliquot": aliquot}

    def usable(key: str, value: Any) -> bool:
        if key == "file_size":
            return type(value) is int and 0 <= value < 1 << 50
        plain = isinstance(value, str) and value != "" and value.isprintable()
        return plain and (key != "md5sum" or MD5.fullmatch(value) is not None)

    for key, value in facts.items():
        if not usable(key, value):
            raise SourceError(
                f"{source.server} lists {channel} {what} of {aliquot} with {key} {value!r:.100}, "
                "by which it cannot be downloaded and verified. Run again later, or tell the GDC."
            )
    return {
        "channel": channel,
        "id": hit["file_id"],
        "name": hit["file_name"],
        "url": address(source, f"data/{hit['file_id']}"),
        "md5": hit["md5sum"],
        "size": hit["file_size"],
        "release": release,
        "samples": aliquot,
        "project": facts["project_id"],
    }


def _measured(hit: dict[str, Any], *, paired: bool) -> tuple[str, str]:
    """Barcode and `tissue_type` of the one aliquot, no normal one of a pair, of a file; else ""."""

    def inner(node: dict[str, Any], name: str) -> list[dict[str, Any]]:
        return as_objects(node.get(name), f"{name} of file {hit.get('id')}")

    found = {
        str(aliquot.get("submitter_id")): str(sample.get("tissue_type") or "")
        for case in inner(hit, "cases")
        for sample in inner(case, "samples")
        for portion in inner(sample, "portions")
        for analyte in inner(portion, "analytes")
        for aliquot in inner(analyte, "aliquots")
    }
    if paired:
        found = {
            name: tissue for name, tissue in found.items() if sample_type(name) not in NORMAL_CODES
        }
    return next(iter(found.items())) if len(found) == 1 else ("", "")


def sample_type(aliquot: str) -> str:
    """Sample type code of a TCGA barcode; "" for any other id."""
    found = barcode(aliquot)
    return found[1] if found else ""


def _refuse_empty(
    client: Client, source: GdcSource, rows: list[dict[str, Any]], release: str
) -> None:
    """`SourceError` for a project without expression of use, which says why it has none."""
    lacking = sorted(set(source.projects) - {row["project"] for row in rows})
    if not lacking:
        return
    hits = search(client, address(source, "projects"), {}, ("project_id",), release)
    known = [str(hit.get("project_id")) for hit in hits]
    for project in lacking:
        if project not in known:
            raise SourceError(
                f"{source.server} has no project {project!r}{did_you_mean(project, known)} (data "
                f"release {release}). Projects of TCGA are called TCGA-LUAD and so on."
            )
        if not project.startswith("TCGA-"):
            raise SourceError(
                f"{project} is no project of TCGA. RNA and DNA of one sample are found by their "
                "TCGA barcodes, which its aliquots do not have. Leave it out of `projects`, and "
                "take it from a study of the cBioPortal, a Xena hub or files of your own: sources "
                "`cbioportal`, `xena`, `files`."
            )
    wanted = f" of sample type {', '.join(source.sample_types)}" if source.sample_types else ""
    raise SourceError(
        f"{lacking[0]} has no open gene expression of TCGA aliquots{wanted} (workflow "
        f"{EXPRESSION[1]!r}, GDC data release {release}). Leave the project out, or "
        "change `sample_types`."
    )


def refuse_other_server(source: GdcSource, listed: pd.DataFrame) -> None:
    """Raises `SourceError` for a listing of another server, to which the token must not go."""
    base = address(source, "")
    foreign = [url for url in listed["url"] if not url.startswith(base)]
    if foreign or (listed["channel"] == CLINICAL).sum() != 1:
        raise SourceError(
            f"manifest.csv is not of {source.server} ({first_few(foreign) or 'no clinical row'}). "
            "Bring it back with `git checkout`, or ask for a new list with `--refresh`."
        )
