"""A local server that behaves like GitHub's REST API, as far as the report needs it.

Pages of at most 100 with `Link` headers, the errors of a bad token (401), a missing right (403), an
unknown thing (404) and a bad comment (422), limits, and artifacts that a second server on another
port hands out to whom has no token. `faults` makes the next matching requests go wrong.
"""

import io
import itertools
import json
import re
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API = "http://api.github.localhost"
"""What `gh` calls the API of its development host, the only one that it speaks to without TLS."""
TOKEN = "the-job's-token"  # noqa: S105
REPOSITORY = "cancer/oncopixel"
REPOSITORY_ID = 1001
BOT = "github-actions[bot]"
MAX_BODY = 65_536
DROP = -1
"""A fault: the connection is closed without an answer."""
DROP_AFTER = -2
"""A fault: what was asked is done, then the connection is closed without an answer."""
CUT = -3
"""A fault: the connection is closed in the middle of the answer."""


@dataclass
class Fault:
    """How the next request that matches goes wrong, instead of its answer."""

    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "it did not work"


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    authorization: str | None


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.status, self.content = status, {"message": message, "status": str(status), **more}


class FakeGitHub:
    """The state of one repository, and every request that was made."""

    def __init__(self) -> None:
        self.url = ""
        self.blobs = ""
        self.rights = {"actions": "read", "contents": "read", "pull_requests": "write"}
        self.pulls: list[dict[str, Any]] = []
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.files: dict[int, bytes] = {}
        self.runs: dict[str, list[int]] = {}
        """Of the pipeline, after pushes to main, by commit."""
        self.merge_bases: dict[tuple[str, str], str] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.blob_requests: list[Request] = []
        self._last_id = 5000

    # --- what a test puts there ---

    def add_pull(
        self, head: str, base: str, *, repository: int | None = REPOSITORY_ID, state: str = "open"
    ) -> int:
        number = len(self.pulls) + 1
        repo = None if repository is None else {"id": repository, "fork": repository != 1001}
        self.pulls.append({
            "number": number, "state": state, "title": f"change {number}",
            "head": {"sha": head, "ref": "work", "repo": repo},
            "base": {"sha": base, "ref": "main", "repo": {"id": REPOSITORY_ID, "fork": False}},
        })  # fmt: skip
        self.comments[number] = []
        return number

    def add_comment(self, number: int, body: str, login: str = "somebody") -> int:
        kind = "Bot" if login.endswith("[bot]") else "User"
        identifier = self._new_id()
        user = {"login": login, "type": kind}
        self.comments[number].append({"id": identifier, "user": user, "body": body})
        return identifier

    def add_artifact(
        self, run: int, content: bytes, *, name: str = "numbers", size: int | None = None,
        expired: bool = False,
    ) -> int:  # fmt: skip
        identifier = self._new_id()
        size = len(content) if size is None else size
        self.artifacts.append({
            "id": identifier, "name": name, "size_in_bytes": size, "expired": expired,
            "archive_download_url": f"{self.url}/nowhere/{identifier}",
            "workflow_run": {"id": run, "head_repository_id": REPOSITORY_ID},
        })  # fmt: skip
        self.files[identifier] = content
        return identifier

    def bodies(self, number: int, login: str = BOT) -> list[str]:
        return [c["body"] for c in self.comments[number] if c["user"]["login"] == login]

    def made(self, method: str) -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # --- what it answers ---

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """The content of an answer; a list is cut into pages by the caller."""
        asked = f"{method} {path.removeprefix(f'/repos/{REPOSITORY}')}"
        if asked == "GET /pulls":
            self._need("pull_requests", method)
            return [p for p in self.pulls if query.get("state", "open") in ("all", p["state"])]
        if found := re.fullmatch(r"GET /compare/(\w+)\.\.\.(\w+)", asked):
            self._need("contents", method)
            if found.groups() in self.merge_bases:
                return {"merge_base_commit": {"sha": self.merge_bases[found.groups()]}}
        elif found := re.fullmatch(r"GET /actions/runs/(\d+)/artifacts", asked):
            self._need("actions", method)
            # those of other runs slip in: whoever reads must look at the run of each
            return sorted(self.artifacts, key=lambda a: a["workflow_run"]["id"] != int(found[1]))
        elif asked == "GET /actions/workflows/pipeline.yml/runs":
            self._need("actions", method)
            if (query["event"], query["branch"]) == ("push", "main"):
                return [{"id": number} for number in self.runs.get(query["head_sha"], [])]
        elif found := re.fullmatch(r"(GET|POST) /issues/(\d+)/comments", asked):
            self._need("pull_requests", method)
            number = int(found[2])
            text = _checked(body) if method == "POST" else ""
            if number in self.comments:
                if method == "GET":
                    return self.comments[number]
                return {"id": self.add_comment(number, text, BOT)}
        elif found := re.fullmatch(r"PATCH /issues/comments/(\d+)", asked):
            self._need("pull_requests", method)
            text = _checked(body)
            for comment in itertools.chain(*self.comments.values()):
                if comment["id"] == int(found[1]):
                    comment["body"] = text
                    return comment
        raise RefusalError(404, "Not Found", documentation_url="https://docs.github.com/rest")

    def _need(self, right: str, method: str) -> None:
        granted = self.rights.get(right)
        if granted is None or (method != "GET" and granted != "write"):
            raise RefusalError(403, "Resource not accessible by integration")


