"""YAML as DVC reads it, so that `dvc.lock` records the numbers that a run used.

That is `YAML(typ="safe")` of ruamel.yaml, for YAML 1.2 (https://yaml.org/spec/1.2.2/): `010` is 10,
`0o10` is 8, `1_000` is 1000, and `yes`, `off` and `1:30` are texts.
"""

import copy
import functools
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError

from .errors import ParamsError, hidden

LARGEST = 2**63 - 1


def read_yaml(path: Path) -> Any:
    """The content of `path`; `ParamsError` for what is no YAML, doubled, too large or invisible."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(
            f"{path} does not exist. Run this in the project's root, or give --params."
        ) from None
    except (OSError, ValueError) as error:
        raise ParamsError(f"{path} cannot be read: {error}.") from None
    try:
        content = copy.deepcopy(_parsed(text))
    except DuplicateKeyError as error:
        key = re.sub(r'(?s)^found duplicate (?:merge )?key "(.*?)".*', r"`\1`", error.problem)
        raise ParamsError(
            f"{path}, line {error.problem_mark.line + 1}: {key} is there a second time. "
            "Keep one of them."
        ) from None
    except RecursionError:
        raise ParamsError(f"{path} is not valid YAML: it is nested too deeply.") from None
    except Exception as error:  # ruamel.yaml raises all kinds on odd scalars
        problem, line = str(error).partition("; use sys.")[0], ""
        if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
            problem, line = str(error.problem), f", line {mark.line + 1}, column {mark.column + 1}"
        raise ParamsError(
            f"{path} is not valid YAML{line}: {' '.join(problem.split())[:200]}."
        ) from None
    _check(content, str(path), "", set())
    return content


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    """The content of a YAML text; reading takes a tenth of a second, and stages read twice."""
    return YAML(typ="safe").load(text)


def _check(value: Any, origin: str, place: str, seen: set[int]) -> None:
    """Raise `ParamsError` for the first text or number in `value` that cannot be taken."""
    if isinstance(value, str) and (char := hidden(value)):
        raise ParamsError(
            f"{origin}: `{place}` holds the character {char}, which nobody sees: {value!r:.80}."
        )
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ParamsError(f"{origin}: `{place}` is a number beyond 64 bits.")
    if isinstance(value, dict | list) and id(value) not in seen:  # an alias may name its parent
        seen.add(id(value))
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, tuple):
                raise ParamsError(f"{origin} holds a list as a key.")
            inside = f"{place}.{key}".removeprefix(".")
            _check(key, origin, inside, seen)
            _check(inner, origin, inside, seen)
