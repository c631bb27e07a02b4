"""The GDC as a source: the cohort that went in comes back, whatever the server does meanwhile."""

import contextlib
import gzip
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gdc_layouts
from conftest import until
from gdc_server import Gdc, case_of, sample_of, serve, tar, tar_gz
from oncopixel.cli import main
from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.core.errors import SourceError
from oncopixel.core.params import CHANNELS, GdcSource, Params, SimulatedSource, parse_params
from oncopixel.core.project import Paths
from oncopixel.core.storage import sha256
from oncopixel.sources.gdc import bundles, query
from oncopixel.sources.gdc import clinical as records
from oncopixel.sources.gdc import listing as file_listing
from oncopixel.sources.gdc.bundles import BUNDLE
from oncopixel.sources.http import cache as http_cache
from oncopixel.sources.http import client
from oncopixel.sources.http.cache import RemoteFile
from oncopixel.sources.http.client import BrokenError
from oncopixel.sources.manifest import read_manifest
from oncopixel.sources.simulated import simulate

ROOT = Path(__file__).parents[2]
SIMULATED = simulate(
    SimulatedSource(kind="simulated", n_samples=24, n_genes=120, n_markers=10, normal_fraction=0.25)
)
RESULTS = ("manifest.csv", "clinical.csv", "cohort.h5ad", "external.h5ad", "truth.csv")
TOKEN = "s3cret-T0ken"  # noqa: S105


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return gdc_layouts.write(SIMULATED, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def clinical() -> pd.DataFrame:
    """What the server knows of the patients: cases of the simulated cohort have died."""
    status = gdc_layouts.clinical(SIMULATED)["status"]
    return pd.DataFrame(
        {
            "vital_status": np.where(status == "case", "Dead", "Alive"),
            "follow_up": np.arange(500, 500 + len(status)),
            "days_to_death": [900 if one == "case" else None for one in status],
        },
        index=status.index,
    )


@pytest.fixture
def gdc(listing: pd.DataFrame, clinical: pd.DataFrame) -> Iterator[Gdc]:
    with serve(listing, clinical) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, no token, and a client that waits next to nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(http_cache.CACHE_VARIABLE, str(folder))
    monkeypatch.delenv(query.TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.01)
    return folder


class Work:
    """A project with one cohort, `mine`."""

    def __init__(self, folder: Path, raw: dict, source: dict) -> None:
        self.folder, self.source = folder, source
        entry = {
            "source": source,
            "inputs": "inputs",
            "label": "column:vital_status",
            "positive": "Dead",
            "channels": ["expression", "copy_number", "mutation"],
            "image": [11, 11],
        }
        self.raw = raw | {"cohorts": {"mine": entry}}
        (folder / "inputs").mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self) -> None:
        (self.folder / "params.yaml").write_text(json.dumps(self.raw), encoding="utf-8")

    @property
    def params(self) -> Params:
        return parse_params(self.raw)

    def path(self, name: str) -> Path:
        return self.folder / "data/mine" / name

    def cohort(self) -> Cohort:
        return read_cohort(self.path("cohort.h5ad"))

    def manifest(self) -> pd.DataFrame:
        return read_manifest(Paths(self.folder, "mine"))

    def state(self) -> dict[str, str]:
        return {name: sha256(self.path(name)) for name in RESULTS if self.path(name).exists()}

    def ingest(self, *options: str) -> str:
        """Runs `oncopixel ingest mine`: what it says, or `SourceError`."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", ["oncopixel", "ingest", "mine", *options])
            try:
                main()
                status = 0
            except SystemExit as ended:
                status = int(ended.code or 0)
        if status == 2:
            raise SourceError(err.getvalue())
        assert status == 0, err.getvalue()
        return out.getvalue() + err.getvalue()


@pytest.fixture
def work(tmp_path: Path, raw_params: dict, gdc: Gdc) -> Work:
    source = {"kind": "gdc", "projects": ["TCGA-LUAD"], "server": gdc.url, "minutes": 2}
    return Work(tmp_path / "work", raw_params, source)


def listed(gdc: Gdc, **options: object) -> pd.DataFrame:
    source = {"kind": "gdc", "projects": ["TCGA-LUAD"], "server": gdc.url, "minutes": 2}
    return file_listing.list_files(GdcSource.model_validate(source | options))


# ------------------------------------------------------------------------------ the whole cohort


def tumours() -> Cohort:
    """What is to come back: the label is the patient's, and so their tumours'."""
    cohort = gdc_layouts.expected(SIMULATED)
    return cohort.take((cohort.samples["sample_type"] == "01").to_numpy())


def test_the_cohort_that_comes_back_is_the_one_that_went_in(work: Work) -> None:
    work.ingest()
    cohort, wanted = work.cohort(), tumours()
    assert cohort.channels == ["expression", "copy_number", "mutation"]
    for channel in cohort.channels:
        np.testing.assert_array_equal(cohort.layer(channel), wanted.layer(channel), channel)
    pd.testing.assert_frame_equal(cohort.genes, wanted.genes)
    assert list(cohort.samples.index) == list(wanted.samples.index)
    for name in ("patient", "sample_type", "site", "tmb"):
        assert cohort.samples[name].tolist() == pytest.approx(
            wanted.samples[name].tolist(), nan_ok=True
        )
    dead = cohort.samples["vital_status"] == "Dead"
    assert (dead == (wanted.samples["status"] == "case")).all()
    assert cohort.data.uns["origin"] == "GDC data release 45.0: TCGA-LUAD"


def test_masked_segments_are_the_copy_number_of_genes(
    listing: pd.DataFrame, clinical: pd.DataFrame, tmp_path: Path, raw_params: dict
) -> None:
    made, values = gdc_layouts.write_segments(SIMULATED, tmp_path)
    with serve(pd.concat([listing, made]), clinical) as gdc:
        source = {"kind": "gdc", "projects": ["TCGA-LUAD"], "server": gdc.url, "minutes": 2,
                  "copy_number": "masked_segments"}  # fmt: skip
        work = Work(tmp_path / "work", raw_params, source)
        said = work.ingest()
        assert "are not of one TCGA aliquot" not in said
        cohort, before = work.cohort(), work.state()
        gdc.requests.clear()
        work.ingest()
        assert gdc.requests == []
    assert work.state() == before
    wanted = values.reindex(index=cohort.samples.index, columns=cohort.genes["chromosome"])
    assert wanted.isna().all(axis=1).sum() == len(gdc_layouts.NO_COPIES)
    np.testing.assert_allclose(cohort.layer("copy_number"), wanted.to_numpy(), atol=1e-6)
    has = wanted.notna().any(axis=1).to_numpy()
    names = gdc_layouts.barcodes(SIMULATED).set_index("rna")["dna"]
    assert (
        cohort.samples["copy_number_aliquot"][has].tolist()
        == names[cohort.samples.index[has]].tolist()
    )
    assert (cohort.samples["segments"][has] == 21).all()
    assert cohort.samples["segments"][~has].isna().all()
    names_of_files = work.manifest().query("channel == 'copy_number'")["name"]
    assert names_of_files.str.endswith(".nocnv_grch38.seg.v2.txt").all()
    assert (cohort.data.uns["joined"]["why"] == "another aliquot of this sample is used").sum() > 4


def test_it_is_the_cohort_that_the_same_values_give_as_files(
    work: Work, tmp_path: Path, raw_params: dict
) -> None:
    work.ingest()
    cohort = work.cohort()
    source = {"kind": "files", "samples": "samples.csv", "scale": "counts",
              "orientation": "samples_by_genes"}  # fmt: skip
    files = Work(tmp_path / "files", raw_params, source)
    for channel in cohort.channels:
        frame = pd.DataFrame(
            cohort.layer(channel), cohort.samples.index, cohort.genes["ensembl_id"].tolist()
        )
        frame.to_parquet(files.folder / f"inputs/{channel}.parquet")
        files.raw["cohorts"]["mine"]["source"][channel] = f"{channel}.parquet"
    cohort.samples.drop(columns=["label", "batch"]).to_csv(files.folder / "inputs/samples.csv")
    files.save()
    files.ingest()
    same = files.cohort()
    for channel in cohort.channels:
        assert cohort.layer(channel).tobytes() == same.layer(channel).tobytes(), channel
    pd.testing.assert_frame_equal(cohort.genes, same.genes)
    shared = [name for name in cohort.samples if name in same.samples]
    assert {"patient", "sample_type", "site", "vital_status", "label"} <= set(shared)
    pd.testing.assert_frame_equal(cohort.samples[shared], same.samples[shared], check_dtype=False)


def test_an_external_cohort_has_its_part_of_the_manifest(work: Work, gdc: Gdc) -> None:
    work.ingest()
    cohort, first = work.cohort(), work.manifest()
    names = [f"P{i}" for i in range(len(cohort.samples))]
    values = pd.DataFrame(cohort.layer("expression"), names, cohort.genes.index)
    values.to_parquet(work.folder / "inputs/expression.parquet")
    sheet = pd.DataFrame(
        {"patient": names, "vital_status": cohort.samples["vital_status"].tolist()}, names
    )
    sheet.to_csv(work.folder / "inputs/samples.csv", index_label="sample")
    entry = work.raw["cohorts"]["mine"]
    entry["external"] = {key: entry[key] for key in ("source", "label", "positive")}
    entry["source"] = {"kind": "files", "expression": "expression.parquet", "scale": "counts",
                       "orientation": "samples_by_genes", "samples": "samples.csv"}  # fmt: skip
    entry["channels"] = ["expression"]
    work.save()
    work.ingest()
    manifest = work.manifest()
    assert set(manifest["part"]) == {"external"}
    pd.testing.assert_frame_equal(manifest.assign(part="cohort"), first)
    assert set(pd.read_csv(work.path("clinical.csv"))["part"]) == {"external"}
    before = work.state()
    gdc.requests.clear()
    work.ingest()
    assert gdc.requests == []
    assert work.state() == before
    told = work.ingest("--dry-run")
    assert "cohort: source `files` downloads nothing" in told
    assert "external: source `gdc`, listed in manifest.csv" in told


def test_the_clinical_table(work: Work, gdc: Gdc) -> None:
    work.ingest()
    samples = work.cohort().samples
    first = samples.iloc[0]
    assert first["sex_at_birth"] == "female"
    assert first["race"] == ""  # "not reported"
    assert first["project"] == "TCGA-LUAD"
    assert first["tissue_source_site"] == f"Hospital {first['patient'][5:7]}"
    assert (samples["primary_diagnosis"] == "Adenocarcinoma, NOS").all()
    assert (samples["ajcc_stage"] == "Stage I").all()
    assert (samples["age_at_diagnosis_days"] == 21000).all()
    assert (samples["days_to_death"].notna() == (samples["vital_status"] == "Dead")).all()
    followed = {case["submitter_id"]: case["follow_ups"][1] for case in gdc.hits["cases"]}
    assert [followed[patient]["days_to_follow_up"] for patient in samples["patient"]] == samples[
        "days_to_last_follow_up"
    ].tolist()


def test_the_same_facts_give_the_same_clinical_bytes_in_any_order() -> None:
    cases = [
        case_of("TCGA-05-0002", "TCGA-LUAD", pd.Series({"stage": 'Stage "I", early'})),
        case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series({"follow_up": 1234})),
        {"submitter_id": "TCGA-05-0003"},
    ]
    shuffled = json.loads(json.dumps(cases[::-1]))
    for case in shuffled:
        case.get("diagnoses", []).reverse()
    content = records.clinical_csv(cases)
    assert records.clinical_csv(shuffled) == content
    lines = content.decode().splitlines()
    assert lines[0].startswith("patient,project,tissue_source_site,sex_at_birth")
    assert lines[1].endswith("Stage I,21000,,1234")
    assert lines[2].endswith('"Stage ""I"", early",21000,,300')
    assert lines[3] == "TCGA-05-0003" + "," * 11


@pytest.mark.parametrize(
    "word", ["Unknown", "unknown", "Not Reported", "not allowed to collect", "Not Applicable", "--"]
)
def test_words_for_not_known_are_no_value(word: str, tmp_path: Path) -> None:
    case = case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series({"race": word, "stage": word}))
    case["diagnoses"][1]["age_at_diagnosis"] = word
    table, notes = reread(records.clinical_csv([case]), tmp_path)
    row = table.loc["TCGA-05-0001"]
    assert (row["race"], row["ajcc_stage"]) == ("", "")
    assert np.isnan(row["age_at_diagnosis_days"])
    assert notes == []


def reread(content: bytes, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    path = folder / "clinical.csv"
    path.write_bytes(content)
    return records.read_clinical(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"demographic": []}, r"demographic of TCGA-05-0001 .*\[\]"),
        ({"diagnoses": {}}, r"diagnoses of TCGA-05-0001 .*\{\}"),
        ({"diagnoses": [3]}, r"diagnoses of TCGA-05-0001 .*3"),
        ({"submitter_id": None}, "submitter_id of a case .*None"),
    ],
)  # fmt: skip
def test_clinical_records_of_another_form_are_told(change: dict, fault: str) -> None:
    case = case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series(dtype=object)) | change
    with pytest.raises(SourceError, match=fault):
        records.clinical_csv([case])


@pytest.mark.parametrize(
    ("change", "name", "given"),
    [
        ({"diagnoses": [{"age_at_diagnosis": "> 89 years"}]}, "age_at_diagnosis_days",
         "no number of days: left out (TCGA-05-0001 '> 89 years')"),
        ({"diagnoses": [{"days_to_last_follow_up": True}], "follow_ups": None},
         "days_to_last_follow_up", "no number of days: left out (TCGA-05-0001 'True')"),
        ({"demographic": {"days_to_death": float("inf")}}, "days_to_death",
         "no number of days: left out (TCGA-05-0001 'inf')"),
        ({"demographic": {"race": ["white"]}}, "race",
         """no text: left out (TCGA-05-0001 '["white"]')"""),
        ({"demographic": {"race": "[Redacted]"}}, "race",
         "no text: left out (TCGA-05-0001 '[Redacted]')"),
    ],
)  # fmt: skip
def test_an_odd_clinical_value_is_left_out_and_counted(
    change: dict, name: str, given: str, tmp_path: Path
) -> None:
    case = case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series(dtype=object)) | change
    other = case_of("TCGA-05-0002", "TCGA-LUAD", pd.Series({"race": "white"}))
    table, notes = reread(records.clinical_csv([case, other]), tmp_path)
    assert notes == [f"clinical: 1 values of {name} are {given}"]
    assert pd.isna(table.loc["TCGA-05-0001", name]) or table.loc["TCGA-05-0001", name] == ""
    whole, _ = reread(records.clinical_csv([other]), tmp_path)
    assert table.loc["TCGA-05-0002"].equals(whole.loc["TCGA-05-0002"])


def test_an_odd_follow_up_yields_to_any_other(tmp_path: Path) -> None:
    case = {"submitter_id": "TCGA-05-0001"}
    case["follow_ups"] = [{"days_to_follow_up": given} for given in ("late", 5, "12", None)]
    table, notes = reread(records.clinical_csv([case]), tmp_path)
    assert table["days_to_last_follow_up"].tolist() == [12]
    assert notes == []


def test_an_odd_value_does_not_stop_the_cohort_and_is_told_again(work: Work, gdc: Gdc) -> None:
    case = gdc.hits["cases"][0]
    case["diagnoses"][1]["age_at_diagnosis"] = "> 89 years"
    work.ingest()
    cohort = work.cohort()
    lacking = cohort.samples["age_at_diagnosis_days"].isna()
    assert set(cohort.samples.loc[lacking, "patient"]) == {case["submitter_id"]}
    (note,) = [note for note in cohort.data.uns["notes"] if "age_at_diagnosis_days" in note]
    assert case["submitter_id"] in note
    before = work.state()
    work.ingest()
    assert work.state() == before


def test_a_diagnosis_that_is_null_is_none() -> None:
    case = case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series(dtype=object))
    assert records.clinical_csv([case | {"diagnoses": [None, *case["diagnoses"]]}]) == (
        records.clinical_csv([case])
    )


def test_line_ends_in_a_text_make_no_rows(tmp_path: Path) -> None:
    facts = pd.Series({"stage": "Stage I\rTCGA-05-0002,x\n\0", "race": "\ud800 white"})
    read, _ = reread(records.clinical_csv([case_of("TCGA-05-0001", "TCGA-LUAD", facts)]), tmp_path)
    assert read.index.tolist() == ["TCGA-05-0001"]
    assert read["ajcc_stage"].tolist() == ["Stage I TCGA-05-0002,x"]
    assert read["race"].tolist() == ["white"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["TCGA-05-0001-01A-01R-A277-07", "Unknown", "> 89 years"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def mutilated(draw: st.DrawFn, whole: dict) -> dict:
    """`whole` with up to three of its values, at any depth, replaced by any JSON."""
    copy = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        node, key = copy, draw(st.sampled_from(sorted(copy)))
        while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 4)):
            node = node[key]
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(keys))
        node[key] = draw(JSON)
    return copy


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=mutilated(case_of("TCGA-05-0001", "TCGA-LUAD", pd.Series({"days_to_death": 7}))))
def test_any_case_gives_a_table_that_reads_back_or_is_told(case: dict, tmp_path: Path) -> None:
    other = case_of("TCGA-05-0002", "TCGA-LUAD", pd.Series(dtype=object))
    with contextlib.suppress(SourceError):
        content = records.clinical_csv([case, other])
        read, notes = reread(content, tmp_path)
        assert read.index.tolist() == sorted([records._text(case["submitter_id"]), "TCGA-05-0002"])
        days = read[list(records.DAYS)]
        assert (days.isna() | (days.abs() < records.MAX_DAYS)).all(axis=None)
        if not notes:
            again = read.to_csv(index_label="patient", float_format="%.15g", lineterminator="\n")
            pd.testing.assert_frame_equal(reread(again.encode(), tmp_path)[0], read)


HIT = {
    "id": "f0", "file_id": "f0", "file_name": "f0.tsv", "md5sum": "0" * 32, "file_size": 5,
    "cases": [{"submitter_id": "TCGA-05-0001", "project": {"project_id": "TCGA-LUAD"},
               "samples": [sample_of("TCGA-05-0001-01A-01R-A277-07")]}],
}  # fmt: skip


@settings(deadline=None)
@given(hit=mutilated(HIT))
def test_any_hit_gives_a_row_that_can_be_used_or_is_told(hit: dict) -> None:
    source = GdcSource.model_validate({"kind": "gdc", "projects": ["TCGA-LUAD"]})
    with contextlib.suppress(SourceError):
        aliquot, _ = file_listing._measured(hit, paired=False)
        row = file_listing._row(source, hit, "expression", aliquot, "45.0")
        assert re.fullmatch("[0-9a-f]{32}", row["md5"])
        assert row["size"] >= 0
        assert all(row[name].isprintable() and row[name] for name in ("id", "name", "project"))


# ------------------------------------------------------------------------ what the server is asked


def test_a_second_run_asks_for_nothing(work: Work, gdc: Gdc) -> None:
    work.ingest()
    before = work.state()
    gdc.requests.clear()
    work.ingest()
    assert gdc.requests == []
    assert work.state() == before


def test_a_refresh_asks_for_the_list_and_for_no_file_again(work: Work, gdc: Gdc) -> None:
    work.ingest()
    before = work.state()
    gdc.requests.clear()
    work.ingest("--refresh")
    assert set(gdc.requests) == {"GET /status", "POST /files", "POST /cases"}
    assert work.state() == before


def test_cohorts_share_the_cache(work: Work, gdc: Gdc, tmp_path: Path, raw_params: dict) -> None:
    work.ingest()
    gdc.requests.clear()
    Work(tmp_path / "other", raw_params, work.source).ingest()
    assert gdc.count(".*/data.*") == 0


def test_no_more_connections_than_asked_for(
    work: Work, gdc: Gdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdc.together = 3
    monkeypatch.setattr(bundles, "SMALL_FILE", 0)
    work.source["connections"] = 3
    work.save()
    work.ingest()
    assert gdc.most_at_once == 3


def test_files_are_asked_for_once_and_small_ones_by_the_bundle(work: Work, gdc: Gdc) -> None:
    work.ingest()
    bundles = gdc.count("POST /data")
    files = len(gdc.hits["files"])
    assert bundles == -(-files // BUNDLE)
    assert gdc.count("GET /data/.*") == (1 if files % BUNDLE == 1 else 0)


def test_a_dry_run_tells_and_writes_nothing(work: Work, gdc: Gdc, cache: Path) -> None:
    told = work.ingest("--dry-run")
    assert not (work.folder / "data").exists()
    assert not cache.exists()
    assert gdc.count(".*/data.*") == 0
    sizes = pd.DataFrame(gdc.hits["files"]).groupby("data_type")["file_size"].agg(["size", "sum"])
    size, total = sizes.loc["Gene Expression Quantification"]
    rows = {line.split()[0]: line.split() for line in told.splitlines() if line.startswith("  ")}
    assert "asked of its server now, data release 45.0" in told
    assert rows["expression"] == ["expression", str(size), f"{total / 1e3:.1f}", "kB", "0",
                                  f"{total / 1e3:.1f}", "kB"]  # fmt: skip
    assert rows["all"][1] == str(len(gdc.hits["files"]) + 1)
    work.ingest()
    told = work.ingest("--dry-run")
    assert "listed in manifest.csv" in told
    assert told.splitlines()[-1].split()[-2:] == ["0", "B"]


# ------------------------------------------------------------------------------------ the manifest


def test_the_manifest_lists_every_file(work: Work, gdc: Gdc) -> None:
    work.ingest()
    manifest = work.manifest()
    files = manifest[manifest["channel"] != "samples"].set_index("id")
    hits = {hit["id"]: hit for hit in gdc.hits["files"]}
    assert set(files.index) == set(hits)
    for key, hit in hits.items():
        row = files.loc[key]
        assert (row["name"], row["md5"], row["size"]) == (
            hit["file_name"], hit["md5sum"], hit["file_size"]
        )  # fmt: skip
        assert row["release"] == "45.0"
        assert row["url"] == f"{gdc.url}/data/{key}"
        assert (
            row["samples"]
            == hit["cases"][0]["samples"][0]["portions"][0]["analytes"][0]["aliquots"][0][
                "submitter_id"
            ]
        )
    paths = [CHANNELS.index(channel) for channel in files["channel"]]
    order = list(zip(paths, files["samples"], files.index, strict=True))
    assert order == sorted(order)
    clinical = manifest[manifest["channel"] == "samples"].iloc[0]
    assert len(clinical["md5"]) == 32


def test_by_the_manifest_the_same_cohort_is_built_from_a_server_that_moved_on(
    work: Work, gdc: Gdc, cache: Path
) -> None:
    work.ingest()
    before = work.state()
    gdc.release = "46.0"
    gdc.hits["files"] = gdc.hits["files"][5:]  # withdrawn from the list, still delivered
    withdrawn = gdc.file
    every = {hit["id"]: hit for hit in gdc.hits["files"]} | {
        key: {"id": key, "file_name": row["name"], "access": "open", "md5sum": row["md5"],
              "file_size": row["size"]}
        for key, row in work.manifest().set_index("id").iterrows()
    }  # fmt: skip
    gdc.file = lambda key: withdrawn(key) or every.get(key)  # type: ignore[method-assign]
    cache.rename(cache.with_name("lost"))
    for name in RESULTS[1:]:
        work.path(name).unlink()
    gdc.requests.clear()
    work.ingest()
    assert work.state() == before
    assert gdc.count("POST /files") == 0


def test_clinical_data_that_changed_are_not_taken_for_those_of_the_manifest(
    work: Work, gdc: Gdc, cache: Path
) -> None:
    work.ingest()
    before = work.state()
    gdc.hits["cases"][0]["demographic"]["race"] = "white"
    for place in (cache, work.path("clinical.csv")):
        place.rename(place.with_name("lost"))
    changed = r"clinical data of the GDC have changed.*dvc pull data/<cohort>/clinical\.csv.*--refr"
    with pytest.raises(SourceError, match=changed):
        work.ingest()
    work.path("lost").write_text("part,patient\ncohort,TCGA-05-0001\n")
    work.path("lost").rename(work.path("clinical.csv"))
    with pytest.raises(SourceError, match=changed):
        work.ingest()
    work.path("clinical.csv").unlink()
    assert work.state() | {"clinical.csv": before["clinical.csv"]} == before
    work.ingest("--refresh")
    assert "white" in work.cohort().samples["race"].tolist()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"patient\n", b'part,patient\n"'])
def test_the_clinical_table_of_an_earlier_run_is_used_in_another_clone(
    work: Work, gdc: Gdc, cache: Path, damage: bytes
) -> None:
    gdc.hits["cases"][0]["diagnoses"][1]["ajcc_pathologic_stage"] = 'Stage "I", early'
    work.ingest()
    before, table = work.state(), work.path("clinical.csv").read_bytes()
    cache.rename(cache.with_name("lost"))
    work.path("clinical.csv").write_bytes(damage)
    work.ingest()  # from the server, whose data are still the same
    assert work.state() == before
    gdc.hits["cases"][0]["demographic"]["race"] = "white"
    cache.rename(cache.with_name("lost again"))
    work.path("clinical.csv").write_bytes(table)
    work.ingest()
    assert work.state() == before
    assert gdc.count("POST /cases") == 2


def test_a_manifest_of_which_a_part_fits_is_refused(work: Work) -> None:
    work.ingest()
    path = work.path("manifest.csv")
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].replace(lines[-1].rpartition(",")[2], "0" * 16)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SourceError, match=r"manifest\.csv is no manifest.*--refresh"):
        work.ingest()


def test_a_manifest_of_other_parameters_is_not_used(work: Work, gdc: Gdc) -> None:
    work.ingest()
    work.source |= {"sample_types": ["01"], "connections": 2, "genes": "all"}
    work.save()
    told = work.ingest()
    assert "manifest.csv is of other source parameters" in told
    assert set(work.cohort().samples["sample_type"]) == {"01"}
    gdc.requests.clear()
    work.source |= {"connections": 3, "genes": "protein_coding", "minutes": 5}
    work.save()
    work.ingest()
    assert gdc.requests == []


def test_a_damaged_manifest_is_told(work: Work) -> None:
    work.ingest()
    before = work.path("manifest.csv").read_text()
    size = re.search(r",(\d{2,}),45\.0,", before)
    assert size
    huge = [before.replace(size[0], f",{n},45.0,", 1) for n in ("9" * 30, "1e999", "9" * 18, "-2")]
    for damage in ("", "part,channel\n", before.replace(",45.0,", ","), "\0\0", *huge):
        work.path("manifest.csv").write_text(damage)
        with pytest.raises(SourceError, match=r"manifest\.csv is no manifest.*--refresh"):
            work.ingest()


def test_a_folder_in_the_place_of_a_manifest_is_told(work: Work) -> None:
    work.path("manifest.csv").mkdir(parents=True)
    with pytest.raises(SourceError, match=r"manifest\.csv is no manifest.*--refresh"):
        work.ingest()


def test_a_manifest_that_names_another_server_is_refused(work: Work, gdc: Gdc) -> None:
    """It may come with a pull request: neither its bytes nor the token go to where it says."""
    work.ingest()
    path = work.path("manifest.csv")
    path.write_text(path.read_text().replace(f"{gdc.url}/data/", "https://example.org/data/", 1))
    with pytest.raises(SourceError, match=r"is not of http://127.*example\.org"):
        work.ingest()


# --------------------------------------------------------------------------- lists that are not so


def test_a_list_of_many_pages_is_read_whole(gdc: Gdc, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = listed(gdc)
    gdc.requests.clear()
    monkeypatch.setattr(query, "PAGE", 7)
    pd.testing.assert_frame_equal(listed(gdc), whole)
    pages = sum(
        -(-n // 7)
        for n in whole["channel"].value_counts()[["expression", "copy_number", "mutation"]]
    )
    assert gdc.count("POST /files") == pages


def newcomer(gdc: Gdc, key: str) -> dict:
    """A file that comes before all others in the list."""
    hit = json.loads(json.dumps(gdc.hits["files"][0]))
    hit |= {"id": key, "file_id": key}
    hit["cases"][0]["samples"] = [sample_of("TCGA-05-9999-01A-01R-A277-07")]
    return hit


def test_a_list_that_changes_while_it_is_read_is_read_again(
    gdc: Gdc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(query, "PAGE", 7)
    gdc.changes = [lambda: gdc.hits["files"].insert(0, newcomer(gdc, "00000000"))]
    files = listed(gdc)
    assert "00000000" in files["id"].tolist()
    assert len(set(files["id"])) == len(files)
    assert set(files["id"]) >= {hit["id"] for hit in gdc.hits["files"]}

    # One comes and one goes: the total stays, but a hit comes twice and another never.
    def swap() -> None:
        gdc.hits["files"] = [newcomer(gdc, "00000001"), *gdc.hits["files"][:-1]]

    gdc.changes = [swap]
    again = listed(gdc)
    assert set(again["id"]) == {hit["id"] for hit in gdc.hits["files"]} | {""}


def test_a_release_that_comes_while_the_list_is_read_is_that_of_the_list(gdc: Gdc) -> None:
    gdc.changes = [lambda: setattr(gdc, "release", "46.0")]
    files = listed(gdc)
    assert set(files["release"]) == {"46.0"}
    assert gdc.count("GET /status") == 3
    gdc.changes = [lambda: setattr(gdc, "release", f"{float(gdc.release) + 1}") for _ in range(99)]
    with pytest.raises(SourceError, match="changed each of the 4 times"):
        listed(gdc)


def test_a_list_that_never_comes_to_rest_is_given_up(
    gdc: Gdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "PAGE", 7)
    gdc.changes = [
        lambda key=f"{99 - i:08d}": gdc.hits["files"].insert(0, newcomer(gdc, key))
        for i in range(99)
    ]
    with pytest.raises(SourceError, match="changed each of the 4 times"):
        listed(gdc)


@pytest.mark.parametrize("where", ["/status", "/files", "/cases", "/data"])
def test_every_fault_is_survived(work: Work, gdc: Gdc, where: str) -> None:
    for kind in ("drop", "page", "reset", "truncated", "short"):
        gdc.fault(where, kind, after=100)
    for status in (429, 504):
        gdc.fault(where, "status", status=status)
    work.ingest()
    assert not any(fault.times for fault in gdc.faults)
    assert len(work.cohort().samples) == len(tumours().samples)


# ---------------------------------------------------------------------------- what is asked wrongly


def test_another_release_is_told(gdc: Gdc) -> None:
    assert len(listed(gdc, release="45.0"))
    with pytest.raises(SourceError, match=r'has data release 45\.0.*asks for 46\.0.*"45\.0"'):
        listed(gdc, release="46.0")


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [("files", "cases.samples.tissue_type"), ("cases", "demographic.sex_at_birth")],
)
def test_a_field_that_the_dictionary_lacks_is_told(
    work: Work, gdc: Gdc, endpoint: str, name: str
) -> None:
    gdc.dictionary[endpoint].discard(name)
    with pytest.raises(SourceError, match=rf"has no field {name} \(data release 45\.0\).*update"):
        work.ingest()


def test_other_warnings_are_shown(gdc: Gdc, caplog: pytest.LogCaptureFixture) -> None:
    gdc.warnings = {"facets": "something is off"}
    with caplog.at_level(logging.WARNING):
        listed(gdc)
    assert "something is off" in caplog.text


def test_an_unknown_project_is_told(gdc: Gdc) -> None:
    with pytest.raises(SourceError, match=r"no project 'TCGA-LUAT' \(did you mean TCGA-LUAD"):
        listed(gdc, projects=["TCGA-LUAT"])
    with pytest.raises(
        SourceError, match="no open gene expression of TCGA aliquots of sample type 06"
    ):
        listed(gdc, sample_types=["06"])
    with pytest.raises(SourceError, match="no open copy_number files of workflow 'ASCAT2'"):
        listed(gdc, copy_number="ascat2")


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_project_that_is_not_of_tcga_is_told_before_any_file_is_fetched(
    work: Work, gdc: Gdc, flags: tuple[str, ...]
) -> None:
    hit = newcomer(gdc, "00000000")
    (case,) = hit["cases"]
    case["project"]["project_id"] = "TARGET-AML"
    case["samples"][0]["portions"][0]["analytes"][0]["aliquots"] = [
        {"submitter_id": "TARGET-20-PABHKY-09A-01R"}
    ]
    gdc.hits["files"].append(hit)
    gdc.hits["projects"].append({"id": "TARGET-AML", "project_id": "TARGET-AML"})
    work.source["projects"] = ["TCGA-LUAD", "TARGET-AML"]
    work.save()
    with pytest.raises(SourceError, match=r"TARGET-AML is no project of TCGA.*`cbioportal`"):
        work.ingest(*flags)
    assert not [request for request in gdc.requests if "/data" in request]
    assert work.state() == {}


def test_a_server_that_is_no_gdc_is_told(gdc: Gdc) -> None:
    with pytest.raises(SourceError, match="answers 404"):
        listed(gdc, server=f"{gdc.url}/elsewhere")


def test_a_file_without_md5_is_told(gdc: Gdc) -> None:
    del gdc.hits["files"][0]["md5sum"]
    with pytest.raises(
        SourceError, match=r"lists expression file \S+ of TCGA-\S+ with md5sum None"
    ):
        listed(gdc)


@pytest.mark.parametrize(
    ("name", "value"),
    [("md5sum", None), ("md5sum", "0" * 31), ("file_size", "big"), ("file_size", -1),
     ("file_size", True), ("file_name", "a\rb"), ("file_id", None), ("file_size", 10**30),
     ("file_name", "a\u202eb"), ("md5sum", "\x1b[2J")],
)  # fmt: skip
def test_a_file_that_cannot_be_verified_is_told(gdc: Gdc, name: str, value: object) -> None:
    gdc.hits["files"][0][name] = value
    with pytest.raises(SourceError, match=f"{name}.* {re.escape(repr(value))}"):
        listed(gdc)


def test_an_aliquot_that_cannot_be_shown_is_told(gdc: Gdc) -> None:
    text = json.dumps(gdc.hits["files"])
    aliquot = re.search(r"TCGA-[\w-]{20,}", text)
    assert aliquot
    gdc.hits["files"] = json.loads(text.replace(aliquot[0], f"{aliquot[0]}\\u001b\\u202e"))
    with pytest.raises(SourceError, match=r"with aliquot .*\\x1b\\u202e") as caught:
        listed(gdc)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("release", ["45.0\x1b[2J", "4\u202e5", "9" * 60])
def test_a_release_that_is_no_name_is_not_taken(gdc: Gdc, release: str) -> None:
    gdc.answers = {"/status": json.dumps({"data_release": f"Data Release {release} - x"}).encode()}
    with pytest.raises(SourceError, match="does not tell its data release") as caught:
        listed(gdc)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("total", "hits"), [(10**30, 1), (10**6, 500), (600, 600)])
def test_a_list_without_end_is_left(gdc: Gdc, total: int, hits: int) -> None:
    page = {"hits": [{"id": f"x{i}"} for i in range(hits)], "pagination": {"total": total}}
    gdc.answers = {"/files": json.dumps({"data": page}).encode()}
    with pytest.raises(SourceError, match=r"lists \d+ entries, \d+ on a page of 500"):
        listed(gdc)
    assert gdc.count(".*/files.*") == 1


def test_a_list_of_warnings_is_shown(gdc: Gdc, caplog: pytest.LogCaptureFixture) -> None:
    page = {"hits": [], "pagination": {"total": 0}}
    gdc.answers = {"/files": json.dumps({"data": page, "warnings": ["odd"]}).encode()}
    with caplog.at_level(logging.WARNING), pytest.raises(SourceError, match="no open gene expr"):
        listed(gdc)
    assert "odd" in caplog.text


@pytest.mark.parametrize(
    "answer", [b"[]", b"3", b'{"data": {}}', b'{"data": {"hits": [3], "pagination": {"total": 1}}}']
)
def test_an_answer_of_another_form_is_told(gdc: Gdc, answer: bytes) -> None:
    gdc.answers = {"/files": answer}
    with pytest.raises(SourceError, match=r"the answer holds no hits: .*Is .* a GDC\?"):
        listed(gdc)
    gdc.answers = {"/status": answer}
    with pytest.raises(SourceError, match="does not tell its data release: is it a GDC"):
        listed(gdc)


def test_channels_and_sample_types_that_are_not_wanted_are_not_listed(gdc: Gdc) -> None:
    files = listed(gdc, sample_types=["11"], copy_number=None, mutation=None)
    assert set(files["channel"]) == {"expression", "samples"}
    assert {name[13:15] for name in files["samples"] if name} == {"11"}


def test_copy_number_and_mutations_are_of_samples_with_expression(gdc: Gdc) -> None:
    whole = listed(gdc)
    for hit in gdc.hits["files"]:
        samples = hit["cases"][0]["samples"]
        if hit["data_type"] == "Masked Somatic Mutation" and len(samples) == 2:
            stray = json.loads(json.dumps(hit)) | {"id": "00000000", "file_id": "00000000"}
    stray["cases"][0]["samples"][0] = sample_of("TCGA-05-9999-01A-01D-A273-01")
    gdc.hits["files"].append(stray)
    pd.testing.assert_frame_equal(listed(gdc), whole)


def test_files_of_no_tcga_aliquot_are_left_out(gdc: Gdc, caplog: pytest.LogCaptureFixture) -> None:
    whole = listed(gdc)
    odd = newcomer(gdc, "00000000")
    odd["cases"][0]["samples"][0]["portions"][0]["analytes"][0]["aliquots"] = [
        {"submitter_id": "HCM-CSHL-0084-C25"}
    ]
    gdc.hits["files"].append(odd)
    with caplog.at_level(logging.WARNING):
        pd.testing.assert_frame_equal(listed(gdc), whole)
    assert "1 expression files are not of one TCGA aliquot" in caplog.text


# --------------------------------------------------------------------------------------- bundles


def test_what_a_broken_bundle_lacks_is_asked_for_singly(work: Work, gdc: Gdc) -> None:
    def cut(members: list[tuple[str, bytes]]) -> bytes:
        content = tar_gz(members)
        return content[: len(content) // 2]

    gdc.bundle = cut
    work.ingest()
    singly = gdc.count("GET /data/.*")
    assert 0 < singly < len(gdc.hits["files"])
    assert len(work.cohort().samples) == len(tumours().samples)


def test_wrong_content_in_a_bundle_is_not_kept(work: Work, gdc: Gdc) -> None:
    def swap(members: list[tuple[str, bytes]]) -> bytes:
        name, content = members[0]
        return tar_gz([(name, bytes(len(content))), *members[1:]])

    gdc.bundle = swap
    work.ingest()
    assert gdc.count("GET /data/.*") >= gdc.count("POST /data")
    assert len(work.cohort().samples) == len(tumours().samples)


def member(name: str, **facts: object) -> Callable[[list[tuple[str, bytes]]], bytes]:
    """A bundle with a further member."""

    def make(members: list[tuple[str, bytes]]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(name or members[0][0])
            for key, value in facts.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(bytes(info.size)))
            end = archive.offset
        return gzip.compress(buffer.getvalue()[:end] + tar(members), 1)

    return make


def bomb(members: list[tuple[str, bytes]]) -> bytes:
    """A header that claims to be followed by a name of 1 GB, all zeros, a megabyte when packed."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as packed:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 26
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            packed.write(bytes(1 << 20))
    return buffer.getvalue()


