"""A simulated study as a Xena hub, the cBioPortal and plain files would hold it.

`write_files` writes it for the source `files`; the others write the true layouts with all their
oddities. Whatever is read back must be the same cohort, bit for bit.
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from oncopixel.cohort import genes
from oncopixel.cohort.contract import Cohort
from oncopixel.core.params import FilesSource, SimulatedSource
from oncopixel.sources.files import load_files
from oncopixel.sources.simulated import simulate

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Study:
    """Matrices of `(genes, samples)` and a sheet by sample; ids are TCGA barcodes (15 characters).

    Normal tissue has expression only, three tumours were not sequenced, some genes are in no
    further channel.
    """

    expression: pd.DataFrame
    copy_number: pd.DataFrame
    mutation: pd.DataFrame
    sheet: pd.DataFrame


def study(*, logged: bool, n_samples: int = 40, n_genes: int = 120, seed: int = 7) -> Study:
    """A small study; expression is log2(count + 1) when `logged`, else normalised counts."""
    simulated = simulate(
        SimulatedSource(
            kind="simulated", seed=seed, n_samples=n_samples, n_genes=n_genes,
            n_markers=n_genes // 10, normal_fraction=0.2,
        )
    )  # fmt: skip
    patients = {name: i for i, name in enumerate(dict.fromkeys(simulated.patients))}
    names = [
        f"TCGA-{patients[patient] % 7 + 10}-A{patients[patient]:03d}-{code}"
        for patient, code in zip(simulated.patients, simulated.samples["sample_type"], strict=True)
    ]

    def frame(channel: str) -> pd.DataFrame:
        return pd.DataFrame(simulated.layer(channel).T, simulated.genes.index, names)

    tumours = [name for name in names if name.endswith("-01")]
    raw = frame("expression").astype(float)
    expression = np.log2(raw + 1).round(4) if logged else (raw * 1.037).round(4)
    mutation = frame("mutation")[tumours[3:]].astype(int)
    mutation.iloc[:: n_genes // 12, ::5] = 1
    columns = simulated.samples.set_axis(names, axis=0)
    sheet = pd.DataFrame(
        {
            "PATIENT_ID": [name[:12] for name in names],
            "AGE": [patients[patient] + 40.5 for patient in simulated.patients],
            "SUBTYPE": columns["subtype"].str.replace("subtype ", "type "),
            "REMARK": [
                'said "well"' if patients[patient] % 3 else None for patient in simulated.patients
            ],
        },
        pd.Index(names, name="SAMPLE_ID"),
    )
    return Study(
        expression,
        frame("copy_number")[tumours].mul(2).round().clip(-2, 2).astype(int).iloc[3:],
        mutation.iloc[:-5],
        sheet,
    )


def other_names(known: Iterable[str]) -> dict[str, str]:
    """Another name for each of these symbols that has one."""
    found = {symbol: name for name, (symbol, _) in genes._other_names().items()}
    return {symbol: found[symbol] for symbol in known if symbol in found}


def write_files(made: Study, folder: Path) -> None:
    """As the source `files` has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("expression", "copy_number", "mutation"):
        getattr(made, name).to_csv(folder / f"{name}.tsv", sep="\t", index_label="gene")
    made.sheet.to_csv(folder / "samples.tsv", sep="\t")


def read_files(made: Study, folder: Path, scale: str) -> Cohort:
    """The cohort that the source `files` makes of it."""
    write_files(made, folder)
    source = FilesSource(
        kind="files", expression="expression.tsv", copy_number="copy_number.tsv",
        mutation="mutation.tsv", samples="samples.tsv", scale=scale,
        patient_column="PATIENT_ID",
    )  # fmt: skip
    return load_files(source, folder)


def lines(rows: Iterable[Iterable[object]]) -> str:
    """Rows as tab-separated text; None is an empty cell."""
    return "".join(
        "\t".join("" if cell is None else str(cell) for cell in row) + "\n" for row in rows
    )


def matrix_rows(frame: pd.DataFrame) -> list[list[object]]:
    """Gene and values of each row."""
    return [[gene, *frame.loc[gene].tolist()] for gene in frame.index]


