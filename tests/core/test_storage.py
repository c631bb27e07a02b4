"""Files are written whole or not at all, with stable bytes, and damage is noticed."""

import fcntl
import json
import math
import os
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oncopixel.cohort.contract import Cohort, build_cohort, read_cohort, write_cohort
from oncopixel.core import storage as artifacts
from oncopixel.core.errors import ArtifactError, OutputError


def small_cohort() -> Cohort:
    rng = np.random.default_rng(0)
    samples, genes = [f"s{i}" for i in range(6)], [f"g{i}" for i in range(4)]
    expression = pd.DataFrame(rng.random((6, 4)), index=samples, columns=genes)
    sheet = pd.DataFrame({"patient": samples, "age": 60.5, "sex": ["f", None] * 3}, index=samples)
    annotated = pd.DataFrame({"ensembl_id": "", "chromosome": "1", "start": 5}, index=genes)
    mutation = (expression > 0.5).astype(float).iloc[1:]
    truth = pd.DataFrame({"gene": ["g1"], "channel": ["expression"], "kind": ["linear"]})
    return build_cohort(
        expression, sheet, annotated, scale="tpm", origin="a test", notes=["one"],
        mutation=mutation, truth=truth,
    )  # fmt: skip


def tiny_model(seed: int = 1):
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4, 4, 1), name="images")
    x = keras.layers.Conv2D(2, 3, name="conv", kernel_regularizer=keras.regularizers.L2(0.1))(
        inputs
    )
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(0.5, seed=seed, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(x), name="tiny")


def test_json_is_sorted_rounded_and_finite(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    artifacts.write_json(
        path,
        {"b": np.float32(1 / 3), "a": [np.int64(2), True, math.nan], "c": {2: 1e-12, "x": None}},
    )
    assert path.read_text() == (
        '{\n  "a": [\n    2,\n    true,\n    null\n  ],\n  "b": 0.333333,\n'
        '  "c": {\n    "2": 1e-12,\n    "x": null\n  }\n}\n'
    )
    assert artifacts.read_json(path)["b"] == 0.333333


def test_parquet_keeps_values_and_metadata_exactly(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.1, math.inf], "name": ["a", "ß"], "n": [1, 2]})
    artifacts.write_parquet(tmp_path / "x.parquet", frame, {"k": [1, 2]})
    again, metadata = artifacts.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(again, frame)
    assert metadata == {"k": [1, 2]}


def test_npy_comes_back_read_only(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    artifacts.write_npy(tmp_path / "x.npy", array)
    again = artifacts.read_npy(tmp_path / "x.npy")
    np.testing.assert_array_equal(again, array)
    with pytest.raises(ValueError, match="read-only"):
        again[0, 0] = 1


def test_cohort_comes_back_equal_and_is_written_with_the_same_bytes(tmp_path: Path) -> None:
    cohort = small_cohort()
    write_cohort(tmp_path / "a.h5ad", cohort)
    again = read_cohort(tmp_path / "a.h5ad")
    for channel in ("expression", "mutation"):
        np.testing.assert_array_equal(again.layer(channel), cohort.layer(channel))
    assert np.isnan(again.layer("mutation")[0]).all()
    assert again.channels == ["expression", "mutation"]
    assert again.samples["sex"].tolist() == ["f", ""] * 3
    assert again.truth is not None
    assert again.truth.to_dict("records") == cohort.truth.to_dict("records")
    write_cohort(tmp_path / "b.h5ad", again)
    assert artifacts.sha256(tmp_path / "a.h5ad") == artifacts.sha256(tmp_path / "b.h5ad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.obs.pop("patient"), "obs column `patient`"),
        (lambda d: d.var.pop("start"), "var column `start`"),
        (lambda d: d.uns.pop("scale"), "uns entry `scale`"),
        (lambda d: d.layers.clear(), "has no layer"),
        (lambda d: d.layers.update(methylation=d.layers["expression"]), "unknown layer `methyl"),
    ],
)
def test_a_file_that_breaks_the_contract_is_no_cohort(
    tmp_path: Path, change: Callable, message: str
) -> None:
    cohort = small_cohort()
    change(cohort.data)
    artifacts.write_h5ad(tmp_path / "x.h5ad", cohort.data)
    with pytest.raises(ArtifactError, match=message):
        read_cohort(tmp_path / "x.h5ad")