def pax(name: str, size: str) -> Callable[[list[tuple[str, bytes]]], bytes]:
    """A bundle with a member whose extended header states another size."""

    def make(members: list[tuple[str, bytes]]) -> bytes:
        info = tarfile.TarInfo(name or members[0][0])
        info.pax_headers = {"size": size}
        return gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + tar(members), 1)

    return make


def headers(members: list[tuple[str, bytes]]) -> bytes:
    """Extended headers one after the other, without a member."""
    info = tarfile.TarInfo("x")
    info.pax_headers = {"comment": "x"}
    return gzip.compress(info.tobuf(tarfile.PAX_FORMAT)[:1024] * 5_000 + tar(members), 1)


def nothing(members: list[tuple[str, bytes]]) -> bytes:
    """Compressed data of no bytes, again and again."""
    return gzip.compress(b"", 1) * 500_000


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (pax("MANIFEST.txt", "9" * 30), "unpacks to more than"),
        (pax("MANIFEST.txt", str(1 << 62)), "unpacks to more than"),
        (pax("", "9" * 30), r"has 9{30} bytes, not the \d+ that are listed"),
        (headers, "unpacks to more than"),
        (nothing, "the answer is longer than"),
        (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is no plain file"),
        (member("", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is no plain file"),
        (member("", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "is no plain file"),
        (member("", type=tarfile.CHRTYPE), "is no plain file"),
        (member("", type=tarfile.DIRTYPE), "is no plain file"),
        (member("", size=1 << 24), "unpacks to more than"),
        (member("MANIFEST.txt", size=1 << 26), "unpacks to more than"),
        (bomb, "unpacks to more than"),
    ],
)
def test_a_dangerous_bundle_is_dropped_and_its_files_are_asked_for_singly(
    work: Work, gdc: Gdc, bundle: Callable, reason: str, tmp_path: Path
) -> None:
    gdc.bundle = bundle
    told = work.ingest("--refresh")
    assert re.search(f"warning: a bundle of .*{reason}", told)
    assert gdc.count("GET /data/.*") >= len({hit["md5sum"] for hit in gdc.hits["files"]})
    files = {path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()}
    strange = {path for path in files if not path.is_relative_to(tmp_path / "cache")}
    assert strange - {work.path(name) for name in RESULTS} == {work.folder / "params.yaml"}
    assert len(work.cohort().samples) == len(tumours().samples)


@pytest.mark.parametrize("bundle", [
    tar_gz,
    member("../../../evil", size=5),
    member("/tmp/evil", size=5),  # noqa: S108
    member("folder", type=tarfile.DIRTYPE),
])  # fmt: skip
def test_members_of_a_bundle_that_were_not_asked_for_are_passed_over(
    work: Work, gdc: Gdc, bundle: Callable, cache: Path
) -> None:
    """The GDC adds its manifest, and the annotations of files that have some."""
    for hit in gdc.hits["files"]:
        hit["annotated"] = True
    gdc.bundle = bundle
    work.ingest()
    singly = len(gdc.hits["files"]) % BUNDLE == 1
    assert gdc.count("GET /data/.*") == singly
    kept = {path.name for path in cache.glob("??/*")}
    assert kept == set(work.manifest()["md5"])
    assert not Path("/tmp/evil").exists()  # noqa: S108


FILES = {f"{'a' * (20 + 60 * i)}/f{i}.maf": bytes([i]) * 300 * (i + 1) for i in range(3)}
WANTED = {
    name: RemoteFile(f"http://x/{name}", name, md5(content).hexdigest(), len(content))  # noqa: S324
    for name, content in FILES.items()
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=5),
    end=st.integers(0, 8000) | st.none(),
    flip=st.integers(0, 400) | st.none(),
)
def test_a_damaged_bundle_gives_right_files_or_none(
    cache: Path, changes: list[tuple[int, int]], end: int | None, flip: int | None
) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    archive = bytearray(tar(list(FILES.items())))
    for place, value in changes:
        archive[place % len(archive)] = value
    for start in range(0, len(archive), 512):  # checksums that fit, or nothing else is looked at
        if archive[start + 257 : start + 262] == b"ustar":
            archive[start + 148 : start + 156] = b" " * 8
            total = sum(archive[start : start + 512])
            archive[start + 148 : start + 156] = b"%06o\0 " % total
    content = bytearray(gzip.compress(bytes(archive[:end]), 1))
    if flip is not None:
        content[flip % len(content)] ^= 0xFF
    with contextlib.suppress(SourceError, BrokenError):
        bundles.unpack(bytes(content), WANTED)
    kept = {path.name for path in cache.rglob("*") if path.is_file()}
    assert kept <= {file.md5 for file in WANTED.values()}
    if not changes and end is None and flip is None:
        assert len(kept) == len(WANTED)


# --------------------------------------------------------------------------- tokens


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token.txt"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    monkeypatch.setenv(query.TOKEN_VARIABLE, str(path))
    return path


def test_controlled_files_need_a_token(work: Work, gdc: Gdc, token: Path) -> None:
    controlled = gdc.hits["files"][0]
    controlled["access"] = "controlled"
    told = work.ingest()
    assert controlled["id"] in work.manifest()["id"].tolist()
    assert TOKEN not in told
    for name in RESULTS:
        assert TOKEN.encode() not in work.path(name).read_bytes()
    os.environ.pop(query.TOKEN_VARIABLE)
    assert controlled["id"] not in listed(gdc)["id"].tolist()


def test_a_token_that_was_refused_is_not_shown(work: Work, gdc: Gdc, token: Path) -> None:
    gdc.hits["files"][0]["access"] = "controlled"
    token.write_text("another-T0ken")
    with pytest.raises(SourceError, match=r"answers 403.*may have expired") as told:
        work.ingest("--refresh")
    assert "another-T0ken" not in str(told.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700])
