"""The command line of `prdiff`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .gate import portable
from .markdown import render
from .numbers import collect, printable
from .verify import deviations, unproven


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 2 for bad input, 3 when `--verify` found a deviation."""
    parser = argparse.ArgumentParser(
        prog="oncopixel prdiff",
        description="Compare the results of two revisions, from their reports in git, as Markdown.",
    )
    parser.add_argument("base", nargs="?", metavar="BASE", help="the revision to compare with")
    parser.add_argument("head", nargs="?", metavar="HEAD", help="default: the working tree")
    for name, about in {
        "--collect": "write what is compared of BASE (default: the working tree) as JSON",
        "--verify": "exit status 3 when the working tree's results are not those committed in BASE:"
        " scores, marker list, modules (numbers within report.tolerance), checks, parameters",
    }.items():
        parser.add_argument(name, action="store_true", help=about)
    about = "with --verify: the cohorts that ran (default: all that have results)"
    parser.add_argument("--cohorts", nargs="+", metavar="NAME", help=about)
    about = "facts about the run as JSON: --verify puts out more of them, the others tell them"
    parser.add_argument("--run", type=Path, metavar="FILE", help=about)
    about = "default, and `-`: standard output"
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help=about)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's root")
    given = parser.parse_args(arguments)
    if not given.collect and given.base is None:
        parser.error("give the revision to compare with, such as main")
    try:
        facts, status = _facts(given.run) if given.run else {}, 0
        if given.verify:
            status = _verify(given, facts)
            text = json.dumps(facts, sort_keys=True) + "\n"
        elif given.collect:
            numbers = portable(collect(given.root, given.base)) | ({"run": facts} if facts else {})
            text = json.dumps(numbers, sort_keys=True, allow_nan=False) + "\n"
        else:
            base, head = collect(given.root, given.base), collect(given.root, given.head)
            text = render(base, head, run=facts)
        _write(given.out, text, given.run)
    except (OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        return 2
    return status


def _write(out: Path | None, text: str, run: Path | None) -> None:
    """Puts `text` in a plain file that is not `run`, or on standard output."""
    if out is None or str(out) == "-":
        sys.stdout.write(text)
        return
    if out.exists() and (not out.is_file() or (run and out.samefile(run))):
        raise ValueError(f"{out} is no file to be written over. Name another one with --out")
    out.write_text(text, encoding="utf-8")


def _facts(path: Path) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"{path} holds no JSON object")
    return facts


def _verify(given: argparse.Namespace, facts: dict[str, Any]) -> int:
    """Adds to `facts` whether the run reproduced the results; the exit status."""
    committed, found = (collect(given.root, side, results=True) for side in (given.base, None))
    cohorts = given.cohorts or sorted(committed["cohorts"].keys() | found["cohorts"].keys())
    if not cohorts:
        raise ValueError("there are no results to verify: run `dvc repro` first")
    wrong = deviations(committed, found, cohorts)
    wrong += [line for cohort in cohorts for line in unproven(given.root, cohort)]
    locks = [side["files"].get("dvc.lock") for side in (committed, found)]
    facts |= {"reproduced": not wrong, "cohorts": cohorts}
    facts["dvc_lock_identical"] = locks[0] == locks[1]
    for line in wrong:
        sys.stderr.write(f"not reproduced: {line}\n")
    if not wrong:
        sys.stderr.write(f"reproduced: {', '.join(cohorts)}\n")
    return 3 if wrong else 0
