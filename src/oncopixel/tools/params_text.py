"""An entry added to the text of params.yaml, which stays as it is, comments and all."""

import io
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from ..core.errors import ParamsError

BOOLEAN = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Texts that readers of YAML 1.1 take for truth values."""


def entry_text(name: str, entry: Mapping[str, Any], remarks: Mapping[str, str]) -> str:
    """The entry as YAML in block style, `remarks` as comments beside the keys that they are of."""
    yaml = YAML()
    yaml.width = 4096
    out = io.StringIO()
    yaml.dump({name: _commented(entry, remarks)}, out)
    return re.sub(r" +# (?=guessed: .*$)", "  # ", out.getvalue(), flags=re.MULTILINE)


def _commented(entry: Mapping[str, Any], remarks: Mapping[str, str]) -> CommentedMap:
    found = CommentedMap()
    for key, value in entry.items():
        found[key] = value
        if isinstance(value, str) and value.casefold() in BOOLEAN:
            found[key] = DoubleQuotedScalarString(value)
        elif isinstance(value, Mapping):
            found[key] = _commented(value, remarks)
        elif isinstance(value, list):
            found[key] = CommentedSeq(value)
            found[key].fa.set_flow_style()
        if key in remarks:
            found.yaml_add_eol_comment(remarks[key], key)
    return found


def with_cohort(text: str, entry: str, origin: str) -> str:
    """The text of params.yaml with one more entry, the last of `cohorts`.

    Returns
    -------
    str
        Nothing else in it has changed; it is not read again here.

    Raises
    ------
    ParamsError
        There is no block `cohorts` to which lines can be added.
    """
    cohorts = _cohorts(text)
    if cohorts is None or (cohorts.flow_style and cohorts.value):
        raise ParamsError(
            f"{origin} has no block `cohorts:` with an entry a line. Add this to it by hand:\n"
            f"{entry}"
        )
    ends = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    indent = cohorts.value[0][0].start_mark.column if cohorts.value else 2
    added = [" " * indent + line + ends for line in entry.splitlines()]
    last = _last(cohorts)
    at = last.end_mark.line + (last.end_mark.column > 0)
    if not cohorts.value:  # `cohorts: {}`
        head = lines[at - 1]
        lines[at - 1] = head[: cohorts.start_mark.column].rstrip() + head[last.end_mark.column :]
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += ends
    return "".join(lines[:at] + added + lines[at:])


def _cohorts(text: str) -> MappingNode | None:
    root = YAML().compose(text)
    pairs = root.value if isinstance(root, MappingNode) else []
    found = next((value for key, value in pairs if key.value == "cohorts"), None)
    return found if isinstance(found, MappingNode) else None


def _last(node: Node) -> Node:
    """The node with which a block ends: a block's own end is that of the comments behind it."""
    while isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node
