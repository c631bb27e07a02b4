#!/usr/bin/env python3
"""Tells a pull request what it does to the metrics: one comment, edited at every push.

`report.yml` runs this on the default branch's files, with a token that may write. Of the pull
request it takes one thing, the artifact `numbers` of its pipeline, and believes nothing in it:
one member of a known name and bounded size, parsed by `prdiff.parse_numbers`. The pull request
is found through the API by head commit and head repository. Standard library only.

Exit status 0: the comment is there, or there is nothing to comment on. 1: GitHub refused.
"""

import base64
import http.client
import io
import json
import os
import re
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from oncopixel.reporting import prdiff  # noqa: E402

MARKER = "<!-- oncopixel-report -->"
AUTHOR = "github-actions[bot]"
ARTIFACT = "numbers"
MEMBER = "numbers.json"
MAX_NUMBERS = prdiff.MAX_BYTES
MAX_RATIO = 200
MAX_ANSWER = 32 << 20
MAX_WAIT = 120.0
ATTEMPTS = 5
TIMEOUT = 30
SHA = re.compile(r"[0-9a-f]{40}")
REASONS = {
    401: "the token is not valid or has expired",
    403: "the token may not do this; the job needs `actions: read` and `pull-requests: write`",
    404: "there is no such thing, or the token may not see it",
    422: "GitHub does not accept the content",
}


class GitHubError(Exception):
    """GitHub refused, or cannot be reached; the text says what was asked and why not."""


class UnclearError(GitHubError):
    """A write that was answered by an error of the server: it may have been done."""


class UnreadableError(Exception):
    """An artifact that is not what the pipeline uploads."""


class Reply(NamedTuple):
    """What a request was answered with."""

    headers: Mapping[str, str]
    content: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is never followed by itself: it would carry the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class GitHub:
    """GitHub's REST API, with patience for its limits and faults."""

    def __init__(self, api: str, token: str) -> None:
        self.api = api.rstrip("/")
        self._token = token

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return _parsed(self._send("GET", self.api + path).content)

    def items(self, path: str, key: str | None = None) -> Iterator[Any]:
        """Every item of a list, or of its part `key`, over all of its pages."""
        address: str | None = self.api + path
        while address:
            reply = self._send("GET", address)
            page = _parsed(reply.content)
            yield from page[key] if key else page
            address = self._next_page(reply.headers.get("Link", ""))

    def _next_page(self, link: str) -> str | None:
        found = re.search(r'<([^>]*)>;\s*rel="next"', link)
        if found and not found[1].startswith(self.api + "/"):
            raise GitHubError(f"the next page is not on {self.api}")
        return found[1] if found else None

    def write(self, method: str, path: str, content: dict[str, Any]) -> None:
        """Sends `content`; `UnclearError` when it may or may not have been taken."""
        self._send(method, self.api + path, json.dumps(content).encode())

    def download(self, path: str, limit: int) -> bytes:
        """The file that `path` redirects to, fetched without the token; at most `limit` bytes."""
        place = self._send("GET", self.api + path).headers.get("Location", "")
        scheme = urllib.parse.urlsplit(place).scheme
        if scheme not in {"https", urllib.parse.urlsplit(self.api).scheme}:
            raise GitHubError(f"{path} does not lead to an https address")
        return self._send("GET", place, limit=limit, token=False).content

    def _send(
        self,
        method: str,
        address: str,
        content: bytes | None = None,
        *,
        limit: int = MAX_ANSWER,
        token: bool = True,
    ) -> Reply:
        headers = {"User-Agent": "oncopixel-report"}
        if token:
            headers |= {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(  # noqa: S310 (scheme checked, or GitHub's own)
            address, content, headers, method=method
        )
        what = f"{method} {urllib.parse.urlsplit(address).path}"
        for attempt in range(ATTEMPTS):
            try:
                with _OPENER.open(request, timeout=TIMEOUT) as response:
                    body = response.read(limit + 1)
                    if len(body) > limit:
                        kind = GitHubError if token else UnreadableError
                        raise kind(f"{what}: more than {limit} bytes")
                    if len(body) < int(response.headers.get("Content-Length", 0)):
                        raise http.client.IncompleteRead(body)
                    return Reply(response.headers, body)
            except urllib.error.HTTPError as error:
                if error.code == 302:
                    return Reply(error.headers, b"")
                said = _message(error)
                wait = pause(error.code, error.headers, said, attempt, time.time())
                problem = f"{what}: HTTP {error.code}, {REASONS.get(error.code, said)} ({said!r})"
                unclear = error.code >= 500
            except (OSError, http.client.HTTPException) as error:  # reset, cut off, timed out
                wait, problem, unclear = 0.5 * 2**attempt, f"{what}: {error}", True
            if unclear and method == "POST":
                raise UnclearError(problem)
            if wait is None:
                raise GitHubError(problem)
            if wait > MAX_WAIT:
                raise GitHubError(f"{problem}; it asks to wait {wait:.0f} s. Re-run this job then.")
            _log(f"{problem}; trying again in {wait:.1f} s")
            time.sleep(wait)
        raise GitHubError(f"{problem}; given up after {ATTEMPTS} attempts")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise GitHubError(f"the answer is no JSON: {content[:80]!r}") from None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(1 << 16))["message"])[:200]
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)[:200]


