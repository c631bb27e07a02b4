"""A simulated cohort as the files that the GDC would hand out for it, with all their oddities.

`write` writes one file per aliquot and channel in the true layouts; `clinical` and `expected` say
what belongs to them, and what cohort must come back. Patients get TCGA barcodes; a sample's RNA and
DNA aliquots have different barcodes, as they do there. Two tumours have no copy number, two no
mutations; one was sequenced and has no mutation at all; normal tissue has expression only; some
samples have further aliquots, with other values, that must not be used.
"""

import gzip
import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from oncopixel.cohort.contract import Cohort, build_cohort
from oncopixel.cohort.genome import lengths

WORD = re.compile(r"\w+")
STAR_COLUMNS = WORD.findall(
    "gene_id gene_name gene_type unstranded stranded_first stranded_second "
    "tpm_unstranded fpkm_unstranded fpkm_uq_unstranded"
)
COPY_COLUMNS = WORD.findall(
    "gene_id gene_name chromosome start end copy_number min_copy_number max_copy_number"
)
MAF_COLUMNS = WORD.findall("""
    Hugo_Symbol Entrez_Gene_Id Center NCBI_Build Chromosome Start_Position End_Position Strand
    Variant_Classification Variant_Type Reference_Allele Tumor_Seq_Allele1 Tumor_Seq_Allele2
    dbSNP_RS dbSNP_Val_Status Tumor_Sample_Barcode Matched_Norm_Sample_Barcode
    Match_Norm_Seq_Allele1 Match_Norm_Seq_Allele2 Tumor_Validation_Allele1 Tumor_Validation_Allele2
    Match_Norm_Validation_Allele1 Match_Norm_Validation_Allele2 Verification_Status
    Validation_Status Mutation_Status Sequencing_Phase Sequence_Source Validation_Method Score
    BAM_File Sequencer Tumor_Sample_UUID Matched_Norm_Sample_UUID HGVSc HGVSp HGVSp_Short
    Transcript_ID Exon_Number t_depth t_ref_count t_alt_count n_depth n_ref_count n_alt_count
    all_effects Allele Gene Feature Feature_type One_Consequence Consequence cDNA_position
    CDS_position Protein_position Amino_acids Codons Existing_variation DISTANCE TRANSCRIPT_STRAND
    SYMBOL SYMBOL_SOURCE HGNC_ID BIOTYPE CANONICAL CCDS ENSP SWISSPROT TREMBL UNIPARC RefSeq SIFT
    PolyPhen EXON INTRON DOMAINS CLIN_SIG SOMATIC PUBMED MOTIF_NAME MOTIF_POS HIGH_INF_POS
    MOTIF_SCORE_CHANGE IMPACT PICK VARIANT_CLASS TSL HGVS_OFFSET PHENO GENE_PHENO CONTEXT case_id
    GDC_FILTER COSMIC hotspot RNA_Support RNA_depth RNA_ref_count RNA_alt_count callers
""")
IMPACTS = (("HIGH", 1.0), ("MODERATE", 2 / 3), ("LOW", 1 / 3))
CLASSES = ("Nonsense_Mutation", "Missense_Mutation", "Translation_Start_Site")
NO_COPIES, NOT_SEQUENCED, CLEAN = (0, 1), (1, 2), 3
"""Positions of tumours without copy number, without mutations, and sequenced without any."""
UNCOVERED, RENAMED, NO_ID, NOT_IN_COPIES = 7, 3, 4, 11
"""Every so many genes: an empty cell of ASCAT, another symbol in the files, a variant without an
Ensembl id, a gene that the copy-number files lack."""


def barcodes(cohort: Cohort) -> pd.DataFrame:
    """RNA and DNA aliquot of each sample, with its patient and sample type, in the cohort's order.

    The DNA of every fifth sample is of the same vial but another portion than the RNA.
    """
    patients = {name: i for i, name in enumerate(dict.fromkeys(cohort.patients))}
    rows = []
    for i, (name, code) in enumerate(
        zip(cohort.patients, cohort.samples["sample_type"], strict=True)
    ):
        patient = f"TCGA-{patients[name] % 20 + 5:02d}-{1000 + patients[name]:04d}"
        sample = f"{patient}-{code}A"
        portion = "02" if i % 5 == 4 else "01"
        rows.append(
            {
                "patient": patient,
                "sample_type": code,
                "sample": sample,
                "rna": f"{sample}-01R-A277-07",
                "dna": f"{sample}-{portion}D-A273-01",
            }
        )
    return pd.DataFrame(rows, index=cohort.samples.index)


