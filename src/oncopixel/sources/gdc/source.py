"""Cohorts of the NCI Genomic Data Commons, over its API.

Requests, answers and field names are those of
https://docs.gdc.cancer.gov/API/Users_Guide/Search_and_Retrieval/ and .../Downloading_Files/, with
the data dictionary of 2026. Sample types are read from TCGA barcodes.
"""

import gzip
import io
import json
import logging
import math
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ...cohort.contract import Cohort, says_not_known
from ...cohort.labels import NORMAL_CODES, TUMOUR_CODES, barcode
from ...core.errors import SourceError, did_you_mean, first_few, printable
from ...core.params import CHANNELS, GdcSource
from ..http.download import (
    CHUNK,
    MD5,
    BrokenError,
    Client,
    RemoteFile,
    cached,
    fetch_with,
    keep,
    listing,
    refuse_page,
    remote_files,
    seems_cached,
    side_by_side,
)

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "ONCOPIXEL_GDC_TOKEN"  # noqa: S105 (the variable that names the token's file)
PAGE = 500
"""Hits that are asked for at a time; much larger pages time out."""
MAX_HITS = 200_000
"""Hits of a list; all open files of TCGA's largest project are some 30,000."""
LISTINGS = 4
"""Times that a list is read before it is given up because it changes meanwhile."""
SMALL_FILE = 1 << 20
BUNDLE = 40
"""Small files are asked for so many at a time: the answer takes longer than their bytes."""
CLINICAL = "samples"
"""Channel of the clinical table in a listing."""

DATA_TYPES = {
    "expression": "Gene Expression Quantification",
    "copy_number": "Gene Level Copy Number",
    "mutation": "Masked Somatic Mutation",
}
WORKFLOWS = {
    "expression": "STAR - Counts",
    "ascat2": "ASCAT2",
    "ascat3": "ASCAT3",
    "absolute": "ABSOLUTE LiftOver",
    "mutation": "Aliquot Ensemble Somatic Variant Merging and Masking",
}
_SAMPLE = "cases.samples"
FILE_FIELDS = (
    *("file_id", "file_name", "md5sum", "file_size", "cases.project.project_id"),
    *(f"{_SAMPLE}.submitter_id", f"{_SAMPLE}.tissue_type", f"{_SAMPLE}.tumor_descriptor"),
    f"{_SAMPLE}.portions.analytes.aliquots.submitter_id",
)
CASE_FIELDS = (
    *("case_id", "submitter_id", "project.project_id", "tissue_source_site.name"),
    *(
        f"demographic.{name}"
        for name in ("sex_at_birth", "race", "ethnicity", "vital_status", "days_to_death")
    ),
    *(
        f"diagnoses.{name}"
        for name in (
            "submitter_id",
            "diagnosis_is_primary_disease",
            "primary_diagnosis",
            "ajcc_pathologic_stage",
            "age_at_diagnosis",
            "days_to_last_follow_up",
        )
    ),
    "follow_ups.days_to_follow_up",
)
DAYS = ("age_at_diagnosis_days", "days_to_death", "days_to_last_follow_up")
"""Numeric columns of the clinical table."""
MAX_DAYS = 1e6
CLINICAL_COLUMNS = (
    *("project", "tissue_source_site", "sex_at_birth", "race", "ethnicity", "vital_status"),
    *("primary_diagnosis", "ajcc_stage", *DAYS),
)


def list_files(source: GdcSource) -> pd.DataFrame:
    """The listing (`download.LISTING`) of the files of `source`, as the server has them now.

    Expression of all wanted samples, and copy number and mutations of the same patients and sample
    types; the clinical table is a row without MD5. Raises `SourceError` for another data release
    than is asked for, an unknown project or field, and a list that does not come to rest.
    """
    with Client(source.minutes, read_token()) as client:
        return _list(client, source)