XENA = {
    "expression": "TCGA.SIM.sampleMap/HiSeqV2.gz",
    "copy_number": "TCGA.SIM.sampleMap/Gistic2_CopyNumber_Gistic2_all_thresholded.by_genes.gz",
    "mutation": "mc3_gene_level/SIM_mc3_gene_level.txt.gz",
    "samples": "TCGA.SIM.sampleMap/SIM_clinicalMatrix",
}
WORDS = {"01": "Primary Tumor", "11": "Solid Tissue Normal"}


def write_xena(made: Study, folder: Path) -> None:
    """As a hub has it: `?` genes, rows without values, genes in several rows, any first column."""
    samples = list(made.expression.columns)
    expression = matrix_rows(made.expression)
    first = expression[0]
    expression += [
        ["?", *[5.5] * len(samples)],
        ["?|100130426", *[1] * len(samples)],
        [f"{first[0]}|77", *[0.5 * value for value in first[1:]]],
        ["NOTHING", *["NA"] * len(samples)],
    ]
    sequenced = list(made.mutation.columns)
    mutation = []
    for number, row in enumerate(matrix_rows(made.mutation)):
        if number % 4:
            mutation.append(row)
            continue
        even = [value * (i % 2 == 0) for i, value in enumerate(row[1:])]
        odd = [value * (i % 2 == 1) for i, value in enumerate(row[1:])]
        mutation += [[row[0], *even], [row[0], *odd]]
    mutation.append(["", *[""] * len(sequenced)])
    sheet = made.sheet.reset_index()
    sheet["sample_type"] = [WORDS[name[-2:]] for name in sheet["SAMPLE_ID"]]
    sheet.loc[2, "sample_type"] = "FFPE Scrolls"
    unseen = [["TCGA-ZZ-ZZZZ-01", "TCGA-ZZ-ZZZZ", 50, "type 1", "", "Primary Tumor"]]
    copies = made.copy_number
    tables = {
        "expression": [["sample", *samples], *expression],
        "copy_number": [["Gene Symbol", *copies.columns], *matrix_rows(copies)],
        "mutation": [["xena_sample", *sequenced], *mutation],
        "samples": [
            ["sampleID", *sheet.columns[1:]],
            *sheet.astype(object).where(sheet.notna(), None).to_numpy().tolist(),
            *unseen,
        ],
    }
    for channel, name in XENA.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = lines(tables[channel]).encode()
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


STUDY = {
    "expression": "data_mrna_seq_v2_rsem.txt",
    "copy_number": "data_cna.txt",
    "mutation": "data_mutations.txt",
    "samples": "data_clinical_sample.txt",
    "patients": "data_clinical_patient.txt",
    "sequenced": "case_lists/cases_sequenced.txt",
}
MAF_HEADER = (
    "Hugo_Symbol", "Entrez_Gene_Id", "Center", "NCBI_Build", "Chromosome", "Start_Position",
    "Variant_Classification", "Tumor_Sample_Barcode", "Mutation_Status", "HGVSp_Short", "Comment",
)  # fmt: skip


def entrez_ids(made: Study) -> dict[str, int]:
    """An id for each gene."""
    return {gene: 100_000_001 + i for i, gene in enumerate(made.expression.index)}


