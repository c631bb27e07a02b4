"""A change of a cohort's entry reaches the stages that read it, and no other."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncopixel import cli
from oncopixel.core.params import Params, parse_params
from oncopixel.core.project import Paths
from oncopixel.stages import plan

ROOT = Path(__file__).parents[2]
FITTING = {"train", "stability", "external"}


def planned(raw: dict, folder: Path) -> dict[str, bytes]:
    """What `plan` writes for the simulated cohort, by name."""
    plan.run(Paths(folder, "simulated"), parse_params(raw))
    return {path.name: path.read_bytes() for path in (folder / "data/simulated/plan").iterdir()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": {}}, set()),
        ({"train": {"epochs": 9}}, FITTING),
        ({"train": {"seed": 2}}, FITTING | {"biomarkers"}),
        ({"train": {"threads": 2, "epochs": 9}}, FITTING | {"biomarkers"}),
        ({"claim": "associated"}, {"biomarkers"}),
        ({"image": [50, 50]}, {"validate", "preprocess", "baselines", "train", "external"}),
    ],
)
def test_the_stages_that_read_a_part_of_the_entry_depend_on_it(
    raw_params: dict, tmp_path: Path, change: dict[str, Any], expected: set[str]
) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["train"] = {}
    before = planned(raw, tmp_path)
    raw["cohorts"]["simulated"] |= change
    after = planned(raw, tmp_path)
    changed = {f"data/${{key}}/plan/{name}" for name in after if after[name] != before[name]}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    outs = set(map(str, stages["plan"]["do"]["outs"]))
    assert {f"data/${{key}}/plan/{name}" for name in after} <= outs
    assert {name for name, of in stages.items() if changed & set(of["do"]["deps"])} == expected


def test_a_stage_runs_with_the_values_of_its_cohort(raw_params: dict, tmp_path: Path) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["train"] = {"epochs": 9, "filters": [4]}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    given: dict[str, Params] = {}
    for cohort in ("simulated", "luad-keap1"):
        cli._run(
            "train",
            lambda paths, params: given.update({paths.cohort: params}),
            cohort,
            file,
            tmp_path,
        )
    own, other = (given[name].train.model_dump() for name in ("simulated", "luad-keap1"))
    assert other == raw["train"]
    assert own == raw["train"] | {"epochs": 9, "filters": [4]}
