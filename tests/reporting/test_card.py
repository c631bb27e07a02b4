"""The model card: what a reader must know is there, nothing from outside is more than text."""

import re
import typing
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from oncopixel.core.params import Source, read_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import write_json
from oncopixel.pages.tables import NOTHING
from oncopixel.reporting.card import COVERED, MOST, ORIGINS, render_card
from oncopixel.stages import report as command

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script>\n# Heading | cell `code` [link](https://evil.example) **bold**"
CLASSES = ["wild-type", "mutated"]


def interval(value: float | None, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "low": low, "high": high}


def of_both(**scores: dict) -> dict:
    return {"cv": scores, "test": scores}


def group(samples: int, minus_all: dict, roc_auc: float = 0.8) -> dict:
    return {
        "samples": samples, "patients": samples, "samples_of_class": dict.fromkeys(CLASSES, 9),
        "roc_auc": interval(roc_auc, 0.7, 0.9), "sensitivity": interval(0.75, 0.6, 0.9),
        "specificity": interval(0.625, 0.5, 0.7), "minus_all": minus_all,
    }  # fmt: skip


def part(groups: dict, few: int = 0, alike: int = 0, unknown: int = 0) -> dict:
    return {
        "groups": groups, "fewer_than_10_samples": few, "fewer_than_5_of_a_class": alike,
        "unknown": unknown,
    }  # fmt: skip


SCORES = {
    name: interval(0.5, 0.4, 0.6)
    for name in (
        "sensitivity", "specificity", "balanced_accuracy", "pr_auc", "mcc", "calibration_slope",
        "calibration_intercept", "ece", "brier",
    )
}  # fmt: skip
COUNTS = {
    "samples": 40, "patients": 39, "samples_of_class": {"wild-type": 30, "mutated": 10},
}  # fmt: skip
RESULTS = {
    "model": {
        "oncopixel": "1.2.3", "label": "mutation status of KEAP1", "origin": "TCGA-LUAD",
        "classes": CLASSES, "threshold": 0.25, "channels": ["expression"], "scale": "log2",
        "image": [100, 100], "genes": 10_000, "members": 3, "sha256": {"ensemble.keras": "ab12"},
    },
    "validation": {"notes": ["61 samples dropped: not of sample type 01"]},
    "evaluation": {
        "verdict": "signal",
        "warnings": ["Only 10 test samples are mutated."],
        "data": {"cv": COUNTS | {"samples": 123}, "test": COUNTS},
        "models": {
            "cnn": {
                "cv": {"roc_auc": interval(0.91, 0.88, 0.94), **SCORES},
                "test": {"roc_auc": interval(0.97, 0.95, 0.99), **SCORES},
            },
            "clinical": of_both(roc_auc=interval(0.55, 0.45, 0.65)),
            "panel_5": of_both(roc_auc=interval(0.85, 0.8, 0.9)),
            "panel_10": of_both(roc_auc=interval(0.86, 0.8, 0.9)),
            "elastic_net": of_both(roc_auc=interval(0.87, 0.8, 0.9)),
        },
        "best_baseline": "elastic_net",
        "cnn_minus": {"elastic_net": of_both(roc_auc=interval(0.04, 0.01, 0.07))},
        "permutation_p": {"cv": 0.001, "test": 0.002},
        "groups": {
            "sex": {
                "cv": part({
                    "female": group(30, interval(-0.1, -0.2, -0.05)),
                    "male": group(31, interval(0.1, 0.05, 0.2)),
                }),
                "test": part({"female": group(12, interval(0.01, -0.2, 0.2))}, few=1),
            },
            "site": {"cv": part({}, few=14, alike=1, unknown=2), "test": part({}, few=20)},
        },
    },
    "summary": {
        "confounders": {
            "confounders": [{
                "confounder": "library_size", "known": 120, "label": {"strength": 0.11},
                "score": {"strength": 0.22, "remaining": 0.33},
            }]
        }
    },
    "external": {"external": None},
}  # fmt: skip
EXTERNAL = {
    "origin": "Singapore", "align": "zscore", "channels_absent": ["mutation"],
    "data": {"samples": 80, "patients": 79},
    "genes": {"shared": 900, "used": 890, "of_the_model": 1000, "of_the_model_missing": 100},
    "scores": {"external": {"roc_auc": interval(0.77, 0.7, 0.84)}},
}  # fmt: skip


