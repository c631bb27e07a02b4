"""Builds `data/bundled/tcga-luad` from the source archive of `openomics` 0.8.8.

    python scripts/build_tcga_luad.py openomics-0.8.8.tar.gz

The same archive and the same pyarrow give the same bytes. What is dropped, merged or renamed is
counted in the last line that is printed; the rules are in `data/bundled/tcga-luad/README.md`.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from oncopixel.core.errors import OncopixelError, SourceError
from oncopixel.core.storage import atomic, sha256, write_text

ARCHIVE_SHA256 = "e8abed647aef322dcb459770cfe405a35e3d1e96c3aa3fae8a077150e5fca620"
FOLDER = "openomics-0.8.8/tests/data/TCGA_LUAD/"
EXPRESSION = FOLDER + "LUAD__geneExp.txt"
MUTATIONS = FOLDER + "LUAD__somaticMutation_geneLevel.txt"
CLINICAL = FOLDER + "nationwidechildrens.org_clinical_patient_luad.txt"

JOINED = "___"
"""Between the symbols of a name for which the source could not decide on one."""

SYMBOL_BY_ENTREZ = {
    26: "AOC1", 205: "AK4", 738: "VPS51", 1238: "ACKR2", 1620: "BRINP1", 5891: "MOK",
    8085: "KMT2D", 8487: "GEMIN2", 9757: "KMT2B", 11041: "B4GAT1", 11261: "CHP1",
    51554: "ACKR4", 54734: "RAB39A", 55714: "TENM3", 56651: "LINC00470", 57325: "KAT14",
    79081: "LBHD1", 81488: "POLR2M", 84803: "GPAT3", 145624: "PWAR1", 201254: "CENPX",
    347745: "PWAR4", 387763: "C11orf96", 400668: "PRSS57", 401135: "SYT14P1",
}  # fmt: skip
"""The symbol of each joined name, by the Entrez id of its row."""

SILENT = {"Silent", "RNA"}
"""Variant classes that change no protein."""

TEXT_COLUMNS = {
    "gender": "sex",
    "race": "race",
    "ethnicity": "ethnicity",
    "anatomic_organ_subdivision": "lung_lobe",
    "histologic_diagnosis.1": "histology",
    "history_other_malignancy": "other_malignancy",
    "history_neoadjuvant_treatment": "neoadjuvant_treatment",
    "residual_tumor": "residual_tumour",
    "ajcc_tumor_pathologic_pt": "pathologic_t",
    "ajcc_nodes_pathologic_pn": "pathologic_n",
    "ajcc_metastasis_pathologic_pm": "pathologic_m",
    "ajcc_pathologic_tumor_stage": "stage",
    "tobacco_smoking_history_indicator": "smoking",
    "vital_status": "vital_status",
    "tumor_status": "tumour_status",
}
NUMBER_COLUMNS = {
    "age_at_initial_pathologic_diagnosis": "age",
    "initial_pathologic_dx_year": "year_of_diagnosis",
    "tobacco_smoking_pack_years_smoked": "pack_years",
    "last_contact_days_to": "days_to_last_contact",
    "death_days_to": "days_to_death",
}
SMOKING = {
    "1": "never",
    "2": "current",
    "3": "former, over 15 years",
    "4": "former, 15 years or less",
    "5": "former, duration unknown",
}


def read_members(archive: Path, expected: str) -> dict[str, bytes]:
    """The three tables in the archive, by member name, read without unpacking anything to disk."""
    found = sha256(archive) if archive.is_file() else "no file"
    if found != expected:
        raise SourceError(
            f"{archive}: SHA-256 is {found}, expected {expected}. "
            "Fetch the source archive of openomics 0.8.8 from the Python package index again."
        )
    wanted = {EXPRESSION, MUTATIONS, CLINICAL}
    contents = {}
    with tarfile.open(archive, "r|gz") as stream:
        for member in stream:
            if member.name in wanted and (handle := stream.extractfile(member)):
                contents[member.name] = handle.read()
    if lacking := sorted(wanted - set(contents)):
        raise SourceError(f"{archive} has no member {lacking[0]}.")
    return contents


def expression_table(content: bytes) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per gene: `gene`, `entrez_id`, a column per sample with tenths of log2(x + 1), uint8.

    Also what was left out, counted. Genes are sorted by symbol, samples by barcode.
    """
    raw = pd.read_csv(io.BytesIO(content), sep="\t").rename(
        columns={"GeneSymbol": "gene", "EntrezID": "entrez_id"}
    )
    joined = raw["gene"].str.contains(JOINED, regex=False)
    raw.loc[joined, "gene"] = raw["entrez_id"][joined].map(SYMBOL_BY_ENTREZ).fillna("?")
    unnamed = raw["gene"] == "?"
    named = raw[~unnamed]
    samples = sorted(named.columns[2:])
    values = named[samples].to_numpy(dtype=float)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise SourceError(f"{EXPRESSION}: a value is missing or negative.")
    order = named[["gene", "entrez_id"]].assign(mean=-values.mean(axis=1))
    kept = order.sort_values(["gene", "mean", "entrez_id"]).drop_duplicates("gene").index
    tenths = np.rint(np.log2(named.loc[kept, samples].to_numpy(dtype=float) + 1) * 10)
    table = pd.concat(
        [
            named.loc[kept, ["gene", "entrez_id"]].astype({"entrez_id": "int64"}),
            pd.DataFrame(tenths.astype(np.uint8), index=kept, columns=samples),
        ],
        axis=1,
    ).reset_index(drop=True)
    counts = {
        "rows": len(raw),
        "without_symbol": int((unnamed & ~joined).sum()),
        "joined_names_resolved": int((joined & ~unnamed).sum()),
        "joined_names_dropped": int((joined & unnamed).sum()),
        "duplicated_symbols": int(named.loc[named["gene"].duplicated(), "gene"].nunique()),
        "duplicate_rows_dropped": len(named) - len(table),
        "genes": len(table),
    }
    return table, counts


