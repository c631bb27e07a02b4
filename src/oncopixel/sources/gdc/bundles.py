"""Small files of the GDC come by the bundle, a `tar.gz`.

https://docs.gdc.cancer.gov/API/Users_Guide/Downloading_Files/
"""

import io
import logging
import tarfile
import zlib

import pandas as pd

from ...core.errors import printable
from ...core.params import GdcSource
from ..http.cache import RemoteFile, keep, seems_cached
from ..http.client import BrokenError, Client, refuse_page
from ..http.download import side_by_side
from ..listing import remote_files
from .query import address

log = logging.getLogger(__name__)

SMALL_FILE = 1 << 20
BUNDLE = 40
"""Small files are asked for so many at a time: the answer takes longer than their bytes."""


def fetch_bundles(client: Client, source: GdcSource, data: pd.DataFrame) -> None:
    """Small files that the cache lacks come into it by the bundle; what goes wrong is left out."""
    files = remote_files(data)
    wanted = {
        f"{key}/{file.name}": (key, file)
        for key, file in zip(data["id"], files, strict=True)
        if 0 <= file.size <= SMALL_FILE and not seems_cached(file)
    }
    names = list(wanted)
    bundles = [names[start : start + BUNDLE] for start in range(0, len(names), BUNDLE)]

    def get(bundle: list[str]) -> int:
        mine = {name: wanted[name][1] for name in bundle}
        payload = {"ids": [wanted[name][0] for name in bundle]}
        what = f"a bundle of {len(mine)} files"
        try:
            with client.send(address(source, "data"), payload=payload, what=what) as answer:
                refuse_page(answer)
                return unpack(client.body(answer, _limit(mine), decoded=False), mine)
        except BrokenError as error:
            log.warning("warning: %s: %s; what is lacking is asked for singly", what, error)
            return 0

    bundles = [bundle for bundle in bundles if len(bundle) > 1]  # a single id gives the file itself
    done = sum(side_by_side(get, bundles, client, source.connections))
    if bundles:
        log.info("  %d small files came in %d bundles", done, len(bundles))


def unpack(packed: bytes, wanted: dict[str, RemoteFile]) -> int:
    """How many of the wanted files a bundle (`tar.gz`, by member name) brought into the cache.

    Returns
    -------
    int
        Files that were not asked for, such as the GDC's annotations, are passed over.

    Raises
    ------
    BrokenError
        For a damaged bundle, a member that is no plain file or has another size than was listed,
        and more bytes than all its files need; the files before are kept.
    """
    limit, kept = _limit(wanted), 0
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content = unpacker.decompress(packed, limit + 1)
        if len(content) > limit:
            raise BrokenError(_too_long(limit))
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if member.name in wanted or not (member.isreg() or member.isdir()):
                    file = _asked_for(member, wanted)
                    plain = archive.extractfile(member)
                    if plain is not None:
                        kept += keep(plain.read(), file.name, file.url, only=file.md5) is not None
                if archive.offset > limit:  # where the next member is said to begin
                    raise BrokenError(_too_long(limit))
        if not unpacker.eof:
            raise BrokenError("the archive is cut short")
    except (
        *(tarfile.TarError, EOFError, zlib.error),
        *(ValueError, OverflowError, RecursionError, MemoryError),
    ) as error:
        raise BrokenError(f"the archive is damaged ({printable(str(error))[:200]})") from None
    return kept


def _limit(wanted: dict[str, RemoteFile]) -> int:
    return sum(file.size + 4096 for file in wanted.values()) + SMALL_FILE


def _asked_for(member: tarfile.TarInfo, wanted: dict[str, RemoteFile]) -> RemoteFile:
    """The wanted file that a member is; `BrokenError` when it is not as listed."""
    file = wanted.get(member.name)
    if file is None or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        fault = "is no plain file"
    elif member.size != file.size:
        fault = f"has {member.size} bytes, not the {file.size} that are listed"
    else:
        return file
    raise BrokenError(f"its member {member.name[:200]!r} {fault}")


def _too_long(limit: int) -> str:
    return f"it unpacks to more than {limit} bytes, which is more than its files need"
