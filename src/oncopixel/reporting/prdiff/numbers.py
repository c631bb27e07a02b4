"""The numbers of a revision that are compared, and the gate for those that come from outside.

`parse_numbers` lets numbers, booleans and plain symbols through and nothing else, so that trusted
code can render what somebody else's code made.
"""

import csv
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMAT = 1
MAX_BYTES = 2 << 20
GENES = 20
"""Length of the compared gene list."""
PARTS = ("cv", "test")

HIGHER_IS_BETTER = {
    "cv_roc_auc": True,
    "cv_pr_auc": True,
    "cv_minus_best_baseline": True,
    "test_roc_auc": True,
    "test_pr_auc": True,
    "test_sensitivity": True,
    "test_specificity": True,
    "test_balanced_accuracy": True,
    "test_f1": True,
    "test_mcc": True,
    "test_brier": False,
    "test_ece": False,
    "test_minus_best_baseline": True,
    "marker_auprc": True,
    "marker_fdp": False,
    "marker_power": True,
    "stability": True,
}
"""The compared scores of the CNN, in the order of the table."""

FILES = ("dvc.lock", "dvc.yaml", "requirements.lock", "Dockerfile")
"""Files whose change is worth a word."""

TABLES = ("biomarkers.csv", "units.csv", "modules.csv", "two_hits.csv", "regions.csv")
COUNTS = ("list", "modules", "two_hits", "n_genes", "q", "claim")
"""The tables, and the entries of `biomarkers.json`, that a reproduction must make again."""

Numbers = dict[str, Any]
Read = Callable[[str], "bytes | None"]


class NumbersError(ValueError):
    """Numbers from outside that are not exactly what `collect` makes."""


def collect(root: Path, revision: str | None = None, *, results: bool = False) -> Numbers:
    """Everything that is compared, of a git revision, or of the working tree when it is None.

    Returns
    -------
    `cohorts` by name (`scores`, `draws`, `pairing`, `checks`, `genes`, `params`, `verdict`, with
    `results` also `results`, which stay here), `packages` of the lock and digests of `files`. What
    a revision does not have is left out.

    Raises
    ------
    ValueError
        There is no such revision, or its reports are of another version of the pipeline.
    """
    names, read = _working_tree(root) if revision is None else _revision(root, revision)
    cohorts = {}
    for name in names:
        try:
            if not _is_cohort(name):
                raise ValueError(name)
            cohorts[name] = _cohort(read, f"reports/{name}")
            if results:
                cohorts[name]["results"] = _results(read, f"reports/{name}")
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            where = f"of revision {revision}" if revision else "in the working tree"
            raise ValueError(
                f"reports/{printable(name)} {where} was not written by this version of the pipeline"
            ) from None
    lock = (read("requirements.lock") or b"").decode()
    contents = {name: read(name) for name in FILES}
    return {
        "format": FORMAT,
        "cohorts": cohorts,
        "packages": dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)),
        "files": {
            name: hashlib.sha256(content).hexdigest()
            for name, content in contents.items()
            if content is not None
        },
    }


def _working_tree(root: Path) -> tuple[list[str], Read]:
    """The cohorts that have results, and a reader of files."""

    def read(name: str) -> bytes | None:
        path = root / name
        return path.read_bytes() if path.is_file() else None

    return sorted(path.parent.name for path in root.glob("reports/*/evaluation.json")), read


