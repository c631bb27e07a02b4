"""The gate for numbers that come from outside, so that trusted code can render what others' made.

`parse_numbers` lets numbers, booleans and plain symbols through and nothing else.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from ..verdict import ANSWERS, CNN, LINEAR_PATH, MODELS, PARTS
from .numbers import COHORT, ENDS, FILES, FORMAT, HIGHER_IS_BETTER, LISTS, NAMES, Numbers

MAX_BYTES = 2 << 20


class NumbersError(ValueError):
    """Numbers from outside that are not exactly what `collect` makes."""


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


_is_cohort = _word(COHORT.pattern)
_is_key = _word(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_is_text = _word(r"[A-Za-z0-9_.,:;/+=() -]{0,128}")
_is_gene = _word(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_is_name = {
    "genes": _is_gene,
    "regions": _word(r"(gain|loss) [0-9XYMpq.-]{1,40}|sha256-[0-9a-f]{12}"),
    "panel": _is_gene,
}
_is_digest = _word(r"[0-9a-f]{16,64}")
_is_score = _either(_one_of(None), _number(-2, 2, int, float))
_is_score_name = _one_of(*HIGHER_IS_BETTER)
_is_flag = _one_of(True, False)
_is_count = _number(0, 1e16, int)


def _is_interval(least: int) -> Check:
    """Whether it is an area, or a difference of two, within its interval."""
    each = _record(dict.fromkeys(ENDS, _number(least, 1, int, float)))
    return lambda value: each(value) and value["low"] <= value["value"] <= value["high"]


def _are_areas(least: int) -> Check:
    parts = {part: _record({"roc_auc": _is_interval(least)}) for part in PARTS}
    return _mapping(2, _one_of(*MODELS), _record(parts))


_PATIENTS = 10_000_000
_is_told = _record({
    "best_baseline": _one_of(*(MODELS.keys() - {CNN, LINEAR_PATH, "panel", "clinical"})),
    "models": _are_areas(0),
    "cnn_minus": _are_areas(-1),
    "data": _record({part: _record({"patients": _number(0, _PATIENTS, int)}) for part in PARTS}),
    "permutation_p": _record({"test": _number(0, 1, int, float)}),
})  # fmt: skip


def _is_evaluation(value: Any) -> bool:
    """Whether sentences can be made of it: every model that they name is there."""
    if not _is_told(value):
        return False
    best: str = value["best_baseline"]
    return bool(value["models"].keys() == {CNN, best} and value["cnn_minus"].keys() == {best})


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
            "genes": _list(NAMES, _is_gene),
            "params": _mapping(500, _is_key, _either(
                _one_of(None, True, False), _number(-1e15, 1e15, int, float), _is_text,
            )),
            "verdict": _one_of(*ANSWERS),
        }, {
            "regions": _list(NAMES, _is_name["regions"]),
            "panel": _list(NAMES, _is_gene),
            "listed": _either(_one_of(None), _is_count),
            "evaluation": _is_evaluation,
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
                key: [plain(_is_name[key], name) for name in cohort[key]]
                for key in LISTS
                if key in cohort
            }
            | {
                "params": {key: plain(_is_text, value) for key, value in cohort["params"].items()},
            }
            for name, cohort in numbers["cohorts"].items()
        }
    }


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