def pause(
    status: int, headers: Mapping[str, str], said: str, attempt: int, now: float
) -> float | None:
    """Seconds until a refused request may be sent again; None when that is no use."""
    after, reset = headers.get("Retry-After", ""), headers.get("x-ratelimit-reset", "")
    exhausted = headers.get("x-ratelimit-remaining") == "0"
    limited = status == 429 or (
        status == 403 and (bool(after) or exhausted or "secondary rate limit" in said.lower())
    )
    if after.isdecimal() and (limited or status >= 500):
        return float(after)
    if limited:
        return max(0.0, int(reset) - now) + 1 if exhausted and reset.isdecimal() else 60.0
    return 0.5 * 2**attempt if status >= 500 else None


def unpack(content: bytes) -> bytes:
    """The bytes of `numbers.json`, the only member that the zip `content` may have."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise UnreadableError(f"{len(members)} members")
            member = members[0]
            if member.filename != MEMBER or member.orig_filename != MEMBER:
                raise UnreadableError(f"a member of another name than {MEMBER}")
            if member.flag_bits & 1 or stat.S_IFMT(member.external_attr >> 16) not in {
                0,
                stat.S_IFREG,
            }:
                raise UnreadableError("an encrypted member, a link or a special file")
            if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise UnreadableError("an unusual compression")
            if member.file_size > min(MAX_NUMBERS, MAX_RATIO * max(member.compress_size, 1)):
                raise UnreadableError(f"{member.file_size} bytes out of {member.compress_size}")
            with archive.open(member) as stream:
                numbers = stream.read(MAX_NUMBERS + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise UnreadableError(f"not a whole zip file ({type(error).__name__})") from None
    if len(numbers) > MAX_NUMBERS:
        raise UnreadableError(f"more than {MAX_NUMBERS} bytes")
    return numbers


def read_numbers(github: GitHub, repository: str, run: int) -> dict[str, Any] | None:
    """The numbers that run `run` uploaded, None when it uploaded none."""
    found = [
        (artifact["id"], artifact["size_in_bytes"])
        for artifact in github.items(
            f"/repos/{repository}/actions/runs/{run}/artifacts?per_page=100", "artifacts"
        )
        if artifact["name"] == ARTIFACT
        and not artifact["expired"]
        and (artifact["workflow_run"] or {}).get("id") == run
    ]
    if not found:
        return None
    number, size = max(found)  # of several attempts the last
    if size > MAX_NUMBERS:
        raise UnreadableError(f"an artifact of {size} bytes")
    packed = github.download(
        f"/repos/{repository}/actions/artifacts/{int(number)}/zip", MAX_NUMBERS
    )
    try:
        return prdiff.parse_numbers(unpack(packed))
    except (prdiff.NumbersError, RecursionError) as error:
        raise UnreadableError(f"{type(error).__name__}: {str(error)[:200]!r}") from None


def pull_requests(
    github: GitHub, repository: str, head_sha: str, head_repository: int
) -> list[dict[str, Any]]:
    """The open pull requests whose head is this commit of this repository, forks or not."""
    return [
        pull
        for pull in github.items(f"/repos/{repository}/pulls?state=open&per_page=100")
        if pull["head"]["sha"] == head_sha
        and (pull["head"]["repo"] or {}).get("id") == head_repository
    ]


def base_numbers(github: GitHub, repository: str, base: str, head: str) -> dict[str, Any]:
    """The numbers committed where the pull request left its base branch."""
    compared = github.get(f"/repos/{repository}/compare/{base}...{head}?per_page=1")
    revision = compared["merge_base_commit"]["sha"]
    if not SHA.fullmatch(revision):
        raise GitHubError(f"the merge base is not a commit: {revision!r}")
    if _git("cat-file", "-e", f"{revision}^{{commit}}").returncode:
        fetched = _git("fetch", "--quiet", "--no-tags", "origin", revision)
        if fetched.returncode:
            raise GitHubError(f"the merge base {revision} cannot be fetched: {fetched.stderr!r}")
    try:
        return prdiff.portable(prdiff.collect(ROOT, revision))
    except ValueError as error:
        raise GitHubError(f"the merge base has no numbers to compare with: {error}") from None


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs git in the checkout; its remote may be asked with the token, which stays unwritten."""
    login = base64.b64encode(f"x-access-token:{os.environ['GITHUB_TOKEN']}".encode()).decode()
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    secret = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
    }
    return subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | secret,
    )  # fmt: skip


