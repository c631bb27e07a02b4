"""Masked somatic mutations (MAF, https://docs.gdc.cancer.gov/Data/File_Formats/MAF_Format/)."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from ...cohort import genes
from ...core.errors import SourceError, first_few
from ...core.storage import scratch_array
from ..http.cache import cache_folder
from ..variants import alters, refuse_unknown
from .genes import GenePanel, read_side_by_side
from .text import AGAIN, open_text

log = logging.getLogger(__name__)

IMPACT = {"HIGH": 1.0, "MODERATE": 2 / 3, "LOW": 1 / 3, "MODIFIER": 1 / 3}
"""Weight of a non-silent variant by VEP's impact; MODIFIER, which hardly occurs, counts as LOW."""
_PLACE = ("Chromosome", "Start_Position", "Reference_Allele", "Tumor_Seq_Allele2")


def read_variants(path: Path, *, impact: bool = False) -> pd.DataFrame:
    """The distinct variants of a MAF file that may alter a protein, one per row, or none.

    Returns
    -------
    DataFrame
        `sample` (tumour barcode), `symbol`, `gene_id` (Ensembl, "" where the file has none),
        `variant` (such as `chr17:7674220:C>T`, else the number of the row), `weight` (by `IMPACT`,
        or 1 without `impact`; NaN where the class is not known) and `unknown` (that class, else
        None). `attrs["rows"]` is the number of all variants.
    """
    text = open_text(path, "a list of mutations (MAF)")
    optional = [name for name in ("Gene", *_PLACE) if name in text.header]
    needed = ["Hugo_Symbol", "Variant_Classification", "Tumor_Sample_Barcode"]
    table = text.read(texts=(*needed, *(["IMPACT"] if impact else []), *optional))
    classes = [word or "" for word in table["Variant_Classification"].to_pylist()]
    counted = pa.array([alters(word) is not False for word in classes], pa.bool_())
    rows = np.flatnonzero(counted.to_numpy(zero_copy_only=False))
    frame = pd.DataFrame(
        {name: column.filter(counted).to_pandas() for name, column in table.items()}, dtype=object
    )
    unnamed = (frame["Tumor_Sample_Barcode"] == "").to_numpy()
    if unnamed.any():
        text.refuse("Tumor_Sample_Barcode", int(rows[unnamed.argmax()]), "a sample's barcode")
    weight = pd.Series(1.0, frame.index)
    unknown = pd.Series([classes[row] if alters(classes[row]) is None else None for row in rows],
                        frame.index, dtype=object)  # fmt: skip
    if impact:
        weight = frame["IMPACT"].map(IMPACT).astype(float)
        odd = (weight.isna() & unknown.isna()).to_numpy()
        if odd.any():
            known = ", ".join(IMPACT)
            text.refuse("IMPACT", int(rows[odd.argmax()]), f"one of {known}")
    if set(_PLACE) <= set(frame):
        chromosome, start, reference, allele = (frame[name] for name in _PLACE)
        variant = chromosome + ":" + start + ":" + reference + ">" + allele
    else:
        variant = pd.Series(rows, dtype=str)
    variants = pd.DataFrame(
        {
            "sample": frame["Tumor_Sample_Barcode"],
            "symbol": frame["Hugo_Symbol"],
            "gene_id": frame.get("Gene", ""),
            "variant": variant,
            "weight": weight.where(unknown.isna()),
            "unknown": unknown,
        }
    ).drop_duplicates(ignore_index=True)
    variants.attrs["rows"] = len(classes)
    return variants


def read_mutations(
    found: list[list[Path]], aliquots: list[str], panel: GenePanel, *, impact: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """`(samples, genes)` weights, `(samples,)` numbers of variants, NaN if not sequenced; notes."""
    log.info("reading %d files of mutations", sum(map(len, found)))
    layer = scratch_array(cache_folder() / "scratch", (len(found), len(panel.ids)))

    def read(row: int) -> tuple[float, Counter[str], Counter[str], int]:
        if not found[row]:
            layer[row] = np.nan
            return np.nan, Counter(), Counter(), 0
        tables = [read_variants(path, impact=impact) for path in found[row]]
        for path, table in zip(found[row], tables, strict=True):
            _refuse_other_samples(path, table, aliquots[row])
        variants = pd.concat(tables).drop_duplicates()
        at, routes = panel.find(variants["gene_id"], variants["symbol"])
        weights = variants["weight"].to_numpy(dtype=np.float32)
        known_class = ~np.isnan(weights)
        np.maximum.at(layer[row], at[known_class & (at >= 0)], weights[known_class & (at >= 0)])
        open_genes = at[~known_class & (at >= 0)]
        layer[row, open_genes[layer[row, open_genes] == 0]] = np.nan
        return (
            int(known_class.sum()),
            Counter(route for route, is_known in zip(routes, known_class, strict=True) if is_known),
            Counter(variants["unknown"].dropna()),
            sum(table.attrs["rows"] for table in tables),
        )

    results = read_side_by_side(read, len(found))
    burden = np.array([count for count, *_ in results])
    how = sum((routes for _, routes, _, _ in results), Counter[str]())
    unknown = sum((words for _, _, words, _ in results), Counter[str]())
    of_words = refuse_unknown(unknown, sum(rows for *_, rows in results), "the files of mutations")
    pairs = sum(len(paths) > 1 for paths in found)
    facts = [
        (int(np.nansum(burden)), "non-silent variants"),
        *((how[route], f"variants whose gene was found by {route}") for route in genes.ROUTES[1:]),
        (how[""], "variants dropped: their genes are not among the cohort's"),
        (pairs, "aliquots in several tumour/normal pairs; a variant of any of them counts"),
    ]
    notes = [f"mutation: {count} {fact}" for count, fact in facts if count]
    return layer, burden, notes + of_words


def _refuse_other_samples(path: Path, variants: pd.DataFrame, aliquot: str) -> None:
    others = sorted(set(variants["sample"]) - {aliquot})
    if others:
        raise SourceError(
            f"{path} holds variants of {first_few(others)}, but should be of {aliquot}. {AGAIN}"
        )
