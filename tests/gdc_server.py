"""A GDC on this machine: it answers as the real one is documented to, and fails on demand.

Endpoints, parameters and answers follow
https://docs.gdc.cancer.gov/API/Users_Guide/Search_and_Retrieval/ and .../Downloading_Files/:
`/status`, `/projects`, `/files`, `/cases`, `/data`, `/manifest`, by GET and POST. Filters are
evaluated, fields are checked against a dictionary, files are served whole, in part or by bundle.
"""

import contextlib
import csv
import gzip
import hashlib
import io
import json
import re
import socket
import struct
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd

MAX_SIZE = 10_000
ENDPOINTS = ("files", "cases", "projects")
DATA_TYPES = {
    "expression": ("Gene Expression Quantification", "STAR - Counts"),
    "copy_number": ("Gene Level Copy Number", "ASCAT3"),
    "mutation": (
        "Masked Somatic Mutation",
        "Aliquot Ensemble Somatic Variant Merging and Masking",
    ),
    "segments": ("Masked Copy Number Segment", "DNAcopy"),
}
PAGE = b"<html><head><title>Scheduled maintenance</title></head><body>Back soon.</body></html>"


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path holds `where`."""

    where: str
    kind: str
    times: int = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 0
    """Bytes of the body that are sent before it breaks off."""
    seconds: float = 0.05
    """Between the bytes of a trickle."""


class Gdc:
    """The server: its data, what goes wrong with it, and what it was asked for.

    `files` are hits of the `files` endpoint with all their fields; `contents` their bytes by id.
    """

    def __init__(
        self,
        files: list[dict],
        cases: list[dict],
        contents: dict[str, bytes],
        release: str = "45.0",
    ) -> None:
        projects = sorted({case["project"]["project_id"] for case in cases})
        self.hits = {
            "files": files,
            "cases": cases,
            "projects": [{"id": name, "project_id": name} for name in projects],
        }
        self.contents = contents
        self.release = release
        self.dictionary = {name: set(_paths(hits)) for name, hits in self.hits.items()}
        self.token = "s3cret-T0ken"  # noqa: S105
        self.faults: list[Fault] = []
        self.ranges = self.etags = True
        self.part = 1 << 40
        """Bytes that it sends of a range, at most."""
        self.message = "internal error"
        self.stalled = threading.Event()
        """Set it to let a stalled body end."""
        self.answers: dict[str, bytes] = {}
        """By path, in place of the real ones."""
        self.warnings: dict[str, str] = {}
        """Sent with every list."""
        self.after_fault: Callable[[], None] = lambda: None
        self.bundle: Callable[[list[tuple[str, bytes]]], bytes] = tar_gz
        self.changes: list[Callable[[], None]] = []
        """Called one after another, each after a page of `/files` was sent."""
        self.requests: list[str] = []
        """`METHOD /path` of each request."""
        self.headers: list[dict[str, str]] = []
        self.sent = 0
        """Bytes of files."""
        self.most_at_once = 0
        self.together = 0
        """So many requests for files are under way before the first is answered."""
        self._at_once = 0
        self._lock = threading.Condition()

    def fault(self, where: str, kind: str, **more: Any) -> None:
        """Adds one; kinds are those of `_Handler.fail`."""
        self.faults.append(Fault(where, kind, **more))

    def count(self, pattern: str) -> int:
        """How many requests matched a regular expression."""
        return sum(bool(re.fullmatch(pattern, request)) for request in self.requests)

    def file(self, file_id: str) -> dict | None:
        return next((hit for hit in self.hits["files"] if hit["id"] == file_id), None)

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.where in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def meet(self) -> None:
        """Returns once `together` requests have been under way at the same time."""
        with self._lock:
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.most_at_once >= self.together)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def __enter__(self) -> "Gdc":
        handler = type("Handler", (_Handler,), {"gdc": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stalled.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    gdc: Gdc
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = None

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer({key: values[0] for key, values in self.query().items()})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Type", "").startswith("application/json"):
            try:
                asked = json.loads(body)
            except ValueError:
                return self.refuse(400, "the payload is no JSON")
        else:
            asked = {k: v if k == "ids" else v[0] for k, v in parse_qs(body.decode()).items()}
        return self.answer(asked | {key: values[0] for key, values in self.query().items()})

    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def answer(self, asked: dict[str, Any]) -> None:
        path = urlsplit(self.path).path.removeprefix("/v0")
        self.gdc.requests.append(f"{self.command} {path}")
        self.gdc.headers.append(dict(self.headers))
        fault = self.gdc.next_fault(path)
        with self.gdc.counted(), contextlib.suppress(ConnectionError):
            if path.startswith("/data"):
                self.gdc.meet()
            if fault and fault.kind in ("status", "page", "redirect", "drop"):
                self.fail(fault)
            elif path in self.gdc.answers:
                self.send(self.gdc.answers[path])
            else:
                self.route(path.strip("/").split("/"), asked, fault)

    def route(self, parts: list[str], asked: dict[str, Any], fault: Fault | None) -> None:
        name, rest = parts[0], "/".join(parts[1:])
        if name == "status":
            told = {
                "commit": "0" * 40,
                "data_release": f"Data Release {self.gdc.release} - December 04, 2025",
                "status": "OK",
                "tag": "8.5.0",
                "version": 1,
            }
            return self.send(json.dumps(told).encode(), fault=fault)
        if name in ENDPOINTS:
            return self.search(name, asked, fault)
        ids = rest.split(",") if rest else asked.get("ids") or []
        ids = [ids] if isinstance(ids, str) else ids
        if name == "manifest" and ids:
            found = [hit for hit in map(self.gdc.file, ids) if hit]
            return self.send(manifest(found), "text/tab-separated-values", fault=fault)
        if name == "data" and ids:
            return self.data(ids, "tarfile" in asked, fault)
        return self.refuse(404, "The requested URL was not found on the server.")

    def search(self, name: str, asked: dict[str, Any], fault: Fault | None) -> None:
        try:
            filters = asked.get("filters")
            filters = json.loads(filters) if isinstance(filters, str) else filters
            size, start = int(asked.get("size", 10)), int(asked.get("from", 0))
            if not 0 <= size <= MAX_SIZE or start < 0:
                raise ValueError(f"size must be from 0 to {MAX_SIZE}")
            hits = [hit for hit in self.gdc.hits[name] if self.matches(name, hit, filters)]
        except (ValueError, KeyError, TypeError) as error:
            return self.refuse(400, f"Bad request: {error}")
        if asked.get("return_type") == "manifest":
            return self.send(manifest(hits), "text/tab-separated-values", fault=fault)
        if asked.get("sort"):
            key, _, direction = asked["sort"].partition(":")
            hits.sort(key=lambda hit: str(_values(hit, key)), reverse=direction == "desc")
        wanted = [w.strip() for w in asked.get("fields", "").split(",") if w.strip()]
        wanted = [self.own(name, w) for w in wanted]
        groups = [self.own(name, w) for w in asked.get("expand", "").split(",") if w]
        known = self.gdc.dictionary[name]
        unknown = {
            "fields": [w for w in wanted if w not in known],
            "expand": [g for g in groups if not any(k.startswith(f"{g}.") for k in known)],
        }
        warnings = {
            kind: f"unrecognized values: [{', '.join(found)}]"
            for kind, found in unknown.items()
            if found
        } | self.gdc.warnings
        fields = {w for w in wanted if w in known}
        fields |= {k for k in known for g in groups if k.startswith(f"{g}.")}
        if not wanted:
            fields |= {k for k in known if "." not in k}
        page = [{"id": hit["id"]} | _project(hit, fields) for hit in hits[start : start + size]]
        if asked.get("format", "JSON").upper() == "TSV":
            self.send(_tsv(page), "text/tab-separated-values", fault=fault)
        else:
            pagination = {
                "count": len(page),
                "total": len(hits),
                "size": size,
                "from": start,
                "sort": asked.get("sort", ""),
                "page": start // max(size, 1) + 1,
                "pages": -(-len(hits) // max(size, 1)),
            }
            answer = {"data": {"hits": page, "pagination": pagination}, "warnings": warnings}
            self.send(json.dumps(answer).encode(), fault=fault)
        if name == "files" and self.gdc.changes:
            self.gdc.changes.pop(0)()
        return None

    @staticmethod
    def own(name: str, key: str) -> str:
        """A field as the endpoint itself calls it: `files.access` is `access` of `files`."""
        return key.removeprefix(f"{name}.")

    def matches(self, name: str, hit: dict, rule: dict | None) -> bool:
        if not rule:
            return True
        op, content = rule["op"].lower(), rule["content"]
        if op in ("and", "or"):
            parts = (self.matches(name, hit, part) for part in content)
            return all(parts) if op == "and" else any(parts)
        key = self.own(name, content["field"])
        if key not in self.gdc.dictionary[name]:
            raise ValueError(f"unknown field in filters: {content['field']}")
        found = _values(hit, key)
        asked = content.get("value")
        asked = asked if isinstance(asked, list) else [asked]
        if op in ("=", "in"):
            return any(value in asked for value in found)
        if op in ("!=", "exclude"):
            return not any(value in asked for value in found)
        if op in ("is", "not"):
            return bool(found) == (op == "not")
        compare = {
            ">=": lambda a, b: a >= b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            "<": lambda a, b: a < b,
        }[op]
        return any(compare(value, asked[0]) for value in found)

    def data(self, ids: list[str], plain: bool, fault: Fault | None) -> None:
        hits = [self.gdc.file(one) for one in ids]
        for one, hit in zip(ids, hits, strict=True):
            if hit is None:
                return self.refuse(404, f"File not found: {one}")
            if hit["access"] != "open" and self.headers.get("X-Auth-Token") != self.gdc.token:
                return self.refuse(403, "You don't have access to the data: a token is required.")
        found = [hit for hit in hits if hit]
        if len(found) == 1:
            hit = found[0]
            return self.whole_or_part(hit["file_name"], self.gdc.contents[hit["id"]], fault)
        members = []
        for hit in found:
            if hit.get("annotated"):
                members.append((f"{hit['id']}/annotations.txt", b"id\tcategory\tnotes\n"))
            members.append((f"{hit['id']}/{hit['file_name']}", self.gdc.contents[hit["id"]]))
        members.append(("MANIFEST.txt", manifest(found)))
        content = tar(members) if plain else self.gdc.bundle(members)
        self.gdc.sent += len(content)
        name = f"gdc_download_20251204_000000.tar{'' if plain else '.gz'}"
        return self.send(
            content,
            "application/x-tar" if plain else "application/x-gzip",
            {"Content-Disposition": f"attachment; filename={name}"},
            fault=fault,
        )

    def whole_or_part(self, name: str, content: bytes, fault: Fault | None) -> None:
        headers = {
            "Content-Disposition": f"attachment; filename={name}",
            "Accept-Ranges": "bytes",
            "ETag": f'"{hashlib.md5(content).hexdigest()}"',  # noqa: S324
        }
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        unchanged = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if not self.gdc.etags:
            unchanged = not headers.pop("ETag") or "If-Range" not in self.headers
        if fault and fault.kind == "wrong":
            content = bytes(len(content))
        if asked and unchanged and self.gdc.ranges:
            total, start = len(content), int(asked[1])
            if start >= total:
                headers["Content-Range"] = f"bytes */{total}"
                return self.send(b"", headers=headers, status=416)
            end = min(
                int(asked[2]) if asked[2] else total - 1, start + self.gdc.part - 1, total - 1
            )
            content, status = content[start : end + 1], 206
            headers["Content-Range"] = f"bytes {start}-{end}/{total}"
        headers["Content-MD5"] = hashlib.md5(content).hexdigest()  # noqa: S324
        self.gdc.sent += len(content)
        return self.send(content, "application/octet-stream", headers, status, fault)

    def refuse(self, status: int, message: str) -> None:
        self.send(json.dumps({"message": message}).encode(), status=status)

    def fail(self, fault: Fault) -> None:
        """Answers that have nothing of what was asked for."""
        if fault.kind == "drop":
            self.hang_up()
        elif fault.kind == "page":
            self.send(PAGE, "text/html; charset=utf-8")
        elif fault.kind == "redirect":
            self.send(b"", headers=fault.headers, status=302)
        else:
            told = json.dumps({"message": self.gdc.message}).encode()
            self.send(told, headers=fault.headers, status=fault.status)

    def send(
        self,
        content: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        status: int = 200,
        fault: Fault | None = None,
    ) -> None:
        """The answer, or as a fault has it: gzip, reset, truncated, short, stall, trickle."""
        self.send_response(status)
        if fault and fault.kind == "gzip":
            content, headers = gzip.compress(content), {"Content-Encoding": "gzip"}
        stated = fault.after if fault and fault.kind == "short" else len(content)
        for key, value in {
            "Content-Type": kind, "Content-Length": str(stated), **(headers or {})
        }.items():  # fmt: skip
            self.send_header(key, value)
        self.end_headers()
        if fault is None or fault.kind in ("wrong", "gzip"):
            self.wfile.write(content)
        elif fault.kind == "short":
            self.wfile.write(content[: fault.after])
        elif fault.kind == "trickle":
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(fault.seconds)
        else:
            self.wfile.write(content[: fault.after])
            self.wfile.flush()
            self.close_connection = True
            self.gdc.after_fault()
            if fault.kind == "stall":
                self.gdc.stalled.wait()
            if fault.kind == "reset":
                time.sleep(0.05)  # what was sent arrives before the reset throws it away
                self.hang_up()

    def hang_up(self) -> None:
        """Ends the connection by a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def tar(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_gz(members: list[tuple[str, bytes]]) -> bytes:
    return gzip.compress(tar(members), 1)


def manifest(hits: list[dict]) -> bytes:
    rows = [
        (hit["id"], hit["file_name"], hit["md5sum"], str(hit["file_size"]), "released")
        for hit in hits
    ]
    lines = ["\t".join(row) for row in [("id", "filename", "md5", "size", "state"), *rows]]
    return ("\n".join(lines) + "\n").encode()


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all leaves."""
    if isinstance(node, list):
        for item in node:
            yield from _paths(item, prefix)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _paths(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix


def _values(node: Any, key: str) -> list[Any]:
    """All values that a dotted name has in a hit; missing and null ones are none."""
    nodes = [node]
    for part in key.split("."):
        nodes = [item.get(part) for item in nodes if isinstance(item, dict)]
        nodes = [one for item in nodes for one in (item if isinstance(item, list) else [item])]
    return [value for value in nodes if value is not None]


def _project(node: Any, fields: set[str], prefix: str = "") -> Any:
    """The hit with these fields only."""
    if isinstance(node, list):
        return [_project(item, fields, prefix) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if name in fields or any(wanted.startswith(f"{name}.") for wanted in fields):
            kept[key] = _project(value, fields, f"{name}.")
    return kept


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves as the TSV format names them: `cases.0.samples.0.submitter_id`."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        if isinstance(value, dict | list):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _tsv(page: list[dict]) -> bytes:
    rows = [dict(_flat(hit)) for hit in page]
    buffer = io.StringIO()
    names = sorted({key for row in rows for key in row})
    writer = csv.DictWriter(buffer, names, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def serve(
    listing: pd.DataFrame, clinical: pd.DataFrame, project: str = "TCGA-LUAD", release: str = "45.0"
) -> Gdc:
    """A GDC with these files (`channel`, `name`, `path`, `aliquot`) and these patients.

    A file of the channel `segments` is of one aliquot, normal tissue included. `clinical`, by
    patient, has any of the fields that `case_of` places.
    """
    files, contents = [], {}
    for row in listing.itertuples():
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, row.name))
        contents[key] = row.path.read_bytes()
        data_type, workflow = DATA_TYPES[row.channel]
        samples = [sample_of(row.aliquot)]
        if row.channel not in (
            "expression",
            "segments",
        ):  # somatic calls are made beside the patient's blood
            samples.append(sample_of(f"{row.aliquot[:12]}-10A-01D-A273-01"))
        files.append(
            {
                "id": key,
                "file_id": key,
                "file_name": row.name,
                "md5sum": hashlib.md5(contents[key]).hexdigest(),  # noqa: S324
                "file_size": len(contents[key]),
                "access": "open",
                "state": "released",
                "data_type": data_type,
                "analysis": {"workflow_type": workflow},
                "cases": [
                    {
                        "submitter_id": row.aliquot[:12],
                        "project": {"project_id": project},
                        "samples": samples,
                    }
                ],
            }
        )
    cases = [case_of(patient, project, facts) for patient, facts in clinical.iterrows()]
    return Gdc(files, cases, contents, release)


def sample_of(aliquot: str) -> dict:
    """A sample with one aliquot, as `files` nests it."""
    tumour = int(aliquot[13:15]) < 10
    return {
        "submitter_id": aliquot[:16],
        "tissue_type": "Tumor" if tumour else "Normal",
        "tumor_descriptor": "Primary" if tumour else "Not Applicable",
        "portions": [{"analytes": [{"aliquots": [{"submitter_id": aliquot}]}]}],
    }


def case_of(patient: str, project: str, facts: pd.Series) -> dict:
    """A case with all clinical fields: a prior malignancy beside the disease, two follow-ups."""
    days, death = int(facts.get("follow_up", 300)), facts.get("days_to_death")
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, patient)),
        "case_id": str(uuid.uuid5(uuid.NAMESPACE_URL, patient)),
        "submitter_id": patient,
        "project": {"project_id": project},
        "tissue_source_site": {"name": f"Hospital {patient[5:7]}"},
        "demographic": {
            "sex_at_birth": facts.get("sex", "female"),
            "race": facts.get("race", "not reported"),
            "ethnicity": "not hispanic or latino",
            "vital_status": facts.get("vital_status", "Alive"),
            "days_to_death": None if pd.isna(death) else int(death),
        },
        "diagnoses": [
            {
                "submitter_id": f"{patient}_diagnosis0",
                "diagnosis_is_primary_disease": "false",
                "primary_diagnosis": "Basal cell carcinoma, NOS",
                "ajcc_pathologic_stage": None,
                "age_at_diagnosis": 9000,
                "days_to_last_follow_up": None,
            },
            {
                "submitter_id": f"{patient}_diagnosis1",
                "diagnosis_is_primary_disease": "true",
                "primary_diagnosis": facts.get("diagnosis", "Adenocarcinoma, NOS"),
                "ajcc_pathologic_stage": facts.get("stage", "Stage I"),
                "age_at_diagnosis": 21000,
                "days_to_last_follow_up": days - 100,
            },
        ],
        "follow_ups": [{"days_to_follow_up": days - 200}, {"days_to_follow_up": days}],
    }