def clinical(cohort: Cohort) -> pd.DataFrame:
    """What is known of each patient."""
    rows = barcodes(cohort).assign(
        status=cohort.samples["status"].to_numpy(),
        days_to_birth=-np.arange(10_000, 10_000 + len(cohort.samples)),
    )
    return rows.drop_duplicates("patient").set_index("patient")[["status", "days_to_birth"]]


def copies(cohort: Cohort) -> np.ndarray:
    """`(samples, genes)` whole copies, NaN where they are not covered or nothing was measured."""
    values = np.round(2 * np.exp2(cohort.layer("copy_number").astype(float)))
    values[:, ::UNCOVERED] = np.nan
    values[:, ::NOT_IN_COPIES] = np.nan
    values[0, 1] = values[4, 1] = 0  # both copies lost
    values[_normal(cohort)] = np.nan
    values[list(NO_COPIES)] = np.nan
    return values


def mutations(cohort: Cohort, *, impact: bool = False) -> np.ndarray:
    """`(samples, genes)` weights, 0 where sequenced and not mutated, NaN where not sequenced."""
    values = cohort.layer("mutation").copy()
    values[CLEAN] = 0
    if impact:
        values *= np.array([IMPACTS[gene % 3][1] for gene in range(values.shape[1])], np.float32)
    values[_normal(cohort)] = np.nan
    values[list(NOT_SEQUENCED)] = np.nan
    return values


def expected(cohort: Cohort, *, impact: bool = False) -> Cohort:
    """The cohort that the files must give: samples in the order of their barcodes."""
    names = barcodes(cohort)
    found = mutations(cohort)
    floored = np.log2(np.maximum(copies(cohort), 0.25).astype(np.float32) / np.float32(2))

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, names["rna"].tolist(), cohort.genes.index).sort_index()

    samples = names.join(clinical(cohort), on="patient").set_index("rna")
    samples["site"] = samples["patient"].str[5:7]
    samples["batch"] = samples.index.str[21:25]
    samples["tmb"] = np.where(
        np.isnan(found[:, 0]), np.nan, 2 * np.nansum(found, axis=1) + _outside(cohort)
    )
    for channel, measured in (
        ("copy_number", _has_copies(cohort)),
        ("mutation", ~np.isnan(found[:, 0])),
    ):
        samples[f"{channel}_aliquot"] = np.where(measured, names["dna"], "")
    return build_cohort(
        frame(cohort.layer("expression")),
        samples.drop(columns=["sample", "dna"]).sort_index(),
        cohort.genes,
        scale="counts",
        origin="simulated",
        copy_number=frame(floored),
        mutation=frame(mutations(cohort, impact=impact)),
    )


