"""The cohort that ships: what the build script makes of its source, and what the repository has."""

import hashlib
import importlib.util
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from oncopixel.cohort.contract import Cohort, write_cohort
from oncopixel.core.errors import SourceError
from oncopixel.sources.bundled import load_bundled

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "data" / "bundled" / "tcga-luad"

T1 = "TCGA-05-0001-01A-01R-1107-07"
N1 = "TCGA-05-0001-11A-01R-1758-07"
T2 = "TCGA-44-0002-01A-11R-1107-07"
T3 = "TCGA-44-0003-01A-11R-1107-07"

EXPRESSION = [
    ("GeneSymbol", "EntrezID", T2, T1, N1, T3),
    ("?", 100133144, 1, 1, 1, 1),
    ("?", 10357, 1, 1, 1, 1),
    ("TP53", 7157, 0, 1, 3, 1023),
    ("EGFR", 1956, 7, 0.05, 0.03, 100),
    ("LCOR", 26148, 5, 5, 5, 5),
    ("LCOR", 84458, 6, 6, 6, 6),  # the higher mean
    ("NPR3", 79614, 9, 9, 9, 9),
    ("NPR3", 4883, 9, 9, 9, 9),  # equal means: the lower Entrez id
    ("KMT2B___KMT2D", 9757, 2, 2, 2, 2),
    ("KMT2B___KMT2D", 8085, 4, 4, 4, 4),
    ("IER3___SRGN", 23574, 8, 8, 8, 8),
]


def pair(tumour: str, normal: str = "10A-01D-A24F-08") -> str:
    return f"{tumour}/{tumour[:12]}-{normal}"


# T1: one pair; T2: four pairs of two DNA aliquots; T3: not sequenced; 0009: no RNA
MUTATIONS = [
    ("GeneSymbol", "Variant_Classification", pair("TCGA-05-0001-01A-12D-A24D-08"),
     pair("TCGA-44-0002-01A-01D-1040-01"), pair("TCGA-44-0002-01A-01D-1040-01", "10A-01W-0928-08"),
     pair("TCGA-44-0002-01B-02D-A27T-08"), pair("TCGA-44-0002-01B-02D-A27T-08", "11A-01W-0928-08"),
     pair("TCGA-62-0009-01A-12D-A24D-08")),
    ("TP53", "Missense_Mutation|Silent", 3, 1, 1, 0, 0, 1),  # half of T2's pairs
    ("EGFR", "In_Frame_Del", 0, 1, 0, 0, 0, 1),  # a quarter of them
    ("LCOR", "Silent", 1, 1, 1, 1, 1, 1),
    ("KMT2B___KMT2D", "Missense_Mutation", 1, 1, 1, 1, 1, 1),
    ("DNAONLY", "Nonsense_Mutation", 1, 0, 0, 0, 0, 0),
]  # fmt: skip

CLINICAL = [
    ("bcr_patient_uuid", "bcr_patient_barcode", "gender", "race", "ethnicity",
     "anatomic_organ_subdivision", "histologic_diagnosis", "histologic_diagnosis",
     "history_other_malignancy", "history_neoadjuvant_treatment", "residual_tumor",
     "ajcc_tumor_pathologic_pt", "ajcc_nodes_pathologic_pn", "ajcc_metastasis_pathologic_pm",
     "ajcc_pathologic_tumor_stage", "tobacco_smoking_history_indicator", "vital_status",
     "tumor_status", "age_at_initial_pathologic_diagnosis", "initial_pathologic_dx_year",
     "tobacco_smoking_pack_years_smoked", "last_contact_days_to", "death_days_to"),
    ("second header",) * 23,
    ("CDE_ID:",) * 23,
    ("u1", "TCGA-05-0001", "MALE", "WHITE", "[Not Available]", "R-Upper", "Lung Adenocarcinoma",
     "Mixed", "No", "No", "R0", "T2a", "N0", "MX", "Stage IIIA", "2", "Alive", "TUMOR FREE", "70",
     "2011", "38.5", "100", "[Not Applicable]"),
    ("u2", "TCGA-44-0002", "FEMALE", "[Unknown]", "[Not Evaluated]", "[Discrepancy]",
     "Lung Adenocarcinoma", "Mixed", "Yes", "No", "[Not Available]", "T1", "N1", "M0",
     "[Discrepancy]", "[Unknown]", "Dead", "[Unknown]", "[Not Available]", "2009",
     "[Not Available]", "[Not Available]", "244"),
]  # fmt: skip


