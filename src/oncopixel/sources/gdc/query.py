"""Questions to the API of the NCI Genomic Data Commons, and the token that opens controlled data.

Requests, answers and field names are those of
https://docs.gdc.cancer.gov/API/Users_Guide/Search_and_Retrieval/, with the data dictionary of 2026.
"""

import logging
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...core.errors import SourceError
from ...core.params import GdcSource
from ..http.client import Client

TOKEN_VARIABLE = "ONCOPIXEL_GDC_TOKEN"  # noqa: S105 (the variable that names the token's file)
PAGE = 500
"""Hits that are asked for at a time; much larger pages time out."""
MAX_HITS = 200_000
"""Hits of a list; all open files of TCGA's largest project are some 30,000."""
LISTINGS = 4
"""Times that a list is read before it is given up because it changes meanwhile."""
log = logging.getLogger(__name__)


def read_token() -> str | None:
    """The token in the file of ONCOPIXEL_GDC_TOKEN, which must be the user's alone, or None."""
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


def address(source: GdcSource, endpoint: str) -> str:
    """The URL of an endpoint of the API."""
    return f"{source.server.rstrip('/')}/{endpoint}"


def data_release(client: Client, source: GdcSource) -> str:
    """The data release that the server has, such as `45.0`."""
    answer = client.json(address(source, "status"), what="the GDC's status")
    text = str(answer.get("data_release", "")) if isinstance(answer, dict) else ""
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


def search(
    client: Client, url: str, conditions: dict[str, list[str]], fields: Iterable[str], release: str
) -> list[dict[str, Any]]:
    """All hits that meet the conditions, each once; read again where the list changes."""
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
    raise unsettled(url)


def unsettled(url: str) -> SourceError:
    """The error for a list that is never the same twice."""
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


def unexpected(value: Any, what: str, wanted: str) -> SourceError:
    """The error for a value of another kind than documented."""
    return SourceError(
        f"the GDC gives as {what} {value!r:.100}, which is not {wanted}. Is the server a "
        "GDC? If so, update oncopixel."
    )


def as_object(value: Any, what: str) -> dict[str, Any]:
    """A JSON object; null is an empty one."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise unexpected(value, what, "an object")


def as_objects(value: Any, what: str) -> list[dict[str, Any]]:
    """A list of JSON objects without its nulls; null is an empty one."""
    if value is None or isinstance(value, list):
        return [as_object(one, what) for one in value or () if one is not None]
    raise unexpected(value, what, "a list")