def write(cohort: Cohort, folder: Path) -> pd.DataFrame:
    """The cohort's files; columns `channel`, `name`, `path`, `samples` (the aliquot), `aliquot`,
    `patient`, `sample` (with its vial)."""
    folder.mkdir(parents=True, exist_ok=True)
    names, genes = barcodes(cohort), _genes(cohort)
    listing: list[dict] = []

    def put(channel: str, aliquot: str, ending: str, content: bytes) -> None:
        key = hashlib.sha256(f"{channel} {aliquot}".encode()).hexdigest()
        name = f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:32]}.{ending}"
        (folder / name).write_bytes(content)
        listing.append(
            {
                "channel": channel,
                "name": name,
                "path": folder / name,
                "samples": aliquot,
                "aliquot": aliquot,
                "patient": aliquot[:12],
                "sample": aliquot[:16],
            }
        )

    star_name, copy_name, maf_name = (
        "rna_seq.augmented_star_gene_counts.tsv",
        "ascat3.gene_level_copy_number.v36.tsv",
        "wxs.aliquot_ensemble_masked.maf.gz",
    )
    expression, amounts, weights = cohort.layer("expression"), copies(cohort), mutations(cohort)
    for i, row in enumerate(names.itertuples()):
        put("expression", row.rna, star_name, star(genes, expression[i]))
        if not np.isnan(amounts[i]).all():
            put("copy_number", row.dna, copy_name, ascat(genes, amounts[i]))
        if not np.isnan(weights[i]).all():
            put("mutation", row.dna, maf_name, maf(genes, weights[i], row.dna))
    for i in (0, 4):  # further aliquots: a later vial, and another portion than the RNA's
        later = names["rna"].iloc[i].replace("A-01R", "B-01R")
        put("expression", later, star_name, star(genes, expression[i] + 1))
    for i in (5, 6):
        other = names["dna"].iloc[i].replace("A-01D", "B-01D").replace("A-02D", "B-01D")
        put("copy_number", other, copy_name, ascat(genes, np.full(len(genes), 9.0)))
        put("mutation", other, maf_name, maf(genes, np.ones(len(genes)), other))
    return pd.DataFrame(listing)


SEGMENT_COLUMNS = WORD.findall("GDC_Aliquot Chromosome Start End Num_Probes Segment_Mean")