def load_script():
    path = ROOT / "scripts" / "build_tcga_luad.py"
    spec = importlib.util.spec_from_file_location("build_tcga_luad", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def write_archive(path: Path, members: dict[str, list[tuple]]) -> str:
    """A tar.gz in the layout of the real one; its SHA-256."""
    with tarfile.open(path, "w:gz") as archive:
        for name, rows in {"openomics-0.8.8/setup.py": [("#",)], **members}.items():
            text = "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return hashlib.sha256(path.read_bytes()).hexdigest()


MEMBERS = {
    script.EXPRESSION: EXPRESSION,
    script.MUTATIONS: MUTATIONS,
    script.CLINICAL: CLINICAL,
}


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "source.tar.gz"
    return path, write_archive(path, MEMBERS)


@pytest.fixture
def built(archive: tuple[Path, str], tmp_path: Path) -> tuple[Path, dict[str, int]]:
    path, digest = archive
    return tmp_path / "small", script.build(path, tmp_path / "small", digest)


@pytest.fixture
def small(built: tuple[Path, dict[str, int]]) -> Cohort:
    return load_bundled(built[0])


def test_samples_are_sorted_and_their_barcodes_read(small: Cohort) -> None:
    obs = small.samples
    assert obs.index.tolist() == [T1, N1, T2, T3]
    assert obs["patient"].tolist() == ["TCGA-05-0001"] * 2 + ["TCGA-44-0002", "TCGA-44-0003"]
    assert obs["sample_type"].tolist() == ["01", "11", "01", "01"]
    assert obs["site"].tolist() == ["05", "05", "44", "44"]
    assert obs["batch"].tolist() == ["1107", "1758", "1107", "1107"]


def test_expression_is_log2_rounded_to_a_tenth(small: Cohort) -> None:
    assert small.scale == "log2"
    values = pd.DataFrame(small.layer("expression"), small.samples.index, small.genes.index)
    np.testing.assert_allclose(values["TP53"], [1, 2, 0, 10])
    np.testing.assert_allclose(values["EGFR"], [0.1, 0, 3, 6.7], rtol=1e-6)


def test_genes_without_a_symbol_of_their_own_are_resolved(
    small: Cohort, built: tuple[Path, dict[str, int]]
) -> None:
    assert small.genes.index.tolist() == ["EGFR", "KMT2B", "KMT2D", "LCOR", "NPR3", "TP53"]
    entrez = pd.read_parquet(built[0] / "expression.parquet").set_index("gene")["entrez_id"]
    assert entrez[["KMT2B", "KMT2D", "LCOR", "NPR3"]].tolist() == [9757, 8085, 84458, 4883]
    assert small.genes.loc["KMT2D", "chromosome"] == "12"
    counts = built[1]
    assert counts["rows"] == 11
    assert counts["without_symbol"] == 2
    assert counts["joined_names_resolved"] == 2
    assert counts["joined_names_dropped"] == 1
    assert counts["duplicated_symbols"] == 2
    assert counts["duplicate_rows_dropped"] == 2
    assert counts["genes"] == 6


def test_a_call_needs_half_of_the_pairs_and_nan_is_not_sequenced(small: Cohort) -> None:
    calls = pd.DataFrame(small.layer("mutation"), small.samples.index, small.genes.index)
    np.testing.assert_array_equal(calls["TP53"], [1, np.nan, 1, np.nan])
    np.testing.assert_array_equal(calls["EGFR"], [0, np.nan, 0, np.nan])
    np.testing.assert_array_equal(calls["LCOR"], [0, np.nan, 0, np.nan])  # silent calls only
    assert calls[["KMT2B", "KMT2D", "NPR3"]].isna().all(axis=None)  # not covered
    assert small.samples["mutation_pairs"].tolist() == [1, 0, 4, 0]


def test_clinical_records_are_clean(small: Cohort) -> None:
    obs = small.samples
    assert obs["sex"].tolist() == ["male", "male", "female", ""]
    assert obs["stage"].tolist() == ["IIIA", "IIIA", "", ""]
    assert obs["smoking"].tolist() == ["current", "current", "", ""]
    assert obs["race"].tolist() == ["white", "white", "", ""]
    assert obs["histology"].tolist() == ["Mixed", "Mixed", "Mixed", ""]
    np.testing.assert_array_equal(obs["age"], [70, 70, np.nan, np.nan])
    np.testing.assert_array_equal(obs["days_to_death"], [np.nan, np.nan, 244, np.nan])
    text = obs.select_dtypes(exclude="number").astype(str)
    assert not text.apply(lambda column: column.str.contains("[", regex=False)).any(axis=None)


def test_notes_count_what_a_reader_must_know(small: Cohort) -> None:
    notes = "\n".join(small.data.uns["notes"])
    assert "2 of 4 samples were sequenced, 1 of them in several tumour/normal pairs" in notes
    assert "3 genes are not covered by the calls; 1 genes with 1 calls have no expression" in notes


def test_genes_get_their_names_and_a_mutation_under_any_of_them_counts(tmp_path: Path) -> None:
    expression = {"gene": ["MLL2", "TP53"], "entrez_id": [8085, 7157], T1: [10, 20], T2: [0, 5]}
    tables = {
        "expression": pd.DataFrame(expression).astype({T1: np.uint8, T2: np.uint8}),
        "mutations": pd.DataFrame(
            {"gene": ["KMT2D", "CAGL114", "DNAONLY"], "samples": [[T1], [T2], [T2]]}
        ),
        "samples": pd.DataFrame({"sample": [T1, T2], "patient": ["a", "b"], "mutation_pairs": 1}),
    }
    sums = []
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
        digest = hashlib.sha256((tmp_path / f"{name}.parquet").read_bytes()).hexdigest()
        sums.append(f"{digest}  {name}.parquet\n")
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    cohort = load_bundled(tmp_path)
    assert cohort.genes.index.tolist() == ["KMT2D", "TP53"]
    np.testing.assert_array_equal(cohort.layer("mutation"), [[1, np.nan], [1, np.nan]])
    assert "mutations: genes found: 1 by symbol, 1 by alias, 1 unknown" in cohort.data.uns["notes"]


def test_building_twice_gives_the_same_bytes(
    archive: tuple[Path, str], built: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    script.build(archive[0], tmp_path / "again", archive[1])
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (built[0], tmp_path / "again")
    )
    assert len(first) == 4
    assert first == second


def test_another_archive_is_refused(archive: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"SHA-256 is .*, expected e8abed"):
        script.build(archive[0], tmp_path / "out", script.ARCHIVE_SHA256)
    with pytest.raises(SourceError, match=r"none\.tar\.gz: SHA-256 is no file"):
        script.build(tmp_path / "none.tar.gz", tmp_path / "out", archive[1])
    assert not (tmp_path / "out").exists()


def test_an_archive_that_lacks_a_table_is_refused(tmp_path: Path) -> None:
    digest = write_archive(tmp_path / "a.tar.gz", {script.EXPRESSION: EXPRESSION})
    with pytest.raises(SourceError, match=r"has no member .*LUAD__somaticMutation"):
        script.build(tmp_path / "a.tar.gz", tmp_path / "out", digest)


@pytest.mark.parametrize("value", [-1, "NA"])
def test_negative_and_missing_expression_is_refused(tmp_path: Path, value: object) -> None:
    spoiled = [*EXPRESSION, ("KRAS", 3845, 1, 1, value, 1)]
    digest = write_archive(tmp_path / "a.tar.gz", MEMBERS | {script.EXPRESSION: spoiled})
    with pytest.raises(SourceError, match="missing or negative"):
        script.build(tmp_path / "a.tar.gz", tmp_path / "out", digest)


def test_the_script_as_a_command(archive: tuple[Path, str], tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(script.main)
    out = str(tmp_path / "out")
    good = CliRunner().invoke(app, [str(archive[0]), out, "--sha256", archive[1]])
    assert good.exit_code == 0, good.output
    assert '"genes": 6' in good.output
    bad = CliRunner().invoke(app, [str(archive[0]), out])
    assert bad.exit_code == 2
    assert "error: " in bad.output


# --- the cohort in the repository ---


@pytest.fixture(scope="module")
def shipped() -> Cohort:
    return load_bundled(SHIPPED)


def test_shipped_cohort_has_the_samples_of_the_source(shipped: Cohort) -> None:
    types = shipped.samples["sample_type"].value_counts().to_dict()
    assert types == {"01": 515, "11": 59, "02": 2}
    assert len(set(shipped.patients)) == 516
    assert shipped.channels == ["expression", "mutation"]


def test_shipped_cohort_has_the_named_genes_of_the_source(shipped: Cohort) -> None:
    assert len(shipped.genes) == 20_472
    expected = {"TP53", "KRAS", "EGFR", "STK11", "KEAP1", "NKX2-1", "KMT2D", "SFTPC", "NAPSA"}
    assert expected <= set(shipped.genes.index)
    assert not {gene for gene in shipped.genes.index if "?" in gene or "___" in gene}
    assert {"CD97", "SEPT7", "ADGRE5"} & set(shipped.genes.index) == {"CD97", "SEPT7"}
    assert (shipped.genes["chromosome"] != "").mean() > 0.96
    assert (
        "expression: genes found: 19288 by symbol, 483 by later symbol, 18 by previous symbol, "
        "10 by alias, 669 unknown"
    ) in shipped.data.uns["notes"]


def test_shipped_expression_is_that_of_the_source(shipped: Cohort) -> None:
    """Three samples of two genes, read from the source archive with awk."""
    samples = [f"TCGA-05-{n}-01A-01R-1107-07" for n in ("4244", "4249", "4250")]
    source = {"TP53": [1284.9289, 2366.7039, 315.676], "NKX2-1": [3929.3865, 4180.0446, 1429.1271]}
    rows = shipped.samples.index.get_indexer(samples)
    values = shipped.layer("expression")
    assert values.min() == 0
    assert not np.isnan(values).any()
    for gene, counts in source.items():
        found = values[rows, shipped.genes.index.get_loc(gene)]
        np.testing.assert_allclose(found, np.log2(np.array(counts) + 1), atol=0.0501)


@pytest.mark.parametrize(
    ("gene", "carriers"),
    [("TP53", 276), ("KRAS", 154), ("KEAP1", 98), ("STK11", 82), ("EGFR", 76), ("NKX2-1", 6)],
)
def test_shipped_mutations_are_those_of_the_source(
    shipped: Cohort, gene: str, carriers: int
) -> None:
    """Tumours with RNA in which at least half of the pairs have a call, counted with awk."""
    calls = shipped.layer("mutation")[:, shipped.genes.index.get_loc(gene)]
    assert np.nansum(calls) == carriers
    assert (~np.isnan(calls)).sum() == 515
    assert np.isnan(calls[shipped.samples["sample_type"] == "11"]).all()


def test_shipped_clinical_records_are_usable(shipped: Cohort) -> None:
    obs = shipped.samples
    assert set(obs["sex"]) == {"male", "female"}
    assert obs["age"].between(33, 90).mean() > 0.9
    assert set(obs["stage"]) <= {"", "I", "IA", "IB", "II", "IIA", "IIB", "IIIA", "IIIB", "IV"}
    assert set(obs["vital_status"]) == {"alive", "dead"}
    assert obs["site"].nunique() == 33


def test_shipped_files_are_small_and_as_listed() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 12_000_000
    listed = dict(
        reversed(line.split("  ")) for line in (SHIPPED / "SHA256SUMS").read_text().splitlines()
    )
    assert set(listed) == {path.name for path in SHIPPED.glob("*.parquet")}
    for name, digest in listed.items():
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() == digest


def test_reading_twice_gives_the_same_cohort_file(
    built: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    write_cohort(tmp_path / "a.h5ad", load_bundled(built[0]))
    write_cohort(tmp_path / "b.h5ad", load_bundled(built[0]))
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


@pytest.mark.parametrize("name", ["expression.parquet", "mutations.parquet", "samples.parquet"])
def test_a_changed_file_is_refused(built: tuple[Path, dict[str, int]], name: str) -> None:
    path = built[0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"{name} is not the file that was shipped"):
        load_bundled(built[0])


def test_a_file_that_is_missing_is_named(built: tuple[Path, dict[str, int]]) -> None:
    (built[0] / "samples.parquet").unlink()
    with pytest.raises(SourceError, match=r"samples\.parquet is missing.*git checkout"):
        load_bundled(built[0])


def test_a_folder_that_is_no_cohort_names_those_that_are(
    built: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    shutil.copytree(built[0], tmp_path / "other")
    with pytest.raises(SourceError, match=r"holds no bundled cohort.*has: other, small\."):
        load_bundled(tmp_path / "typo")