def test_a_token_that_others_may_use_is_refused(token: Path, mode: int) -> None:
    token.chmod(mode)
    with pytest.raises(SourceError, match=r"is not protected.*chmod 600") as told:
        query.read_token()
    assert TOKEN not in str(told.value)


def test_a_token_of_somebody_else_is_refused(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: token.stat().st_uid + 1)
    with pytest.raises(SourceError, match="is not protected"):
        query.read_token()


@pytest.mark.parametrize("content", [b"", b"two words", b"two\nlines", b"\xff\xfe", b"\n"])
def test_what_is_no_token_is_refused_and_not_shown(token: Path, content: bytes) -> None:
    token.write_bytes(content)
    with pytest.raises(SourceError, match="holds no token") as told:
        query.read_token()
    assert "two" not in str(told.value)


def test_a_token_may_be_read_only_and_must_be_there(token: Path) -> None:
    token.chmod(0o400)
    assert query.read_token() == TOKEN
    token.unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        query.read_token()


# ------------------------------------------------------------------------------ ends in the middle


def start(work: Work, program: str) -> subprocess.Popen:
    """`oncopixel ingest mine` in a process of its own, after `program`."""
    code = f"{program}\nfrom oncopixel.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "ingest", "mine"], cwd=work.folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


SINGLY = "from oncopixel.sources.gdc import bundles; bundles.SMALL_FILE = 0"
HALTS = {
    "reading": """
import itertools, signal
from oncopixel.sources.gdc import expression as gdc_files
count, real = itertools.count(), gdc_files.read_star
def read_star(*args):
    if next(count) == 7:
        print("halted", flush=True)
        signal.pause()
    return real(*args)
gdc_files.read_star = read_star
""",
    "writing": """
import signal
from pathlib import Path
real = Path.replace
def replace(path, target):
    if path.suffix == ".h5ad":
        print("halted", flush=True)
        signal.pause()
    return real(path, target)
Path.replace = replace
""",
}


