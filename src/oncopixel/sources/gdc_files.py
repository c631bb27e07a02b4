"""Files of the NCI Genomic Data Commons, and the cohort that they make.

Three kinds are read, all tab-separated, gzip-compressed or not (their first bytes tell), their
columns found by name: gene counts of the STAR workflow
(`*.rna_seq.augmented_star_gene_counts.tsv`), gene-level copy numbers of ASCAT
(`*.gene_level_copy_number.*.tsv`) and masked somatic mutations (MAF,
https://docs.gdc.cancer.gov/Data/File_Formats/MAF_Format/).
"""

import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..errors import SourceError, did_you_mean, first_few

NON_SILENT = (
    "Frame_Shift_Del",
    "Frame_Shift_Ins",
    "In_Frame_Del",
    "In_Frame_Ins",
    "Missense_Mutation",
    "Nonsense_Mutation",
    "Nonstop_Mutation",
    "Splice_Site",
    "Translation_Start_Site",
)
"""Variant classes that change the protein, as in maftools (Mayakonda 2018, Genome Res 28:1747)."""
IMPACT = {"HIGH": 1.0, "MODERATE": 2 / 3, "LOW": 1 / 3, "MODIFIER": 1 / 3}
"""Weight of a non-silent variant by VEP's impact; MODIFIER, which hardly occurs, counts as LOW."""
MIN_COPIES = 0.25
"""What 0 copies count as, so that log2(copies / 2) is -3 and not minus infinity."""
MAX_UNPACKED = 1 << 28
"""Bytes that a gzip-compressed file may unpack to; the largest real ones have about 100 MB."""

_PLACE = ("Chromosome", "Start_Position", "Reference_Allele", "Tumor_Seq_Allele2")
_BLOCK = 1 << 26
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class GeneValues:
    """One file's genes in its order, and a value of each.

    `ids` are Ensembl ids as the file writes them, with their versions; `names` are symbols, `types`
    biotypes (empty where the file has none); `values` float32.
    """

    ids: pa.Array
    names: pa.Array
    types: pa.Array
    values: np.ndarray
    dropped: int
    """Genes on Y in the pseudoautosomal regions, whose reads are counted on X."""


Column = Literal["unstranded", "tpm_unstranded"]


def read_star(path: Path, column: Column = "unstranded") -> GeneValues:
    """Expression of one aliquot: counts (`unstranded`) or TPM (`tpm_unstranded`).

    The counters of unmapped reads (`N_*`) and the genes `*_PAR_Y` are left out. Raises
    `SourceError`, with file and line, for what is no such file, and for values that are missing,
    negative, infinite, or, in a column of counts, not whole.
    """
    text = _open(path, "STAR gene counts")
    table = text.read(texts=("gene_id", "gene_name", "gene_type"), numbers=(column,))
    ids = table["gene_id"]
    par = pc.ends_with(ids, "_PAR_Y")
    keep = pc.invert(pc.or_(pc.starts_with(ids, "N_"), par))
    values = table[column].filter(keep).to_numpy(zero_copy_only=False)
    wrong, wanted = ~np.isfinite(values) | (values < 0), "a number, 0 or more"
    if column == "unstranded":
        wrong, wanted = wrong | (values % 1 > 0), "a whole number, 0 or more"
    if wrong.any():
        rows = np.flatnonzero(keep.to_numpy(zero_copy_only=False))
        text.refuse(column, int(rows[wrong.argmax()]), wanted)
    if not len(values):
        raise SourceError(f"{path} holds no gene. {_AGAIN}")
    return GeneValues(
        ids.filter(keep),
        table["gene_name"].filter(keep),
        table["gene_type"].filter(keep),
        values,
        pc.sum(par).as_py() or 0,
    )