def _revision(root: Path, revision: str) -> tuple[list[str], Read]:
    """As `_working_tree`, of a commit."""
    commit = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if commit is None:
        raise ValueError(f"there is no revision {revision!r} in {root.resolve()}")
    sha = commit.decode().strip()
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", sha, "reports/") or b""
    found = re.findall(r"(?:^|\0)reports/([^/\0]+)/evaluation\.json(?=\0)", listed.decode())
    return sorted(found), lambda name: _git(root, "cat-file", "blob", f"{sha}:./{name}")


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git says, None when it fails; nothing that the repository configures is run for it."""
    inert = [
        "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null",
        "protocol.allow=never",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        ["git", *(word for one in inert for word in ("-c", one)), "-C", str(root), *arguments],  # noqa: S607
        capture_output=True, check=False,
        env=os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"},
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else None


def _cohort(read: Read, folder: str) -> Numbers:
    """What is compared of one cohort."""
    evaluation, biomarkers, validation, params = (
        json.loads(read(f"{folder}/{name}.json") or b"{}")
        for name in ("evaluation", "biomarkers", "validation", "params")
    )
    cnn = evaluation["models"]["cnn"]
    scores = {f"{part}_{score}": cnn[part][score] for part in PARTS for score in cnn[part]}
    if best := evaluation.get("best_baseline"):
        for part in PARTS:
            scores[f"{part}_minus_best_baseline"] = evaluation["cnn_minus"][best][part]["roc_auc"]
    if recovery := biomarkers.get("recovery"):
        scores["marker_auprc"] = {"value": recovery["cnn"]["auprc"]}
    if truth := biomarkers.get("truth"):
        scores |= {f"marker_{name}": {"value": truth[name]} for name in ("fdp", "power")}
    stability = biomarkers.get("stability", {})
    if stability.get("index") is not None:
        scores["stability"] = {
            "value": stability["index"], "low": stability["low"], "high": stability["high"]
        }  # fmt: skip
    draws: dict[str, list[float | None]] = {}
    for row in _rows(read(f"{folder}/draws.csv")) or ():
        for name in (name for name in HIGHER_IS_BETTER if name in row):
            draws.setdefault(name, []).append(float(row[name]) if row[name] else None)
    ranking = _rows(read(f"{folder}/biomarkers.csv")) or ()
    genes = [row["gene"] for row in ranking if row.get("selected", "True") == "True"]
    return {
        "scores": {name: scores[name] for name in HIGHER_IS_BETTER if name in scores},
        "draws": draws,
        "pairing": {
            part: data["pairing"] for part, data in evaluation["data"].items() if "pairing" in data
        },
        "checks": _checks(validation),
        "genes": genes[:GENES],
        "params": params,
        "verdict": evaluation["verdict"],
    }


def _checks(validation: Any) -> dict[str, Any]:
    """The data checks of a cohort and, as `external_…`, of its external one."""
    parts = {"": validation, "external_": validation.get("external") or {}}
    return {
        f"{start}{name}": {key: check[key] for key in ("passed", "severity", "failed_rows")}
        for start, part in parts.items()
        for name, check in part.get("checks", {}).items()
    }


def _results(read: Read, folder: str) -> Numbers:
    """The tables of a report by name, None where there is no such file, and the counts."""
    counts = json.loads(read(f"{folder}/biomarkers.json") or b"{}")
    tables = {name: _rows(read(f"{folder}/{name}")) for name in TABLES}
    return tables | {"counts": {name: counts.get(name) for name in COUNTS}}


def _rows(content: bytes | None) -> list[dict[str, str]] | None:
    return None if content is None else list(csv.DictReader(content.decode().splitlines()))


def portable(numbers: Numbers) -> Numbers:
    """`numbers` as `parse_numbers` takes them: text that is no plain symbol becomes its digest."""

    def plain(is_plain: Check, value: Any) -> Any:
        if not isinstance(value, str) or is_plain(value):
            return value
        return f"sha256-{hashlib.sha256(value.encode()).hexdigest()[:12]}"

    return numbers | {
        "cohorts": {
            name: cohort
            | {
                "genes": [plain(_is_gene, gene) for gene in cohort["genes"]],
                "params": {key: plain(_is_text, value) for key, value in cohort["params"].items()},
            }
            for name, cohort in numbers["cohorts"].items()
        }
    }


def printable(text: str) -> str:
    """`text` with what cannot be seen escaped: control characters, bidirectional overrides."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