def load_gdc(source: GdcSource, listed: pd.DataFrame) -> tuple[Cohort, pd.DataFrame]:
    """The unlabelled cohort of the listed files, or of those that the server has now.

    The listing comes back with the MD5 of the clinical table. Raises `SourceError` when something
    cannot be had, and when the clinical data are no longer those of the listing.
    """
    from .reading import build

    with Client(source.minutes, read_token()) as client:
        listed = _list(client, source) if listed.empty else listed.copy()
        _refuse_other_server(source, listed)
        is_clinical = listed["channel"] == CLINICAL
        data = listed[~is_clinical]
        _tell(data)
        release = listed["release"].iloc[0]
        path, table = _clinical_table(
            client, source, remote_files(listed[is_clinical])[0], _patients(data), release
        )
        _fetch_bundles(client, source, data)
        fetched = fetch_with(client, remote_files(data), source.connections)
    listed.loc[is_clinical, ["md5", "size"]] = table.md5, table.size
    files = data[["channel", "name", "samples"]].assign(path=[local for local, _ in fetched])
    origin = f"GDC data release {release}: {', '.join(source.projects)}"
    clinical, notes = _read_clinical(path)
    return build(files, clinical, source, origin=origin, notes=notes), listed


def read_token() -> str | None:
    """The token in the file that ONCOPIXEL_GDC_TOKEN names, or None without one.

    Raises `SourceError` unless the file is the user's own and nobody else may read it.
    """
    name = os.environ.get(TOKEN_VARIABLE)
    if not name:
        return None
    path = Path(name).expanduser()
    try:
        with path.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            text = stream.read(1 << 16)
    except OSError as error:
        raise SourceError(
            f"{TOKEN_VARIABLE} names {path}, which cannot be read: {error.strerror}."
        ) from None
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o177:
        raise SourceError(
            f"the token in {path} is not protected: others could use it (owner {facts.st_uid}, "
            f"mode {stat.S_IMODE(facts.st_mode):04o}). Own the file and run `chmod 600 {path}`."
        )
    token = text.decode("ascii", errors="replace").strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise SourceError(
            f"{path} holds no token: it must be one word of plain characters. Download it again."
        )
    return token


def _address(source: GdcSource, endpoint: str) -> str:
    return f"{source.server.rstrip('/')}/{endpoint}"


def _list(client: Client, source: GdcSource) -> pd.DataFrame:
    """The listing, read anew when a data release came meanwhile."""
    release = _release(client, source)
    for _ in range(LISTINGS):
        listed = _list_of(client, source, release)
        before, release = release, _release(client, source)
        if release == before:
            return listed
        log.info("  data release %s came while the list was read: reading it again", release)
    raise _restless(_address(source, "files"))


def _list_of(client: Client, source: GdcSource, release: str) -> pd.DataFrame:
    log.info("  listing %s (GDC data release %s)", ", ".join(source.projects), release)
    rows = _rows(client, source, "expression", WORKFLOWS["expression"], release)
    _refuse_empty(client, source, rows, release)
    wanted = {row["samples"][:15] for row in rows}
    workflows = {
        "copy_number": source.copy_number and WORKFLOWS[source.copy_number],
        "mutation": source.mutation and WORKFLOWS["mutation"],
    }
    for channel, workflow in workflows.items():
        if workflow:
            found = _rows(client, source, channel, workflow, release)
            rows += [row for row in found if row["samples"][:15] in wanted]
            if not any(row["channel"] == channel for row in rows):
                raise SourceError(
                    f"{', '.join(source.projects)} has no open {channel} files of workflow "
                    f"{workflow!r} for its samples (GDC data release {release}). Choose another "
                    f"one, or leave the channel out: `{channel}: null`."
                )
    rows.sort(key=lambda row: (CHANNELS.index(row["channel"]), row["samples"], row["id"]))
    clinical = {
        "channel": CLINICAL,
        "name": "clinical.csv",
        "url": _address(source, "cases"),
        "release": release,
    }
    return listing([*rows, clinical])


def _release(client: Client, source: GdcSource) -> str:
    """The data release that the server has, such as `45.0`."""
    told = client.json(_address(source, "status"), what="the GDC's status")
    text = str(told.get("data_release", "")) if isinstance(told, dict) else ""
    found = re.search(r"Data Release ([\w.-]{1,40})(?!\S)", text, re.ASCII)
    if not found:
        raise SourceError(
            f"{source.server} does not tell its data release: is it a GDC? It says: {text[:100]!r}."
        )
    if source.release not in (None, found[1]):
        raise SourceError(
            f"{source.server} has data release {found[1]}, but `release` asks for "
            f"{source.release}. The manifest.csv and clinical.csv of that release build the same "
            f'cohort again; for a new one set `release: "{found[1]}"`, or leave it out.'
        )
    return found[1]


