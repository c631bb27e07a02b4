"""Files in and out: written whole or not at all, and with the same bytes for the same content.

`.keras` files carry a date, zip times and object addresses; `write_keras` removes them so that
DVC sees two identical trainings as identical. Parquet, `.npy`, `.h5ad`, CSV and JSON are stable
as written here.
"""

import hashlib
import json
import math
import mmap
import os
import re
import shlex
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .disk import Sink, atomic, temporary_files_in, write_failure
from .errors import ArtifactError, OutputError, one_line

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from anndata import AnnData

Loaded = TypeVar("Loaded")
SIGNIFICANT_DIGITS = 6
LARGE = 1 << 30


def write_bytes(path: Path, content: bytes) -> None:
    """`content` at `path`, as it is."""
    with atomic(path) as scratch:
        scratch.write_bytes(content)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that an earlier step wrote; `ArtifactError` when it is missing."""
    return read_with(path, path.read_bytes)


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
    """The content of a JSON file of an earlier step; `ArtifactError` when it is unusable."""
    return read_with(
        path, lambda: json.loads(path.read_bytes(), parse_float=_finite, parse_constant=_finite)
    )


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """`frame` without its index as CSV, six significant digits, LF line ends."""
    with atomic(path) as scratch:
        frame.to_csv(
            scratch, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n"
        )


def read_csv(path: Path) -> "pd.DataFrame":
    """A CSV that an earlier step wrote."""
    import pandas as pd

    return read_with(path, lambda: pd.read_csv(path))


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

    return read_with(path, load)


def write_npy(path: Path, array: np.ndarray) -> None:
    """`array` in NumPy's own format."""
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    with atomic(path) as scratch, scratch.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.data)  # unlike np.save, names the reason when the disk is full


def read_npy(path: Path) -> np.ndarray:
    """The array that `write_npy` stored, memory-mapped and read-only."""
    return read_with(path, lambda: _load_npy(path))


def _load_npy(path: Path) -> np.ndarray:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise ValueError("it is no array")
    extra = path.stat().st_size - array.offset - array.nbytes
    if extra:
        raise ValueError(f"it is {extra} bytes longer than its header says")
    return array


def scratch_array(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    """Float32 zeros on disk below `folder`, in a file without a name that goes with its user."""
    size = 4 * math.prod(shape)
    if not size:
        return np.zeros(shape, np.float32)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".scratch-")
        os.close(handle)
        with Path(name).open("r+b") as stream:
            Path(name).unlink()  # at once: a kill leaves nothing behind
            if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a crash later
                os.posix_fallocate(stream.fileno(), 0, size)
            stream.truncate(size)
            mapped = mmap.mmap(stream.fileno(), size)
    except OSError as error:
        reason = write_failure(error)
        if reason is None:
            raise
        raise OutputError(
            f"{folder} cannot hold {size / 1e9:.1f} GB of working space: {reason}"
        ) from error
    # not np.memmap(): joblib would send its name to other processes, where no such file is
    values: Any = np.ndarray(shape, np.float32, mapped).view(np.memmap)
    values.filename, values._mmap = name, mapped
    return cast(np.ndarray, values)


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
    import h5py

    ordered = anndata.AnnData(
        obs=data.obs,
        var=data.var,
        layers={
            name: np.asarray(values) if isinstance(values, np.memmap) else values
            for name, values in sorted(data.layers.items())
        },
        uns=dict(sorted(data.uns.items())),
    )
    with atomic(path) as scratch, Sink(scratch) as sink, h5py.File(sink, "w") as file:
        anndata.io.write_elem(
            file, "/", ordered, dataset_kwargs={"compression": "gzip", "compression_opts": 1}
        )


def read_h5ad(path: Path) -> "AnnData":
    """The AnnData that `write_h5ad` stored; layers over `LARGE` lie on disk beside it."""
    return read_with(path, lambda: _load_h5ad(path))


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
    """`model` as .keras with canonical bytes; `keras.saving.load_model` reads it like any other."""
    with atomic(path) as scratch:
        with temporary_files_in(scratch.parent):
            saved = scratch.with_name("saved.keras")
            try:
                model.save(saved)
            except ValueError as error:
                if "1980" not in str(error):
                    raise
                raise OutputError(
                    f"{path} cannot be written: the clock of this machine says a day before 1980, "
                    "which no .keras file can hold. Set it."
                ) from None
        with zipfile.ZipFile(saved) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
        saved.unlink()
        metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
        members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
        ordinals: dict[int, int] = {}
        config = _number_shared_objects(json.loads(members["config.json"]), ordinals)
        members["config.json"] = json.dumps(config, sort_keys=True).encode()
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as archive:
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

    def load() -> keras.Model:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise ValueError("a weight is no finite number")
        return model

    return read_with(path, load)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def assert_file(path: Path) -> None:
    """Nothing, or `ArtifactError` for a file that is missing, or is none."""
    try:
        if path.is_file():
            return
        there = path.exists()
    except OSError as error:  # such as a name that is too long
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from None
    if there:
        raise ArtifactError(f"{path} is a folder, a device, a FIFO or a socket, not a file.")
    raise ArtifactError(f"{path} does not exist. Run `dvc repro`, or `dvc checkout {path}`.")


def remedy(path: Path) -> str:
    """What makes a damaged file anew, in DVC's cache too, where `dvc repro` would take it from."""
    for root in path.absolute().parents:
        lock = root / "dvc.lock"
        if not lock.is_file():
            continue
        name = re.escape(path.absolute().relative_to(root).as_posix())
        found = re.search(
            rf"- path: {name}\n +hash: md5\n +md5: (\w\w)(\w{{30}})\n", lock.read_text("utf-8")
        )
        if found:
            cached = '"$(dvc cache dir)/files/md5/{}/{}"'.format(*found.groups())
            return (
                f"Delete it, here and in DVC's cache: `rm -f {shlex.quote(str(path))} {cached}`. "
                f"Then run `dvc repro`, or `dvc pull {path}` if a remote has it."
            )
    return "Delete it and run `dvc repro`."


def read_with(path: Path, load: Callable[[], Loaded]) -> Loaded:
    """What `load` returns of `path`; `ArtifactError` in whatever way the file is unusable."""
    assert_file(path)
    try:
        return load()
    except (OutputError, MemoryError):
        raise
    except PermissionError:
        raise ArtifactError(f"{path} may not be read. Change its owner or mode.") from None
    except Exception as error:  # libraries raise all kinds on damaged input
        raise ArtifactError(
            f"{path} is damaged or not what its name says ({type(error).__name__}: "
            f"{one_line(error)}). {remedy(path)}"
        ) from error
