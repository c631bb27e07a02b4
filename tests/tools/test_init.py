"""`init` finds out what files tell, asks for the rest, and changes nothing when it fails."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

from oncopixel.cli import main
from oncopixel.cohort.contract import read_cohort
from oncopixel.core.errors import ParamsError, SourceError
from oncopixel.core.params import read_params
from oncopixel.core.yaml_files import read_yaml
from oncopixel.tools.cohort_files import Given
from oncopixel.tools.inspection import inspect
from oncopixel.tools.params_text import entry_text, with_cohort

ROOT = Path(__file__).parents[2]
GENES = [*dict.fromkeys(pd.read_parquet(ROOT / "src/oncopixel/data/genes.parquet")["symbol"])][:80]
SAMPLES = [f"S{i:03}" for i in range(60)]
BARCODES = [f"TCGA-05-{i:04}-01" for i in range(60)]
OPTIONS = ("--expression", "e.tsv", "--samples", "s.csv")


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def counts(samples: list[str] = SAMPLES) -> pd.DataFrame:
    """Genes in rows."""
    values = np.random.default_rng(0).poisson(200, (len(GENES), len(samples)))
    return pd.DataFrame(values, index=pd.Index(GENES, name="gene"), columns=samples)


def sheet(**columns: object) -> pd.DataFrame:
    plain = {"patient": [f"P{i}" for i in range(60)], "response": ["yes", "no"] * 30}
    return pd.DataFrame(plain | columns, index=pd.Index(SAMPLES, name="sample"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's params.yaml, counts of 60 samples, and a sheet of one label."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    counts().to_csv("e.tsv", sep="\t")
    sheet().to_csv("s.csv")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["oncopixel", "init", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def nobody(question: str, answers: object) -> None:
    return None


def listed(folder: Path) -> set[Path]:
    return {p for p in folder.rglob("*") if p.is_file()}


def test_the_cohort_is_there_and_the_rest_of_the_file_is_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_text()
    subprocess.run(["git", "init", "-q"], check=True)
    assert run(monkeypatch, "mine", *OPTIONS) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "next: dvc repro report@mine"
    assert "80 genes of 60 samples" in err
    assert "no 30, yes 30" in err
    after = Path("params.yaml").read_text()
    added = "".join(f"  {line}\n" for line in out.splitlines()[:-1])
    assert after.replace(added, "", 1) == before
    entry = read_params(Path("params.yaml")).cohort("mine")
    assert (entry.label, entry.positive, entry.source.scale) == ("column:response", "yes", "counts")
    cohort = read_cohort(Path("data/mine/cohort.h5ad"))
    assert cohort.classes == ["no", "yes"]
    assert Path("reports/mine/validation.json").is_file()
    subprocess.run(["git", "add", "data/sources"], check=True)
    staged = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout
    assert staged.split() == ["data/sources/.gitignore"]


def test_a_dry_run_prints_the_entry_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_bytes(), listed(folder)
    assert run(monkeypatch, "mine", *OPTIONS, "--dry-run") == 0
    assert (Path("params.yaml").read_bytes(), listed(folder)) == before
    text = "cohorts:\n" + "".join(f"  {line}\n" for line in capsys.readouterr().out.splitlines())
    Path("entry.yaml").write_text(text)
    assert read_yaml(Path("entry.yaml"))["cohorts"]["mine"]["positive"] == "yes"


def test_the_sheet_tells_samples_from_genes_that_are_called_alike(folder: Path) -> None:
    alike = [f"S{i}" for i in range(60)]  # 19 of these are names of genes
    own = [f"OWN{i}" for i in range(80)]
    counts(alike).set_axis(pd.Index(own, name="gene")).to_csv("e.tsv", sep="\t")
    sheet().set_axis(pd.Index(alike, name="sample")).to_csv("s.csv")
    given = Given(Path("e.tsv"), Path("s.csv"), label="column:response", positive="yes")
    assert "orientation" not in inspect(given, nobody, min_class_size=20).source


def test_several_labels_are_listed_and_one_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet(arm=["A", "B", "B"] * 20, few=["x"] * 3 + ["y"] * 57, age=range(60)).to_csv("s.csv")
    before = Path("params.yaml").read_bytes(), listed(folder)
    assert run(monkeypatch, "mine", *OPTIONS) == 2
    message = capsys.readouterr().err
    assert "column:arm: A 20, B 40\n" in message
    assert "column:few: x 3, y 57 (a class has fewer than 20 samples)" in message
    assert "column:age" not in message
    assert "--label" in message
    assert (Path("params.yaml").read_bytes(), listed(folder)) == before

    replies = iter([99, 2, 1])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(replies))
    assert run(monkeypatch, "mine", *OPTIONS, "--no-check") == 0
    entry = read_params(Path("params.yaml")).cohort("mine")
    assert (entry.label, entry.positive) == ("column:arm", "A")


def test_no_answer_is_an_interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise typer.Abort

    sheet(arm=["A", "B", "B"] * 20).to_csv("s.csv")
    before = Path("params.yaml").read_bytes(), listed(folder)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", interrupted)
    assert run(monkeypatch, "mine", *OPTIONS) == 130
    assert (Path("params.yaml").read_bytes(), listed(folder)) == before


def test_data_that_fail_the_checks_leave_only_the_page_that_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts().iloc[:, :24].to_csv("e.tsv", sep="\t")
    before = Path("params.yaml").read_bytes(), listed(folder)
    assert run(monkeypatch, "mine", *OPTIONS, "--label", "column:response") == 3
    assert "data_docs.html" in capsys.readouterr().err
    page = folder / "data/mine/data_docs.html"
    ignore = folder / "data/sources/.gitignore"
    assert (Path("params.yaml").read_bytes(), listed(folder)) == (
        before[0],
        {*before[1], page, ignore},
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulated", *OPTIONS), "has a cohort 'simulated' already"),
        (("a b", *OPTIONS), "use letters, digits"),
        (("mine", "--expression", "none.tsv"), "none.tsv does not exist"),
        (("mine", "--expression", "e.tsv"), "--one-per-sample"),
        (("mine", *OPTIONS, "--scale", "log2"), "too large for log2"),
        (("mine", *OPTIONS, "--label", "column:respons"), "did you mean response"),
    ],
)
def test_what_cannot_be_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    before = Path("params.yaml").read_bytes()
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert Path("params.yaml").read_bytes() == before
    assert not Path("data/sources/mine").exists()


def test_files_that_are_in_place_are_used_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path("data/sources/mine")
    place.mkdir(parents=True)
    for name in ("e.tsv", "s.csv"):
        shutil.move(name, place / name)
    before = (place / "e.tsv").stat()
    files = ("--expression", str(place / "e.tsv"), "--samples", str(place / "s.csv"))
    assert run(monkeypatch, "mine", *files, "--label", "column:none") == 2
    assert (place / "e.tsv").stat() == before
    assert run(monkeypatch, "mine", *files, "--no-check") == 0
    assert (place / "e.tsv").stat() == before


def test_links_share_their_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "mine", *OPTIONS, "--no-check", "--link") == 0
    assert Path("data/sources/mine/e.tsv").samefile("e.tsv")


def tpm(frame: pd.DataFrame) -> pd.DataFrame:
    return frame / frame.sum() * 1e6


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda frame: frame, "counts"),
        (lambda frame: np.log2(frame * 1.7 + 1), "log2"),
        (tpm, "tpm"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_scale_and_orientation_are_found(
    folder: Path, change: object, scale: str, turned: bool
) -> None:
    frame = change(counts())
    (frame.T if turned else frame).to_csv("e.csv")
    found = inspect(Given(Path("e.csv"), Path("s.csv")), nobody, min_class_size=20)
    assert found.source["scale"] == scale
    assert found.source.get("orientation") == ("samples_by_genes" if turned else None)


def test_a_scale_that_values_do_not_tell_is_asked_for(folder: Path) -> None:
    (counts() * 1.37).to_csv("e.csv")
    with pytest.raises(SourceError, match=r"(?s)rsem.*fpkm.*--scale"):
        inspect(Given(Path("e.csv"), Path("s.csv")), nobody, min_class_size=20)
    given = Given(Path("e.csv"), Path("s.csv"), scale="fpkm")
    assert inspect(given, nobody, min_class_size=20).source["scale"] == "fpkm"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"Patient ID": 1}, {"patient_column": "Patient ID"}),
        ({"case_control": 1}, None),
        ({"donor": 1, "subject": 1}, None),
        ({}, None),
    ],
)
def test_patients_are_never_made_up(
    folder: Path, columns: dict[str, int], expected: dict[str, str] | None
) -> None:
    ids = {name: [f"P{i // 2}" for i in range(60)] for name in columns}
    sheet(**ids).drop(columns="patient").to_csv("s.csv")
    given = Given(Path("e.tsv"), Path("s.csv"), label="column:response")
    if expected is None:
        with pytest.raises(SourceError, match="--one-per-sample"):
            inspect(given, nobody, min_class_size=20)
    else:
        assert expected.items() <= inspect(given, nobody, min_class_size=20).source.items()


def test_all_that_is_open_is_asked_for_at_once(folder: Path) -> None:
    (counts() * 1.37).to_csv("e.csv")
    sheet(arm=["a", "b"] * 30).drop(columns="patient").to_csv("s.csv")
    with pytest.raises(SourceError) as told:
        inspect(Given(Path("e.csv"), Path("s.csv")), nobody, min_class_size=20)
    options = ["--scale", "--one-per-sample", "--label"]
    assert [option for option in options if option in str(told.value)] == options


def test_missing_labels_are_left_out(folder: Path) -> None:
    sheet(response=["yes", "no", "NA"] * 20).to_csv("s.csv")
    found = inspect(Given(Path("e.tsv"), Path("s.csv")), nobody, min_class_size=20)
    assert found.rest["drop_unlabelled"] is True
    assert found.rest["positive"] == "yes"


def test_barcodes_do_without_a_sheet(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts(BARCODES).to_csv("e.tsv", sep="\t")
    mutated = pd.DataFrame(0, index=GENES, columns=BARCODES)
    mutated.iloc[0, ::2] = 1
    mutated.iloc[1:, ::7] = 1
    mutated.to_csv("m.tsv", sep="\t")
    files = ("--expression", "e.tsv", "--mutation", "m.tsv")
    assert run(monkeypatch, "mine", *files) == 2
    assert "--label mutation:GENE" in capsys.readouterr().err
    assert run(monkeypatch, "mine", *files, "--label", f"mutation:{GENES[0]}") == 0
    cohort = read_cohort(Path("data/mine/cohort.h5ad"))
    assert set(cohort.patients) == {name[:12] for name in BARCODES}
    assert cohort.samples["label"].value_counts().to_dict() == {"mutated": 30, "wild-type": 30}


ENTRY = "new:\n  label: x\n"


@pytest.mark.parametrize(
    ("before", "after", "indent", "ends"),
    [
        ("cohorts:\n  a: {b: 1}\n", "c: 2\n", 2, "\n"),
        ("cohorts:\n    a: 1 # one\n", "    # more\n", 4, "\n"),
        ("cohorts:\r\n  a: 1\r\n", "", 2, "\r\n"),
        ("cohorts:\n  a: |\n    t\n    u\n", "c: 2\n", 2, "\n"),
        ("cohorts:\n  a:\n    b:\n      - 1\n      - [2,\n         3]\n", "c: 2\n", 2, "\n"),
    ],
)
def test_an_entry_goes_to_the_end_of_its_block(
    before: str, after: str, indent: int, ends: str
) -> None:
    added = "".join(" " * indent + line + ends for line in ENTRY.splitlines())
    assert with_cohort(before + after, ENTRY, "params.yaml") == before + added + after


def test_an_entry_may_be_the_first_or_end_the_file() -> None:
    added = "  new:\n    label: x\n"
    first = with_cohort("cohorts: {} # none\nc: 2\n", ENTRY, "params.yaml")
    assert first == f"cohorts: # none\n{added}c: 2\n"
    assert with_cohort("cohorts:\n  a: 1", ENTRY, "p") == f"cohorts:\n  a: 1\n{added}"


@pytest.mark.parametrize("text", ["cohorts: {a: 1}\n", "c: 1\n", "[]\n"])
def test_an_entry_that_finds_no_place_is_printed(text: str) -> None:
    with pytest.raises(ParamsError, match=r"(?s)by hand.*new:"):
        with_cohort(text, ENTRY, "params.yaml")


def test_words_that_yaml_takes_for_truth_values_are_quoted() -> None:
    text = entry_text("a", {"positive": "yes", "n": ["01"]}, {"positive": "guessed: a word"})
    assert text == "a:\n  positive: \"yes\"  # guessed: a word\n  n: ['01']\n"


def test_segments_and_lists_of_variants_are_taken_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = [(name, "1", start, start + 999_999, 0.1) for name in SAMPLES for start in (1, 10**6)]
    columns = ["Sample", "Chromosome", "Start", "End", "Segment_Mean"]
    pd.DataFrame(ends, columns=columns).to_csv("c.seg.txt", sep="\t", index=False)
    variants = pd.DataFrame(
        {
            "Tumor_Sample_Barcode": SAMPLES,
            "Hugo_Symbol": GENES[0],
            "Variant_Classification": "Silent",
        }
    )
    variants.to_csv("m.maf.txt", sep="\t", index=False)
    further = ("--copy-number", "c.seg.txt", "--mutation", "m.maf.txt", "--build", "hg38")
    assert run(monkeypatch, "mine", *OPTIONS, *further, "--no-check") == 0
    message = capsys.readouterr().err
    assert "copy-number segments" in message
    assert "a list of variants" in message
    entry = read_params(Path("params.yaml")).cohort("mine")
    assert entry.channels == ["expression", "copy_number", "mutation"]
    assert entry.source.copy_number.model_dump(include={"segments", "build"}) == {
        "segments": "c.seg.txt",
        "build": "hg38",
    }
    assert Path("data/sources/mine/c.seg.txt").is_file()
