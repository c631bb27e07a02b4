"""Messages: what names from files and servers may hold never reaches a terminal raw."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.core.errors import OncopixelError, did_you_mean, first_few, hidden, printable

EVIL = "\x1b]0;owned\x07 \u202egnp.exe \r\x9b2J \u2028"


@given(st.text())
def test_what_is_printed_hides_nothing_and_stays_what_it_is(text: str) -> None:
    shown = printable(text)
    assert hidden(shown) == ""
    assert printable(shown) == shown
    assert (shown == text) is (hidden(text) == "")
    shown.encode()  # lone surrogates cannot be


def test_every_message_is_escaped() -> None:
    for text in (
        str(OncopixelError(f"column {EVIL} is not there")),
        first_few([EVIL, "b"]),
        did_you_mean(EVIL, [EVIL]),
    ):
        assert r"\x1b]0;owned\x07 \u202egnp.exe \r\x9b2J \u2028" in text
    assert str(OncopixelError("two\nlines, Umlaute: äöü, 東京")) == "two\nlines, Umlaute: äöü, 東京"
    assert first_few(["a\nb"]) == r"a\nb"


def test_the_command_line_prints_them_escaped(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oncopixel", "ingest", "a\x1b[2Jb", "--root", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert r"a\x1b[2Jb" in done.stderr


def test_notes_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    from oncopixel.cli import options

    logger = logging.getLogger("oncopixel")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        options()
        logger.info("  1 sample of unknown type (%s)", EVIL)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    assert hidden(capsys.readouterr().err.replace("\n", "")) == ""
