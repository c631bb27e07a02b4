"""The listing of a cohort's files on its server: a table by which the same files are had again."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from .http.cache import RemoteFile

LISTING = ("channel", "id", "name", "url", "md5", "size", "release", "samples")
"""Columns of a listing, the files of a cohort on its server: text, but for `size` in bytes."""


def as_listing(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A listing of these rows; what a row leaves out is "", a size that is not known -1."""
    frame = pd.DataFrame(list(rows), columns=list(LISTING))
    frame["size"] = frame["size"].fillna(-1).astype("int64")
    return frame.fillna("").astype(dict.fromkeys(set(LISTING) - {"size"}, object))


def remote_files(listed: pd.DataFrame) -> list[RemoteFile]:
    """The files of a listing."""
    columns = (listed[name] for name in ("url", "name", "md5", "size"))
    return [
        RemoteFile(url, name, md5, int(size)) for url, name, md5, size in zip(*columns, strict=True)
    ]
