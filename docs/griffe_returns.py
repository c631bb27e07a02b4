"""The Returns of this project's docstrings are sentences; Griffe expects a type above them."""

import re
from textwrap import indent

from griffe import Extension

SECTION = re.compile(r"^Returns\n-+\n((?:(?![ \n]).*\n?)+)(?=\n|\Z)", re.MULTILINE)
"""One that has no line further in, so no type of its own."""


class SentencesAsReturns(Extension):
    """Puts the annotation of a function where Griffe looks for it."""

    def on_function(self, *, func, **_):
        """Rewrites the docstring of `func`."""
        if func.docstring and func.returns:

            def typed(section: re.Match) -> str:
                return f"Returns\n-------\n{func.returns}\n{indent(section[1], '    ')}"

            func.docstring.value = SECTION.sub(typed, func.docstring.value)
