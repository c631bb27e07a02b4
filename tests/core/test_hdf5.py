"""No .h5ad file reads other files, crashes a library, or declares more than it holds."""

import os
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from oncopixel.core.errors import ArtifactError, SourceError
from oncopixel.core.hdf5 import FormatError, check_h5ad
from oncopixel.core.params import H5adSource
from oncopixel.core.storage import read_h5ad
from oncopixel.sources import load

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) + 1
OBS = pd.DataFrame({"patient": list("abcd"), "arm": list("aabb")}, list("ABCD"))


def written(folder: Path, form: Callable = np.asarray) -> Path:
    path = folder / "x.h5ad"
    data = anndata.AnnData(form(VALUES), OBS.astype("category"), pd.DataFrame(index=list("xyz")))
    data.uns["colours"] = np.array(["#fff", "#000"], dtype=object)
    data.write_h5ad(path, compression="gzip")
    return path


def external_link(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.ones(3)
    file["uns/out"] = h5py.ExternalLink(str(folder / "other.h5"), "secret")


def virtual(file: h5py.File, folder: Path) -> None:
    external_link(file, folder)
    del file["uns/out"]
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", shape=(3,))
    file.create_virtual_dataset("uns/out", layout)


def external_storage(file: h5py.File, folder: Path) -> None:
    (folder / "raw").write_bytes(b"12345678")
    file.create_dataset("uns/out", (1,), "f8", external=[(str(folder / "raw"), 0, 8)])


def cycle(file: h5py.File, folder: Path) -> None:
    file["uns/out"] = file["uns"]


def deep(file: h5py.File, folder: Path) -> None:
    file.create_group("uns/" + "x/" * 40)


def references(file: h5py.File, folder: Path) -> None:
    file.create_dataset("uns/out", data=[file["obs"].ref], dtype=h5py.ref_dtype)


def huge(file: h5py.File, folder: Path) -> None:
    file.create_dataset("uns/out", (1 << 40,), "f8", chunks=(1 << 10,), compression="gzip")


def huge_chunk(file: h5py.File, folder: Path) -> None:
    made = file.create_dataset("uns/out", (2,), "f8", maxshape=(None,), chunks=(1 << 28,))
    assert made.chunks == (1 << 28,)


HOSTILE = {
    "external link": (external_link, "/uns/out is a link (ExternalLink)"),
    "soft link": (
        lambda file, _: file.__setitem__("uns/out", h5py.SoftLink("/obs")), "is a link (SoftLink)",
    ),
    "virtual dataset": (virtual, "/uns/out lies in another file"),
    "external storage": (external_storage, "/uns/out lies in another file"),
    "a group in itself": (cycle, "/uns/out stands under two names"),
    "too deep": (deep, "deeper than 32 groups"),
    "references": (references, "/uns/out holds references"),
    "declared values": (huge, "/uns/out declares shape (1099511627776,), more than it holds"),
    "a huge chunk": (huge_chunk, "/uns/out has chunks of shape"),
    "a named type": (
        lambda file, _: file.__setitem__("uns/out", np.dtype("f8")), "neither a group nor values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_leads_out_of_the_file_or_holds_nothing_is_refused(tmp_path: Path, case: str) -> None:
    make, said = HOSTILE[case]
    path = written(tmp_path)
    with h5py.File(path, "a") as file:
        make(file, tmp_path)
    with pytest.raises(FormatError) as caught:
        check_h5ad(path)
    assert said in str(caught.value)
    with pytest.raises(SourceError, match=r"x\.h5ad is no readable .h5ad file \(FormatError"):
        load(H5adSource(kind="h5ad", path="x.h5ad", scale="counts"), tmp_path)
    with pytest.raises(ArtifactError, match=r"x\.h5ad is damaged"):
        read_h5ad(path)


PARTS = {
    "an index beyond": ("indices", 0, 3),
    "a far index": ("indices", 5, 2**31 - 1),
    "a negative index": ("indices", 0, -1),
    "a start beyond": ("indptr", 1, 99),
    "a start behind": ("indptr", 2, 1),
    "a first start": ("indptr", 0, 1),
    "a last start": ("indptr", -1, 11),
}


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("case", PARTS)
def test_a_sparse_matrix_that_does_not_hold_together_is_refused(
    tmp_path: Path, form: Callable, case: str
) -> None:
    name, place, value = PARTS[case]
    path = written(tmp_path, form)
    with h5py.File(path, "a") as file:
        file[f"X/{name}"][place] = value + (case == "an index beyond" and form is sparse.csc_matrix)
    with pytest.raises(SourceError, match=rf"\(FormatError: /X/{name} (does not fit|names a pl)"):
        load(H5adSource(kind="h5ad", path="x.h5ad", scale="counts"), tmp_path)


@pytest.mark.parametrize(
    "shape", [(4,), (2**40, 2**40), (4, 2), (-4, 3), (3, 4), (4.0, 3.0), ("a", "b")]
)
def test_a_sparse_matrix_of_another_shape_is_refused(tmp_path: Path, shape: tuple) -> None:
    path = written(tmp_path, sparse.csr_matrix)
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = shape
    with pytest.raises(SourceError, match="FormatError: /X"):
        load(H5adSource(kind="h5ad", path="x.h5ad", scale="counts"), tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_sparse_matrix_is_read_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("sparse"), sparse.csr_matrix)
    with h5py.File(path, "a") as file:
        part = file[f"X/{data.draw(st.sampled_from(['indices', 'indptr']))}"]
        for _ in range(data.draw(st.integers(1, 3))):
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(-2, 20))
    try:
        check_h5ad(path)
    except FormatError:
        return
    assert np.isfinite(anndata.read_h5ad(path).X.toarray()).all()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_what_anndata_writes_passes(tmp_path: Path, form: Callable) -> None:
    check_h5ad(written(tmp_path, form))
    zeros = anndata.AnnData(np.zeros((500, 2_000), np.float32))
    zeros.raw = zeros.copy()
    zeros.obs["empty"] = pd.Series([None] * 500, zeros.obs_names, dtype="boolean")
    zeros.write_h5ad(tmp_path / "z.h5ad", compression="gzip", compression_opts=9)
    check_h5ad(tmp_path / "z.h5ad")
    anndata.AnnData(sparse.csr_matrix((3, 2))).write_h5ad(tmp_path / "n.h5ad")
    check_h5ad(tmp_path / "n.h5ad")


def test_what_is_larger_than_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr("oncopixel.core.hdf5.memory_bytes", lambda: 10)
    with pytest.raises(FormatError, match="more than the memory"):
        check_h5ad(path)
    check_h5ad(path, in_memory=False)


def test_a_file_that_is_no_plain_one_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name, said in (
        ("pipe", "is a device or pipe"),
        ("link", "is a device or pipe"),
        ("device", "does not lie below"),
        ("folder", "is a folder"),
        ("gone", "does not exist"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(SourceError, match=said):
            load(H5adSource(kind="h5ad", path=name, scale="counts"), tmp_path)
    with pytest.raises(OSError, match="no plain file"):
        check_h5ad(tmp_path / "link")