def publish(github: GitHub, repository: str, number: int, body: str) -> None:
    """Makes `body` the one comment of ours on pull request `number`."""
    comments = f"/repos/{repository}/issues/{number}/comments"
    for attempt in range(ATTEMPTS):
        own = [
            comment["id"]
            for comment in github.items(f"{comments}?per_page=100")
            if (comment["user"] or {}).get("login") == AUTHOR
            and (comment["body"] or "").startswith(MARKER)
        ]
        try:
            if own:
                place = f"/repos/{repository}/issues/comments/{int(own[0])}"
                github.write("PATCH", place, {"body": body})
            else:
                github.write("POST", comments, {"body": body})
        except UnclearError as error:  # it may be there: look before writing a second one
            _log(f"{error}; looking again")
            unclear = error
            time.sleep(0.5 * 2**attempt)
        else:
            _log(f"#{number}: comment {'edited' if own else 'created'}")
            return
    raise unclear


def report(github: GitHub, repository: str, run: dict[str, Any]) -> None:
    """Comments on the pull requests that `run`, a finished pipeline, belongs to."""
    head, head_repository = run["head_sha"], (run.get("head_repository") or {}).get("id")
    if not SHA.fullmatch(head):
        raise GitHubError(f"the run's commit is none: {head!r}")
    pulls = pull_requests(github, repository, head, head_repository)
    if not pulls:
        _log(f"no open pull request has {head} as its head: closed, or pushed to since")
        return
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    page = f"{server}/{repository}"
    link = f"[run]({page}/actions/runs/{int(run['id'])})"
    try:
        numbers = read_numbers(github, repository, int(run["id"]))
        missing = f"**The pipeline gave no numbers**: its {link} ended with *{_ending(run)}*."
    except UnreadableError as error:
        _log(f"the artifact is refused: {error}")
        numbers = None
        missing = f"**The numbers of this {link} could not be read**, so nothing is compared."
    source = (
        f"<sub>These numbers were produced by code of this pull request, at {head[:12]} ({link}); "
        "they are rendered by code of the default branch.</sub>"
    )
    for pull in pulls:
        text = missing
        if numbers is not None:
            own = (pull["head"]["repo"] or {}).get("id") == pull["base"]["repo"]["id"]
            base = base_numbers(github, repository, pull["base"]["sha"], head)
            images = f"{page}/raw/{head}" if own else None
            text = f"{prdiff.render(base, numbers, images=images).strip()}\n\n{source}"
        publish(github, repository, int(pull["number"]), f"{MARKER}\n{text}\n")


def _ending(run: dict[str, Any]) -> str:
    known = {"success", "failure", "cancelled", "timed_out", "startup_failure"}
    return run["conclusion"] if run["conclusion"] in known else "an unknown state"


def _log(line: str) -> None:
    """One line in the job's log; what others wrote cannot become a command of the runner."""
    print(f"report: {prdiff.printable(' '.join(line.split()))}", flush=True)  # noqa: T201


def main() -> int:
    """Does what the module says, with what GitHub Actions puts into the environment."""
    repository = os.environ["GITHUB_REPOSITORY"]
    run = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text("utf-8"))["workflow_run"]
    if run["event"] != "pull_request" or run["conclusion"] in {"action_required", "skipped"}:
        _log(f"nothing to report: {run['event']}, {run['conclusion']}")
        return 0
    try:
        report(GitHub(os.environ["GITHUB_API_URL"], os.environ["GITHUB_TOKEN"]), repository, run)
    except GitHubError as error:
        _log(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
