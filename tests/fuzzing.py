"""Damaged copies of text files, and what a reader may make of them."""

import numpy as np
from hypothesis import strategies as st

from oncopixel.cohort.contract import Cohort

FRAGMENTS = [
    b"\t", b"\n", b"\r", b"\r\n", b"\0", b'"', b"#", b" ", b"-", b",", b"NA", b"nan", b"inf",
    b"1e400", b"\xff", b"\xef\xbb\xbf", b"\xc3\xa9", b"\x1f\x8b", b"9", b".", b"TCGA-12-A002-01",
]  # fmt: skip

KINDS = ("insert", "overwrite", "cut out", "cut off", "double", "drop")
EDITS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 2**16),
        st.one_of(st.integers(0, 3), st.integers(0, 400)),
        st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=8)),
    ),
    min_size=1,
    max_size=3,
)
"""One to three cuts, insertions, overwrites, doubled or dropped lines, for any content."""


def damaged(content: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    """The content after the edits: kind, place, length of a cut, and what is put in."""
    for kind, place, length, fragment in edits:
        at = place % (len(content) + 1)
        lines = content.splitlines(keepends=True) or [b""]
        line = place % len(lines)
        if kind == "insert":
            content = content[:at] + fragment + content[at:]
        elif kind == "overwrite":
            content = content[:at] + fragment + content[at + len(fragment) :]
        elif kind == "cut out":
            content = content[:at] + content[at + length :]
        elif kind == "cut off":
            content = content[:at]
        elif kind == "double":
            content = b"".join([*lines[: line + 1], *lines[line:]])
        else:
            content = b"".join(lines[:line] + lines[line + 1 :])
    return content


def touched(before: bytes, after: bytes) -> str:
    """All lines that only one of the two has."""
    lines = set(before.splitlines()) ^ set(after.splitlines())
    return "\n".join(line.decode("utf-8", "replace") for line in lines)


def assert_nothing_else_changed(found: Cohort, expected: Cohort, lines: str) -> None:
    """Samples and genes that the changed `lines` do not name have the values that they had."""
    samples = [
        name
        for name in found.samples.index.intersection(expected.samples.index)
        if name not in lines
    ]
    genes = [
        gene for gene in found.genes.index.intersection(expected.genes.index) if gene not in lines
    ]
    for channel in found.channels:
        values, wanted = (
            cohort.layer(channel)[
                np.ix_(
                    cohort.samples.index.get_indexer(samples),
                    cohort.genes.index.get_indexer(genes),
                )
            ]
            for cohort in (found, expected)
        )
        np.testing.assert_array_equal(values, wanted, channel)