def _rows(
    client: Client, source: GdcSource, channel: str, workflow: str, release: str
) -> list[dict[str, Any]]:
    """The files of one channel, of the wanted sample types."""
    conditions = {
        "cases.project.project_id": source.projects,
        "data_type": [DATA_TYPES[channel]],
        "analysis.workflow_type": [workflow],
    }
    if not client.has_token:
        conditions["access"] = ["open"]
    rows, unclear, contradicted = [], [], []
    for hit in _search(client, _address(source, "files"), conditions, FILE_FIELDS, release):
        aliquot, tissue = _measured(hit, channel)
        code = _code(aliquot)
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
    projects = [_object(case.get("project"), f"project of {what}").get("project_id")
                for case in _objects(hit.get("cases"), f"cases of {what}")]  # fmt: skip
    names = {name: hit.get(name) for name in ("file_id", "file_name", "md5sum")}
    facts = names | {"project_id": projects[0] if projects else None, "aliquot": aliquot}
    wrong = [key for key, value in facts.items()
             if not (isinstance(value, str) and value and value.isprintable())]  # fmt: skip
    if not wrong and not MD5.fullmatch(hit["md5sum"]):
        wrong = ["md5sum"]
    size = hit.get("file_size")
    if type(size) is not int or not 0 <= size < 1 << 50:
        facts["file_size"], wrong = size, [*wrong, "file_size"]
    if wrong:
        raise SourceError(
            f"{source.server} lists {channel} {what} of {aliquot} with {wrong[0]} "
            f"{facts[wrong[0]]!r:.100}, by which it cannot be downloaded and verified. Run again "
            "later, or tell the GDC."
        )
    return {
        "channel": channel,
        "id": hit["file_id"],
        "name": hit["file_name"],
        "url": _address(source, f"data/{hit['file_id']}"),
        "md5": hit["md5sum"],
        "size": size,
        "release": release,
        "samples": aliquot,
        "project": facts["project_id"],
    }


_TISSUES = {"Tumor": TUMOUR_CODES, "Normal": NORMAL_CODES}


def _measured(hit: dict[str, Any], channel: str) -> tuple[str, str]:
    """Barcode of the aliquot that a file is of, and its sample's `tissue_type`; "" if not one.

    Files of copy number and mutations name the normal sample of the patient beside the tumour.
    """

    def inner(node: dict[str, Any], name: str) -> list[dict[str, Any]]:
        return _objects(node.get(name), f"{name} of file {hit.get('id')}")

    found = {
        str(aliquot.get("submitter_id")): str(sample.get("tissue_type") or "")
        for case in inner(hit, "cases")
        for sample in inner(case, "samples")
        for portion in inner(sample, "portions")
        for analyte in inner(portion, "analytes")
        for aliquot in inner(analyte, "aliquots")
    }
    if channel != "expression":
        found = {name: tissue for name, tissue in found.items() if _code(name) not in NORMAL_CODES}
    return next(iter(found.items())) if len(found) == 1 else ("", "")


def _code(aliquot: str) -> str:
    """Sample type code of a TCGA barcode; "" for any other id."""
    found = barcode(aliquot)
    return found[1] if found else ""


def _patients(data: pd.DataFrame) -> set[str]:
    return {name[:12] for name in data["samples"]}


def _refuse_empty(
    client: Client, source: GdcSource, rows: list[dict[str, Any]], release: str
) -> None:
    """`SourceError` for a project without expression of use, which says why it has none."""
    lacking = sorted(set(source.projects) - {row["project"] for row in rows})
    if not lacking:
        return
    hits = _search(client, _address(source, "projects"), {}, ("project_id",), release)
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
        f"{WORKFLOWS['expression']!r}, GDC data release {release}). Leave the project out, or "
        "change `sample_types`."
    )