def settings(name: str = "luad-keap1", **sections: dict) -> dict:
    params = read_params(ROOT / "params.yaml")
    found = params.model_dump(exclude={"cohorts", "tune"})
    found["cohort"] = params.cohort(name).model_dump()
    for section, values in sections.items():
        found[section] = found[section] | values
    return found


def render(params: dict | None = None, *, panel_size: int = 5, **changes: dict) -> str:
    """The card of `RESULTS`, with other values of some entries."""
    results = {name: deepcopy(of) | changes.get(name, {}) for name, of in RESULTS.items()}
    return render_card("luad-keap1", params or settings(), **results, panel_size=panel_size)


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the tables in a section."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_it_says_what_a_reader_must_know() -> None:
    text = render()
    assert "not for diagnosis" in text.split("## ")[0]
    for said in (
        "Outcome: mutation status of KEAP1", "TCGA-LUAD", "61 samples dropped", "**signal**",
        "Only 10 test samples are mutated.", "An ensemble of 3 networks", "10,000 genes",
        "README.md in `data/bundled/tcga-luad`", "oncopixel `1.2.3`", "`ab12`",
        "oncopixel predict models/luad-keap1 expression.tsv --scale log2\n",
        "(`mutated` from 0.25 on)", "p = 0.002", "None was looked at",
    ):  # fmt: skip
        assert said in text, said
    assert rows(text, "Data")[1:] == [
        ["development", "123", "39", "30", "10"],
        ["test", "40", "39", "30", "10"],
    ]
    assert ["library size", "120", "0.11", "0.22", "0.33"] in rows(text, "Limits and confounders")
    assert not {"nan", "True", "False"} & set(re.findall(r"\w+", text))
    assert "\n\n\n" not in text
    assert text.endswith("\n")


def test_scores_stand_beside_those_of_the_best_simple_model() -> None:
    found = rows(render(panel_size=10), "Scores")
    assert [row[0] for row in found[1:5]] == [
        "the network", "panel of 10 features", "clinical data, no gene",
        "elastic net, the best simple model",
    ]  # fmt: skip
    assert found[1][1:] == ["0.910 (0.880 to 0.940)", "0.970 (0.950 to 0.990)"]
    assert "0.0400 (0.0100 to 0.0700) in cross-validation" in render()


def test_groups_that_are_served_worse_are_marked_and_small_ones_counted() -> None:
    text = render()
    found = {tuple(row[1:3]): row[-1] for row in rows(text, "Scores by group")[1:]}
    assert found == {
        ("female", "cross-validation"): "lower",
        ("male", "cross-validation"): "higher",
        ("female", "test"): NOTHING,
    }
    assert "sex, test: 1 group with fewer than 10 samples" in text
    assert (
        "site, cross-validation: 14 groups with fewer than 10 samples, 1 group with fewer than 5 "
        "of a class, 2 samples of unknown site"
    ) in text
    many = {f"S{n:02d}": group(20 + n, interval(0.0, -0.1, 0.1)) for n in range(MOST + 3)}
    of_sites = {"groups": {"site": {"cv": part(many), "test": part({})}}}
    text = render(evaluation=of_sites)
    assert [row[1] for row in rows(text, "Scores by group")[1:]] == sorted(many)[3:]
    assert "site, cross-validation: 3 groups in evaluation.json" in text
    assert "No group of known sex" in render(evaluation={"groups": {}})


def test_scores_that_are_undefined_are_left_out() -> None:
    groups = {"sex": {"cv": part({"male": group(30, interval(0.1))}), "test": part({})}}
    groups["sex"]["cv"]["groups"]["male"]["roc_auc"] = interval(None)
    row = rows(render(evaluation={"groups": groups}), "Scores by group")[1]
    assert row[5] == row[-1] == NOTHING


def test_an_external_cohort_and_many_classes() -> None:
    text = render(external=EXTERNAL)
    assert rows(text, "Another cohort")[1:] == [["external", "0.770 (0.700 to 0.840)"]]
    assert "80 samples of 79 patients, without mutation" in text
    several = {"classes": ["A", "B", "C"], "threshold": None}
    data = {"samples": 9, "patients": 9, "samples_of_class": {"A": 2, "B": 3, "C": 4}}
    text = render(model=several, evaluation={"data": {"cv": data, "test": data}})
    assert "By the most probable class" in text
    assert "threshold" not in text
    assert rows(text, "Data")[1] == ["development", "9", "9", "2", "3", "4"]


