"""params.yaml: what is accepted, and what is said about the rest."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from oncopixel.errors import ParamsError
from oncopixel.params import parse_params, read_params

ROOT = Path(__file__).parents[2]


def test_the_shipped_file_is_valid() -> None:
    params = read_params(ROOT / "params.yaml")
    assert params.cohort("tcga-luad").shape == (100, 100)
    assert params.cohort("simulated").channels == ["expression", "copy_number", "mutation"]


def put(path: str, value: object) -> Callable[[dict], None]:
    def change(raw: dict) -> None:
        *place, last = path.split("/")
        for part in place:
            raw = raw[part]
        raw[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("train/learning_rat", 1.0), "`train.learning_rat` (did you mean learning_rate?)"),
        (put("trian", {}), "unknown key `trian` (did you mean train?)"),
        (put("cohorts/simulated/lable", "x"), "`cohorts.simulated.lable` (did you mean label?)"),
        (
            put("cohorts/simulated/source/n_sample", 3),
            "`cohorts.simulated.source.n_sample` (did you mean n_samples",
        ),
        (put("cohorts/simulated/source", {"kind": "sim"}), "`cohorts.simulated.source`: input tag"),
        (put("cohorts/simulated/source", {}), "`cohorts.simulated.source`"),
        (put("train/epochs", 0), "`train.epochs`: input should be greater than or equal to 1"),
        (put("train/epochs", "many"), "`train.epochs`: input should be a valid integer (it is 'm"),
        (put("train/epochs", 2.5), "`train.epochs`"),
        (put("train/class_weights", "yes"), "`train.class_weights`: input should be a valid bool"),
        (put("train/dropout", 1.0), "`train.dropout`: input should be less than 1"),
        (put("train/model", "resnet"), "`train.model`: input should be 'hybrid', 'patch' or 'pape"),
        (put("split/test_fraction", 0.0), "`split.test_fraction`: input should be greater than 0"),
        (put("split/folds", 1), "`split.folds`"),
        (put("split/seed", -1), "`split.seed`"),
        (put("preprocess/layout", "hilbert"), "`preprocess.layout`"),
        (put("baselines/models", []), "`baselines.models`: list should have at least 1 item"),
        (put("baselines/models", ["svm"]), "`baselines.models.0`"),
        (put("cohorts", {}), "`cohorts`: dictionary should have at least 1 item"),
        (put("cohorts/bad name", {"source": {"kind": "bundled"}}), "`cohorts.bad name.inputs` is"),
        (put("cohorts/simulated/label", "status"), "label 'status' is not `sample_type`, `column:"),
        (put("cohorts/simulated/label", "mutation:"), "label 'mutation:' is not"),
        (put("cohorts/simulated/channels", []), "`cohorts.simulated.channels`"),
        (put("cohorts/simulated/channels", ["rna"]), "`cohorts.simulated.channels.0`"),
        (put("cohorts/simulated/channels", ["mutation"] * 2), "a channel is named twice"),
        (put("cohorts/simulated/image", [50]), "`cohorts.simulated.image`: list should have at le"),
        (put("cohorts/simulated/image", [0, 50]), "`cohorts.simulated.image.0`"),
        (lambda raw: raw.pop("train"), "`train` is missing"),
        (lambda raw: raw["train"].pop("model"), "`train.model` is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    raw_params: dict, change: Callable[[dict], None], message: str
) -> None:
    raw = copy.deepcopy(raw_params)
    change(raw)
    with pytest.raises(ParamsError) as caught:
        parse_params(raw, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_cohort_name_must_be_a_file_name(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["../up"] = raw["cohorts"]["simulated"]
    with pytest.raises(ParamsError, match=r"^params: cohort name '\.\./up': use letters"):
        parse_params(raw)


def test_a_cohort_name_that_yaml_takes_for_a_number_needs_quotes(raw_params: dict) -> None:
    cohorts = {2023: raw_params["cohorts"]["simulated"]}
    with pytest.raises(ParamsError, match=r"`cohorts\.2023` must be a text: put it in quotes"):
        parse_params(raw_params | {"cohorts": cohorts})


@pytest.mark.parametrize(
    "inputs", ["data/simulated", "./data/own/../simulated/", "models", "reports/simulated", "."]
)
def test_inputs_and_results_must_be_apart(raw_params: dict, inputs: str) -> None:
    cohort = raw_params["cohorts"]["simulated"] | {"inputs": inputs}
    with pytest.raises(ParamsError, match="where cohort 'simulated' gets its results"):
        parse_params(raw_params | {"cohorts": {"simulated": cohort}})


def test_a_cohort_cannot_be_called_like_the_folder_of_anothers_inputs(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params["cohorts"])
    cohorts = {"bundled": raw["simulated"], "other": raw["tcga-luad"] | {"inputs": "data/bundled"}}
    with pytest.raises(
        ParamsError, match=r"`inputs: data/bundled` of cohort .*, where cohort 'bundled' gets"
    ):
        parse_params(raw_params | {"cohorts": cohorts})


def test_classes_that_yaml_takes_for_numbers_are_names(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"] |= {"positive": 1, "classes": [0, 1]}
    entry = parse_params(raw).cohort("simulated")
    assert (entry.positive, entry.classes) == ("1", ["0", "1"])
    raw["cohorts"]["simulated"]["positive"] = True
    with pytest.raises(ParamsError, match=r"positive`.*string"):
        parse_params(raw)


def test_a_mutation_label_needs_more_than_the_mutation_channel(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"] |= {"label": "mutation:TP53", "channels": ["mutation"]}
    with pytest.raises(ParamsError, match="cannot be predicted from the mutation channel alone"):
        parse_params(raw)


def test_unknown_cohort_names_the_nearest(raw_params: dict) -> None:
    with pytest.raises(ParamsError, match=r"no cohort 'tcga-lusd' \(did you mean tcga-luad\?\)"):
        parse_params(raw_params).cohort("tcga-lusd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist. Run this in the project's root"),
        (b"", "holds no parameters"),
        (b"- a\n- b\n", "holds no parameters"),
        (b"a: [1\n", "is not valid YAML"),
        (b"a: \xff\xfe", "cannot be read"),
        (b"!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParamsError, match=message):
        read_params(path)


def test_parameters_cannot_be_changed_by_accident(raw_params: dict) -> None:
    params = parse_params(raw_params)
    with pytest.raises(ValueError, match="frozen"):
        params.train.epochs = 3  # type: ignore[misc]


def test_override_by_experiment_keeps_the_file_valid(raw_params: dict) -> None:
    raw = yaml.safe_load(yaml.safe_dump(raw_params))
    raw["cohorts"]["tcga-luad"]["label"] = "mutation:STK11"
    assert parse_params(raw).cohort("tcga-luad").label == "mutation:STK11"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"kind": "gdc", "projects": ["TCGA-LUAD"], "projct": 1}, "projct"),
        ({"kind": "xena", "expression": "a", "samples": "b", "hubb": "c"}, "hubb"),
        ({"kind": "cbioportal", "urll": "c"}, "urll"),
    ],
)
def test_a_mistyped_key_of_a_source_is_named_as_it_stands_in_the_file(
    raw_params: dict, source: dict, key: str
) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["source"] = source
    with pytest.raises(ParamsError, match=rf"`cohorts\.simulated\.source\.{key}` \(did you mean"):
        parse_params(raw)