def test_a_clock_before_1980_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = time.gmtime(0)
    monkeypatch.setattr(time, "localtime", lambda *_: long_ago)
    with pytest.raises(OutputError, match=r"x\.keras cannot be written: the clock .* before 1980"):
        artifacts.write_keras(tmp_path / "x.keras", tiny_model())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_keras_bytes_depend_on_the_model_only(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from test_storage import tiny_model; from oncopixel.core.storage import write_keras;"
        "write_keras(Path(sys.argv[1]), tiny_model())"
    )
    other = tmp_path / "other.keras"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(other), str(Path(__file__).parent)],
        check=True,
    )
    path = tmp_path / "x.keras"
    artifacts.write_keras(path, tiny_model())
    assert artifacts.sha256(path) == artifacts.sha256(other)
    artifacts.write_keras(other, tiny_model(2))
    assert artifacts.sha256(path) != artifacts.sha256(other)


def test_plain_keras_reads_the_canonical_file(tmp_path: Path) -> None:
    import keras

    model = tiny_model()
    artifacts.write_keras(tmp_path / "x.keras", model)
    images = np.random.default_rng(0).random((3, 4, 4, 1), dtype=np.float32)
    again = keras.saving.load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(again(images), model(images))
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["date_saved"] == "1980-01-01@00:00:00"


def test_a_keras_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    model.save(tmp_path / "evil.keras")
    with pytest.raises(ArtifactError, match=r"evil\.keras"):
        artifacts.read_keras(tmp_path / "evil.keras")


READERS = {
    "x.json": artifacts.read_json,
    "x.csv": artifacts.read_csv,
    "x.parquet": artifacts.read_parquet,
    "x.npy": artifacts.read_npy,
    "x.h5ad": read_cohort,
    "x.keras": artifacts.read_keras,
}


@pytest.mark.parametrize("name", READERS)
def test_missing_files_name_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=rf"{name} does not exist\. Run `dvc repro`"):
        READERS[name](tmp_path / name)