def test_killed_amid_the_download_it_goes_on_where_it_was(
    work: Work, gdc: Gdc, cache: Path
) -> None:
    last = max(gdc.hits["files"], key=lambda hit: hit["file_size"])
    gdc.fault(f"/data/{last['id']}", "stall", after=5000)
    process = start(work, SINGLY)
    others = {hit["md5sum"] for hit in gdc.hits["files"]} - {last["md5sum"]}

    def halted() -> bool:
        if not others <= {path.name for path in cache.glob("??/*")}:
            return False  # a part may be gone, moved to its place, between two looks
        return any(path.stat().st_size for path in (cache / "partial").glob("*"))

    until(halted, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    gdc.stalled.set()
    assert work.state() == {}
    gdc.requests.clear()
    gdc.headers.clear()
    work.ingest()
    assert [r for r in gdc.requests if "/data" in r] == [f"GET /data/{last['id']}"]
    assert "Range" in gdc.headers[-1]
    assert len(work.cohort().samples) == len(tumours().samples)


@pytest.mark.parametrize("amid", HALTS)
def test_killed_amid_its_first_run_it_downloads_no_file_again(
    work: Work, gdc: Gdc, cache: Path, amid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    process = start(work, HALTS[amid])
    assert process.stdout is not None
    assert process.stdout.readline() == "halted\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert set(work.state()) == ({"manifest.csv", "clinical.csv"} if amid == "writing" else set())
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list((cache / "partial").iterdir()) == []
    gdc.requests.clear()
    work.ingest()
    assert set(gdc.requests) == (
        set() if amid == "writing" else {"GET /status", "POST /files", "POST /cases"}
    )
    killed = work.state()
    assert set(killed) == {path.name for path in work.path("").iterdir()} == set(RESULTS)
    work.ingest("--refresh")
    assert work.state() == killed


def test_a_failure_leaves_the_earlier_results(work: Work, gdc: Gdc, cache: Path) -> None:
    work.ingest()
    before = work.state()
    cache.rename(cache.with_name("lost"))
    gdc.fault("/data", "status", times=999, status=404)
    with pytest.raises(SourceError, match="answers 404"):
        work.ingest("--refresh")
    assert work.state() == before


# ----------------------------------------------------------------- the server is what it stands for


def ask(gdc: Gdc, path: str, payload: object = None) -> tuple[int, bytes]:
    data = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(  # noqa: S310
        gdc.url + path, data, {"Content-Type": "application/json"} if data else {}
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def where(op: str, field: str, *values: str) -> dict:
    return {"op": op, "content": {"field": field, "value": list(values)}}


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (where("in", "data_type", "Gene Level Copy Number"), {"Gene Level Copy Number"}),
        (where("=", "files.data_type", "Masked Somatic Mutation"), {"Masked Somatic Mutation"}),
        (
            where("exclude", "data_type", "Masked Somatic Mutation", "Gene Level Copy Number"),
            {"Gene Expression Quantification"},
        ),
        (
            {"op": "or", "content": [
                where("=", "data_type", "Masked Somatic Mutation"),
                {"op": "and", "content": [
                    where("!=", "analysis.workflow_type", "STAR - Counts"),
                    where("in", "cases.project.project_id", "TCGA-LUAD"),
                ]},
            ]},
            {"Masked Somatic Mutation", "Gene Level Copy Number"},
        ),
        (where("in", "cases.project.project_id", "TCGA-BRCA"), set()),
    ],
)  # fmt: skip
def test_the_local_server_evaluates_filters(gdc: Gdc, rule: dict, wanted: set[str]) -> None:
    payload = {"filters": rule, "fields": "data_type", "size": 1000}
    answer = json.loads(ask(gdc, "/files", payload)[1])
    assert {hit["data_type"] for hit in answer["data"]["hits"]} == wanted
    assert answer["data"]["pagination"]["total"] == len(answer["data"]["hits"])


def test_the_local_server_answers_in_the_documented_forms(gdc: Gdc) -> None:
    answer = json.loads(
        ask(gdc, "/v0/files?fields=file_id,nonsense&expand=cases.project&from=3")[1]
    )
    assert answer["warnings"] == {"fields": "unrecognized values: [nonsense]"}
    assert answer["data"]["pagination"] | {"total": 0, "pages": 0} == {
        "count": 10, "total": 0, "size": 10, "from": 3, "sort": "", "page": 1, "pages": 0,
    }  # fmt: skip
    assert set(answer["data"]["hits"][0]) == {"id", "file_id", "cases"}
    table = ask(gdc, "/files?fields=cases.samples.submitter_id&format=TSV&size=1")[1].decode()
    assert "cases.0.samples.0.submitter_id" in table.splitlines()[0]
    for size in ("-1", "many", "1000000"):
        assert ask(gdc, f"/files?size={size}")[0] == 400
    assert ask(gdc, "/files", {"filters": where("=", "nonsense", "1")})[0] == 400
    manifest = ask(gdc, "/files?return_type=manifest&size=1")[1].decode().splitlines()
    assert manifest[0] == "id\tfilename\tmd5\tsize\tstate"
    assert len(manifest) == len(gdc.hits["files"]) + 1
    keys = [hit["id"] for hit in gdc.hits["files"][:2]]
    assert len(ask(gdc, f"/manifest/{','.join(keys)}")[1].splitlines()) == 3
    bundle = ask(gdc, f"/data/{','.join(keys)}?tarfile")[1]
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        assert archive.getnames()[-1] == "MANIFEST.txt"
        assert [name.split("/")[0] for name in archive.getnames()[:-1]] == keys