def mutation_table(
    content: bytes, samples: list[str]
) -> tuple[pd.DataFrame, pd.Series, dict[str, int]]:
    """One row per gene with the `samples` that carry a call; pairs per sample; counts.

    A call needs at least half of the sample's tumour/normal pairs. Genes with silent and RNA
    classes only have no carriers; names that join several symbols are left out.
    """
    raw = pd.read_csv(io.BytesIO(content), sep="\t", index_col="GeneSymbol")
    classes = raw.pop("Variant_Classification").fillna("").str.split("|")
    silent = classes.map(lambda names: set(names) <= SILENT).to_numpy(dtype=bool)
    joined = raw.index.str.contains(JOINED, regex=False)
    called = (raw > 0) & ~silent[:, np.newaxis]
    called = called[~joined].sort_index().T
    share = called.groupby(called.index.str[:15]).mean()
    pairs = pd.Series(raw.columns.str[:15]).value_counts()
    tumours = {barcode[:15]: barcode for barcode in samples}
    carriers = share.loc[share.index.intersection(sorted(tumours))].rename(index=tumours) >= 0.5
    barcodes = carriers.index.to_numpy()
    table = pd.DataFrame(
        {
            "gene": carriers.columns.to_numpy(),
            "samples": [sorted(barcodes[column]) for column in carriers.to_numpy().T],
        }
    )
    per_sample = pd.Series({barcode: int(pairs.get(barcode[:15], 0)) for barcode in samples})
    counts = {
        "mutation_rows": len(raw),
        "mutation_rows_silent": int(silent.sum()),
        "mutation_rows_joined_names": int(joined.sum()),
        "mutation_genes": len(table),
        "mutation_pairs": len(raw.columns),
        "mutation_tumours": len(pairs),
        "sequenced_samples": int((per_sample > 0).sum()),
        "mutation_calls": int(carriers.to_numpy().sum()),
    }
    return table, per_sample, counts


def sample_table(content: bytes, samples: list[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per sample: barcode, what it encodes, and the clinical record of its patient."""
    raw = pd.read_csv(io.BytesIO(content), sep="\t", skiprows=[1, 2], dtype=str)
    raw = raw.set_index("bcr_patient_barcode").replace(r"^\[.*\]$", None, regex=True)
    text = raw[list(TEXT_COLUMNS)].rename(columns=TEXT_COLUMNS)
    for column in ("sex", "race", "ethnicity", "vital_status", "tumour_status"):
        text[column] = text[column].str.lower()
    text["stage"] = text["stage"].str.removeprefix("Stage ")
    text["smoking"] = text["smoking"].map(SMOKING)
    numbers = raw[list(NUMBER_COLUMNS)].rename(columns=NUMBER_COLUMNS).astype(float)
    barcodes = pd.Series(samples, dtype=str)
    table = pd.DataFrame(
        {
            "sample": barcodes,
            "patient": barcodes.str[:12],
            "sample_type": barcodes.str[13:15],
            "site": barcodes.str[5:7],
            "batch": barcodes.str[21:25],
        }
    )
    clinical = numbers.join(text).reindex(table["patient"]).reset_index(drop=True)
    counts = {
        "samples": len(table),
        "patients": table["patient"].nunique(),
        "patients_without_clinical": table["patient"][~table["patient"].isin(raw.index)].nunique(),
    }
    return table.join(clinical), counts


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """`frame` as small Parquet without metadata of its writer's libraries."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    with atomic(path) as scratch:
        pq.write_table(table, scratch, compression="zstd", compression_level=19)


def build(archive: Path, out: Path, expected: str) -> dict[str, int]:
    """The cohort's four files in `out`; what was dropped, merged or renamed on the way, counted."""
    contents = read_members(archive, expected)
    expression, counts = expression_table(contents.pop(EXPRESSION))
    barcodes = list(expression.columns[2:])
    mutations, pairs, mutation_counts = mutation_table(contents.pop(MUTATIONS), barcodes)
    samples, sample_counts = sample_table(contents.pop(CLINICAL), barcodes)
    samples.insert(5, "mutation_pairs", pairs.loc[samples["sample"]].to_numpy())
    tables = {
        "expression.parquet": expression,
        "mutations.parquet": mutations,
        "samples.parquet": samples,
    }
    for name, table in tables.items():
        write_table(out / name, table)
    sums = "".join(f"{sha256(out / name)}  {name}\n" for name in sorted(tables))
    write_text(out / "SHA256SUMS", sums)
    return counts | mutation_counts | sample_counts


def main(
    archive: Annotated[Path, typer.Argument(help="openomics-0.8.8.tar.gz")],
    out: Annotated[Path, typer.Argument()] = Path("data/bundled/tcga-luad"),
    expected: Annotated[str, typer.Option("--sha256", help="Of the archive.")] = ARCHIVE_SHA256,
) -> None:
    """Build the bundled TCGA-LUAD cohort from the source archive of openomics 0.8.8."""
    try:
        typer.echo(json.dumps(build(archive, out, expected)))
    except OncopixelError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
