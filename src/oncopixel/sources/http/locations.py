"""Files that a source names one by one: in a folder, or at an address to which names are added."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...core.errors import SourceError, first_few
from ...core.params import CbioportalSource, SegmentFile, SegmentsSource, XenaSource
from ..listing import as_listing, remote_files
from .cache import RemoteFile
from .client import Client
from .download import fetch, side_by_side

ROLES = (
    *("expression", "copy_number", "mutation", "segments", "mutations"),
    *("sequenced", "samples", "patients"),
)
"""Parameters of a source that name files, in the order of its listing."""
Located = XenaSource | CbioportalSource | SegmentsSource


@dataclass(frozen=True)
class SourceFile:
    """A file on this machine, and how it is called in messages."""

    path: Path
    shown: str
    name: str
    """Of the file at its source."""

    @classmethod
    def below(cls, folder: Path, name: str) -> "SourceFile":
        """A file that was on this machine."""
        path = folder / name
        return cls(path, str(path), path.name)

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """The path to read; `SourceError`s of the block call the file by its own name."""
        try:
            yield self.path
        except SourceError as error:
            raise SourceError(str(error).replace(str(self.path), self.shown)) from None


def file_names(source: Located) -> dict[str, str]:
    """The name of each file of a source, by its role."""
    names = {role: getattr(source, role, None) for role in ROLES}
    if isinstance(names["copy_number"], SegmentFile):
        names["copy_number"] = names["copy_number"].segments
    if not names["mutation"]:
        names["sequenced"] = None
    if not isinstance(source, CbioportalSource):
        names["patients"] = None  # no file there
    return {role: name for role, name in names.items() if name is not None}


def list_addresses(source: Located) -> pd.DataFrame:
    """The listing of the files to download, MD5 and size unknown; empty for a source on disk."""
    base = _base(source)
    names = file_names(source) if base else {}
    return as_listing(
        [
            {
                "channel": role,
                "name": name,
                "url": name if "://" in name else f"{str(base).rstrip('/')}/{name}",
            }
            for role, name in names.items()
        ]
    )


def list_files(source: Located) -> pd.DataFrame:
    """As `list_addresses`, with the sizes that the server states; no content is fetched."""
    listed = list_addresses(source)
    with Client(source.minutes) as client:

        def size(numbered: tuple[int, RemoteFile]) -> tuple[int, int]:
            row, file = numbered
            with client.send(file.url, what=file.name) as response:
                stated = str(response.headers.get("Content-Length", ""))
                return row, int(stated) if re.fullmatch(r"[0-9]{1,15}", stated) else -1

        files = list(enumerate(remote_files(listed)))
        sizes = sorted(side_by_side(size, files, client, source.connections))
    return listed.assign(size=[stated for _, stated in sizes])


def locate(
    source: Located, folder: Path, listed: pd.DataFrame
) -> tuple[dict[str, SourceFile], pd.DataFrame]:
    """The file of each role, and the listing, with MD5 and size, that finds the same again."""
    base = _base(source)
    if base is None:
        names = file_names(source).items()
        return {role: SourceFile.below(folder, name) for role, name in names}, listed
    asked = list_addresses(source)
    listed = asked if listed.empty else listed
    foreign = set(zip(listed["channel"], listed["url"], strict=True)) ^ set(
        zip(asked["channel"], asked["url"], strict=True)
    )
    if foreign:
        raise SourceError(
            f"manifest.csv does not list the files of {base}: {first_few(sorted(foreign))}. Bring "
            "it back with `git checkout`, or ask for a new list with `--refresh`."
        )
    got = fetch(remote_files(listed), connections=source.connections, minutes=source.minutes)
    files = {
        str(role): SourceFile(path, f"{file.url} (cached as {path})", file.name)
        for role, (path, file) in zip(listed["channel"], got, strict=True)
    }
    known = {"md5": [file.md5 for _, file in got], "size": [file.size for _, file in got]}
    return files, listed.assign(**known)


def _base(source: Located) -> str | None:
    return source.hub if isinstance(source, XenaSource) else source.url
