#!/usr/bin/env python3
"""Which cohorts of params.yaml this checkout can run, for pipeline.yml.

    cohorts.py here            last stage of each cohort whose inputs are here
    cohorts.py absent          last stage of each other cohort
    cohorts.py absent-inputs   what `dvc pull` brings for these

Prints names separated by spaces; nothing when there are none, except that `here` needs one.
"""

import re
import sys
from pathlib import Path

import yaml


def main(which: str) -> None:
    """Does what the module says in the current folder."""
    cohorts = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["cohorts"]
    inputs = {name: str(cohort["inputs"]) for name, cohort in cohorts.items()}
    for word in [*inputs, *inputs.values()]:
        if not re.fullmatch(r"[\w./][\w./-]*", word):
            sys.exit(f"error: params.yaml: {word!r} cannot be given to a command")
    chosen = [name for name in inputs if Path(inputs[name]).exists() == (which == "here")]
    if which == "here" and not chosen:
        sys.exit("error: params.yaml has no cohort whose inputs are in git")
    print(*(inputs[name] if which == "absent-inputs" else f"report@{name}" for name in chosen))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
