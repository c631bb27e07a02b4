"""The words that say that a value is not known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.cohort.contract import NOT_KNOWN, missing

SAID = [
    *("", " ", "NA", "na", "n/a", "N/A", "#N/A", "N.A.", "NaN", "nan", "NULL", "nil", "None"),
    *("NONE", "<NA>", "--", "'--", "-", ".", "?", "...", "\u2013", "missing", "Unknown"),
    *("UNKNOWN", "not reported", "Not Reported", "Not_Available", "[Not Available]", "[Unknown]"),
    *("[Not Applicable]", "[Not Evaluated]", "[Discrepancy]", "Not  applicable", "#VALUE!"),
    *("not determined", "unspecified", "\u00a0NA\u00a0", "(null)", '"NA"'),
    *("NotAvailable", "NotReported", "NA_character_", "pending", "TBD", "Unbekannt", "k.A."),
    *("inconnu", "Non renseigné", "Non renseigne\u0301", "desconocido", "onbekend", "未知"),
]
KNOWN = [
    "+",
    "++",
    "-1",
    "0",
    "no",
    "negative",
    "normal",
    "N0",
    "NX",
    "other",
    "unknown primary",
    "NAT",
    "NE",
]


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_words_for_what_is_not_known_are_missing_and_no_others(dtype: str) -> None:
    told = pd.Series([*SAID, *KNOWN, None, np.nan], dtype=dtype)
    expected = [True] * len(SAID) + [False] * len(KNOWN) + [True, True]
    assert missing(told).tolist() == expected


def test_numbers_are_known_unless_they_are_nan() -> None:
    assert missing(pd.Series([0.0, np.nan, -1.0])).tolist() == [False, True, False]
    assert missing(pd.Series([True, None, 3, pd.NA, [1]], dtype=object)).tolist() == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert missing(pd.Series([], dtype=object)).tolist() == []


@given(
    st.sampled_from(sorted(NOT_KNOWN)),
    st.sampled_from([str.upper, str.title, str.capitalize, str.swapcase, str]),
    st.sampled_from(["{}", "[{}]", "<{}>", " {} ", "'{}'"]),
    st.sampled_from([" ", "_", "  ", ""]),
)
def test_case_brackets_and_blanks_make_no_difference(word, case, around, blank) -> None:  # type: ignore[no-untyped-def]
    assert missing(pd.Series([around.format(case(word)).replace(" ", blank)])).all()