def test_simulated_data_are_called_so() -> None:
    assert "Simulated data" in render(settings("simulated"))
    assert "Simulated data" not in render()


@pytest.mark.parametrize(
    ("channels", "adjust", "expected"),
    [
        (["expression"], ["batch"], "expression.tsv --scale log2 --samples samples.csv"),
        (["copy_number"], [], "segments.seg"),
        (
            ["expression", "copy_number", "mutation"],
            [],
            "expression.tsv --scale log2 --copy-number copy_number.tsv --mutation mutation.tsv",
        ),
    ],
)
def test_the_command_fits_the_model(channels: list, adjust: list, expected: str) -> None:
    text = render(settings(preprocess={"adjust": adjust}), model={"channels": channels})
    assert f"\noncopixel predict models/luad-keap1 {expected}\n" in text


def test_segments_tell_their_genome() -> None:
    source = {"kind": "segments", "build": "hg19", "pixels": "bins", "copy_number": None}
    text = render(settings(cohort={"source": source}))
    assert "Genome: hg19" in text
    assert "10,000 bins of the genome" in text
    assert "whoever made the files" in text


def test_every_kind_of_source_has_its_licence_or_is_of_files_of_ones_own() -> None:
    union = typing.get_args(typing.get_args(Source)[0])
    kinds = {typing.get_args(kind.model_fields["kind"].annotation)[0] for kind in union}
    assert kinds - set(ORIGINS) == {"files", "segments", "h5ad"}


def test_what_comes_from_outside_is_text_and_nothing_else() -> None:
    evil = {"label": EVIL, "origin": EVIL, "classes": [EVIL, "B"], "oncopixel": EVIL}
    data = COUNTS | {"samples_of_class": {EVIL: 30, "B": 10}}
    groups = {"site": {"cv": part({EVIL: group(9, interval(0.0, -1.0, 1.0))}), "test": part({})}}
    text = render(
        model=evil,
        validation={"notes": [EVIL]},
        evaluation={"data": {"cv": data, "test": data}, "groups": groups, "warnings": [EVIL]},
        external=EXTERNAL | {"origin": EVIL, "channels_absent": [EVIL]},
    )
    plain = re.sub(r"`[^`\n]*`", "", text.replace("\\`", ""))  # code shows what it is
    assert "<" not in plain.replace("\\<", "")
    assert "**bold**" not in plain
    assert not re.search(r"(?<!\\)\[link", plain)
    assert text.count("\n# ") == 0  # the only one is the first line
    for name, cells in (("Data", 5), ("Scores by group", 9)):
        for row in rows(text.replace("\\|", "/"), name):
            assert len(row) == cells, row


def test_the_guideline_s_items_lead_to_parts_of_the_card() -> None:
    headings = set(re.findall(r"^## (.*)$", render(), re.MULTILINE))
    for item, _, where in COVERED:
        assert any(place.strip() in headings for place in where.split(";")) or item in ("12e", "22")


def test_the_same_results_give_the_same_card() -> None:
    assert render(external=EXTERNAL) == render(external=EXTERNAL)


def test_the_stage_writes_it_beside_the_model_from_its_own_inputs(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "luad-keap1")
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["report"]
    for kind, name in (
        ("models", "model"), ("reports", "validation"), ("reports", "evaluation"),
        ("reports", "external"),
    ):  # fmt: skip
        assert f"{kind}/${{key}}/{name}.json" in stage["do"]["deps"]
        write_json(tmp_path / kind / "luad-keap1" / f"{name}.json", RESULTS[name])
    write_json(paths.report("biomarkers.json"), RESULTS["summary"])
    write_json(paths.model("panel.json"), {"size": 5})
    command.write_card(paths, settings(), tuned=False)
    text = paths.model("card.md").read_text(encoding="utf-8")
    assert text == render()
    assert {"models/${key}/card.md": {"cache": False}} in stage["do"]["outs"]
    command.write_card(paths, settings(), tuned=True)
    assert "were searched" in paths.model("card.md").read_text(encoding="utf-8")
