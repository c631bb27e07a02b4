"""What can go wrong, and the exit status it ends with.

OncopixelError                 2  bad input of any kind: one message, no traceback
├── ParamsError                   params.yaml: unknown key, wrong type, out of range
│   └── DivergenceError           values of `train` with which a loss becomes infinite
├── SourceError                   a matrix, sample sheet or archive that cannot be read as declared
├── LabelError                    samples that cannot be labelled as asked
├── ArtifactError                 a file of ours that is missing, damaged or does not fit the others
├── OutputError                   a place that cannot be written: full, read-only, not permitted
├── RemoteError                   a remote, a cluster, or what is asked of it, that cannot be used
├── DataCheckError             3  a cohort that failed a critical data check
└── ObjectsError               3  objects that a remote lacks or holds damaged

Every message says what is wrong, where, and how to mend it. Anything else that is
raised is a bug: exit status 1 and a traceback.
"""

import difflib
import unicodedata
from collections.abc import Iterable

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of what a reader does not see, and what a terminal or Markdown may obey:
control and formatting characters (such as bidirectional overrides), lone surrogates, separators."""


def hidden(text: str) -> str:
    """The first character of `text` that is not to be seen, escaped; "" when there is none."""
    if text.isprintable():
        return ""
    return next((_escape(char) for char in text if unicodedata.category(char) in HIDDEN), "")


def printable(text: str, keep: str = "") -> str:
    """`text` with hidden characters escaped as in Python, except those to `keep`."""
    if text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in HIDDEN and char not in keep else char
        for char in text
    )


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class OncopixelError(Exception):
    """Bad input; the text is meant for the person who runs the command."""

    exit_code = 2

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class ParamsError(OncopixelError):
    """params.yaml holds something that it must not."""


class DivergenceError(ParamsError):
    """Training with these parameters diverged."""


class SourceError(OncopixelError):
    """An input file cannot be read as the cohort entry declares it."""


class LabelError(OncopixelError):
    """The samples cannot be labelled as the cohort entry asks."""


class ArtifactError(OncopixelError):
    """A file written by an earlier step is missing, damaged or of another run."""


class OutputError(OncopixelError):
    """A result cannot be written where it belongs."""


class DataCheckError(OncopixelError):
    """The cohort failed a critical data check."""

    exit_code = 3


class WorkerError(OncopixelError):
    """A process that did part of the work was ended."""


class RemoteError(OncopixelError):
    """The remote or cluster, or what was asked of it, cannot be used."""


class ObjectsError(OncopixelError):
    """Objects that the project needs are missing from the remote or damaged there."""

    exit_code = 3


def first_few(items: Iterable[object]) -> str:
    """The first three items, and how many more there are: for messages."""
    listed = [printable(str(item)) for item in items]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def one_line(error: Exception) -> str:
    """An error's message without line ends, and not too long."""
    return " ".join(str(error).split())[:200]


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """` (did you mean …?)` with up to three near names, or nothing when none is near."""
    folded = {str(item).casefold(): str(item) for item in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    names = " or ".join(printable(folded[item]) for item in near)
    return f" (did you mean {names}?)" if near else ""