def read_copies(path: Path) -> GeneValues:
    """Copy number of one aliquot as log2(copies / 2), at least -3; NaN where it is not covered.

    An empty cell is "not covered", never 0 and never 2. Raises `SourceError`, with file and line,
    for what is no such file, and for copies that are negative, infinite or no number.
    """
    text = _open(path, "gene-level copy numbers")
    table = text.read(texts=("gene_id", "gene_name"), numbers=("copy_number",))
    copies = table["copy_number"].to_numpy(zero_copy_only=False)
    wrong = np.isinf(copies) | (copies < 0)
    if wrong.any():
        text.refuse("copy_number", int(wrong.argmax()), "a number of copies, 0 or more, or empty")
    if not len(copies):
        raise SourceError(f"{path} holds no gene. {_AGAIN}")
    values = np.log2(np.maximum(copies, np.float32(MIN_COPIES)) / np.float32(2))
    return GeneValues(
        table["gene_id"], table["gene_name"], pa.array([], pa.string()), values, dropped=0
    )


def read_variants(path: Path, *, impact: bool = False, limit: int = MAX_UNPACKED) -> pd.DataFrame:
    """The distinct non-silent variants of a MAF file, one per row; there may be none.

    Columns: `sample` (tumour barcode), `symbol`, `gene_id` (Ensembl, "" where the file has none)
    and `weight` (by `IMPACT`, or 1 without `impact`). Variants are distinct by sample, gene, place
    and alleles; a file without these columns is taken row by row. Raises `SourceError`, with file
    and line, for what is no MAF, a variant without a sample, and an unknown impact.
    """
    text = _open(path, "a list of mutations (MAF)", limit)
    optional = [name for name in ("Gene", *_PLACE) if name in text.header]
    needed = ["Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode"]
    table = text.read(texts=(*needed, *(["IMPACT"] if impact else []), *optional))
    counted = pc.is_in(table["Variant_Classification"], pa.array(NON_SILENT))
    rows = np.flatnonzero(counted.to_numpy(zero_copy_only=False))
    frame = pd.DataFrame(
        {name: column.filter(counted).to_pandas() for name, column in table.items()}, dtype=object
    )
    unnamed = (frame["Tumor_Sample_Barcode"] == "").to_numpy()
    if unnamed.any():
        text.refuse("Tumor_Sample_Barcode", int(rows[unnamed.argmax()]), "a sample's barcode")
    weight = pd.Series(1.0, frame.index)
    if impact:
        weight = frame["IMPACT"].map(IMPACT).astype(float)
        if weight.isna().any():
            known = ", ".join(IMPACT)
            text.refuse("IMPACT", int(rows[weight.isna().to_numpy().argmax()]), f"one of {known}")
    variants = pd.DataFrame(
        {
            "sample": frame["Tumor_Sample_Barcode"],
            "symbol": frame["Hugo_Symbol"],
            "gene_id": frame.get("Gene", ""),
            "weight": weight,
        }
    )
    if set(_PLACE) <= set(frame):
        variants = variants[~frame.drop(columns="Variant_Classification").duplicated()]
    return variants.reset_index(drop=True)


_AGAIN = "Download it again."


