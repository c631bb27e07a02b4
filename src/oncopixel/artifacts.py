"""Files in and out: written whole or not at all, and with the same bytes for the same content.

`.keras` files carry a date, zip times and object addresses; `write_keras` removes them so that
DVC sees two identical trainings as identical. Parquet, `.npy`, `.h5ad`, CSV and JSON are stable
as written here.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArtifactError, OutputError

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from anndata import AnnData

SIGNIFICANT_DIGITS = 6
LARGE = 1 << 30
SCRATCH = ".oncopixel-partial-"
"""How the names of the folders begin that hold a file while it is written."""
_SCRATCH_NAME = re.compile(re.escape(SCRATCH) + r"[a-z0-9_]{8}")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `path` when the block ends well.

    Until then `path` keeps what it held; after an error or an interrupt nothing is left behind, and
    what a kill left behind is removed by the next call for a file of that folder, where folders
    can be locked. Raises `OutputError` when the disk is full or the place may not be written.
    """
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # a place such as /proc, where there are no new folders
            raise OutputError(
                f"{path} cannot be written: its folder does not exist and cannot be made."
            ) from None
        _clear(path.parent)
        with contextlib.ExitStack() as stack:
            scratch = _scratch_folder(path.parent, stack) / path.name
            scratch.touch()
            yield scratch
            scratch.replace(path)
    except OSError as error:
        reason = _write_failure(error)
        if reason is None:
            raise
        raise OutputError(f"{path} cannot be written: {reason}") from error


def _scratch_folder(parent: Path, stack: contextlib.ExitStack) -> Path:
    """A new folder in `parent`, locked, and removed by the stack."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=SCRATCH))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # a system without locks
            _lock(folder, stack, fcntl.LOCK_EX)
        if folder.exists():  # no other writer cleared it before it was locked
            return folder


def _clear(parent: Path) -> None:
    """Removes the scratch folders in `parent` that nobody has locked."""
    with contextlib.suppress(OSError):  # a folder that may not be read
        for left in filter(lambda path: _SCRATCH_NAME.fullmatch(path.name), parent.iterdir()):
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                _lock(left, stack, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)


def _lock(folder: Path, stack: contextlib.ExitStack, how: int) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, handle)
    fcntl.flock(handle, how)


def _write_failure(error: OSError) -> str | None:
    """Why a write failed, in words, or None when the error is no fault of the place."""
    code = error.errno
    if code is None:  # h5py keeps the number in the text only
        found = re.search(r"errno = (\d+)", str(error))
        code = int(found.group(1)) if found else None
    reasons = {
        errno.ENOSPC: "the disk is full. Free some space and run again.",
        errno.EDQUOT: "your disk quota is used up. Free some space and run again.",
        errno.EFBIG: "the file is larger than this system allows.",
        errno.EROFS: "the file system is read-only.",
        errno.EACCES: "permission denied. Change the folder's owner or mode.",
        errno.EPERM: "permission denied. Change the folder's owner or mode.",
        errno.ENOTDIR: "a part of that path is a file, not a folder.",
        errno.EEXIST: "a part of that path is a file, not a folder.",
        errno.EISDIR: "it is a folder.",
    }
    return reasons.get(code) if code is not None else None


def write_bytes(path: Path, content: bytes) -> None:
    """`content` at `path`, as it is."""
    with atomic(path) as scratch:
        scratch.write_bytes(content)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that an earlier step wrote; `ArtifactError` when it is missing."""
    content: bytes = _read(path, path.read_bytes)
    return content


