#!/usr/bin/env python3
"""Tells a pull request what it does to the metrics: one comment, edited at every push.

`report.yml` runs this on the default branch's files, with a token that may write. Of the pull
request it takes one thing, the artifact `numbers` of its pipeline, and believes nothing in it:
one member of a known name and bounded size, parsed by `prdiff.parse_numbers`. The pull request
is found through the API by head commit and head repository. Needs `gh`, git and Python only.

Exit status 0: the comment is there, or there is nothing to comment on. 1: GitHub refused.
"""

import io
import json
import os
import re
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from oncopixel.reporting import prdiff  # noqa: E402

MARKER = "<!-- oncopixel-report -->"
AUTHOR = "github-actions[bot]"
ARTIFACT = "numbers"
MEMBER = "numbers.json"
MAX_NUMBERS = prdiff.MAX_BYTES
MAX_RATIO = 200
WAITS = (1, 2, 60)
"""Seconds before each further attempt."""
SHA = re.compile(r"[0-9a-f]{40}")
FINAL = re.compile(r"HTTP (30\d|4(?!29)\d\d)\b")
"""What GitHub answers to a request that will fail again."""


class GitHubError(Exception):
    """GitHub refused, or cannot be reached; the text says what was asked and why not."""


class PassingError(GitHubError):
    """A fault that may be over when the request is made again."""


class UnreadableError(Exception):
    """An artifact that is not what the pipeline uploads."""


def gh(path: str, *options: str, limit: int = 64 << 20) -> bytes:
    """What `gh api` writes about `path`, no more than `limit` + 1 bytes of it."""
    command = ["gh", "api", path, "--header", "X-GitHub-Api-Version: 2022-11-28", *options]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        answer = process.stdout.read(limit + 1)
        if len(answer) > limit:
            process.kill()
            return answer
        said = process.stderr.read(1000).decode(errors="replace")
    if process.returncode:
        passing = "rate limit" in said or not FINAL.search(said)
        raise (PassingError if passing else GitHubError)(f"{path.split('?')[0]}: {said}")
    return answer


def items(path: str, select: str) -> list[Any]:
    """Every item that the jq filter `select` gives, over all pages of a list."""
    lines = gh(path, "--paginate", "--jq", f"{select} | tojson").decode().splitlines()
    return [json.loads(line) for line in lines]


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


def read_numbers(repository: str, run: int) -> dict[str, Any] | None:
    """The numbers that run `run` uploaded, None when it uploaded none."""
    found = [
        (artifact["id"], artifact["size_in_bytes"])
        for artifact in items(
            f"repos/{repository}/actions/runs/{run}/artifacts?per_page=100", ".artifacts[]"
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
    packed = gh(f"repos/{repository}/actions/artifacts/{int(number)}/zip", limit=MAX_NUMBERS)
    if len(packed) > MAX_NUMBERS:
        raise UnreadableError(f"more than {MAX_NUMBERS} bytes")
    try:
        return prdiff.parse_numbers(unpack(packed))
    except (prdiff.NumbersError, RecursionError) as error:
        raise UnreadableError(f"{type(error).__name__}: {str(error)[:200]!r}") from None


def base_numbers(repository: str, base: str, head: str) -> tuple[str, dict[str, Any]]:
    """The commit where the pull request left its base branch, and its numbers."""
    compared = json.loads(gh(f"repos/{repository}/compare/{base}...{head}?per_page=1"))
    revision = compared["merge_base_commit"]["sha"]
    if not SHA.fullmatch(revision):
        raise GitHubError(f"the merge base is not a commit: {revision!r}")
    if _git("cat-file", "-e", f"{revision}^{{commit}}"):
        _git("fetch", "--quiet", "--no-tags", "origin", revision)
    try:
        return revision, prdiff.portable(prdiff.collect(ROOT, revision))
    except ValueError as error:
        raise GitHubError(f"the merge base has no numbers to compare with: {error}") from None


def base_run(repository: str, base: str) -> str:
    """The page of main's own pipeline at commit `base`, nothing where it did not run."""
    asked = f"event=push&branch=main&head_sha={base}&per_page=100"
    try:
        numbers = items(
            f"repos/{repository}/actions/workflows/pipeline.yml/runs?{asked}", ".workflow_runs[].id"
        )
    except PassingError:
        raise
    except GitHubError as error:
        _log(f"no run of the base: {error}")
        return ""
    return f"{_page(repository)}/actions/runs/{int(max(numbers))}" if numbers else ""


def _page(repository: str) -> str:
    return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"


def _git(*arguments: str) -> int:
    """The exit status of git in the checkout; a server that asks for the token gets it from gh."""
    command = ["git", "-c", "credential.helper=!gh auth git-credential", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode  # noqa: S603


def publish(repository: str, number: int, body: str) -> None:
    """Makes `body` the one comment of ours on pull request `number`."""
    comments = f"repos/{repository}/issues/{number}/comments"
    own = [
        comment["id"]
        for comment in items(f"{comments}?per_page=100", ".[]")
        if (comment["user"] or {}).get("login") == AUTHOR
        and (comment["body"] or "").startswith(MARKER)
    ]
    place = f"repos/{repository}/issues/comments/{int(own[0])}" if own else comments
    gh(place, "--method", "PATCH" if own else "POST", "--raw-field", f"body={body}")
    _log(f"#{number}: comment {'edited' if own else 'created'}")


def report(repository: str, run: dict[str, Any]) -> None:
    """Comments on the pull requests that `run`, a finished pipeline, belongs to."""
    head, head_repository = run["head_sha"], (run.get("head_repository") or {}).get("id")
    if not SHA.fullmatch(head):
        raise GitHubError(f"the run's commit is none: {head!r}")
    pulls = [
        pull
        for pull in items(f"repos/{repository}/pulls?state=open&per_page=100", ".[]")
        if pull["head"]["sha"] == head and (pull["head"]["repo"] or {}).get("id") == head_repository
    ]
    if not pulls:
        _log(f"no open pull request has {head} as its head: closed, or pushed to since")
        return
    page = _page(repository)
    address = f"{page}/actions/runs/{int(run['id'])}"
    link = f"[run]({address})"
    try:
        numbers = read_numbers(repository, int(run["id"]))
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
            revision, base = base_numbers(repository, pull["base"]["sha"], head)
            before = base_run(repository, revision)
            sources = prdiff.Sources(page, revision, head if own else None, address, before)
            text = f"{prdiff.render(base, numbers, sources=sources).strip()}\n\n{source}"
        publish(repository, int(pull["number"]), f"{MARKER}\n{text}\n")


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
    for wait in (*WAITS, None):
        try:
            report(repository, run)
            return 0
        except GitHubError as error:
            if wait is None or not isinstance(error, PassingError):
                _log(f"error: {error}")
                break
            _log(f"{error}; trying again in {wait} s")
            time.sleep(wait)
    return 1


if __name__ == "__main__":
    sys.exit(main())