def _search(
    client: Client,
    url: str,
    conditions: dict[str, list[str]],
    fields: Iterable[str],
    release: str,
) -> list[dict[str, Any]]:
    """All hits that meet the conditions, page by page, each once.

    While data change at the server, hits move from page to page: one may come twice and another
    never. The list is read again until it is whole. Raises `SourceError` when it never is.
    """
    for _ in range(LISTINGS):
        hits: dict[str, dict[str, Any]] = {}
        totals: set[int] = set()
        while not totals or len(hits) < max(totals):
            page = _page(client, url, conditions, fields, len(hits), release)
            totals.add(int(page["pagination"]["total"]))
            known = len(hits)
            hits |= {hit["id"]: hit for hit in page["hits"]}
            if max(*totals, len(hits)) > MAX_HITS or len(page["hits"]) > PAGE:
                raise SourceError(
                    f"{url} lists {max(*totals, len(hits))} entries, {len(page['hits'])} on a page "
                    f"of {PAGE}: more than a GDC has of the projects. Is the address right?"
                )
            if len(hits) == known:
                break
        if totals == {len(hits)}:
            return list(hits.values())
        log.info("  the list changed at the server while it was read: reading it again")
    raise _restless(url)


def _restless(url: str) -> SourceError:
    return SourceError(
        f"the list of {url} changed each of the {LISTINGS} times that it was read: the server's "
        "data are being changed. Run again later."
    )


def _page(
    client: Client,
    url: str,
    conditions: dict[str, list[str]],
    fields: Iterable[str],
    start: int,
    release: str,
) -> dict[str, Any]:
    """One page of hits; `SourceError` for a field that the server does not know."""
    what = f"the GDC's list of {url.rpartition('/')[-1]}"
    payload: dict[str, Any] = {
        "fields": ",".join(fields),
        "format": "JSON",
        "from": start,
        "size": PAGE,
        "sort": f"{next(iter(fields))}:asc",
    }
    if conditions:
        payload["filters"] = {
            "op": "and",
            "content": [
                {"op": "in", "content": {"field": field, "value": values}}
                for field, values in conditions.items()
            ],
        }
    answer = client.json(url, payload, what=what)
    warnings = answer.get("warnings") if isinstance(answer, dict) else None
    of_fields = warnings.get("fields") if isinstance(warnings, dict) else None
    unknown = re.search(r"unrecognized values: \[(.*)\]", str(of_fields))
    if unknown:
        raise SourceError(
            f"{what}: the server's data dictionary has no field {unknown[1]} "
            f"(data release {release}). This version of oncopixel was written for the dictionary "
            "of 2026: update it. The manifest.csv and clinical.csv of an earlier run still build "
            "the same cohort."
        )
    if warnings:
        log.warning("warning: %s comes with: %s", what, warnings)
    try:
        page: dict[str, Any] = answer["data"]
        total, hits = page["pagination"]["total"], page["hits"]
        if isinstance(total, int) and all(isinstance(hit["id"], str) for hit in hits):
            return page
    except (KeyError, TypeError):
        pass
    raise SourceError(f"{what}: the answer holds no hits: {str(answer)[:200]!r}. Is {url} a GDC?")


def _refuse_other_server(source: GdcSource, listed: pd.DataFrame) -> None:
    """`SourceError` for a listing whose addresses are not of the source's server.

    A manifest comes with a repository; the token must not go where it says.
    """
    base = _address(source, "")
    strange = [url for url in listed["url"] if not url.startswith(base)]
    if strange or (listed["channel"] == CLINICAL).sum() != 1:
        raise SourceError(
            f"manifest.csv is not of {source.server} ({first_few(strange) or 'no clinical row'}). "
            "Bring it back with `git checkout`, or ask for a new list with `--refresh`."
        )


def _tell(data: pd.DataFrame) -> None:
    missing = [file.size for file in remote_files(data) if not seems_cached(file)]
    counts = ", ".join(f"{count} {name}" for name, count in data["channel"].value_counts().items())
    log.info(
        "  %s files, %.1f MB; %d of them, %.1f MB, are not in the cache",
        counts,
        data["size"].sum() / 1e6,
        len(missing),
        sum(missing) / 1e6,
    )


