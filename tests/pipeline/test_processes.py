"""Whole processes: those of users with settings of their own, `noise` as it is run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from conftest import ROOT

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
write_keras(home / "x.keras", build((22, 22, 1), 2, params))
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