def _checked(body: bytes) -> str:
    try:
        text = json.loads(body)["body"]
    except (ValueError, KeyError, TypeError):
        raise RefusalError(400, "Problems parsing JSON") from None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_BODY:
        error = {"resource": "IssueComment", "code": "unprocessable", "field": "data"}
        raise RefusalError(422, "Validation Failed", errors=[error])
    return text


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: FakeGitHub

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class _Api(_Handler):
    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_GET  # noqa: N815

    def _handle(self) -> None:
        github = self.github
        address = urllib.parse.urlsplit(self.path)
        path = address.path.replace(f"/repositories/{REPOSITORY_ID}/", f"/repos/{REPOSITORY}/")
        query = dict(urllib.parse.parse_qsl(address.query))
        body = self._body()
        authorization = self.headers.get("Authorization")
        github.requests.append(Request(self.command, path, authorization))
        fault = next(
            (f for f in github.faults if f.method == self.command and re.search(f.path, path)), None
        )
        if fault:
            github.faults.remove(fault)
            if fault.status == DROP:
                self.close_connection = True
                return
            if fault.status > 0:
                self._json(fault.status, {"message": fault.message}, fault.headers)
                return
        try:
            if authorization != f"token {TOKEN}":
                raise RefusalError(401, "Bad credentials")
            if not self.headers.get("User-Agent"):
                raise RefusalError(403, "Request forbidden by administrative rules")
            zipped = re.fullmatch(rf"/repos/{REPOSITORY}/actions/artifacts/(\d+)/zip", path)
            if zipped and int(zipped[1]) in github.files:
                github._need("actions", "GET")
                self._send(302, b"", {"Location": f"{github.blobs}/{zipped[1]}?sig=x"})
                return
            content = github.answer(self.command, path, query, body)
        except RefusalError as refusal:
            self._json(refusal.status, refusal.content, {})
            return
        if fault:
            self.close_connection = True
            if fault.status == CUT:
                self._send(200, b'[{"id": 1', {"Content-Length": "1000"})
            return
        headers = {}
        if isinstance(content, list):
            content, headers = self._page(content, path, query)
            if path.endswith("/artifacts"):
                content = {"total_count": len(github.artifacts), "artifacts": content}
            if path.endswith("/runs"):
                content = {"total_count": len(content), "workflow_runs": content}
        self._json(201 if self.command == "POST" else 200, content, headers)

    def _page(self, items: list, path: str, query: dict[str, str]) -> tuple[list, dict[str, str]]:
        size = min(int(query.get("per_page", 30)), 100)
        page = int(query.get("page", 1))
        path = path.replace(f"/repos/{REPOSITORY}/", f"/repositories/{REPOSITORY_ID}/")

        def link(number: int, relation: str) -> str:
            asked = urllib.parse.urlencode(query | {"page": str(number)})
            return f'<{API}{path}?{asked}>; rel="{relation}"'

        last = max(1, -(-len(items) // size))
        links = [link(page - 1, "prev")] if page > 1 else []
        if page < last:
            links += [link(page + 1, "next"), link(last, "last")]
        headers = {"Link": ", ".join(links)} if links else {}
        return items[(page - 1) * size : page * size], headers

    def _json(self, status: int, content: Any, headers: dict[str, str]) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self._send(status, json.dumps(content).encode(), kind | headers)


class _Blobs(_Handler):
    """Where the API redirects to for an artifact; a token sent here has leaked."""

    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        authorization = self.headers.get("Authorization")
        self.github.blob_requests.append(Request("GET", address.path, authorization))
        content = self.github.files[int(address.path.strip("/"))]
        self._send(200, content, {"Content-Type": "application/zip"})


def reached(github: "FakeGitHub") -> dict[str, str]:
    """The environment in which `gh` talks to the server, without TLS."""
    return {"GH_HOST": "github.localhost", "HTTP_PROXY": github.url, "NO_PROXY": "127.0.0.1"}


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """The server, running; it is gone when the block ends."""
    github = FakeGitHub()
    servers = []
    for kind in (_Api, _Blobs):
        handler = type(kind.__name__, (kind,), {"github": github})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        servers.append((server, thread))
    github.url, github.blobs = (f"http://127.0.0.1:{s.server_port}" for s, _ in servers)
    try:
        yield github
    finally:
        for server, thread in servers:
            server.shutdown()
            server.server_close()
            thread.join()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip file with these members, deflated."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