def _fetch_bundles(client: Client, source: GdcSource, data: pd.DataFrame) -> None:
    """Small files that the cache lacks come into it by the bundle; what goes wrong is left out."""
    files = remote_files(data)
    wanted = {
        f"{key}/{file.name}": (key, file)
        for key, file in zip(data["id"], files, strict=True)
        if 0 <= file.size <= SMALL_FILE and not seems_cached(file)
    }
    names = list(wanted)
    bundles = [names[start : start + BUNDLE] for start in range(0, len(names), BUNDLE)]

    def get(bundle: list[str]) -> int:
        ids = [wanted[name][0] for name in bundle]
        what = f"a bundle of {len(ids)} files"
        try:
            with client.send(_address(source, "data"), payload={"ids": ids}, what=what) as answer:
                refuse_page(answer)
                return unpack(
                    io.BufferedReader(_Body(client.chunks(answer))),
                    {name: wanted[name][1] for name in bundle},
                )
        except BrokenError as error:
            log.warning("warning: %s: %s; what is lacking is asked for singly", what, error)
            return 0

    bundles = [bundle for bundle in bundles if len(bundle) > 1]  # a single id gives the file itself
    done = sum(side_by_side(get, bundles, client, source.connections))
    if bundles:
        log.info("  %d small files came in %d bundles", done, len(bundles))


def unpack(stream: io.BufferedIOBase, wanted: dict[str, RemoteFile]) -> int:
    """How many of the wanted files a bundle (`tar.gz`, by member name) brought into the cache.

    Nothing is written under a name of the archive; files that were not asked for, such as the
    annotations that the GDC adds, are passed over. Raises `BrokenError` for a damaged bundle, for
    a member that is no plain file or has another size than was listed, and when it unpacks to more
    than all its files need; the files before are kept.
    """
    limit = sum(file.size + 4096 for file in wanted.values()) + SMALL_FILE
    packed = io.BufferedReader(_Bounded(stream, limit))
    bounded = io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=packed), limit))
    kept = 0
    try:
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                if member.name in wanted or not (member.isreg() or member.isdir()):
                    file = _asked_for(member, wanted)
                    content = archive.extractfile(member)
                    if content is not None:
                        kept += keep(content.read(), file.name, file.url, only=file.md5) is not None
                if archive.offset > limit:  # where the next member is said to begin
                    raise _too_long(limit)
    except (
        *(tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error),
        *(ValueError, OverflowError, RecursionError, MemoryError),
    ) as error:
        raise BrokenError(f"the archive is damaged ({printable(str(error))[:200]})") from None
    return kept


def _asked_for(member: tarfile.TarInfo, wanted: dict[str, RemoteFile]) -> RemoteFile:
    """The wanted file that a member is; `BrokenError` when it is not as listed."""
    file = wanted.get(member.name)
    if file is None or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        fault = "is no plain file"
    elif member.size != file.size:
        fault = f"has {member.size} bytes, not the {file.size} that are listed"
    else:
        return file
    raise BrokenError(f"its member {member.name[:200]!r} {fault}")


def _too_long(limit: int) -> BrokenError:
    return BrokenError(f"it unpacks to more than {limit} bytes, which is more than its files need")


