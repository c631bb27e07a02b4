"""Files that a source names one by one: in a folder, or at an address to which names are added."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...core.errors import SourceError, first_few
from .download import Client, RemoteFile, fetch, listing, remote_files, side_by_side


@dataclass(frozen=True)
class NamedFile:
    """A file on this machine, and how it is called in messages."""

    path: Path
    shown: str

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """The path to read; `SourceError`s of the block call the file by its own name."""
        try:
            yield self.path
        except SourceError as error:
            raise SourceError(str(error).replace(str(self.path), self.shown)) from None


def list_named(names: dict[str, str], base: str | None) -> pd.DataFrame:
    """The listing (`download.LISTING`) of the files to download, by channel; empty without a base.

    MD5 and size are not known before the first download. A name that is a whole address is taken as
    it is.
    """
    if base is None:
        return listing([])
    return listing(
        [
            {
                "channel": channel,
                "name": name,
                "url": name if "://" in name else f"{base.rstrip('/')}/{name}",
            }
            for channel, name in names.items()
        ]
    )


def survey_named(
    names: dict[str, str], base: str | None, *, connections: int, minutes: int
) -> pd.DataFrame:
    """As `list_named`, with the sizes that the server states; no content is fetched.

    Raises `SourceError` for a file that the server does not have.
    """
    listed = list_named(names, base)
    with Client(minutes) as client:

        def size(numbered: tuple[int, RemoteFile]) -> tuple[int, int]:
            place, file = numbered
            with client.send(file.url, what=file.name) as response:
                stated = str(response.headers.get("Content-Length", ""))
                return place, int(stated) if re.fullmatch(r"[0-9]{1,15}", stated) else -1

        files = list(enumerate(remote_files(listed)))
        sizes = sorted(side_by_side(size, files, client, connections))
    return listed.assign(size=[stated for _, stated in sizes])


def locate(
    names: dict[str, str],
    base: str | None,
    folder: Path,
    listed: pd.DataFrame,
    *,
    connections: int,
    minutes: int,
) -> tuple[dict[str, NamedFile], pd.DataFrame]:
    """The file of each channel, and the listing of what was downloaded, with MD5 and size.

    Without a `base` the files are in `folder`. By the listing `listed` of an earlier run the files
    are the same as then; an empty one stands for the first run. Raises `SourceError` when a file
    cannot be had, or is no longer the one that is listed, and for a list of other files.
    """
    if base is None:
        paths = {channel: folder / name for channel, name in names.items()}
        return {name: NamedFile(path, str(path)) for name, path in paths.items()}, listed
    asked = list_named(names, base)
    listed = asked if listed.empty else listed
    strange = set(zip(listed["channel"], listed["url"], strict=True)) ^ set(
        zip(asked["channel"], asked["url"], strict=True)
    )
    if strange:
        raise SourceError(
            f"manifest.csv does not list the files of {base}: {first_few(sorted(strange))}. Bring "
            "it back with `git checkout`, or ask for a new list with `--refresh`."
        )
    got = fetch(remote_files(listed), connections=connections, minutes=minutes)
    files = {
        str(channel): NamedFile(path, f"{file.url} (cached as {path})")
        for channel, (path, file) in zip(listed["channel"], got, strict=True)
    }
    known = {"md5": [file.md5 for _, file in got], "size": [file.size for _, file in got]}
    return files, listed.assign(**known)
