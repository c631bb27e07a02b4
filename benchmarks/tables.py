"""Tables in Markdown, and their place in a page of docs."""

from collections.abc import Sequence
from pathlib import Path

END = "<!-- end -->"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def render(doc: Path, maker: str, *parts: str) -> None:
    """Writes the parts into `doc`, between the mark of who makes them and the next `END`."""
    mark = f"<!-- made by {maker} -->"
    before, rest = doc.read_text().split(mark)
    after = rest.split(END, 1)[1]
    doc.write_text("\n\n".join([before + mark, *parts, END + after]))