class _Body(io.RawIOBase):
    """The chunks of a body as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


class _Bounded(io.RawIOBase):
    """A stream that is refused when it is longer than `limit` bytes."""

    def __init__(self, stream: io.BufferedIOBase | gzip.GzipFile, limit: int) -> None:
        self._stream, self._limit, self._left = stream, limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._stream.read(min(len(buffer), CHUNK))
        self._left -= len(part)
        if self._left < 0:
            raise _too_long(self._limit)
        buffer[: len(part)] = part
        return len(part)


def _clinical_table(
    client: Client, source: GdcSource, listed: RemoteFile, patients: set[str], release: str
) -> tuple[Path, RemoteFile]:
    """The clinical table in the cache: that of the listing, or that of now when it has none."""
    path = cached(listed)
    if path is not None:
        return path, listed
    conditions = {"project.project_id": source.projects}
    hits = _search(client, listed.url, conditions, CASE_FIELDS, release)
    content = clinical_csv(hit for hit in hits if str(hit.get("submitter_id")) in patients)
    kept = keep(content, listed.name, listed.url, only=listed.md5)
    if kept is None:
        raise SourceError(
            "the clinical data of the GDC have changed since the manifest was written, and the "
            "cache no longer holds those that it lists. To build the earlier cohort, bring them "
            "back with `dvc pull data/<cohort>/clinical.csv`; `--refresh` takes what the GDC has "
            "now."
        )
    return kept


def clinical_csv(cases: Iterable[dict[str, Any]]) -> bytes:
    """The clinical table of the GDC's cases: a row per patient, the same bytes for the same facts.

    Ages and times are in days. Of several diagnoses that of the primary disease counts; the last
    follow-up is the latest that any record tells. What is not known or not reported is empty; what
    is of no use otherwise stands as it came, for `_read_clinical` to leave out. Raises
    `SourceError` for records of another form than documented.
    """
    rows = dict(map(_clinical_row, cases))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=list(CLINICAL_COLUMNS))
    text: str = frame.sort_index().to_csv(index_label="patient", lineterminator="\n")
    return text.encode()


def _clinical_row(case: Any) -> tuple[str, dict[str, Any]]:
    """The patient, and what is known of them."""
    case = _object(case, "a case")
    patient = _text(case.get("submitter_id"))
    if not isinstance(case.get("submitter_id"), str) or not patient:
        raise _odd(case.get("submitter_id"), "submitter_id of a case", "a name")

    def inner(name: str) -> dict[str, Any]:
        return _object(case.get(name), f"{name} of {patient}")

    person = inner("demographic")
    diagnoses = sorted(
        _objects(case.get("diagnoses"), f"diagnoses of {patient}"),
        key=lambda one: (
            str(one.get("diagnosis_is_primary_disease")).lower() != "true",
            str(one.get("submitter_id")),
        ),
    )
    diagnosis = diagnoses[0] if diagnoses else {}
    follow_ups = _objects(case.get("follow_ups"), f"follow_ups of {patient}")
    ends = [_text(one.get("days_to_last_follow_up")) for one in diagnoses]
    ends += [_text(one.get("days_to_follow_up")) for one in follow_ups]
    return patient, {
        "project": _text(inner("project").get("project_id")),
        "tissue_source_site": _text(inner("tissue_source_site").get("name")),
        **{
            name: _text(person.get(name))
            for name in ("sex_at_birth", "race", "ethnicity", "vital_status")
        },
        "days_to_death": _text(person.get("days_to_death")),
        "primary_diagnosis": _text(diagnosis.get("primary_diagnosis")),
        "ajcc_stage": _text(diagnosis.get("ajcc_pathologic_stage")),
        "age_at_diagnosis_days": _text(diagnosis.get("age_at_diagnosis")),
        "days_to_last_follow_up": max(filter(None, ends), key=_when, default=None),
    }


def _odd(value: Any, what: str, wanted: str) -> SourceError:
    return SourceError(
        f"the GDC gives as {what} {value!r:.100}, which is not {wanted}. Is the server a "
        "GDC? If so, update oncopixel."
    )


def _object(value: Any, what: str) -> dict[str, Any]:
    """A JSON object; null is an empty one."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise _odd(value, what, "an object")


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of JSON objects without its nulls; null is an empty one."""
    if value is None or isinstance(value, list):
        return [_object(one, what) for one in value or () if one is not None]
    raise _odd(value, what, "a list")


def _text(value: Any) -> str | None:
    """One line of printable characters, or None for the words that mean "not known".

    Records and lists, which no column is made of, are written as JSON.
    """
    if isinstance(value, float):
        value = f"{value:.15g}"
    if isinstance(value, dict | list):
        value = json.dumps(value, sort_keys=True)
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return None if says_not_known(text) else text


def _days(text: str) -> float:
    """A number of days; NaN for any other text."""
    try:
        days = float(text)
    except ValueError:
        return math.nan
    return days if abs(days) < MAX_DAYS else math.nan


def _when(text: str) -> tuple[float, str]:
    """By which days are put in order, texts that are none first."""
    days = _days(text)
    return (-math.inf if math.isnan(days) else days), text


def _read_clinical(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table that `clinical_csv` wrote: text, "" where not known, and days as numbers.

    Values that are no such thing are left out; notes count them.
    """
    table = pd.read_csv(path, index_col="patient", dtype=object, keep_default_na=False)
    notes = []
    for name, given in table.items():
        if name in DAYS:
            table[name] = given.map(_days).astype(float)
            odd, wanted = table[name].isna() & (given != ""), "number of days"
        else:
            odd, wanted = given.str.startswith(("[", "{")), "text"
            table[name] = given.mask(odd, "")
        if odd.any():
            shown = first_few(f"{patient} {value[:40]!r}" for patient, value in given[odd].items())
            notes.append(
                f"clinical: {odd.sum()} values of {name} are no {wanted}: left out ({shown})"
            )
    return table, notes