Check = Callable[[Any], bool]


def _word(pattern: str) -> Check:
    whole = re.compile(pattern)
    return lambda value: isinstance(value, str) and whole.fullmatch(value) is not None


def _one_of(*values: Any) -> Check:
    return lambda value: any(value == v and type(value) is type(v) for v in values)


def _number(low: float, high: float, *kinds: type) -> Check:
    return lambda value: type(value) in kinds and low <= value <= high  # never a NaN


def _either(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


def _list(most: int, item: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(item, value))


def _mapping(most: int, key: Check, item: Check) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= most
        and all(key(k) and item(v) for k, v in value.items())
    )


def _record(needed: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """A mapping of known keys; says which of them is not as expected."""
    known = needed | (optional or {})

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or not needed.keys() <= value.keys() <= known.keys():
            return False
        for name, is_right in known.items():
            if name in value and not is_right(value[name]):
                raise NumbersError(f"{name} is not as expected")
        return True

    return check


_is_cohort = _word(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_is_key = _word(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_is_text = _word(r"[A-Za-z0-9_.,:;/+=() -]{0,128}")
_is_gene = _word(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_is_digest = _word(r"[0-9a-f]{16,64}")
_is_score = _either(_one_of(None), _number(-2, 2, int, float))
_is_score_name = _one_of(*HIGHER_IS_BETTER)
_is_flag = _one_of(True, False)
_is_count = _number(0, 1e16, int)

_is_what_collect_makes = _record(
    {
        "format": _one_of(FORMAT),
        "cohorts": _mapping(40, _is_cohort, _record({
            "scores": _mapping(
                100, _is_score_name,
                _record({"value": _is_score}, {"low": _is_score, "high": _is_score}),
            ),
            "draws": _mapping(100, _is_score_name, _list(5_000, _is_score)),
            "pairing": _mapping(2, _one_of(*PARTS), _is_digest),
            "checks": _mapping(500, _is_key, _record({
                "passed": _one_of(True, False, None),
                "severity": _one_of("critical", "warning", "info"),
                "failed_rows": _is_count,
            })),
            "genes": _list(GENES, _is_gene),
            "params": _mapping(500, _is_key, _either(
                _one_of(None, True, False), _number(-1e15, 1e15, int, float), _is_text,
            )),
            "verdict": _one_of("signal", "no signal", "inconclusive"),
        })),
        "packages": _mapping(
            2000, _word(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"),
            _word(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,31}"),
        ),
        "files": _mapping(len(FILES), _one_of(*FILES), _is_digest),
    },
    {
        # Of the run: `cohorts` are those that ran, and that `reproduced` speaks of.
        "run": _record({}, {
            "cohorts": _list(40, _is_cohort), "reproduced": _is_flag,
            "dvc_lock_identical": _is_flag, "image_bytes": _is_count, "seconds": _is_count,
        }),
    },
)  # fmt: skip


def parse_numbers(content: bytes) -> Numbers:
    """The content of a `numbers.json` that somebody else's code made, once all of it is harmless.

    Returns
    -------
    Numbers are finite, strings are plain symbols without Markdown, HTML, mentions or links, keys
    are known or plain, and everything is bounded.

    Raises
    ------
    NumbersError
        Anything else.
    """
    if len(content) > MAX_BYTES:
        raise NumbersError(f"more than {MAX_BYTES} bytes")
    try:
        numbers: Numbers = json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse,
            parse_int=_bounded_int,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise NumbersError("nested too deeply") from None
    except ValueError as error:
        raise NumbersError(f"no JSON as it should be: {str(error)[:80]!a}") from None
    if not _is_what_collect_makes(numbers):
        raise NumbersError("the keys of the file are not as expected")
    return numbers


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _bounded_int(text: str) -> int:
    if len(text) > 16:
        raise ValueError("an integer is too long")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
