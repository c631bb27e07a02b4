"""What a change does to the results: the reports of two revisions, compared as Markdown.

Standard library only, as all that it imports: it also runs where nothing is installed
(`PYTHONPATH=src python3 -m oncopixel.reporting.prdiff BASE HEAD`). Everything it says of a revision
comes from files in git: no data, no credentials.
"""

from .command import main
from .compare import compare
from .gate import MAX_BYTES, NumbersError, parse_numbers, portable
from .markdown import Sources, render
from .numbers import collect, printable
from .verify import deviations, unproven

__all__ = [
    "MAX_BYTES", "NumbersError", "Sources", "collect", "compare", "deviations", "main",
    "parse_numbers", "portable", "printable", "render", "unproven",
]  # fmt: skip