def write_cbioportal(made: Study, folder: Path, *, long: bool = False) -> None:
    """As a study folder has it: ids blank or both, silent and germline rows, comments, case lists.

    Every fifth gene is named by its Entrez id alone in the expression, every fifth other one in
    the list of mutations; other files name them.
    """
    entrez = entrez_ids(made)
    names = dict(enumerate(made.expression.index))
    copied, mutated = set(made.copy_number.index), set(made.mutation.index)
    no_symbol = {names[i] for i in range(5, len(names), 5) if names[i] in copied}
    no_symbol_maf = {names[i] for i in range(7, len(names), 5) if names[i] in copied & mutated}

    def wide(frame: pd.DataFrame, unnamed: set[str]) -> list[list[object]]:
        return [
            [None if row[0] in unnamed else row[0], entrez[str(row[0])], *row[1:]]
            for row in matrix_rows(frame)
        ]

    header = ["Hugo_Symbol", "Entrez_Gene_Id"]
    samples = list(made.expression.columns)
    nameless = [[None, 999_999_999, *[3] * len(samples)], [None, None, *[4] * len(samples)]]
    expression = [[*header, *samples], *nameless, *wide(made.expression, no_symbol)]
    copies = made.copy_number
    if long:
        extra = ("cbp_driver", "cbp_driver_annotation")
        copy_number: list[list[object]] = [[*header, "Sample_Id", "Value", *extra]]
        copy_number += [
            [gene, entrez[gene], sample, copies.loc[gene, sample], "Putative_Driver", ""]
            for sample in copies.columns
            for gene in copies.index
        ]
    else:
        copy_number = [[*header, "Cytoband", *copies.columns]]
        copy_number += [[row[0], row[1], "17p13.1", *row[2:]] for row in wide(copies, set())]
    tables = {
        "expression": expression,
        "copy_number": copy_number,
        "mutation": [
            ["#version 2.4"],
            ["#sequenced_samples: none of these count"],
            MAF_HEADER,
            *_variants(made, entrez, no_symbol_maf),
        ],
        "samples": _clinical(made.sheet.reset_index()[["PATIENT_ID", "SAMPLE_ID", "SUBTYPE"]]),
        "patients": _clinical(
            made.sheet.drop_duplicates("PATIENT_ID")[["PATIENT_ID", "AGE", "REMARK"]]
        ),
        "sequenced": [
            ["cancer_study_identifier: sim"],
            ["stable_id: sim_sequenced"],
            ["case_list_ids: " + made.mutation.columns[0], *made.mutation.columns[1:]],
        ],
    }
    for channel, name in STUDY.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lines(tables[channel]), encoding="utf-8")


def _variants(made: Study, entrez: dict[str, int], unnamed: set[str]) -> Iterable[list[object]]:
    """Variants that make the study's mutations, and others that must not count."""
    kinds = ("Missense_Mutation", "Nonsense_Mutation", "Frame_Shift_Del", "Splice_Site")

    def row(gene: str, kind: str, sample: str, status: str) -> list[object]:
        shown = None if gene in unnamed else gene
        return [
            shown, entrez[gene], "BI", "GRCh37", "X", 7_577_121, kind, sample, status, "p.R273H",
            'an "odd remark',
        ]  # fmt: skip

    for number, gene in enumerate(made.mutation.index):
        carriers = made.mutation.columns[made.mutation.loc[gene] == 1]
        for i, sample in enumerate(carriers):
            name = f"{sample}A-01D-1103-08" if i % 3 == 2 else sample
            yield row(gene, kinds[(number + i) % len(kinds)], name, "Somatic")
            yield row(gene, "Silent", sample, "Somatic")
        others = made.mutation.columns[made.mutation.loc[gene] == 0]
        yield row(gene, "Intron", others[number % len(others)], "")
        yield row(gene, "Missense_Mutation", others[0], "GERMLINE")


def _clinical(sheet: pd.DataFrame) -> list[list[object]]:
    columns = list(sheet.columns)
    return [
        ["#" + columns[0].title(), *columns[1:]],
        ["#" + columns[0], *[f'What is "{name}"' for name in columns[1:]]],
        ["#STRING", *["STRING"] * (len(columns) - 1)],
        ["#1", *["1"] * (len(columns) - 1)],
        columns,
        *sheet.astype(object).where(sheet.notna(), None).to_numpy().tolist(),
    ]


def assert_same(found: Cohort, expected: Cohort) -> None:
    """Layers, genes, scale and the sample columns that both have are the same, bit for bit."""
    assert found.channels == expected.channels
    assert found.samples.index.tolist() == expected.samples.index.tolist()
    pd.testing.assert_frame_equal(found.genes, expected.genes)
    for channel in expected.channels:
        np.testing.assert_array_equal(
            found.layer(channel).view(np.int32), expected.layer(channel).view(np.int32), channel
        )
    shared = [name for name in expected.samples if name in found.samples]
    assert {"patient", "sample_type", "site", "batch", "AGE", "SUBTYPE", "REMARK"} <= set(shared)
    pd.testing.assert_frame_equal(found.samples[shared], expected.samples[shared])
    assert found.scale == expected.scale


def notes(cohort: Cohort) -> str:
    """What was dropped or merged, as one text."""
    return "\n".join(cohort.data.uns["notes"])
