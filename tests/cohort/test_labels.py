"""Labels: what each rule gives, what it drops, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.cohort.barcodes import barcode, best_aliquot, pick_aliquots, plate, tcga_patient
from oncopixel.cohort.contract import Cohort, build_cohort, missing, read_cohort, write_cohort
from oncopixel.cohort.genes import annotate
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.errors import LabelError
from oncopixel.core.params import CohortParams

GENES = ["EGFR", "KRAS", "TP53"]


def make(samples: dict[str, tuple[str, str]], mutation: object = None, **columns: list) -> Cohort:
    """A cohort of samples given as id: (patient, sample type)."""
    index = list(samples)
    obs = pd.DataFrame(list(samples.values()), index, ["patient", "sample_type"]).assign(**columns)
    values = pd.DataFrame(np.arange(len(index) * 3.0).reshape(-1, 3), index, GENES)
    layer = None if mutation is None else pd.DataFrame(mutation, index, GENES)
    return build_cohort(values, obs, annotate(GENES), scale="rsem", origin="test", mutation=layer)


def tumours(n: int, mutation: object = None, **columns: list) -> Cohort:
    return make({f"S{i}": (f"P{i}", "01") for i in range(n)}, mutation, **columns)


def params(label: str, **more: object) -> CohortParams:
    return CohortParams.model_validate(
        {"source": {"kind": "bundled"}, "inputs": "data", "label": label, **more}
    )


def notes(cohort: Cohort) -> str:
    return "\n".join(cohort.data.uns["notes"])


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("TCGA-05-4244-01A-01R-1107-07", ("TCGA-05-4244", "01", "05")),
        ("TCGA-05-4244-01A", ("TCGA-05-4244", "01", "05")),
        ("TCGA-E2-A1LS-11", ("TCGA-E2-A1LS", "11", "E2")),
        ("TCGA.05.4244.01A.01R.1107.07", ("TCGA-05-4244", "01", "05")),
        ("tcga-e2-a1ls-11", ("TCGA-E2-A1LS", "11", "E2")),
        ("TCGA-05-4244", None),
        ("TCGA-05-42445-01", None),
        ("TCGA-05-4244-011", None),
        ("GSM475656", None),
    ],
)
def test_barcode(sample: str, expected: object) -> None:
    assert barcode(sample) == expected


def test_a_patient_barcode_names_the_patient_but_no_sample() -> None:
    assert tcga_patient("TCGA-05-4244") == tcga_patient("TCGA.05.4244.01A") == "TCGA-05-4244"
    assert tcga_patient("TCGA-05-42445") is None


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ("TCGA-44-2656-01A-02R-0946-07", "TCGA-44-2656-01B-06R-A277-07", "earlier vial"),
        ("TCGA-44-2656-01A-01H-0946-07", "TCGA-44-2656-01A-01R-A277-07", "analyte H before R"),
        ("TCGA-44-2656-01A-01R-0946-07", "TCGA-44-2656-01A-01T-A277-07", "analyte R before T"),
        ("TCGA-44-2656-01A-01D-0946-01", "TCGA-44-2656-01A-01W-A277-01", "native DNA"),
        ("TCGA-44-2656-01A-01R-A277-07", "TCGA-44-2656-01A-01R-0946-07", "later plate"),
        ("TCGA-44-2656-01A-02R-0946-07", "TCGA-44-2656-01A-01R-0946-07", "later portion"),
    ],
)
def test_the_aliquot_that_is_picked(better: str, worse: str, why: str) -> None:
    assert best_aliquot([better, worse]) == best_aliquot([worse, better]) == better, why


def test_pick_aliquots_keeps_one_sample_per_patient_and_type_and_counts_the_rest() -> None:
    patient = "TCGA-44-2656"
    cohort = make(
        {
            f"{patient}-01B-06R-A277-07": (patient, "01"),
            f"{patient}-01A-02R-0946-07": (patient, "01"),
            f"{patient}-01A-02R-A278-07": (patient, "01"),
            f"{patient}-11A-01R-1758-07": (patient, "11"),
            "lesion-1": ("P1", "01"),
            "lesion-2": ("P1", "01"),
        }
    )
    expected = {f"{patient}-01A-02R-A278-07", f"{patient}-11A-01R-1758-07", "lesion-1", "lesion-2"}
    for order in ([0, 1, 2, 3, 4, 5], [5, 2, 0, 4, 1, 3]):
        picked = pick_aliquots(cohort.take(order))
        assert set(picked.samples.index) == expected
        assert "2 samples dropped: further aliquots" in notes(picked)


def test_the_barcode_tells_the_type_of_an_aliquot_where_the_sheet_has_no_known_word() -> None:
    patient = "TCGA-44-2656"
    tumour, repeat = f"{patient}-01A-02R-A278-07", f"{patient}-01A-01R-0946-07"
    normal, lesion = f"{patient}-11A-01R-1758-07", f"{patient}-06A-01R-1758-07"
    unknown = make(dict.fromkeys((normal, lesion, repeat, tumour), (patient, "")))
    assert set(pick_aliquots(unknown).samples.index) == {tumour, normal, lesion}
    partly = make({tumour: (patient, "01"), repeat: (patient, ""), normal: (patient, "01")})
    assert set(pick_aliquots(partly).samples.index) == {tumour, normal}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("TCGA-44-2656-01A-02R-A278-07", "A278"), ("tcga.44.2656.01a.02r.a278.07", "A278"),
        ("TCGA-44-2656-01A-02R-A278", ""), ("TCGA-44-2656-01A", ""), ("S1", ""),
    ],
)  # fmt: skip
def test_the_plate_of_a_whole_barcode(name: str, found: str) -> None:
    assert plate(name) == found


def test_pick_aliquots_says_nothing_when_there_is_nothing_to_drop() -> None:
    cohort = tumours(3)
    picked = pick_aliquots(cohort)
    assert list(picked.samples.index) == ["S0", "S1", "S2"]
    assert notes(picked) == ""


def test_sample_type_tells_tumour_from_normal_and_a_patient_may_be_both() -> None:
    cohort = make({"a": ("P1", "01"), "b": ("P1", "11"), "c": ("P2", "06"), "d": ("P3", "10")})
    labelled = label_cohort(cohort, params("sample_type"))
    assert labelled.classes == ["normal", "tumour"]
    assert labelled.y.tolist() == [1, 0, 1, 0]
    assert "label" not in cohort.samples, "the cohort that was given is left as it was"


def test_positive_puts_a_class_last() -> None:
    cohort = make({"a": ("P1", "01"), "b": ("P1", "11")})
    labelled = label_cohort(cohort, params("sample_type", positive="normal"))
    assert labelled.classes == ["tumour", "normal"]
    assert labelled.y.tolist() == [0, 1]


def test_two_classes_of_a_column() -> None:
    cohort = tumours(4, response=["yes", "no", " yes", "no"])
    assert label_cohort(cohort, params("column:response", positive="no")).classes == ["yes", "no"]
    chosen = label_cohort(cohort, params("column:response", classes=["yes", "no"]))
    assert chosen.classes == ["yes", "no"]
    assert chosen.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("grade", "classes"),
    [
        (["b", "a", "c", "a"], ["a", "b", "c"]),
        ([10, 9, 2, 9], ["2", "9", "10"]),
        ([1.5, 2, 0.5, 2], ["0.5", "1.5", "2"]),
        (["10", "9", "x", "9"], ["9", "10", "x"]),
    ],
)
def test_many_classes_are_ordered_as_a_reader_expects(grade: list, classes: list[str]) -> None:
    labelled = label_cohort(tumours(4, grade=grade), params("column:grade"))
    assert labelled.classes == classes
    assert [classes[i] for i in labelled.y] == [f"{g}" for g in grade]


def test_truth_values_are_classes() -> None:
    labelled = label_cohort(tumours(2, dead=[True, False]), params("column:dead", positive="True"))
    assert labelled.classes == ["False", "True"]


def test_classes_drops_the_others_and_counts_them() -> None:
    cohort = tumours(6, stage=["I", "II", "III", "IV", "I", "IV"])
    labelled = label_cohort(cohort, params("column:stage", classes=["IV", "I"]))
    assert labelled.classes == ["IV", "I"]
    assert labelled.samples["label"].tolist() == ["I", "IV", "I", "IV"]
    assert "2 samples dropped: of a class other than IV, I" in notes(labelled)


def test_sample_types_drops_the_others_and_counts_them() -> None:
    cohort = make(
        {"a": ("P1", "01"), "b": ("P1", "11"), "c": ("P2", "01"), "d": ("P3", "02")},
        sex=["f", "f", "m", "m"],
    )
    labelled = label_cohort(cohort, params("column:sex", positive="f", sample_types=["01"]))
    assert labelled.samples.index.tolist() == ["a", "c"]
    assert "2 samples dropped: not of sample type 01" in notes(labelled)


@pytest.mark.parametrize("missing", ["", None])
def test_unlabelled_samples_are_dropped_on_request(missing: object) -> None:
    cohort = tumours(4, arm=["a", "b", missing, "b"])
    labelled = label_cohort(cohort, params("column:arm", positive="b", drop_unlabelled=True))
    assert labelled.samples.index.tolist() == ["S0", "S1", "S3"]
    assert "1 samples dropped: without a label" in notes(labelled)


def test_mutation_label_keeps_sequenced_tumours_and_hides_the_gene() -> None:
    mutation = [[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, np.nan]]
    cohort = make(
        {"a": ("P1", "01"), "b": ("P1", "02"), "n": ("P1", "11"), "c": ("P2", "01")}, mutation
    )
    labelled = label_cohort(cohort, params("mutation:TP53"))
    assert labelled.classes == ["wild-type", "mutated"]
    assert labelled.samples.index.tolist() == ["a", "b"]
    assert labelled.y.tolist() == [1, 0], "primary and recurrent tumour may differ"
    np.testing.assert_array_equal(labelled.layer("mutation"), [[0, 1, np.nan], [1, 0, np.nan]])
    assert "1 samples dropped: normal tissue" in notes(labelled)
    assert "1 samples dropped: TP53 not sequenced" in notes(labelled)
    assert not np.isnan(cohort.layer("mutation")[0]).any(), "the cohort that was given is untouched"


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("TP53", "LFS1"),
        ("TP53", "ENSG00000141510.16"),
        ("MLL2", "KMT2D"),
        ("MLL2", "CAGL114"),
        ("MLL2", "ENSG00000167548"),
    ],
)
def test_a_mutation_label_may_have_another_name_of_the_gene(own: str, name: str) -> None:
    cohort = tumours(3, [[0, 0, 1], [0, 0, 0], [0, 0, 1]])
    cohort.data.var_names = [*GENES[:2], own]
    labelled = label_cohort(cohort, params(f"mutation:{name}"))
    assert labelled.y.tolist() == [1, 0, 1]
    assert np.isnan(labelled.layer("mutation")[:, 2]).all()
    assert labelled.data.uns["label_rule"].startswith(f"mutation status of {own};")


def test_layers_are_copied_once_however_many_samples_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = [[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, np.nan], [0, 0, 0]]
    types = ["01", "02", "11", "01", "06"]
    cohort = make({f"S{i}": (f"P{i}", code) for i, code in enumerate(types)}, mutation)
    copied: list[int] = []

    def counted(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        copied.append(len(rows))
        return values[rows]

    monkeypatch.setattr("oncopixel.cohort.contract.take_rows", counted)
    monkeypatch.setattr("oncopixel.cohort.labels.take_rows", counted)
    labelled = label_cohort(cohort, params("mutation:TP53", sample_types=["01", "02", "11"]))
    assert labelled.samples.index.tolist() == ["S0", "S1"]
    assert copied == [2, 2]
    assert notes(labelled).splitlines() == [
        "1 samples dropped: not of sample type 01, 02, 11",
        "1 samples dropped: normal tissue, which has no mutation label",
        "1 samples dropped: TP53 not sequenced",
    ]


def test_a_labelled_cohort_survives_the_disk(tmp_path) -> None:
    cohort = tumours(3, arm=["a", "b", "a"])
    labelled = label_cohort(cohort, params("column:arm", positive="a"))
    write_cohort(tmp_path / "cohort.h5ad", labelled)
    again = read_cohort(tmp_path / "cohort.h5ad")
    assert again.classes == ["b", "a"]
    assert again.y.tolist() == [1, 0, 1]
    assert again.data.uns["label_rule"] == "column arm"


MUTATION = [[0, 1, np.nan], [1, 1, np.nan], [0, 1, np.nan], [0, 1, np.nan]]
BAD = {
    "classes of one number": (
        tumours(4, arm=["1", "1.0", "b", "b"]), {"label": "column:arm"},
        ["'1' and '1.0' differ in case or spaces only, or are one number"],
    ),
    "classes of one look": (
        tumours(4, arm=["\uff21", "A", "b", "b"]), {"label": "column:arm"}, ["differ in case"],
    ),
    "a class that does not print": (
        tumours(4, arm=["a", "a", "b\x00c", "b"]), {"label": "column:arm"},
        ["class 'b\\x00c' of sample S2", "does not print"],
    ),
    "a class that turns the text round": (
        tumours(4, arm=["a", "a", "b", "\u202eb"]), {"label": "column:arm"}, ["'\\u202eb'"],
    ),
    "a class that is a word for missing": (
        tumours(4, arm=["a", "b", "b", "Not Reported"]),
        {"label": "column:arm", "classes": ["a", "Not Reported"], "drop_unlabelled": True},
        ["'Not Reported', which no sample has; it counts as a missing value"],
    ),
    "no such column": (
        tumours(4, response=list("abab")), {"label": "column:respones"},
        ["no column 'respones'", "did you mean response?", "Columns: patient"],
    ),
    "numeric column": (
        tumours(12, age=[40.5 + i for i in range(12)]), {"label": "column:age"},
        ["numeric (12 values from 40.5 to 51.5)", "Add a column of groups"],
    ),
    "identifier": (
        tumours(12), {"label": "column:patient"},
        ["12 different values in 12 samples", "Choose another column"],
    ),
    "classes differ in case": (
        tumours(4, arm=["Tumor", "tumor", "b", "b"]), {"label": "column:arm"},
        ["'Tumor' and 'tumor' differ in case or spaces only", "sample sheet"],
    ),
    "unlabelled samples": (
        tumours(6, arm=["a", "b", "", "", "", ""]), {"label": "column:arm", "positive": "a"},
        ["4 of 6 samples have no label: S2, S3, S4 and 1 more", "`drop_unlabelled: true`"],
    ),
    "empty column": (
        tumours(2, arm=["", ""]), {"label": "column:arm", "drop_unlabelled": True},
        ["no sample has a value", "another label"],
    ),
    "one class": (
        tumours(4, arm=["a"] * 4), {"label": "column:arm"},
        ["leaves one class, 'a' (4 samples)", "`sample_types`"],
    ),
    "one class after the filter": (
        make({"a": ("P1", "01"), "b": ("P1", "11")}),
        {"label": "sample_type", "sample_types": ["01"]},
        ["leaves one class, 'tumour' (1 samples)"],
    ),
    "two classes without a positive one": (
        tumours(4, arm=list("abab")), {"label": "column:arm"},
        ["two classes, 'a' and 'b'", '`positive: "b"`'],
    ),
    "positive is no class": (
        tumours(4, arm=list("abab")), {"label": "column:arm", "positive": "c"},
        ["`positive: c` is no class", "'a' and 'b'"],
    ),
    "positive of three classes": (
        tumours(3, arm=list("abc")), {"label": "column:arm", "positive": "c"},
        ["needs two classes", "has 3: a, b, c", "Remove `positive`"],
    ),
    "classes that nobody has": (
        tumours(4, arm=["stage I", "stage I", "stage II", "x"]),
        {"label": "column:arm", "classes": ["stage I", "Stage III"]},
        ["'Stage III', which no sample has", "did you mean stage II", "stage I (2)"],
    ),
    "contradicting patient": (
        make({s: (p, "01") for s, p in zip("abcdefghij", "1122334455", strict=True)},
             arm=list("xyxyxyxyxx")),
        {"label": "column:arm", "positive": "x"},
        ["4 patients", "1, 2, 3 and 1 more", "`sample_type_column`"],
    ),
    "no such sample type": (
        make({"a": ("P1", "01"), "b": ("P1", "11"), "c": ("P2", "01")}),
        {"label": "sample_type", "sample_types": ["03"]},
        ["no sample is of type 03", "01 (2), 11 (1)"],
    ),
    "no sample type codes": (
        make({"a": ("P1", ""), "b": ("P2", "")}), {"label": "sample_type"},
        ["no sample has a TCGA sample type code", "unknown (2)", "`sample_type_column`"],
    ),
    "control samples": (
        make({"a": ("P1", "01"), "b": ("P2", "11"), "c": ("P3", "20")}), {"label": "sample_type"},
        ["1 of 3 samples have no label: c", "`drop_unlabelled: true`"],
    ),
    "no mutation data": (
        tumours(4), {"label": "mutation:TP53"},
        ["no mutation data, only expression", "mutation matrix"],
    ),
    "unknown gene": (
        tumours(4, MUTATION), {"label": "mutation:p53"},
        ["label `mutation:p53`: the cohort has no gene 'p53'", "did you mean TP53?"],
    ),
    "unknown gene by another name": (
        tumours(4, MUTATION), {"label": "mutation:KIAA1048"},
        ["label `mutation:KIAA1048` (KIAA1048 is AAK1): the cohort has no gene 'AAK1'"],
    ),
    "gene not sequenced": (
        tumours(4, MUTATION), {"label": "mutation:TP53"},
        ["TP53 was sequenced in no tumour", "Choose a gene"],
    ),
    "gene not sequenced, by another name": (
        tumours(4, MUTATION), {"label": "mutation:LFS1"},
        ["label `mutation:LFS1` (LFS1 is TP53): TP53 was sequenced in no tumour"],
    ),
    "gene mutated in all": (
        tumours(4, MUTATION), {"label": "mutation:KRAS"},
        ["leaves one class, 'mutated' (4 samples)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_labels_are_refused_with_the_remedy(case: str) -> None:
    cohort, entry, parts = BAD[case]
    with pytest.raises(LabelError) as caught:
        label_cohort(cohort, params(**entry))
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


def test_normal_and_tumour_of_a_patient_may_have_different_classes() -> None:
    cohort = make(
        {"a": ("P1", "01"), "b": ("P1", "11"), "c": ("P2", "01")},
        subtype=["basal", "normal-like", "luminal"],
    )
    assert len(label_cohort(cohort, params("column:subtype")).classes) == 3


def pairs(stage: list, normals: list, **more: list) -> Cohort:
    """Patients with a tumour each, the first of them with a normal, too."""
    samples = {f"t{i}": (f"P{i}", "01") for i in range(len(stage))}
    samples |= {f"n{i}": (f"P{i}", "11") for i in range(len(normals))}
    return make(samples, stage=[*stage, *normals], **more)


STAGED = params("column:stage", positive="late", drop_unlabelled=True)


def test_a_value_copied_from_tumour_to_normal_labels_tumours_only() -> None:
    labelled = label_cohort(pairs(["late", "early", "early"], ["late", "early", ""]), STAGED)
    assert labelled.samples.index.tolist() == ["t0", "t1", "t2"]
    assert notes(labelled) == (
        "3 samples dropped: normal tissue; `stage` describes the patient and labels tumours only"
    )


def test_a_slip_does_not_make_a_copied_column_one_of_samples() -> None:
    stage = ["late", "early"] * 10
    labelled = label_cohort(pairs(stage, [*stage[:19], "late"]), STAGED)
    assert labelled.samples["sample_type"].tolist() == ["01"] * 20


@pytest.mark.parametrize(
    ("stage", "normals", "more"),
    [
        (["late", "early"], ["early", "late"], {}),
        (["late", "early"], ["early", "late"], {"sample_types": ["01", "11"]}),
        (["late", "early"], ["late", "early"], {"sample_types": ["11"]}),
        (["late", "early"], [], {}),
    ],
)
def test_normals_stay_where_their_values_are_their_own_or_nothing_else_is_asked_for(
    stage: list, normals: list, more: dict
) -> None:
    labelled = label_cohort(pairs(stage, normals), STAGED.model_copy(update=more))
    of_normals = [
        label for name, label in labelled.samples["label"].items() if str(name).startswith("n")
    ]
    assert of_normals == normals


def test_a_column_of_patients_labels_no_normal_even_without_a_tumour_of_the_same_patient() -> None:
    cohort = make(
        {"t0": ("P0", "01"), "t1": ("P1", "06"), "n2": ("P2", "11"), "n3": ("P3", "10")},
        stage=["late", "early", "late", "early"],
    )
    assert len(label_cohort(cohort, STAGED).samples) == 4
    cohort.data.uns["patient_columns"] = np.array(["stage", "age"], dtype=object)
    labelled = label_cohort(cohort, STAGED)
    assert labelled.samples.index.tolist() == ["t0", "t1"]
    assert "2 samples dropped: normal tissue; `stage`" in notes(labelled)


WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
SEVERAL = st.lists(WORDS | st.sampled_from(["NA", "[Unknown]", "not reported", "-"]), min_size=4)


@given(SEVERAL)
def test_any_words_stay_distinct_classes_and_what_is_not_known_is_none(words: list[str]) -> None:
    cohort = tumours(len(words))
    cohort.data.obs["arm"] = words
    try:
        labelled = label_cohort(cohort, params("column:arm", drop_unlabelled=True, classes=None))
    except LabelError:
        return
    given_words = dict(zip(cohort.samples.index, words, strict=True))
    known = [
        name
        for name, lacks in zip(given_words, missing(pd.Series(words)), strict=True)
        if not lacks
    ]
    assert labelled.samples.index.tolist() == known
    for name, label in labelled.samples["label"].items():
        assert label == given_words[name].replace("\u00a0", " ").strip()
    assert not missing(pd.Series(labelled.classes)).any()


@given(st.lists(st.sampled_from([0.0, 1.0, 0.25, np.nan]), min_size=3, max_size=9))
def test_a_tumour_that_was_not_sequenced_is_never_wild_type(values: list[float]) -> None:
    mutation = np.zeros((len(values), 3))
    mutation[:, 2] = values
    cohort = tumours(len(values), mutation)
    try:
        labelled = label_cohort(cohort, params("mutation:TP53"))
    except LabelError:
        return
    expected = {f"S{i}": "mutated" if v else "wild-type" for i, v in enumerate(values) if v == v}
    assert labelled.samples["label"].to_dict() == expected


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (pd.array([1, 2, None, 2], dtype="Int64"), ["1", "2"]),
        (pd.array([False, True, None, True], dtype="boolean"), ["False", "True"]),
        (pd.Categorical([1.0, 2.0, None, 2.0]), ["1", "2"]),
        (np.array([0.1, 2, np.inf, 2], dtype=np.float32), ["0.1", "2"]),
        ([1.0, np.int64(2), None, 2], ["1", "2"]),
        ([False, True, None, np.bool_(True)], ["False", "True"]),
        (
            pd.array([10**17, 10**17 + 1, None, 10**17 + 1], dtype="Int64"),
            ["100000000000000000", "100000000000000001"],
        ),
        (["stage\u00a0I", "stage II", "NA", "stage II"], ["stage I", "stage II"]),
    ],
)
def test_classes_are_named_alike_whatever_type_a_column_has(
    values: object, classes: list[str]
) -> None:
    cohort = tumours(4)
    cohort.data.obs["arm"] = values
    entry = params("column:arm", positive=classes[1], drop_unlabelled=True)
    labelled = label_cohort(cohort, entry)
    assert labelled.classes == classes
    assert labelled.y.tolist() == [0, 1, 1]


CODES = {"01": "tumour", "06": "tumour", "10": "normal", "11": "normal"}


@given(st.lists(st.sampled_from([*CODES, "", "20", "99", "x"]), min_size=2, max_size=8))
def test_a_tissue_that_is_not_known_is_neither_tumour_nor_normal(codes: list[str]) -> None:
    cohort = make({f"S{i}": (f"P{i}", code) for i, code in enumerate(codes)})
    try:
        labelled = label_cohort(cohort, params("sample_type", drop_unlabelled=True))
    except LabelError:
        return
    expected = {f"S{i}": CODES[code] for i, code in enumerate(codes) if code in CODES}
    assert labelled.samples["label"].to_dict() == expected