def write_text(path: Path, text: str) -> None:
    """`text` at `path`, UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON: sorted keys, six significant digits, final newline; NaN is null."""
    write_text(path, json.dumps(_plain(content), indent=2, sort_keys=True, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """`value` in JSON's own types, floats rounded to the significant digits that we promise."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value


def read_json(path: Path) -> Any:
    """The content of a JSON file that an earlier step wrote; `ArtifactError` when unusable."""
    return json.loads(_read(path, lambda: _valid_json(path)))


def _valid_json(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    json.loads(text)
    return text


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """`frame` without its index as CSV, six significant digits, LF line ends."""
    with atomic(path) as scratch:
        frame.to_csv(
            scratch, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n"
        )


def read_csv(path: Path) -> "pd.DataFrame":
    """A CSV that an earlier step wrote."""
    import pandas as pd

    frame: pd.DataFrame = _read(path, lambda: pd.read_csv(path))
    return frame


def write_parquet(
    path: Path, frame: "pd.DataFrame", metadata: dict[str, Any] | None = None
) -> None:
    """`frame` without its index as Parquet (zstd); `metadata` travels in the file's schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    encoded = json.dumps(metadata or {}, sort_keys=True)
    table = table.replace_schema_metadata({"oncopixel": encoded})
    with atomic(path) as scratch:
        pq.write_table(table, scratch, compression="zstd", compression_level=9)


def read_parquet(path: Path) -> tuple["pd.DataFrame", dict[str, Any]]:
    """The table and the metadata that `write_parquet` stored; `ArtifactError` when unusable."""
    import pyarrow.parquet as pq

    def load() -> tuple["pd.DataFrame", dict[str, Any]]:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        return table.to_pandas(), json.loads(metadata.get(b"oncopixel", b"{}"))

    found: tuple[pd.DataFrame, dict[str, Any]] = _read(path, load)
    return found


def write_npy(path: Path, array: np.ndarray) -> None:
    """`array` in NumPy's own format."""
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    with atomic(path) as scratch, scratch.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.data)  # unlike np.save, names the reason when the disk is full


def read_npy(path: Path) -> np.ndarray:
    """The array that `write_npy` stored, memory-mapped and read-only."""
    array: np.ndarray = _read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    return array


def scratch_array(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    """A float32 array of zeros whose pages lie on disk below `folder`, not in memory.

    Its file has no name any more: the space is free again when nothing uses the array, or when the
    process ends, however it ends. Raises `OutputError` when the disk has no room for it.
    """
    size = 4 * math.prod(shape)
    if not size:
        return np.zeros(shape, np.float32)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".scratch-")
        os.close(handle)
        with open(name, "r+b") as stream:  # noqa: PTH123 (memmap keeps its name, a text)
            Path(name).unlink()  # at once: a kill leaves nothing behind
            if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a crash later
                os.posix_fallocate(stream.fileno(), 0, size)
            return np.memmap(stream, np.float32, "r+", shape=shape)
    except OSError as error:
        reason = _write_failure(error)
        if reason is None:
            raise
        raise OutputError(
            f"{folder} cannot hold {size / 1e9:.1f} GB of working space: {reason}"
        ) from error


def take_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of these rows, on disk where `values` is: see `scratch_array`."""
    if not isinstance(values, np.memmap) or not isinstance(values.filename, str):
        picked: np.ndarray = values[rows]
        return picked
    taken = scratch_array(Path(values.filename).parent, (len(rows), values.shape[1]))
    for target, row in enumerate(rows):
        taken[target] = values[row]
    return taken


def write_h5ad(path: Path, data: "AnnData") -> None:
    """`data` as .h5ad, compressed; the order of layers and `uns` changes no byte."""
    import anndata

    ordered = anndata.AnnData(
        obs=data.obs,
        var=data.var,
        layers={
            name: np.asarray(values) if isinstance(values, np.memmap) else values
            for name, values in sorted(data.layers.items())
        },
        uns=dict(sorted(data.uns.items())),
    )
    with atomic(path) as scratch:
        ordered.write_h5ad(
            scratch, convert_strings_to_categoricals=False, compression="gzip", compression_opts=1
        )


def read_h5ad(path: Path) -> "AnnData":
    """The AnnData that `write_h5ad` stored; `ArtifactError` when it is unusable.

    Layers of more than `LARGE` bytes together lie on disk, beside `path`: see `scratch_array`.
    """
    data: AnnData = _read(path, lambda: _load_h5ad(path))
    return data


def _load_h5ad(path: Path) -> "AnnData":
    import anndata
    import h5py

    from .hdf5 import check_h5ad

    check_h5ad(path, in_memory=False)
    with h5py.File(path) as file:
        layers = dict(file["layers"])
        if sum(getattr(layer, "nbytes", 0) for layer in layers.values()) <= LARGE:
            return anndata.read_h5ad(path)
        parts = {name: anndata.io.read_elem(file[name]) for name in ("obs", "var", "uns")}
        data = anndata.AnnData(**parts)
        for name, layer in layers.items():
            values = scratch_array(path.parent, layer.shape)
            rows = 16 * (layer.chunks or (1,))[0]
            for start in range(0, len(values), rows):
                layer.read_direct(values, *(2 * [np.s_[start : start + rows]]))
            data.layers[name] = values
    return data


def write_keras(path: Path, model: "keras.Model") -> None:
    """`model` as .keras with canonical bytes; `keras.saving.load_model` reads it like any other.

    Members are sorted and stored with the zip epoch as their time, `date_saved` is constant, and
    `shared_object_id`, a memory address, becomes the ordinal of its first appearance.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        with zipfile.ZipFile(saved) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    ordinals: dict[int, int] = {}
    config = _number_shared_objects(json.loads(members["config.json"]), ordinals)
    members["config.json"] = json.dumps(config, sort_keys=True).encode()
    with atomic(path) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def _number_shared_objects(node: Any, ordinals: dict[int, int]) -> Any:
    if isinstance(node, dict):
        return {
            key: ordinals.setdefault(value, len(ordinals))
            if key == "shared_object_id"
            else _number_shared_objects(value, ordinals)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_number_shared_objects(item, ordinals) for item in node]
    return node


def read_keras(path: Path) -> "keras.Model":
    """The model in `path`, loaded in Keras's safe mode; `ArtifactError` when it is unusable."""
    import keras

    return _read(path, lambda: keras.saving.load_model(path, compile=False, safe_mode=True))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: Path, load: Any) -> Any:
    """What `load` returns; every way in which a file can be unusable becomes an `ArtifactError`."""
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist. Run `dvc repro`, or `dvc checkout {path}`.")
    try:
        return load()
    except OutputError:
        raise
    except PermissionError:
        raise ArtifactError(f"{path} may not be read. Change its owner or mode.") from None
    except Exception as error:  # libraries raise all kinds on damaged input
        raise ArtifactError(
            f"{path} is damaged or not what its name says ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}). "
            f"Delete it and run `dvc checkout {path}` or `dvc repro`."
        ) from error
