"""params.yaml: what is accepted, and what is said about the rest."""

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.core.errors import ParamsError
from oncopixel.core.params import CANCERS, json_schema, parse_params, read_params
from oncopixel.core.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]


def test_the_shipped_file_is_valid() -> None:
    params = read_params(ROOT / "params.yaml")
    assert params.cohort("luad-keap1").shape == (100, 100)
    assert params.cohort("simulated").channels == ["expression", "copy_number", "mutation"]


def test_the_schema_for_editors_is_that_of_the_models_and_takes_the_shipped_file() -> None:
    text = (ROOT / "params.schema.json").read_text(encoding="utf-8")
    assert text == json_schema(), "run `make schema`"
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    params = read_yaml(ROOT / "params.yaml")
    jsonschema.validate(params, schema)
    for section, key in (("train", "learning_rat"), ("cohorts", "learning_rat")):
        wrong = {**params, section: {**params[section], key: {}}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


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
        (put("train/model", "resnet"), "`train.model`: input should be 'hybrid' or 'paper'"),
        (put("split/test_fraction", 0.0), "`split.test_fraction`: input should be greater than 0"),
        (
            put("train/epochs", 10**9),
            "`train.epochs`: input should be less than or equal to 1000000",
        ),
        (put("train/learning_rate", np.inf), "`train.learning_rate`: input should be a finite num"),
        (put("train/learning_rate", np.nan), "`train.learning_rate`: input should be a finite num"),
        (put("validation/library_size_sd", np.inf), "`validation.library_size_sd`: input should b"),
        (put("cohorts/simulated/source/effect", np.inf), "`cohorts.simulated.source.effect`"),
        (put("cohorts/simulated/source/effect", 1e300), "`cohorts.simulated.source.effect`"),
        (put("cohorts/simulated/source/n_genes", 10**6), "400 samples of 1000000 genes are more"),
        (put("cohorts/simulated/source/n_samples", 10**12), "`cohorts.simulated.source.n_samples`"),
        (
            put("cohorts/simulated/image", [1000, 1000]),
            "image [1000, 1000] has more than 262,144 p",
        ),
        (
            put("cohorts/simulated/cancer", "LAUD"),
            "'LAUD' is no cancer of Bailey et al. 2018 (did ",
        ),
        (put("cohorts/simulated/cancer", "luad"), "(did you mean LUAD?). These are: ACC, BLCA, "),
        (put("cohorts/simulated/cancer", "COAD"), "(did you mean COADREAD"),
        (put("cohorts/" + "x" * 101, {}), "`cohorts.xxx"),
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
        (
            put("cohorts/simulated/channels", ["mutation"] * 2),
            "`cohorts.simulated.channels`: 'mutation' is named twice",
        ),
        (put("preprocess/adjust", ["batch", "age", "batch"]), "`preprocess.adjust`: 'batch' is n"),
        (put("baselines/models", ["logistic_l1"] * 2), "`baselines.models`: 'logistic_l1' is nam"),
        (put("cohorts/simulated/classes", ["1", 1]), "`cohorts.simulated.classes`: '1' is named"),
        (put("cohorts/simulated/image", [50]), "`cohorts.simulated.image`: list should have at le"),
        (put("cohorts/simulated/image", [0, 50]), "`cohorts.simulated.image.0`"),
        (put("tune/choices/kernal", [3]), "`tune.choices.kernal` (did you mean kernel?)"),
        (put("tune/choices/pool", [0]), "`tune.choices.pool.0`: input should be greater than or"),
        (put("tune/choices/filters", [[8], [8]]), "`tune.choices.filters`: [8] is named twice"),
        (put("tune/choices/dropout", [0.5]), "`tune`: dropout stands in two of choices, uniform"),
        (put("tune/uniform/dropout", [0.2, 1]), "`tune.uniform.dropout.1`: input should be less"),
        (put("tune/uniform/dropout", [0.7, 0.2]), "`tune.uniform.dropout`: [0.7, 0.2] is no range"),
        (put("tune/log_uniform/weight_decay", [0, 1]), "`tune`: log_uniform.weight_decay must be"),
        (lambda raw: raw.pop("train"), "`train` is missing"),
        (lambda raw: raw["train"].pop("model"), "`train.model` is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    raw_params: dict, change: Callable[[dict], None], message: str
) -> None:
    raw = copy.deepcopy(raw_params)
    change(raw)
    with pytest.raises(ParamsError) as caught:
        parse_params(raw, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["../up", "", ".", "a/b", "a b", "x" * 101, "näme", "a\n"])
def test_a_cohort_name_must_be_a_file_name(raw_params: dict, name: str) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"][name] = raw["cohorts"]["simulated"]
    with pytest.raises(ParamsError, match=r"^params: cohort name .*: use letters, digits"):
        parse_params(raw)


def test_the_cancers_are_those_of_the_drivers_table() -> None:
    table = pd.read_csv(ROOT / "src/oncopixel/data/drivers.csv", keep_default_na=False)
    of_bailey = table.loc[table["source"] == "Bailey 2018", "cancers"]
    assert sorted(set(" ".join(of_bailey).split())) == list(CANCERS)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(data=st.data())
def test_whatever_stands_in_place_of_a_value_is_taken_or_refused(
    raw_params: dict, data: st.DataObject
) -> None:
    raw = copy.deepcopy(raw_params)
    at: Any = raw
    while True:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(ANYTHING)
    with contextlib.suppress(ParamsError):
        parse_params(raw)


def test_of_very_many_faults_the_first_are_told(raw_params: dict) -> None:
    with pytest.raises(ParamsError, match=r"and 99981 more$") as caught:
        parse_params(raw_params | {f"x{i}": 1 for i in range(100_001)})
    assert len(str(caught.value)) < 5000


def test_keys_twice_and_names_that_hide_something_are_refused(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    for wrong, message in (
        (text + "\ntrain: {epochs: 1}\n", "`train` is there a second time"),
        (text.replace("  folds: 5", "  folds: 5\n  folds: 3"), "`folds` is there a second time"),
        (
            text.replace("label: column:status", 'label: "column:st\\u202eatus"'),
            "which nobody sees",
        ),
    ):
        assert wrong != text
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(ParamsError, match=message):
            read_params(path)


def test_numbers_are_read_by_the_rules_of_dvc(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("  epochs: 60", "  epochs: 010"), encoding="utf-8")
    assert read_params(path).train.epochs == 10
    for wrong in ("epochs: 1:30", "epochs: yes"):
        path.write_text(text.replace("epochs: 60", wrong), encoding="utf-8")
        with pytest.raises(ParamsError, match=r"`train\.epochs`: input should be a valid integer"):
            read_params(path)


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
    cohorts = {"bundled": raw["simulated"], "other": raw["luad-keap1"] | {"inputs": "data/bundled"}}
    with pytest.raises(
        ParamsError, match=r"`inputs: data/bundled` of cohort .*, where cohort 'bundled' gets"
    ):
        parse_params(raw_params | {"cohorts": cohorts})


def test_classes_that_yaml_takes_for_numbers_are_names(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"] |= {"positive": 1, "classes": [0, 1]}
    entry = parse_params(raw).cohort("simulated")
    assert (entry.positive, entry.classes) == ("1", ["0", "1"])
    for positive in (True, 1.5):
        raw["cohorts"]["simulated"]["positive"] = positive
        with pytest.raises(ParamsError, match=r"positive`: .* in quotes"):
            parse_params(raw)


def test_a_mutation_label_needs_more_than_the_mutation_channel(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"] |= {"label": "mutation:TP53", "channels": ["mutation"]}
    with pytest.raises(ParamsError, match="cannot be predicted from the mutation channel alone"):
        parse_params(raw)


def test_unknown_cohort_names_the_nearest(raw_params: dict) -> None:
    with pytest.raises(ParamsError, match=r"no cohort 'luad-keap' \(did you mean luad-keap1\?\)"):
        parse_params(raw_params).cohort("luad-keap")


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
    raw["cohorts"]["luad-keap1"]["label"] = "mutation:STK11"
    assert parse_params(raw).cohort("luad-keap1").label == "mutation:STK11"


def test_a_cohort_may_have_its_own_values_of_train(raw_params: dict) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["train"] = {"dropout": 0.25, "filters": [4, 4]}
    params = parse_params(raw)
    assert params.of("simulated").train.model_dump() == raw["train"] | {
        "dropout": 0.25, "filters": [4, 4],
    }  # fmt: skip
    assert params.of("luad-keap1") == params
    assert params.cohort("simulated").model_dump()["train"] == {"dropout": 0.25, "filters": [4, 4]}
    with pytest.raises(ParamsError, match="no cohort 'simulatd'"):
        params.of("simulatd")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            {"dropot": 0.1},
            r"unknown key `cohorts\.simulated\.train\.dropot` \(did you mean dropout",
        ),
        ({"dropout": 1.5}, r"`cohorts\.simulated\.train\.dropout`: input should be less than 1"),
        (
            {"dropout": None},
            r"`cohorts\.simulated\.train\.dropout`: input should be a valid number",
        ),
        ({"filters": []}, r"`cohorts\.simulated\.train\.filters`: list should have at least 1"),
        (
            {"members": "2"},
            r"`cohorts\.simulated\.train\.members`: input should be a valid integer",
        ),
    ],
)
def test_what_is_wrong_in_a_cohort_s_values_of_train_is_said(
    raw_params: dict, block: dict, message: str
) -> None:
    raw = copy.deepcopy(raw_params)
    raw["cohorts"]["simulated"]["train"] = block
    with pytest.raises(ParamsError, match=message) as error:
        parse_params(raw)
    assert "missing" not in str(error.value)


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