GARBAGE = b"\x00garbage\xff" * 9


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, b"") for name in READERS] + [(name, GARBAGE) for name in READERS if name != "x.csv"],
)
def test_damaged_files_are_noticed(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize("name", ["x.parquet", "x.npy", "x.h5ad", "x.keras"])
def test_truncated_files_are_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "x.parquet":
        artifacts.write_parquet(path, pd.DataFrame({"x": range(1000)}))
    elif name == "x.npy":
        artifacts.write_npy(path, np.arange(1000))
    elif name == "x.h5ad":
        write_cohort(path, small_cohort())
    else:
        artifacts.write_keras(path, tiny_model())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        READERS[name](path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="damaged"):
        artifacts.read_npy(tmp_path / "x.npy")


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    artifacts.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        artifacts.write_json(path, {"a": object()})

    def interrupted() -> None:
        with artifacts.atomic(path) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert artifacts.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


WRITER = """
import signal
import sys
from pathlib import Path
from oncopixel.core.storage import atomic
with atomic(Path(sys.argv[1])) as scratch:
    scratch.write_text("half")
    print(scratch, flush=True)
    signal.pause()
"""


def writer(path: Path) -> tuple[subprocess.Popen, Path]:
    """A process amid writing, and the file that it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


OTHERS = [
    ".oncopixel-settings",
    ".oncopixel-settings.json",
    ".oncopixel-external.json",
    ".oncopixel-abc_efg0/x.json",
    ".oncopixel-partial-notes/x.json",
    ".oncopixel-partial-settings.d/x.json",
    ".oncopixel-partial-file0123",
    "oncopixel-partial-abcdefgh/x.json",
    "sub/.oncopixel-partial-abc_efg0/x.json",
]


def test_what_a_kill_left_behind_is_removed_by_the_next_write_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for name in OTHERS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kept")
    process, scratch = writer(path)
    end(process)
    assert scratch.read_text() == "half"
    assert scratch.parent.parent == tmp_path
    artifacts.write_json(path, {"a": 1})
    assert not scratch.parent.exists()
    assert [(tmp_path / name).read_text() for name in OTHERS] == ["kept"] * len(OTHERS)


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    """Also when who began earlier has ended, and from within the same process."""
    first, _ = writer(tmp_path / "a.json")
    second, scratch = writer(tmp_path / "b.json")
    end(first)
    with artifacts.atomic(tmp_path / "c.json") as own:
        artifacts.write_json(tmp_path / "d.json", {})
        assert scratch.read_text() == "half"
        assert own.exists()
    end(second)
    assert sorted(p.name for p in tmp_path.glob("*.json")) == ["c.json", "d.json"]


def test_a_lock_that_somebody_has_on_the_folder_stops_no_write(tmp_path: Path) -> None:
    command = "import sys; from oncopixel.core.storage import *; write_text(Path(sys.argv[1]), 'a')"
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-c", command, str(tmp_path / "x")], check=True)
    finally:
        os.close(handle)
    assert (tmp_path / "x").read_text() == "a"


def test_a_folder_that_is_cleared_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def cleared_once(**options: Any) -> str:
        made.append(mkdtemp(**options))
        if len(made) == 1:
            artifacts.write_text(tmp_path / "y", "b")  # by somebody else, between the two steps
        return made[-1]

    mkdtemp = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", cleared_once)
    artifacts.write_text(tmp_path / "x", "a")
    assert len(made) == 3
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"x": "a", "y": "b"}


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        artifacts.write_text(tmp_path / "x", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_place_without_new_folders() -> None:
    with pytest.raises(OutputError, match="its folder does not exist and cannot be made"):
        artifacts.write_json(Path("/proc/no/such/place.json"), {})


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I am a file")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        artifacts.write_json(tmp_path / "data" / "x.json", {})


def test_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "x.json"
    artifacts.write_json(path, {"a": 1})

    def write_to_a_full_disk() -> None:
        with artifacts.atomic(path), Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OutputError, match=r"x\.json cannot be written: the disk is full"):
        write_to_a_full_disk()
    assert artifacts.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_full_disk_under_a_real_write(tmp_path: Path) -> None:
    """A file-size limit makes HDF5, Parquet and NumPy fail in the middle of a write."""
    program = (
        "import resource, signal, sys; from pathlib import Path; import numpy as np;"
        "import pandas as pd; sys.path.insert(0, sys.argv[2]);"
        "from test_storage import small_cohort;"
        "from oncopixel.core import storage as artifacts;"
        "from oncopixel.cohort.contract import write_cohort;"
        "from oncopixel.core.errors import OutputError;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512));"
        "folder = Path(sys.argv[1]);"
        "frame = pd.DataFrame({'x': np.random.default_rng(0).random(5000)});"
        "writes = [lambda: artifacts.write_npy(folder / 'x.npy', frame.to_numpy()),"
        " lambda: artifacts.write_parquet(folder / 'x.parquet', frame),"
        " lambda: artifacts.write_csv(folder / 'x.csv', frame),"
        " lambda: write_cohort(folder / 'x.h5ad', small_cohort())]\n"
        "for write in writes:\n"
        "  try: write()\n"
        "  except OutputError as error: print(error)\n"
    )
    if os.name != "posix":
        pytest.skip("needs POSIX limits")
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout.count("cannot be written") == 4, result.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [lambda b: b + b"\0", lambda b: b + bytes(4096), lambda b: b[:-1]]
)
def test_an_array_is_as_long_as_its_header_says(tmp_path: Path, change: Callable) -> None:
    path = tmp_path / "x.npy"
    artifacts.write_npy(path, np.arange(100, dtype=np.float32))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"x\.npy is damaged"):
        artifacts.read_npy(path)


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "9" * 5000, "[" * 10**6]
)
def test_json_that_says_what_we_never_write(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"x\.json is damaged"):
        artifacts.read_json(tmp_path / "x.json")


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
def test_a_network_with_a_weight_that_is_no_number(tmp_path: Path, weight: float) -> None:
    model = tiny_model()
    weights = model.get_weights()
    weights[0][0] = weight
    model.set_weights(weights)
    artifacts.write_keras(tmp_path / "x.keras", model)
    with pytest.raises(ArtifactError, match="a weight is no finite number"):
        artifacts.read_keras(tmp_path / "x.keras")


def test_temporary_files_lie_beside_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the system's folder for them were full."""
    model = tiny_model()
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    artifacts.write_keras(tmp_path / "x.keras", model)
    artifacts.read_keras(tmp_path / "x.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


@pytest.mark.slow
def test_the_advice_restores_a_file_that_is_damaged_in_the_cache_of_dvc(tmp_path: Path) -> None:
    """DVC itself takes the damaged object, whatever it is told."""
    tools = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
    }

    def sh(command: str) -> None:
        subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True, env=environment)

    path = tmp_path / "data/mine x.json"
    sh("""mkdir data; dvc init -q --no-scm
    dvc stage add -q -n a -o 'data/mine x.json' \
      "printf '{}' > 'data/mine x.json'"; dvc repro -q""")
    (cached,) = (p for p in (tmp_path / ".dvc/cache/files").rglob("*") if p.is_file())
    cached.chmod(0o644)
    cached.write_bytes(b"{!")
    cached.chmod(0o444)
    sh("rm 'data/mine x.json'; dvc checkout -q; dvc repro -q --force")
    with pytest.raises(ArtifactError, match="is damaged") as caught:
        artifacts.read_json(path)
    advice = str(caught.value)
    sh(advice[advice.index("`rm") + 1 :].partition("`")[0])
    sh("dvc repro -q")
    assert artifacts.read_json(path) == {}
