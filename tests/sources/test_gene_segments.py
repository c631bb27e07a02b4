"""Segments as the copy number beside expression: the same genes and samples from every source."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hub_layouts import STUDY, XENA, study, write_cbioportal, write_files, write_xena
from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.cohort.genome import CHROMOSOMES, lengths
from oncopixel.core.errors import ParamsError, SourceError
from oncopixel.core.params import (
    CbioportalSource,
    FilesSource,
    SegmentsSource,
    XenaSource,
    parse_params,
)
from oncopixel.core.project import Paths
from oncopixel.core.storage import read_json
from oncopixel.sources import load, query
from oncopixel.sources.http import cache, client
from oncopixel.stages import ingest, preprocess, validate
from static_server import StaticServer, serve

MADE = study(logged=True)
TUMOURS = [name for name in MADE.expression.columns if name.endswith("-01")][2:]
"""Two tumours have no segments."""
SEG = "data_cna_hg19.seg"
MIDDLE_OF_1 = 123_000_000
"""In the centromere, on both builds."""
VALUES = pd.DataFrame(
    np.random.default_rng(3).normal(0, 0.4, (len(TUMOURS), len(CHROMOSOMES))).round(4),
    TUMOURS,
    CHROMOSOMES,
).drop(columns="21")


def segments(build: str = "hg19", *, names: str = "ID chrom loc.start loc.end num.mark seg.mean"):
    """One segment per chromosome, of 1 the short arm only; aliquots beside those to be used."""
    rows = [
        (
            f"{sample}{vial}", name, 1, MIDDLE_OF_1 if name == "1" else lengths(build)[name], 900,
            value if vial == "A-01D-A273-01" else 3.0,
        )
        for i, (sample, values) in enumerate(VALUES.iterrows())
        for name, value in values.items()
        for vial in ("A-01D-A273-01", "B-01D-A273-01")[: 1 + (i == 0)]
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names.split())


def expected(cohort: Cohort) -> np.ndarray:
    """What each gene of each sample must have."""
    values = VALUES.reindex(index=cohort.samples.index, columns=cohort.genes["chromosome"])
    values = values.to_numpy(dtype=np.float32, copy=True)
    on_1 = (cohort.genes["chromosome"] == "1").to_numpy()
    values[:, on_1 & (cohort.genes["start"] > MIDDLE_OF_1).to_numpy()] = np.nan
    return values


def check(cohort: Cohort) -> None:
    assert cohort.channels == ["expression", "copy_number", "mutation"]
    wanted = expected(cohort)
    assert np.isfinite(wanted).any(axis=1).sum() == len(TUMOURS)
    np.testing.assert_allclose(cohort.layer("copy_number"), wanted, atol=1e-6)
    facts = cohort.samples["segments"]
    assert facts.loc[TUMOURS].tolist() == [22] * len(TUMOURS)
    assert facts.drop(TUMOURS).isna().all()
    notes = "\n".join(cohort.data.uns["notes"])
    assert "positions of hg19 converted to hg38" in notes
    assert not re.search("copy_number: .* genes were not measured", notes)
    unmeasured = len(cohort.samples) - len(TUMOURS)
    assert f"copy_number: {unmeasured} samples were not measured" in notes


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StaticServer]:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    (tmp_path / "hub").mkdir()
    with serve(tmp_path / "hub") as server:
        yield server


def files(copy_number: object, **more: object) -> FilesSource:
    given = {"expression": "expression.tsv", "mutation": "mutation.tsv", "samples": "samples.tsv"}
    raw = {"kind": "files", "scale": "log2", "copy_number": copy_number}
    return FilesSource.model_validate(raw | given | more)


@pytest.mark.parametrize(
    "given",
    [SEG, {"segments": SEG}, {"segments": "plain.seg", "build": "hg19"}, {"segments": "of-*.seg"}],
)
def test_files(tmp_path: Path, given: object) -> None:
    write_files(MADE, tmp_path)
    made = segments()
    for name in (SEG, "plain.seg"):
        made.to_csv(tmp_path / name, sep="\t", index=False)
    for i, (_, rows) in enumerate(made.groupby("ID")):
        rows.to_csv(tmp_path / f"of-{i}-hg19.seg", sep="\t", index=False)
    check(load(files(given), tmp_path)[0])


@pytest.mark.parametrize("by_url", [False, True])
def test_cbioportal(tmp_path: Path, hub: StaticServer, by_url: bool) -> None:
    write_cbioportal(MADE, hub.folder)
    segments().to_csv(hub.folder / SEG, sep="\t", index=False)
    url = hub.url if by_url else None
    source = CbioportalSource(kind="cbioportal", scale="log2", url=url, copy_number=SEG)
    cohort, listing = load(source, hub.folder)
    check(cohort)
    if by_url:
        names = dict(zip(listing["channel"], listing["name"], strict=True))
        assert names == STUDY | {"copy_number": SEG}
        hub.asked.clear()
        check(load(source, hub.folder, listing)[0])
        assert hub.asked == []


@pytest.mark.parametrize("by_url", [False, True])
def test_xena(hub: StaticServer, by_url: bool) -> None:
    write_xena(MADE, hub.folder)
    name = "TCGA.SIM.sampleMap/SNP6_nocnv_genomicSegment"
    made = (
        segments()
        .drop(columns="num.mark")
        .set_axis(["sample", "chr", "start", "end", "value"], axis=1)
    )
    made["sample"] = made["sample"].str[:15]  # a hub has one aliquot of each
    made = made[made["value"] != 3.0].assign(chr="chr" + made["chr"])
    made.to_csv(hub.folder / name, sep="\t", index=False)
    given = XENA | {"copy_number": {"segments": name, "build": "hg19"}}
    source = XenaSource.model_validate({"kind": "xena", "hub": hub.url if by_url else None} | given)
    cohort, listing = load(source, hub.folder)
    check(cohort)
    if by_url:
        assert set(listing["name"]) == {*XENA.values(), name} - {XENA["copy_number"]}


def test_how_segments_are_read_is_no_part_of_what_is_downloaded() -> None:
    def asked(copy_number: object) -> str:
        raw = {"kind": "xena", "hub": "http://a", **XENA, "copy_number": copy_number}
        return query(XenaSource.model_validate(raw))

    assert asked("a.seg") == asked({"segments": "a.seg", "build": "hg19"})
    assert asked("a.seg") != asked({"segments": "b.seg"})


def test_segments_of_normal_tissue_are_not_taken_for_changes_of_the_tumour(tmp_path: Path) -> None:
    write_files(MADE, tmp_path)
    tumour = TUMOURS[0]
    other = pd.DataFrame(
        [
            (tumour, "2", 1_000_001, 1_900_000, 90, -0.9),
            (f"{tumour[:12]}-10", "2", 1_050_001, 1_900_000, 90, -0.8),
            (tumour, "3", 1, 100_000_000, 900, 0.5),
        ],
        columns=segments().columns,
    )
    other.to_csv(tmp_path / SEG, sep="\t", index=False)
    cohort = load(files(SEG), tmp_path)[0]
    assert "1 segments of tumours left out" in "\n".join(cohort.data.uns["notes"])
    on_2 = (cohort.genes["chromosome"] == "2").to_numpy()
    assert np.isnan(cohort.layer("copy_number")[:, on_2]).all()


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    write_files(MADE, tmp_path)
    made = segments()
    made = made[made["chrom"] == "2"].assign(**{"loc.end": 100_000_000})
    made.to_csv(tmp_path / "a.seg", sep="\t", index=False)
    with pytest.raises(SourceError, match=r"a\.seg: whether positions are of hg19 or hg38"):
        load(files("a.seg"), tmp_path)
    strangers = made.assign(ID="nobody")
    strangers.to_csv(tmp_path / SEG, sep="\t", index=False)
    with pytest.raises(SourceError, match=r"hg19\.seg shares no sample with the expression"):
        load(files(SEG), tmp_path)
    with pytest.raises(SourceError, match=r"none\.seg does not exist"):
        load(files({"segments": "none.seg"}), tmp_path)
    with pytest.raises(SourceError, match=r"does not lie below"):
        load(files({"segments": "../a.seg"}), tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"segmnts": "a"}, r"unknown key `cohorts.mine.source.copy_number.segmnts` \(did you mean"),
        ({"segments": "a", "build": "hg17"}, r"copy_number.build`: input should be 'hg19' or"),
        ({"segments": ["a", "a"]}, r"copy_number.segments`: 'a' is named twice"),
    ],
)
def test_what_is_wrong_in_an_entry_is_told_with_its_key(
    raw_params: dict, given: object, message: str
) -> None:
    source = {"kind": "files", "expression": "e", "samples": "s", "scale": "log2"}
    entry = {"source": source | {"copy_number": given}, "inputs": "inputs", "label": "sample_type"}
    with pytest.raises(ParamsError, match=message):
        parse_params(raw_params | {"cohorts": {"mine": entry}})


def test_from_files_to_images(tmp_path: Path, raw_params: dict) -> None:
    write_files(MADE, tmp_path / "inputs")
    segments().to_csv(tmp_path / "inputs" / SEG, sep="\t", index=False)
    source = files(SEG).model_dump(exclude_none=True)
    entry = {
        "source": source, "inputs": "inputs", "label": "column:SUBTYPE", "positive": "type 2",
        "channels": ["expression", "copy_number"], "image": [12, 12], "sample_types": ["01"],
    }  # fmt: skip
    limits = raw_params["validation"] | {"min_samples": 5, "min_class_size": 2}
    params = parse_params(raw_params | {"cohorts": {"mine": entry}, "validation": limits})
    paths = Paths(tmp_path, "mine")
    ingest.run(paths, params)
    first = paths.data("cohort.h5ad").read_bytes()
    ingest.run(paths, params)
    assert paths.data("cohort.h5ad").read_bytes() == first
    validate.run(paths, params)
    checks = read_json(paths.report("validation.json"))["checks"]
    assert checks["sample_segments_covered"]["passed"]
    assert checks["sample_segments_overlap"]["passed"]
    preprocess.run(paths, params)
    images = np.load(paths.data("images.npy"))
    assert np.isfinite(images).all()
    assert read_cohort(paths.data("cohort.h5ad")).samples["segments"].max() == 22


def test_a_cohort_of_segments_by_url(tmp_path: Path, hub: StaticServer) -> None:
    segments().to_csv(hub.folder / SEG, sep="\t", index=False)
    variants = pd.DataFrame(
        {
            "Tumor_Sample_Barcode": [f"{name}A-01D" for name in TUMOURS],
            "Hugo_Symbol": "TP53",
            "Variant_Classification": ["Missense_Mutation", "Silent"] * (len(TUMOURS) // 2)
            + ["Silent"] * (len(TUMOURS) % 2),
        }
    )
    variants.to_csv(hub.folder / "mc3.maf", sep="\t", index=False)
    MADE.sheet.to_csv(hub.folder / "clinical.tsv", sep="\t")
    given = {"segments": SEG, "mutations": "mc3.maf", "samples": "clinical.tsv", "bins": 100}
    local = SegmentsSource.model_validate({"kind": "segments"} | given)
    source = SegmentsSource.model_validate({"kind": "segments", "url": hub.url} | given)
    wanted, nothing = load(local, hub.folder)
    assert nothing.empty
    cohort, listing = load(source, tmp_path)
    assert listing["channel"].tolist() == ["segments", "mutations", "samples"]
    np.testing.assert_array_equal(cohort.layer("copy_number"), wanted.layer("copy_number"))
    pd.testing.assert_frame_equal(cohort.samples, wanted.samples)
    pd.testing.assert_frame_equal(cohort.data.obsm["mutation"], wanted.data.obsm["mutation"])
    hub.asked.clear()
    load(source, tmp_path, listing)
    assert hub.asked == []
    with pytest.raises(ValueError, match="`segments` is the name of one file"):
        SegmentsSource.model_validate({"kind": "segments", "url": hub.url, "segments": "*.seg"})
