"""Whole processes: killed ones, those of users with settings of their own, `noise` as it is run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import yaml

from conftest import ROOT
from oncopixel.core.storage import read_keras
from oncopixel.networks.training import predict_logits

SCRIPT = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, "tests/networks")
from test_training import make_data, make_params
from oncopixel import train
from oncopixel.core.storage import write_csv, write_keras
from oncopixel.networks.training import describe, fit_ensemble, set_up
folder, out = map(Path, sys.argv[1:3])

def write_and_halt(path, model):
    write_keras(path, model)
    print("halted", flush=True)
    signal.pause()

if "halt" in sys.argv:
    train.write_keras = write_and_halt
params = make_params(epochs=2)
set_up(params)
images, y, patients = make_data()
model, history = fit_ensemble(
    images, y, patients, params, seeds=[1, 2, 3], n_classes=2, folder=folder
)
write_keras(out.with_suffix(".keras"), model)
write_csv(out.with_suffix(".csv"), history)
"""


def start(*arguments: Path | str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": "src", "PYTHONHASHSEED": "random"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_killed_run_resumes_to_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = start(tmp_path / "a", tmp_path / "whole")
    killed = start(tmp_path / "b", tmp_path / "resumed", "halt")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "halted\n"
    kept = list(tmp_path.glob("b/member-1-*.keras"))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "resumed.keras").exists()
    before = kept[0].stat().st_mtime_ns
    again = start(tmp_path / "b", tmp_path / "resumed")
    for process in (whole, again):
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
    assert kept[0].stat().st_mtime_ns == before
    for suffix in (".keras", ".csv"):
        digests = [
            hashlib.sha256((tmp_path / name).with_suffix(suffix).read_bytes()).hexdigest()
            for name in ("whole", "resumed")
        ]
        assert digests[0] == digests[1], suffix
    loaded = read_keras(tmp_path / "resumed.keras")
    assert isinstance(loaded, keras.Model)
    images = np.zeros((7, *loaded.input_shape[1:]), np.float32)
    assert predict_logits(loaded, images).shape == (7, 3, 2)


HOSTILE = """
import os, sys
from pathlib import Path
home = Path(os.environ["KERAS_HOME"])
import oncopixel
from oncopixel.core.params import read_params
from oncopixel.networks.architectures import build
from oncopixel.core.storage import sha256, write_keras
import keras
params = read_params(Path("params.yaml")).train
write_keras(home / "x.keras", build("patch", (10, 10, 1), 2, params))
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.backend(),
      keras.config.epsilon(), sha256(home / "x.keras"))
"""


def test_settings_of_the_user_change_nothing(tmp_path: Path) -> None:
    said = set()
    for name, settings, hostile in (
        ("none", None, {}),
        (
            "hostile",
            {"floatx": "float64", "image_data_format": "channels_first", "backend": "jax"},
            {"KERAS_BACKEND": "torch", "PYTHONOPTIMIZE": "2"},
        ),
    ):
        home = tmp_path / name / ".keras"
        home.mkdir(parents=True)
        if settings:
            (home / "keras.json").write_text(json.dumps(settings))
        environment = {"HOME": str(home.parent), "KERAS_HOME": str(home), "PYTHONPATH": "src"}
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", HOSTILE], capture_output=True, text=True,
            check=False, env=os.environ | environment | hostile, cwd=ROOT,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        said.add(result.stdout)
    assert len(said) == 1
    assert said.pop().startswith("float32 channels_last tensorflow 1e-07 ")


def test_random_numbers_give_no_signal_at_the_command_line(
    raw_params: dict, tmp_path: Path
) -> None:
    given = yaml.safe_load(yaml.safe_dump(raw_params))
    given["split"]["folds"] = 3
    given["train"] |= {"epochs": 3, "patience": 3, "members": 1}
    given["evaluate"] |= {"bootstrap": 400, "permutations": 999}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "oncopixel", "noise", "--samples", "200", "--side", "20",
            "--folder", "kept", "--out", "noise.json",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        # one at a time, so in this one process: starting more takes longer than the work
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "LOKY_MAX_CPU_COUNT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "noise.json").read_text(encoding="utf-8"))
    assert found["verdict"] in {"no signal", "inconclusive"}
    assert f"verdict: {found['verdict']}" in done.stdout
    assert found["image"] == [20, 20, 3]
    for model in ("cnn", "logistic_l2"):
        for part in ("cv", "test"):
            assert abs(found["roc_auc"][model][part]["value"] - 0.5) < 0.25
    assert found["permutation_p"]["test"] > 0.005
    assert found["markers_selected"] == 0
    assert "evaluate:" in done.stderr
    assert (tmp_path / "kept/reports/noise/metrics.json").is_file()
