"""`benchmarks/accuracy.py`, shrunken: one task of segments, two folds, two methods."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
EACH = 30
"""Tumours of a class."""
METHODS = ("hybrid", "logistic_l2")


def segments() -> pd.DataFrame:
    """Of lung cancers; LUSC gains the end of chromosome 3, from about its middle on."""
    rng = np.random.default_rng(0)
    rows = []
    for project in ("LUAD", "LUSC"):
        for i in range(EACH):
            name = f"TCGA-{project[2:]}-{i:04d}-01A"
            for chromosome in range(1, 23):
                size = 45_000_000 if chromosome > 12 else 130_000_000
                edge = int(rng.uniform(0.5, 0.65) * size)
                gains = project == "LUSC" and chromosome == 3
                short, long = rng.normal(0, 0.15, 2)
                long += 0.8 * gains
                rows += [
                    (name, chromosome, 1, edge, 100, short, project),
                    (name, chromosome, edge + 1, size, 100, long, project),
                ]
    heads = ["Sample", "Chromosome", "Start", "End", "Num_Probes", "Segment_Mean", "project"]
    return pd.DataFrame(rows, columns=heads)


def test_the_network_and_its_peers_on_the_same_folds(tmp_path: Path) -> None:
    (tmp_path / "data/tcga-segments").mkdir(parents=True)
    segments().to_parquet(tmp_path / "data/tcga-segments/segments.parquet")
    (tmp_path / "docs").mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"epochs": 3, "patience": 2, "members": 1, "cv_members": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    command = [
        sys.executable, "benchmarks/accuracy.py", "--tasks", "luad_lusc", "--folds", "2",
        "--methods", *METHODS,
    ]  # fmt: skip
    told = {
        "PYTHONPATH": str(ROOT / "src"), "ONCOPIXEL_DATA": str(tmp_path / "data"),
        "LOKY_MAX_CPU_COUNT": "1",
    }  # fmt: skip
    ran = [
        subprocess.run(command, cwd=tmp_path, env=os.environ | told, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert ran[0].returncode == 0, ran[0].stderr[-3000:]
    assert ran[1].stdout == ""  # it goes on where it stopped: nothing is left to fit
    rows = pd.read_csv(tmp_path / "docs/accuracy.csv")
    fits = set(zip(rows["method"], rows["fold"], strict=True))
    assert fits >= {(name, k) for name in (*METHODS, "linear path") for k in (0, 1)}
    sizes = rows[["fold", "held_out"]].drop_duplicates()
    assert (len(sizes), sizes["held_out"].sum()) == (2, 2 * EACH)
    assert (rows["auc"] > 0.9).all(), rows


def test_the_scores_in_the_readme_are_those_of_the_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    summary = importlib.import_module("accuracy_summary")
    rows = pd.read_csv(ROOT / "docs/accuracy.csv").to_dict("records")
    assert summary.in_short(summary.in_order(rows)) in (ROOT / "README.md").read_text("utf-8")
