"""Paths that no file may replace, order of the steps of a write, and HDF5 on a full disk."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.core import disk
from oncopixel.core import storage as artifacts
from oncopixel.core.errors import ArtifactError, OutputError


def make(kind: str, folder: Path) -> Path:
    path = folder / "target"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        return Path(os.devnull)
    elif kind == "link to a device":
        path.symlink_to(os.devnull)
    else:
        os.mkfifo(folder / "fifo")
        path.symlink_to("fifo")
    return path


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "link to a device", "link to a fifo"])
def test_what_is_no_plain_file_is_neither_replaced_nor_read(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path)
    before = path.stat()
    with pytest.raises(OutputError, match="it is a folder, a device, a FIFO"):
        artifacts.write_json(path, {})
    with pytest.raises(ArtifactError, match=r"is a folder, a device, a FIFO or a socket, not a"):
        artifacts.read_json(path)
    after = path.stat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.parametrize("kind", ["itself", "hard link", "link", "link to a link", "by a detour"])
def test_an_input_is_known_by_every_name(tmp_path: Path, kind: str) -> None:
    source, out = tmp_path / "in.tsv", tmp_path / "out.csv"
    source.write_text("precious")
    if kind == "itself":
        out = source
    elif kind == "hard link":
        out.hardlink_to(source)
    elif kind == "link":
        out.symlink_to(source)
    elif kind == "link to a link":
        (tmp_path / "between").symlink_to(source)
        out.symlink_to("between")
    else:
        (tmp_path / "sub").mkdir()
        out = tmp_path / "sub" / ".." / "in.tsv"
    with pytest.raises(OutputError, match="which is read here"):
        disk.refuse_inputs(out, [None, tmp_path / "missing", source])
    disk.refuse_inputs(tmp_path / "other.csv", [source])
    disk.refuse_inputs(disk.STDOUT, [source])


def test_a_name_beyond_the_limits_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(OutputError, match="longer than this system allows"):
        artifacts.write_json(path, {})
    with pytest.raises(OutputError, match="longer than this system allows"):
        disk.refuse_inputs(path, [])
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifacts.read_json(path)
    assert list(tmp_path.iterdir()) == []


def test_the_content_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}")
        steps.append(f"flush {path.readlink() if path.exists() else ''}")
        fsync(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    artifacts.write_json(tmp_path / "x.json", {})
    assert [step.split()[0] for step in steps] == ["flush", "rename", "flush"]
    assert steps[0].endswith("x.json")


def test_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.chdir(tmp_path)
    artifacts.write_text(Path("-"), "naïve\n")
    assert out.buffer.getvalue().decode() == "naïve\n"
    assert list(tmp_path.iterdir()) == []


def test_whoever_comes_second_is_told(tmp_path: Path) -> None:
    with (
        disk.alone(tmp_path, "this"),
        pytest.raises(OutputError, match="this is running already"),
        disk.alone(tmp_path, "this"),
    ):
        pass
    with disk.alone(tmp_path, "this"):
        pass


class Full:
    """A file on a disk that takes so many bytes."""

    def __init__(self, path: Path, room: int) -> None:
        self.inner, self.room = path.open("r+b", buffering=0), room

    def write(self, data: memoryview) -> int:
        end = self.inner.tell() + len(data)
        if end > self.room:
            raise OSError(errno.ENOSPC, "full")
        return self.inner.write(data) or 0

    def truncate(self, size: int) -> None:
        if size > self.room:
            raise OSError(errno.ENOSPC, "full")
        self.inner.truncate(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def limit(sink: disk.Sink, path: Path, room: int) -> None:
    sink._file.close()
    sink._file = Full(path, room)  # type: ignore[assignment]


@given(
    st.integers(0, 60),
    st.lists(
        st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=25)), min_size=1, max_size=12
    ),
)
def test_what_a_full_disk_did_not_take_is_read_back_nevertheless(
    tmp_path_factory: pytest.TempPathFactory, room: int, writes: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("sink") / "x"
    path.touch()
    sink, whole = disk.Sink(path), io.BytesIO()
    limit(sink, path, room)
    for start, data in writes:
        for stream in (sink, whole):
            stream.seek(start)
            stream.write(data)
        sink.seek(0)
        assert sink.read() == whole.getvalue()
        assert sink.tell() == sink.seek(0, os.SEEK_END) == len(whole.getvalue())
    if sink.error is None:
        sink.close()
        assert path.read_bytes() == whole.getvalue()
    else:
        with pytest.raises(OSError, match="full"):
            sink.close()


@pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0])
def test_hdf5_closes_its_file_on_a_full_disk(tmp_path: Path, share: float) -> None:
    values = np.random.default_rng(0).random((300, 200))

    def write(room: int | None) -> int:
        path = tmp_path / "x.h5"
        path.write_bytes(b"")
        with disk.Sink(path) as sink:
            if room is not None:
                limit(sink, path, room)
            with h5py.File(sink, "w") as file:
                for i in range(5):
                    file.create_dataset(f"g{i}/x", data=values, compression="gzip")
                    file[f"g{i}/names"] = np.array(["a" * 50, "b"] * 40, dtype=object)
                    file[f"g{i}"].attrs["kind"] = "x"
        return path.stat().st_size

    size = write(None)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["g4/x"], values)
    if share < 1:
        with pytest.raises(OSError, match="full"):
            write(int(share * size))
    else:
        assert write(size) == size


LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy as np, pandas as pd
from test_storage import tiny_model, small_cohort
from oncopixel.core import storage as artifacts
from oncopixel.cohort.contract import write_cohort
from oncopixel.core.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, cohort, model = Path(sys.argv[1]), small_cohort(), tiny_model()
for name, write in {"x.h5ad": lambda path: write_cohort(path, cohort),
                    "x.keras": lambda path: artifacts.write_keras(path, model)}.items():
    write(folder / name)
    whole = (folder / name).read_bytes()
    (folder / name).unlink()
    for size in sorted({*range(0, len(whole), len(whole) // 23), len(whole) - 1}):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            write(folder / name)
            print("written", name, size, len(whole))
        except OutputError as error:
            if "larger than this system allows" not in str(error):
                print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        if list(folder.iterdir()):
            print("left", list(folder.iterdir()))
print("done")
"""


@pytest.mark.slow
def test_a_file_that_grows_too_large_at_any_place_is_an_error_in_words(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr[-2000:]