@dataclass(frozen=True)
class _Text:
    """A tab-separated file in memory: its column names, and the rows from line `first` on."""

    path: Path
    what: str
    header: list[str]
    first: int
    body: pa.Buffer

    def read(self, *, texts: Iterable[str], numbers: Iterable[str] = ()) -> dict[str, pa.Array]:
        """These columns, text as string and numbers as float32, null where a cell is empty."""
        texts, numbers = list(texts), list(numbers)
        at = {name: str(self._position(name)) for name in (*texts, *numbers)}
        if not self.body.size:
            return {name: pa.array([], pa.string()) for name in texts} | {
                name: pa.array([], pa.float32()) for name in numbers
            }
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(self.body),
                pa.csv.ReadOptions(
                    column_names=[str(i) for i in range(len(self.header))],
                    block_size=min(self.body.size, _BLOCK),
                    use_threads=False,  # files are read side by side
                ),
                pa.csv.ParseOptions(delimiter="\t", quote_char=False),
                pa.csv.ConvertOptions(
                    include_columns=list(at.values()),
                    column_types={at[name]: pa.string() for name in texts}
                    | {at[name]: pa.float32() for name in numbers},
                    null_values=["", "NA"],
                ),
            )
        except pa.ArrowException as error:
            self._explain(numbers)
            raise SourceError(
                f"{self.path} cannot be read as {self.what}: {' '.join(str(error).split())[:200]}. "
                + _AGAIN
            ) from None
        return {name: _joined(table.column(position)) for name, position in at.items()}

    def refuse(self, column: str, row: int, wanted: str) -> None:
        """`SourceError` for the cell of a row, counted from 0."""
        position = self._position(column)
        line, cells = next(item for i, item in enumerate(self._rows()) if i == row)
        raise SourceError(
            f"{self.path}: line {line} ({cells[0]}), column {column} holds "
            f"{cells[position][:40]!r}, which is not {wanted}. {_AGAIN}"
        )

    def _position(self, name: str) -> int:
        found = [i for i, other in enumerate(self.header) if other == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise SourceError(f"{self.path} has {len(found)} columns {name}. {_AGAIN}")
        raise SourceError(
            f"{self.path} has no column {name}{did_you_mean(name, self.header)}, which "
            f"{self.what} must have. It has: {first_few(self.header)}. Is it another kind of file?"
        )

    def _rows(self) -> Iterable[tuple[int, list[str]]]:
        """Line number and cells of every row that is not blank."""
        for line, row in enumerate(_LINE_END.split(self.body.to_pybytes()), self.first):
            if row:
                yield line, row.decode("utf-8", "replace").split("\t")

    def _explain(self, numbers: list[str]) -> None:
        """`SourceError` for the first row of another width, or with text for a number."""
        positions = {name: self._position(name) for name in numbers}
        for row, (line, cells) in enumerate(self._rows()):
            if len(cells) != len(self.header):
                raise SourceError(
                    f"{self.path}: line {line} has {len(cells)} columns, the header has "
                    f"{len(self.header)}. The file may be cut short. {_AGAIN}"
                )
            for name, position in positions.items():
                if not _is_number(cells[position]):
                    self.refuse(name, row, "a number")


def _joined(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return cell == "NA"
    return True


def _open(path: Path, what: str, limit: int = MAX_UNPACKED) -> _Text:
    """The file after its comment lines (`#`) and header."""
    content = _content(path, limit)
    start = line = 0
    while True:
        end = _LINE_END.search(content, start)
        stop, after = end.span() if end else (len(content), len(content))
        line += 1
        if stop == start and end is None:
            raise SourceError(f"{path} has no header, so it is no {what}. {_AGAIN}")
        if stop > start and content[start : start + 1] != b"#":
            break
        start = after
    try:
        header = content[start:stop].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path} is not UTF-8 text, so it is no {what}. {_AGAIN}") from None
    body = pa.py_buffer(content).slice(after)
    return _Text(path, what, header.split("\t"), line + 1, body)


def _content(path: Path, limit: int) -> bytes:
    """The bytes of a file, unpacked when they are gzip's; `SourceError` beyond `limit`."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) != b"\x1f\x8b":
                stream.seek(0)
                return stream.read()
            stream.seek(0)
            content = gzip.GzipFile(fileobj=stream).read(limit + 1)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. {_AGAIN}") from None
    except EOFError:
        raise SourceError(f"{path} is cut short: its gzip data has no end. {_AGAIN}") from None
    except (OSError, zlib.error) as error:
        raise SourceError(
            f"{path} cannot be read: {' '.join(str(error).split())[:200]}. {_AGAIN}"
        ) from None
    if len(content) > limit:
        raise SourceError(
            f"{path} unpacks to more than {limit >> 20} MB, which no such file does. {_AGAIN}"
        )
    return content
