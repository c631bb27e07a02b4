"""What an HDF5 file of AnnData must be before a library reads it.

Libraries follow links out of the file, and believe the indices of a sparse matrix: one out of range
ends the process. The layout is that of https://anndata.readthedocs.io/en/latest/fileformat-prose.html.
"""

import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_DEPTH, MAX_OBJECTS = 32, 100_000
MAX_RATIO = 1100
"""To which values are packed at most: zlib's limit is 1032."""
MAX_CHUNK = 1 << 30
"""Bytes of a chunk, which is unpacked as a whole."""
_BLOCK = 1 << 22
_ROOM = 1 << 20


class FormatError(Exception):
    """A file that no AnnData writes."""


def check_h5ad(path: Path, *, in_memory: bool = True) -> None:
    """Nothing, or an error that says in which place the file cannot be read safely.

    Raises
    ------
    FormatError
        It holds links of any kind but the plain one, objects under two names, datasets that lie in
        other files or declare more than they hold, or sparse matrices that do not hold together;
        with `in_memory` also when it is larger than the memory of this machine.
    OSError
        It is no plain file or no HDF5.
    """
    if not path.is_file():
        raise OSError("it is no plain file")
    with h5py.File(path, "r") as file:
        total = check_group(file)
    if in_memory and total > memory_bytes():
        raise FormatError(
            f"it holds {total / 1e9:.1f} GB, more than the memory of this machine "
            f"({memory_bytes() / 1e9:.1f} GB)"
        )


def memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_group(group: Any, place: str = "", depth: int = 0, seen: set[int] | None = None) -> int:
    """Bytes of all values in a group of a file; see `check_h5ad`."""
    seen = set() if seen is None else seen
    if depth > MAX_DEPTH:
        raise FormatError(f"{place} lies deeper than {MAX_DEPTH} groups")
    total = 0
    for name in group:
        where = f"{place}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise FormatError(f"{where} is a link ({type(link).__name__}), not data")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen or len(seen) == MAX_OBJECTS:
            fact = "stands under two names" if address in seen else "is one object too many"
            raise FormatError(f"{where} {fact}")
        seen.add(address)
        if isinstance(item, h5py.Group):
            total += check_group(item, where, depth + 1, seen)
            if {"data", "indices", "indptr"} <= set(item):
                _check_sparse(item, where)
        elif isinstance(item, h5py.Dataset):
            total += _check_values(item, where)
        else:
            raise FormatError(f"{where} is neither a group nor values")
    return total


def _check_values(values: Any, where: str) -> int:
    """Bytes of a dataset."""
    if values.is_virtual or values.external:
        raise FormatError(f"{where} lies in another file")
    if values.dtype.hasobject and h5py.check_string_dtype(values.dtype) is None:
        raise FormatError(f"{where} holds {h5py.check_dtype(vlen=values.dtype) or 'references'}")
    size = values.size * values.dtype.itemsize if values.shape else 0
    if size > MAX_RATIO * values.id.get_storage_size() + _ROOM:
        raise FormatError(f"{where} declares shape {values.shape}, more than it holds")
    if values.chunks and math.prod(values.chunks) * values.dtype.itemsize > MAX_CHUNK:
        raise FormatError(f"{where} has chunks of shape {values.chunks}")
    return int(size)


def _check_sparse(group: Any, where: str) -> None:
    """Whether the parts of a sparse matrix fit together."""
    kind = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    parts = [group[name] for name in ("data", "indices", "indptr")]
    if any(not isinstance(part, h5py.Dataset) or part.ndim != 1 for part in parts):
        raise FormatError(f"{where} is no sparse matrix")
    data, indices, starts = parts
    shape = np.ravel(group.attrs.get("shape", group.attrs.get("h5sparse_shape", [])))
    fitting = (
        len(shape) == 2
        and shape.dtype.kind in "iu"
        and data.dtype.kind in "biuf"
        and indices.dtype.kind in "iu"
        and starts.dtype.kind in "iu"
    )
    if not fitting or (kind and not kind.startswith(("csr", "csc"))):
        raise FormatError(f"{where} is no sparse matrix of numbers")
    rows, columns = map(int, shape[::-1] if kind.startswith("csc") else shape)
    at = starts[...].astype(np.int64) if len(starts) == rows + 1 else np.array([-1])
    if at[0] != 0 or (np.diff(at) < 0).any() or not at[-1] == len(indices) == len(data):
        raise FormatError(f"{where}/indptr does not fit its {len(data)} values")
    for start in range(0, len(indices), _BLOCK):
        block = indices[start : start + _BLOCK]
        if block.min() < 0 or block.max() >= columns:
            raise FormatError(f"{where}/indices names a place beyond its shape {tuple(shape)}")