def write_segments(cohort: Cohort, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Files of masked segments, as `write` lists files, and the values by RNA aliquot.

    One segment per chromosome but 2, and a UUID in place of the barcode. Two tumours
    lack a file, some have one of another vial that must not be used; blood has files, too.
    """
    chromosomes = [str(number) for number in range(1, 23) if number != 2]
    rng = np.random.default_rng(5)
    listing: list[dict] = []

    def put(aliquot: str, found: np.ndarray) -> None:
        key = hashlib.md5(aliquot.encode()).hexdigest()  # noqa: S324
        name = f"{key}.nocnv_grch38.seg.v2.txt"
        ends = [lengths()[chromosome] for chromosome in chromosomes]
        rows = zip(chromosomes, ends, found, strict=True)
        lines = [SEGMENT_COLUMNS, *([key, c, 1, end, 900, value] for c, end, value in rows)]
        (folder / name).write_text("".join("\t".join(map(str, row)) + "\n" for row in lines))
        facts = {"channel": "segments", "name": name, "path": folder / name}
        listing.append(facts | {"samples": aliquot, "aliquot": aliquot})

    values = {}
    for i, row in enumerate(barcodes(cohort).itertuples()):
        if i in NO_COPIES:
            continue
        values[row.rna] = rng.normal(0, 0.4, len(chromosomes)).round(4)
        put(row.dna, values[row.rna])
        if i % 4 == 3:
            put(
                row.dna.replace(f"-{row.sample_type}A", f"-{row.sample_type}B"), values[row.rna] + 2
            )
        put(f"{row.patient}-10A-01D-A{i:03d}-01", values[row.rna] - 2)
    return pd.DataFrame(listing), pd.DataFrame(values, chromosomes).T


def star(genes: pd.DataFrame, counts: np.ndarray) -> bytes:
    """A STAR file: genes of other types, and of the pseudoautosomal regions, among the others."""
    lines = ["# gene-model: GENCODE v36", "\t".join(STAR_COLUMNS)]
    lines += [
        f"{name}\t\t\t{i * 1000}\t{i * 500}\t{i * 500}\t\t\t"
        for i, name in enumerate(("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous"), 1)
    ]
    total = max(float(counts.sum()), 1.0)
    rows = zip(genes["id"], genes["name"], counts.astype(int), strict=True)
    for i, (key, name, count) in enumerate(rows):
        tpm = f"{count / total * 1e6:.4f}"
        lines.append(
            f"{key}\t{name}\tprotein_coding\t{count}\t{count // 2}\t{count - count // 2}\t"
            f"{tpm}\t{tpm}\t{tpm}"
        )
        if i % 10 == 0:
            lines.append(f"ENSG0099{i:07d}.2\tLINC{i}\tlncRNA\t{i}\t0\t0\t0.5\t0.5\t0.5")
        if i == 5:
            lines.append(f"{key}_PAR_Y\t{name}\tprotein_coding\t0\t0\t0\t0.0\t0.0\t0.0")
    return ("\n".join(lines) + "\n").encode()


def ascat(genes: pd.DataFrame, amounts: np.ndarray) -> bytes:
    """An ASCAT file: what is not covered is empty; some genes are not in it at all."""
    lines = ["\t".join(COPY_COLUMNS)]
    for i, (row, amount) in enumerate(zip(genes.itertuples(), amounts, strict=True)):
        if i % NOT_IN_COPIES:
            cell = "" if np.isnan(amount) else f"{amount:.0f}"
            lines.append(
                f"{row.id}\t{row.name}\tchr{row.chromosome}\t{row.start}\t{row.start + 999}\t"
                f"{cell}\t{cell}\t{cell}"
            )
    return ("\n".join(lines) + "\n").encode()


def maf(genes: pd.DataFrame, weights: np.ndarray, aliquot: str) -> bytes:
    """A MAF: every mutated gene twice (the weaker variant a missense of low impact), one of the
    lines repeated; silent ones; and one variant of a gene that has no expression."""
    lines = [
        "#version gdc-1.0.0",
        "#annotation.spec gdc-2.0.0-aliquot-merged-masked",
        "#contigs chr1,chr2,chrX",
        "#sort.order BarcodesAndCoordinate",
        "#filedate 20220516",
        f"#normal.aliquot {aliquot}",
        f"#tumor.aliquot {aliquot}",
        "\t".join(MAF_COLUMNS),
    ]
    empty = dict.fromkeys(MAF_COLUMNS, "")

    def line(gene: int, kind: str, impact: str, shift: int) -> str:
        row = genes.iloc[gene]
        cells = empty | {
            "Hugo_Symbol": row["name"],
            "Gene": "" if gene % NO_ID == 0 else row["id"].split(".")[0],
            "Chromosome": f"chr{row['chromosome']}",
            "Start_Position": str(row["start"] + shift),
            "Reference_Allele": "G",
            "Tumor_Seq_Allele2": "A",
            "Variant_Classification": kind,
            "IMPACT": impact,
            "Tumor_Sample_Barcode": aliquot,
            "all_effects": 'GENE,missense_variant,p.A"1T;',
        }
        return "\t".join(cells.values())

    mutated = np.flatnonzero(np.nan_to_num(weights) > 0)
    for gene in mutated:
        kind, impact = CLASSES[gene % 3], IMPACTS[gene % 3][0]
        lines += [line(gene, kind, impact, 1), line(gene, "Missense_Mutation", "LOW", 2)]
        lines.append(line(gene, "Silent", "LOW", 3))
    if len(mutated):
        lines.append(lines[-2])
        cells = empty | {
            "Hugo_Symbol": "Unknown",
            "Chromosome": "chr1",
            "Start_Position": "7",
            "Reference_Allele": "C",
            "Tumor_Seq_Allele2": "T",
            "Variant_Classification": "Splice_Site",
            "IMPACT": "HIGH",
            "Tumor_Sample_Barcode": aliquot,
        }
        lines.append("\t".join(cells.values()))
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def _genes(cohort: Cohort) -> pd.DataFrame:
    """Genes as the files name them: versioned ids, and symbols some of which have changed."""
    names = [
        f"NEW{i}" if i % RENAMED == 1 else symbol for i, symbol in enumerate(cohort.genes.index)
    ]
    ids = [f"{key}.{i % 19 + 1}" for i, key in enumerate(cohort.genes["ensembl_id"])]
    return pd.DataFrame(
        {"id": ids, "name": names, **cohort.genes[["chromosome", "start"]].to_dict("list")}
    )


def _normal(cohort: Cohort) -> np.ndarray:
    return (cohort.samples["sample_type"] == "11").to_numpy()


def _has_copies(cohort: Cohort) -> np.ndarray:
    return ~np.isnan(copies(cohort)).all(axis=1)


def _outside(cohort: Cohort) -> np.ndarray:
    """1 for samples that also have a variant in a gene without expression."""
    return (np.nansum(mutations(cohort), axis=1) > 0).astype(int)
