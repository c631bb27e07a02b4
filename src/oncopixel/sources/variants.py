"""Lists of variants: which of them alter a protein, and who is mutated in which gene.

A class is a word of the MAF (https://docs.gdc.cancer.gov/Data/File_Formats/MAF_Format/), older ones
of Oncotator and Funcotator among them, a term of the Sequence Ontology as VEP and SnpEff write it,
a word of older SnpEff, of ANNOVAR, DepMap, COSMIC or Foundation Medicine, or of the structural
variants of the cBioPortal. What alters a protein is what VEP calls HIGH or MODERATE
(https://www.ensembl.org/info/genome/variation/prediction/predicted_data.html); terms that it leaves
open are read as vcf2maf reads them (https://github.com/mskcc/vcf2maf).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from ..cohort.barcodes import barcode
from ..cohort.contract import Matrix, says_not_known
from ..core.errors import SourceError, first_few
from .tables import read_columns, read_header, texts_of
from .text import PARQUET, Dialect

MAX_UNKNOWN = 0.02
"""Share of the variants whose class may be a word that is not known."""


def _words(text: str) -> set[str]:
    return set(text.split())


_CHANGES = _words("del deletion ins insertion indel substitution blocksubstitution")
_CHANGED = _words(
    "frameshift nonframeshift inframe disruptiveinframe conservativeinframe splicesite startcodon "
    "stopcodon codon codonchangepluscodon"
)
ALTERING = (
    {frame + change for frame, change in product(_CHANGED, {"", *_CHANGES})} - {"codon"}
    | {
        f"{start}{change}{frame}"
        for start, change, frame in product(
            ("", "complex"), ("", *_CHANGES), ("frameshift", "inframe")
        )
    }
    | _words(
        "missense conservativemissense nonconservativemissense nonsynonymous nonsynonymouscoding "
        "rareaminoacid proteinaltering codingsequence codonchange substitutionmissense "
        "othernonconserving damaging complexcompoundsubstitution "
        "nonsense stopgain stopgained substitutionnonsense truncating "
        "frameshiftelongation frameshifttruncation "
        "nonstop nonstopextension readthrough stoploss stoplost "
        "splice splicing spliceacceptor splicedonor splicesiteacceptor splicesitedonor "
        "essentialsplice essentialsplicesite "
        "translationstartsite startlost startloss initiatorcodon "
        "denovostartinframe denovostartoutofframe denovostartoutframe "
        "exonloss exondeleted exondeletion transcriptablation featureablation featuretruncation "
        "featureelongation wholegenedeletion fusion genefusion bidirectionalgenefusion "
        "structural rearrangement translocation inversion duplication deletion insertion"
    )
)
"""Classes that alter the protein, in lower case, letters and digits only."""
NOT_ALTERING = {
    f"{which}{place}"
    for which, place in product(
        _words("3 5 3prime 5prime three five threeprime fiveprime"), _words("utr flank")
    )
} | _words(
    "silent synonymous synonymouscoding synonymousstart synonymousstop nonsynonymousstart "
    "nonsynonymousstop startretained stopretained incompleteterminalcodon nmdtranscript "
    "codingtranscript codingsilent substitutioncodingsilent otherconserving "
    "spliceregion splicesiteregion splicesitebranch splicesitebranchu12 splicedonor5thbase "
    "splicedonorregion splicepolypyrimidinetract "
    "intron intronic conservedintron intronconserved intragenic intergenic intergenicregion "
    "conservedintergenic intergenicconserved igr "
    "utr3 utr5 utr3prime utr5prime utr3deleted utr5deleted 3primeutrtruncation "
    "5primeutrtruncation 5primeutrprematurestartcodongain startgained "
    "upstream downstream upstreamgene downstreamgene promoter "
    "rna lincrna lncrna ncrna mirna microrna maturemirna ncrnaexonic ncrnaintronic ncrnasplicing "
    "ncrnautr3 ncrnautr5 nctranscript noncoding noncodingtranscript noncodingtranscriptexon "
    "noncodingexon exon sequencefeature regulation regulatory regulatoryregion "
    "regulatoryregionablation regulatoryregionamplification transcriptamplification "
    "tfbindingsite tfbsablation tfbsamplification"
)
"""Classes that do not, written so."""

_SEVERAL = re.compile(r"[&,;|+/]|\\x3b")
_TAIL = re.compile(r"(?:variant|mutation|snv|snp|dnp|tnp|onp|mnp|mnv)+$")


@lru_cache(1 << 16)
def alters(word: str) -> bool | None:
    """Whether a class of variants, the worst of several, alters the protein; None if not known."""
    keys = {_key(part) for part in _SEVERAL.split(word) if part.strip()}
    if keys & ALTERING:
        return True
    return False if keys and keys <= NOT_ALTERING else None


def _key(word: str) -> str:
    return _TAIL.sub("", "".join(filter(str.isalnum, word.casefold())))


def refuse_unknown(words: Counter[str], total: int, origin: str) -> list[str]:
    """A note of the classes that are not known; `SourceError` when there are many of them."""
    count = sum(words.values())
    if not count:
        return []
    shown = first_few(
        f"{word[:40]!r} ({n})" if word else f"none ({n})" for word, n in words.most_common()
    )
    fact = f"{count} of {total} variants are of a class that is not known: {shown}"
    if count > MAX_UNKNOWN * total:
        raise SourceError(
            f"{origin}: {fact}. Whether they alter a protein cannot be told, and who has them is "
            "not wild type. Write classes as the MAF, VEP, SnpEff or ANNOVAR has them, or remove "
            "the rows."
        )
    return [f"mutation: {fact}; these genes count as not measured in their samples"]


@dataclass(frozen=True)
class Calls:
    """A list of variants, row by row: sample, gene ("" where it names none), class, if somatic."""

    origin: str
    samples: list[str]
    genes: list[str]
    classes: list[str]
    somatic: np.ndarray


def mutation_matrix(calls: Calls, sequenced: Sequence[str] | None, notes: list[str]) -> Matrix:
    """`(samples, genes)`: 1 mutated, 0 not, of the sequenced samples and the genes with any row.

    Returns
    -------
    Matrix
        A gene is mutated by a somatic variant that alters the protein, and NaN in a sample whose
        only other variants are of no known class. Without `sequenced`, samples with any row were.

    Raises
    ------
    SourceError
        For a list without any gene, and one with many unknown classes.
    """
    called = list(dict.fromkeys(calls.samples))
    samples = called if sequenced is None else list(dict.fromkeys([*sequenced, *called]))
    further = 0 if sequenced is None else len(samples) - len(set(sequenced))
    if further:
        notes.append(
            f"mutation: {further} samples with mutations are not in the case list; they count as "
            "sequenced"
        )
    measured = pd.Index(sorted(set(calls.genes) - {""}), dtype=object)
    if measured.empty:
        raise SourceError(
            f"{calls.origin} holds no mutation of any gene. Set `mutation: null` to do without."
        )
    rows = pd.DataFrame(
        {"sample": calls.samples, "gene": calls.genes, "class": calls.classes}, dtype=object
    )
    named = rows["gene"] != ""
    verdict = rows["class"].map(alters)
    somatic = pd.Series(calls.somatic)
    silent = rows["class"][named & (verdict == False)]  # noqa: E712 (None is neither)
    if len(silent):
        shown = first_few(f"{word} ({n})" for word, n in Counter(silent).most_common())
        notes.append(f"mutation: {len(silent)} variants do not change a protein: {shown}")
    foreign = int((verdict.eq(True) & ~somatic).sum())
    if foreign:
        notes.append(f"mutation: {foreign} variants are not somatic by their Mutation_Status")
    if not named.all():
        notes.append(f"mutation: {(~named).sum()} variants without a gene name dropped")
    rows, verdict = rows[named & somatic], verdict[named & somatic]
    unknown = verdict.isna()
    notes += refuse_unknown(Counter(rows["class"][unknown]), len(rows), calls.origin)
    values = np.zeros((len(samples), len(measured)), dtype=np.float32)
    at = pd.Index(samples).get_indexer(rows["sample"]), measured.get_indexer(rows["gene"])
    for mask, value in ((unknown, np.nan), (verdict.eq(True), 1)):
        values[at[0][mask], at[1][mask]] = value
    return Matrix(calls.origin, pd.DataFrame(values, samples, measured))


SAMPLES = ("sample", "sampleid", "tumorsamplebarcode", "modelid", "depmapid")
GENES = ("hugosymbol", "gene", "genesymbol", "symbol")
CLASSES = ("variantclassification", "variantclass", "effect", "variantinfo", "consequence", "class")
_STATUS = ("mutationstatus",)
NOT_SOMATIC = _words(
    "germline none loh wildtype wt redacted uncalled posttranscriptionalmodification"
)
"""What `Mutation_Status` says, in letters alone, of rows that are no somatic mutation."""


def is_somatic(status: Iterable[str]) -> np.ndarray:
    """Of each row, whether its `Mutation_Status` leaves it a somatic mutation; "" does."""
    words = ("".join(filter(str.isalnum, word.casefold())) for word in status)
    return np.array([word not in NOT_SOMATIC for word in words], dtype=bool)


def read_list(path: Path, notes: list[str], *, shown: str = "") -> Matrix | None:
    """The mutation matrix of a list of variants by any of the names of its columns, or None."""
    found = _list_columns(path)
    if found is None:
        return None
    samples, symbols, classes, *status = _read(path, *found)
    origin = shown or str(path)
    samples = sample_ids(samples, origin)
    somatic = is_somatic(status[0] if status else [""] * len(samples))
    notes.append(
        f"mutation: a list of {len(samples)} variants; its {len(set(samples))} samples count as "
        "sequenced, others are not measured"
    )
    return mutation_matrix(Calls(origin, samples, symbols, classes, somatic), None, notes)


def sample_ids(names: list[str], origin: str, column: str = "") -> list[str]:
    """The sample of each variant, as of `sample_id`; `SourceError` where one has none."""
    if "" in names:
        raise SourceError(
            f"{origin}: mutation {names.index('') + 1} of {len(names)} names no sample{column}. "
            "Remove or mend it."
        )
    return list(map(sample_id, names))


def sample_id(name: str) -> str:
    """The id of a sample; TCGA barcodes of any length become those of 15 characters."""
    found = barcode(name.strip())
    return f"{found[0]}-{found[1]}" if found else name.strip()


def _list_columns(path: Path) -> tuple[Dialect | None, list[str]] | None:
    """How a list of variants is read (None: Parquet), and its columns in the order of `_read`."""
    if path.suffix.lower() in PARQUET:
        try:
            names = _chosen(pa.parquet.read_schema(path).names, path)
        except (pa.ArrowException, OSError):
            return None
        return (None, names) if names else None
    for delimiter, comment in product("\t,;", ("", "#")):  # a list may begin with `#sample`
        dialect = Dialect(delimiter, comment)
        if names := _chosen(read_header(path, dialect), path):
            return dialect, names
    return None


def _chosen(header: list[str], path: Path) -> list[str]:
    """The columns of samples, genes, classes and, where there is one, status; none of no list."""
    known = {"".join(filter(str.isalnum, name.casefold())): name for name in reversed(header)}
    found = [
        next((known[name] for name in names if name in known), None)
        for names in (SAMPLES, GENES, CLASSES, _STATUS)
    ]
    if None in found[:2]:
        return []
    if found[2] is None:
        if len(known) > 3 and {"start", "startposition", "chr", "chrom", "chromosome"} & set(known):
            raise SourceError(
                f"{path} is a list of mutations without their classes (a column such as "
                "Variant_Classification or effect). Add it, or give a 0/1 matrix."
            )
        return []
    names = [name for name in found if name is not None]
    twice = next((name for name in names if header.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"{path} has {header.count(twice)} columns {twice}. Keep one of them.")
    return names


def _read(path: Path, dialect: Dialect | None, names: list[str]) -> list[list[str]]:
    """The columns as text without blanks around, "" where missing."""
    if dialect is None:
        frame = pa.parquet.read_table(path, columns=names).to_pandas()
        columns = {
            name: [
                "" if pd.isna(cell) else str(cell).strip() for cell in frame[name].astype(object)
            ]
            for name in names
        }
    else:
        read = read_columns(path, dialect, kind=pa.string(), needed=names)
        columns = {name: texts_of(column) for name, column in read.items()}
    return [["" if says_not_known(cell) else cell for cell in columns[name]] for name in names]
