"""Documentation: its entries of params.yaml are valid, its options complete, its links alive."""

import re
import shlex
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import yaml

from oncopixel.cli import app
from oncopixel.cohort.contract import read_cohort
from oncopixel.cohort.genome import CHROMOSOMES, lengths
from oncopixel.core.params import GdcSource, Params, Section, parse_params, read_params
from oncopixel.core.params.sources import Source
from oncopixel.core.project import Paths
from oncopixel.sources.http import cache
from oncopixel.stages import ingest
from reference import reference
from static_server import serve

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("sources.md", "cohorts.md", "own-data.md", "segments.md")


def commented_examples() -> dict[str, str]:
    """Each block of lines that start with `  # ` after `## Examples`, without that mark."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.partition("  ## Examples")[2]
    blocks = re.findall(r"(?:^  # .*\n)+", text, re.MULTILINE)
    plain = [re.sub(r"^  # ", "  ", block, flags=re.MULTILINE) for block in blocks]
    return {block.split(":")[0].strip(): block for block in plain}


def documented_examples() -> dict[str, str]:
    """The blocks of YAML in the documents that hold a cohort's entry."""
    return {
        f"{name}, {block.split(':')[0].strip()}": block
        for name in DOCUMENTS
        for block in re.findall(
            r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(encoding="utf-8"), re.DOTALL
        )
        if "source:" in block
    }


def check(raw_params: dict, block: str) -> Params:
    return parse_params(raw_params | {"cohorts": yaml.safe_load(block)}, "example")


def test_all_are_found() -> None:
    assert set(commented_examples()) == {
        "luad-egfr", "luad-tumour", "brca-pam50", "brca-three-channels", "pan-cancer-segments",
        "luad-lusc", "pan-cancer",
    }  # fmt: skip
    assert len(documented_examples()) >= 5


@pytest.mark.parametrize("name", commented_examples())
def test_a_commented_example_is_valid_where_it_stands(raw_params: dict, name: str) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    block = commented_examples()[name]
    commented = re.sub(r"^  ", "  # ", block, flags=re.MULTILINE)
    assert text.count(commented) == 1
    params = parse_params(yaml.safe_load(text.replace(commented, block)), "params.yaml")
    assert set(params.cohorts) == {*raw_params["cohorts"], name}


@pytest.mark.parametrize("name", documented_examples())
def test_a_documented_entry_is_valid(raw_params: dict, name: str) -> None:
    check(raw_params, documented_examples()[name])


def test_the_way_to_own_data_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    block = page.partition("```bash\n")[2].partition("```")[0]
    command = shlex.split(block.replace("\\\n", " ").splitlines()[0])
    assert command[:3] == ["oncopixel", "init", "my-cohort"]
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    rng = np.random.default_rng(0)
    samples = [f"S{i}" for i in range(24)]
    counts = pd.DataFrame(rng.poisson(100, (200, 24)), [f"GENE{i}" for i in range(200)], samples)
    counts.to_csv("expression.tsv.gz", sep="\t")
    responses = ["responder", "progressor"] * 12
    sheet = pd.DataFrame({"sample": samples, "response": responses})
    sheet.to_csv("samples.csv", index=False)
    app([*command[1:], "--no-check"], standalone_mode=False)
    ingest.run(Paths(tmp_path, "my-cohort"), read_params(tmp_path / "params.yaml"))
    cohort = read_cohort(tmp_path / "data" / "my-cohort" / "cohort.h5ad")
    assert cohort.classes == ["progressor", "responder"]
    assert cohort.patients.tolist() == samples


@pytest.mark.parametrize("name", ["pan-cancer-segments", "luad-lusc"])
def test_the_examples_of_segments_run_on_files_like_those_of_the_pancanatlas(
    raw_params: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    aliquots = [f"TCGA-{i:02d}-A1B{i}-{'10' if i == 9 else '01'}A-11D-A17U-01" for i in range(10)]
    rows = [
        (aliquot, number, 3_218_610, lengths("hg19")[chromosome] - 60_000, 900, value / 10)
        for value, aliquot in enumerate(aliquots)
        for number, chromosome in enumerate(CHROMOSOMES, 1)
    ]
    columns = ["Sample", "Chromosome", "Start", "End", "Num_Probes", "Segment_Mean"]
    segments = pd.DataFrame(rows, columns=columns)
    segments.to_csv(tmp_path / "00a32f7a-c85f-4f86-850d-be53973cbc4d", sep="\t", index=False)
    kinds = ["LUAD", "LUSC", "BRCA"] * 3
    clinical = pd.DataFrame({"sample": [aliquot[:15] for aliquot in aliquots[:9]], "OS": 1})
    clinical["cancer type abbreviation"] = kinds
    sheet = "Survival_SupplementalTable_S1_20171025_xena_sp"
    clinical.to_csv(tmp_path / sheet, sep="\t", index=False)
    with serve(tmp_path) as server:
        block = re.sub(
            r"https://\S*/(data|download)(?=\s|/)", server.url, commented_examples()[name]
        )
        params = check(raw_params, block.replace("src/oncopixel/data", "inputs"))
        (tmp_path / "inputs").mkdir()
        ingest.run(Paths(tmp_path, name), params)
    cohort = read_cohort(tmp_path / "data" / name / "cohort.h5ad")
    wanted = [kind for kind in kinds if name != "luad-lusc" or kind != "BRCA"]
    assert cohort.samples["label"].tolist() == wanted
    assert np.isfinite(cohort.layer("copy_number")).mean() > 0.95


def test_the_projects_are_those_of_the_pan_cancer_example_and_of_the_drivers(
    raw_params: dict,
) -> None:
    source = check(raw_params, commented_examples()["pan-cancer"]).cohort("pan-cancer").source
    assert isinstance(source, GdcSource)
    page = (ROOT / "docs" / "cohorts.md").read_text(encoding="utf-8")
    codes = re.findall(r"`([A-Z]{2,4})`", page.partition("With RNA-seq of")[2])
    assert sorted(f"TCGA-{code}" for code in codes) == source.projects
    assert len(codes) == 33
    drivers = pd.read_csv(ROOT / "src" / "oncopixel" / "data" / "drivers.csv")
    named = drivers.loc[drivers["source"] == "Bailey 2018", "cancers"].str.split().explode()
    assert set(codes) - {"COAD", "READ"} | {"COADREAD"} <= set(named)


@pytest.mark.parametrize("source", get_args(get_args(Source)[0]))
def test_every_option_of_a_source_is_documented(source: type[Section]) -> None:
    kind = get_args(source.model_fields["kind"].annotation)[0]
    text = reference("parameters").partition(f"### `source`, `kind: {kind}`\n")[2]
    table = text.partition("\n#")[0]
    assert set(source.model_fields) - {"kind"} == set(
        re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    )


def anchors(page: Path) -> set[str]:
    """Those that GitHub and the site give to the headings, the generated ones too."""
    text = page.read_text(encoding="utf-8")
    text += "".join(map(reference, re.findall(r"<!-- generated: (\w+) -->", text)))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda p: p.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link
