"""Files of the NCI Genomic Data Commons, and the cohort that they make.

Three kinds are read, all tab-separated, gzip-compressed or not (their first bytes tell), their
columns found by name: gene counts of the STAR workflow
(`*.rna_seq.augmented_star_gene_counts.tsv`), gene-level copy numbers of ASCAT
(`*.gene_level_copy_number.*.tsv`) and masked somatic mutations (MAF,
https://docs.gdc.cancer.gov/Data/File_Formats/MAF_Format/).
"""

import filecmp
import gzip
import io
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from tqdm import tqdm

from ...cohort import genes
from ...cohort.contract import Cohort, cohort_of_layers
from ...cohort.labels import barcode, best_aliquot
from ...core.errors import SourceError, did_you_mean, first_few, one_line
from ...core.params import GdcSource
from ...core.storage import scratch_array
from ..files import known_of_patients
from ..gene_rows import route_notes, unique_genes
from ..http.download import cache_folder
from ..samples import SheetColumns, describe_samples
from ..tables import refuse_repeats
from ..variants import alters, refuse_unknown

log = logging.getLogger(__name__)

IMPACT = {"HIGH": 1.0, "MODERATE": 2 / 3, "LOW": 1 / 3, "MODIFIER": 1 / 3}
"""Weight of a non-silent variant by VEP's impact; MODIFIER, which hardly occurs, counts as LOW."""
MIN_COPIES = 0.25
"""What 0 copies count as, so that log2(copies / 2) is -3 and not minus infinity."""
MAX_UNPACKED = 1 << 28
"""Bytes that a gzip-compressed file may unpack to; the largest real ones have about 100 MB."""

MIN_SHARED_GENES = 0.5
"""Share of the cohort's genes that every file must have."""

_AGAIN = "Download it again."
_PLACE = ("Chromosome", "Start_Position", "Reference_Allele", "Tumor_Seq_Allele2")
_BLOCK = 1 << 26
_VERSION = r"\.\d+$"
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class GeneValues:
    """One file's genes in its order, and a value of each.

    `ids` are Ensembl ids as the file writes them, with their versions; `names` are symbols, `types`
    biotypes (empty where the file has none); `numbers` float32.
    """

    ids: pa.Array
    names: pa.Array
    types: pa.Array
    numbers: np.ndarray
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
        wrong, wanted = wrong | (values != np.floor(values)), "a whole number, 0 or more"
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


def read_variants(path: Path, *, impact: bool = False) -> pd.DataFrame:
    """The distinct variants of a MAF file that may alter a protein, one per row, or none.

    Columns: `sample` (tumour barcode), `symbol`, `gene_id` (Ensembl, "" where the file has none),
    `variant` (such as `chr17:7674220:C>T`; the number of the row where the file lacks columns for
    it), `weight` (by `IMPACT`, or 1 without `impact`; NaN where the class is not known) and
    `unknown` (that class, else None). `attrs["rows"]` is the number of all variants. Raises
    `SourceError`, with file and line, for what is no MAF, a variant without a sample, and an
    unknown impact.
    """
    text = _open(path, "a list of mutations (MAF)")
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


Result = TypeVar("Result")


@dataclass(frozen=True)
class _Panel:
    """The genes of a cohort, in its order: Ensembl ids, and their symbols there and here."""

    ids: list[str]
    names: list[str]
    """Symbols in the files."""
    symbols: list[str]
    """Symbols in the cohort, which are those of GENCODE v22 where it has the gene."""
    met: frozenset[str]
    """Every Ensembl id in the expression files, of whatever type of gene."""

    @cached_property
    def _positions(self) -> list[dict[str, int]]:
        """Of each Ensembl id, symbol in the files and symbol in the cohort; the first of equals."""
        return [
            {key: at for at, key in reversed(list(enumerate(column))) if key}
            for column in (self.ids, self.names, self.symbols)
        ]

    def find(self, ids: Iterable[str], names: Iterable[str]) -> tuple[np.ndarray, list[str]]:
        """Position of each gene, -1 where it is none of these, and by what it was found, or "".

        A name counts only where the Ensembl id is empty or unknown to the expression files: with a
        known id it may be another name of another gene.
        """
        by_id, by_name, by_symbol = self._positions
        found, routes = [], []
        for key, name in zip(ids, names, strict=True):
            at, route = by_id.get(key, -1), genes.ROUTES[0]
            if at < 0 and key not in self.met:
                at, route = by_name.get(name, by_symbol.get(name, -1)), genes.ROUTES[1]
                if at < 0:
                    symbol, route = genes.other_name(name) or ("", "")
                    at = by_symbol.get(symbol, -1)
            found.append(at)
            routes.append(route if at >= 0 else "")
        return np.array(found, dtype=np.int64), routes


def build(
    files: pd.DataFrame,
    clinical: pd.DataFrame,
    source: GdcSource,
    *,
    origin: str,
    notes: Sequence[str] = (),
) -> Cohort:
    """The unlabelled cohort in files of the GDC; its layers lie on disk (`scratch_array`).

    `files` has the columns `channel`, `name`, `path` and `samples` (the aliquot that a file is of),
    `clinical` is indexed by patient. They are joined so:

    - A sample is a TCGA patient and sample type with expression; of several RNA aliquots it has the
      one that `labels.best_aliquot` prefers. Samples stand in the order of their barcodes.
    - Copy number and mutations are of a DNA aliquot of the same patient and sample type: of the
      same vial and portion if there is one, else of the same vial, else the one that
      `best_aliquot` prefers; `obs` names it as `copy_number_aliquot` and `mutation_aliquot`. A
      sample without one is NaN in the whole channel; one that was sequenced is 0 where it has no
      variant. `obs["tmb"]` is the number of distinct non-silent variants, in any gene.
    - Genes are those of the first expression file, of the type that `source.genes` asks for, under
      the symbols of GENCODE v22 where it knows their Ensembl ids, else under the file's, which
      `genes.reconcile` may know otherwise. In the other channels a gene is found by Ensembl id or,
      where the expression files lack its id, by their symbol, else by that of GENCODE v22, else by
      another name. Of several variants in a gene the one of largest weight counts.

    Of different files of one aliquot the first by name is used, but all that hold mutations.
    `uns["joined"]` lists every file with its aliquot, whether it was used and why not;
    `uns["notes"]` counts what was joined, how, and what was dropped, after the `notes` of what was
    done before. Raises `SourceError` for files that are not what they should be.
    """
    rna, joined, more = _aliquots(files, "expression")
    notes = [*notes, *more]
    if not rna:
        raise SourceError("no file holds expression. Check `projects` and `sample_types`.")
    samples, more = _choose_rna(rna)
    notes += more
    used, tables = set(samples), [joined]
    column: Column = "unstranded" if source.expression == "counts" else "tpm_unstranded"
    layers: dict[str, np.ndarray] = {}
    paths = [rna[name][0] for name in samples]
    layers["expression"], panel, more = _read_expression(paths, column, source.genes)
    notes += more
    sheet, more = _clinical_of(samples, clinical)
    notes += more
    for channel, wanted in (("copy_number", source.copy_number), ("mutation", source.mutation)):
        if wanted is None:
            continue
        dna, joined, more = _aliquots(files, channel)
        notes += more
        chosen, more = _choose_dna(samples, dna, channel)
        notes += more
        used |= set(chosen.values())
        tables.append(joined)
        if not chosen:
            continue
        sheet[f"{channel}_aliquot"] = [chosen.get(name, "") for name in samples]
        found = [dna[chosen[name]] if name in chosen else [] for name in samples]
        if channel == "copy_number":
            layers[channel], more = _read_copy_number(found, panel)
        else:
            names = [chosen.get(name, "") for name in samples]
            layers[channel], sheet["tmb"], more = _read_mutations(
                found, names, panel, impact=wanted == "impact"
            )
        notes += more
    cohort = cohort_of_layers(
        layers,
        sheet,
        _places(panel),
        scale=source.expression,
        origin=origin,
        notes=notes,
        joined=_joined_files(pd.concat(tables, ignore_index=True), samples, used),
    )
    known_of_patients(cohort, clinical.columns)
    return cohort


def _joined_files(files: pd.DataFrame, samples: list[str], used: set[str]) -> pd.DataFrame:
    """What became of each file: `files` (of `_aliquots`) with the columns `sample` and `used`."""
    names = {_key(name): name for name in samples}
    sample = pd.Series([names.get(_key(aliquot), "") for aliquot in files["aliquot"]], dtype=object)
    other = (files["why"] == "") & ~files["aliquot"].isin(used)
    why = files["why"].mask(other & (sample == ""), "no expression of this sample")
    why = why.mask(other & (sample != ""), "another aliquot of this sample is used")
    columns = ["channel", "file", "aliquot", "sample", "used", "why"]
    return files.assign(sample=sample, used=why == "", why=why)[columns]


def _aliquots(
    files: pd.DataFrame, channel: str
) -> tuple[dict[str, list[Path]], pd.DataFrame, list[str]]:
    """The files to read of each aliquot; what each file is of, and why it is not read; notes.

    Mutations are in several files where the tumour was paired with several normal samples; of
    other channels the first file by name counts.
    """
    found: dict[str, list[Path]] = {}
    rows: list[dict[str, str]] = []
    several: set[str] = set()
    of_channel = files[files["channel"] == channel].sort_values(["name", "path"])
    for name, path, samples in of_channel[["name", "path", "samples"]].itertuples(index=False):
        barcodes = str(samples).split()
        strange = [key for key in barcodes if barcode(key) is None]
        if strange or not barcodes:
            raise SourceError(
                f"{name} ({channel}) is of {first_few(strange) or 'no aliquot'}, which is no TCGA "
                "barcode. Only TCGA projects can be joined; leave the others out of `projects`."
            )
        for key in barcodes:
            known = found.setdefault(key, [])
            why = ""
            if any(_same(Path(path), other) for other in known):
                why = "a copy of another file"
            elif known and channel != "mutation":
                why = "another file of this aliquot is used"
                several.add(key)
            else:
                known.append(Path(path))
            rows.append({"channel": channel, "file": str(name), "aliquot": key, "why": why})
    notes = _counted(
        sorted(several),
        channel + ": {} aliquots have several different files; the first by name is used ({})",
    )
    return found, pd.DataFrame(rows, columns=["channel", "file", "aliquot", "why"]), notes


def _same(one: Path, other: Path) -> bool:
    try:
        return one == other or filecmp.cmp(one, other, shallow=False)
    except OSError as error:
        raise SourceError(f"{one} and {other} cannot be compared: {error.strerror}.") from None


def _key(aliquot: str) -> tuple[str, str]:
    """Patient and sample type."""
    found = barcode(aliquot)
    return (found[0], found[1]) if found else (aliquot, "")


def _by_sample(aliquots: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for name in sorted(aliquots):
        grouped.setdefault(_key(name), []).append(name)
    return grouped


def _choose_rna(aliquots: Iterable[str]) -> tuple[list[str], list[str]]:
    """The RNA aliquot of each sample, in order, and notes."""
    groups = _by_sample(aliquots)
    chosen = sorted(best_aliquot(names) for names in groups.values())
    dropped = sorted(set(aliquots) - set(chosen))
    return chosen, _counted(
        dropped, "expression: {} aliquots dropped: another of the same patient and sample type is "
        "used ({})"
    )  # fmt: skip


def _choose_dna(
    samples: list[str], aliquots: Iterable[str], channel: str
) -> tuple[dict[str, str], list[str]]:
    """The DNA aliquot of each sample that has one, and notes."""
    groups = _by_sample(aliquots)
    chosen: dict[str, str] = {}
    for name in samples:
        candidates = groups.get(_key(name), [])
        for length in (len("TCGA-05-4244-01A-01"), len("TCGA-05-4244-01A"), 0):
            near = [other for other in candidates if other[:length] == name[:length]]
            if near:
                chosen[name] = best_aliquot(near)
                break
    lacking = [name for name in samples if name not in chosen]
    vial = len("TCGA-05-4244-01A")
    other_vial = [name for name, match in chosen.items() if name[:vial] != match[:vial]]
    known = {_key(name) for name in samples}
    alone = [key for key in groups if key not in known]
    unused = sorted(set(aliquots) - set(chosen.values()))
    kept = {_key(name) for name in chosen}
    further = [name for name in unused if _key(name) in kept]
    return chosen, [
        *_counted(lacking, channel + ": {} samples were not measured, and are masked ({})"),
        *_counted(
            other_vial, channel + ": {} samples have DNA of another vial than their RNA ({})"
        ),
        *_counted(
            further, channel + ": {} aliquots dropped: another of the same sample is used ({})"
        ),
        *_counted(
            ["-".join(key) for key in alone],
            channel + ": {} samples dropped: they have no expression ({})",
        ),
    ]


def _counted(items: Sequence[str], sentence: str) -> list[str]:
    return [sentence.format(len(items), first_few(items))] if items else []


def _clinical_of(samples: list[str], clinical: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The sample sheet: clinical columns by patient, and what barcodes tell."""
    refuse_repeats(clinical.index, "the clinical table", "patient")
    patients = [_key(name)[0] for name in samples]
    sheet = clinical.reindex(patients).set_axis(samples, axis=0)
    lacking = sorted(set(patients) - set(clinical.index))
    described, notes = describe_samples(sheet, SheetColumns(), "the clinical table")
    return described, [*_counted(lacking, "clinical: {} patients have no entry ({})"), *notes]


def _read_expression(
    paths: list[Path], column: Column, wanted: str
) -> tuple[np.ndarray, _Panel, list[str]]:
    """`(samples, genes)` expression, its genes, and notes."""
    first = read_star(paths[0], column)
    ids = np.array(_ids(first, paths[0]), dtype=object)
    of_first, met = set(ids), set(ids)
    types = np.array(first.types.to_pylist(), dtype=object)
    keep = np.flatnonzero((types == wanted) | (wanted == "all"))
    if not len(keep):
        raise SourceError(f"{paths[0]} has no gene of type {wanted}. Set `genes: all`.")
    log.info("reading %d files of expression", len(paths))
    raw = scratch_array(cache_folder() / "scratch", (len(paths), len(keep)))

    def read(row: int) -> tuple[int, int]:
        found = read_star(paths[row], column) if row else first
        if found.ids.equals(first.ids):
            raw[row] = found.numbers[keep]
            return 0, 0
        own = _ids(found, paths[row])
        if len(ids) < MIN_SHARED_GENES * len(own):
            raise SourceError(
                f"{paths[0]} has {len(ids)} genes, {paths[row]} has {len(own)}: the first of them "
                f"is cut short, or they are of different releases. {_AGAIN}"
            )
        met.update(own)
        at = pd.Index(own).get_indexer(pd.Index(ids[keep]))
        _refuse_other_genes(paths[row], paths[0], at)
        raw[row] = np.where(at >= 0, found.numbers[at], np.nan)
        return int((at < 0).sum()), len(set(own) - of_first)

    counts = np.array(_side_by_side(read, len(paths)))

    def means(positions: np.ndarray) -> np.ndarray:
        total, measured = np.zeros(len(positions)), np.zeros(len(positions))
        for row in raw:
            values = np.asarray(row[positions], dtype=np.float64)
            total += np.nan_to_num(values)
            measured += ~np.isnan(values)
        return np.where(measured > 0, total / np.maximum(measured, 1), np.nan)

    names = np.array(first.names.to_pylist(), dtype=object)[keep]
    known = genes.symbols(list(ids[keep]))
    symbols, routes = genes.reconcile(
        [
            name if key == symbol and name else symbol
            for key, symbol, name in zip(ids[keep], known, names, strict=True)
        ]
    )
    by_id = ids[keep] != np.array(known, dtype=object)
    kept, notes = unique_genes(symbols, means, "expression")
    notes += route_notes(
        [genes.ROUTES[0] if by_id[i] else routes[i] for i in kept.index], "expression"
    )
    at = kept.index.to_numpy()
    values = raw.reshape(-1)[: len(raw) * len(at)].reshape(len(raw), len(at))
    if len(at) < raw.shape[1]:
        for row in range(len(raw)):  # within the same file: a row never reaches one yet to be read
            values[row] = raw[row, at]
    lacking, extra = counts.sum(axis=0)
    facts = [
        (len(ids) - len(keep), f"genes dropped: their type is not {wanted}"),
        (first.dropped, "genes dropped: pseudoautosomal copies on Y"),
        (int(lacking), f"values are missing: {int((counts[:, 0] > 0).sum())} files lack genes"),
        (int(extra), "values dropped: their genes are not in the first file"),
    ]
    notes = [f"expression: {count} {fact}" for count, fact in facts if count] + notes
    panel = _Panel(list(ids[keep][at]), list(names[at]), kept.tolist(), frozenset(met))
    return values, panel, notes


def _read_copy_number(found: list[list[Path]], panel: _Panel) -> tuple[np.ndarray, list[str]]:
    """`(samples, genes)` log2(copies / 2), NaN where not measured, and notes."""
    reference = next(paths[0] for paths in found if paths)
    first = read_copies(reference)
    shared, routes = _rows_of(first, reference, panel)
    how = Counter(routes)
    if not (shared >= 0).any():
        raise SourceError(
            f"{reference} shares no gene with the expression files. Is it of another genome?"
        )
    log.info("reading %d files of copy number", sum(map(bool, found)))
    layer = scratch_array(cache_folder() / "scratch", (len(found), len(panel.ids)))

    def read(row: int) -> bool:
        if not found[row]:
            layer[row] = np.nan
            return False
        values = read_copies(found[row][0])
        other = not values.ids.equals(first.ids)
        at = _rows_of(values, found[row][0], panel)[0] if other else shared
        if other:
            _refuse_other_genes(found[row][0], reference, at[shared >= 0])
        layer[row] = np.where(at >= 0, values.numbers[at], np.nan)
        return other

    others = sum(_side_by_side(read, len(found)))
    facts = [
        (int((shared < 0).sum()), "genes were not measured, and are masked"),
        (how[""], "genes of the first file dropped: not among the cohort's"),
        *((how[route], f"genes found by {route}") for route in genes.ROUTES[1:]),
        (others, "files have other genes than the first; what they lack is masked"),
    ]
    return layer, [f"copy_number: {count} {fact}" for count, fact in facts if count]


def _rows_of(found: GeneValues, path: Path, panel: _Panel) -> tuple[np.ndarray, list[str]]:
    """For each gene of the panel its row in the file, -1 if none, and the route of each row.

    Where several rows are found for a gene, the best route counts, of equal ones the first row.
    """
    at, routes = panel.find(_ids(found, path), found.names.to_pylist())
    rows = np.full(len(panel.ids), -1)
    for route in reversed(genes.ROUTES):
        chosen = np.flatnonzero(np.array(routes) == route)[::-1]
        rows[at[chosen]] = chosen
    return rows, routes


def _read_mutations(
    found: list[list[Path]], aliquots: list[str], panel: _Panel, *, impact: bool
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
        told = ~np.isnan(weights)
        np.maximum.at(layer[row], at[told & (at >= 0)], weights[told & (at >= 0)])
        open_genes = at[~told & (at >= 0)]
        layer[row, open_genes[layer[row, open_genes] == 0]] = np.nan
        return (
            int(told.sum()),
            Counter(route for route, is_told in zip(routes, told, strict=True) if is_told),
            Counter(variants["unknown"].dropna()),
            sum(table.attrs["rows"] for table in tables),
        )

    results = _side_by_side(read, len(found))
    burden = np.array([count for count, *_ in results])
    how = sum((routes for _, routes, _, _ in results), Counter[str]())
    unknown = sum((words for _, _, words, _ in results), Counter[str]())
    strange = refuse_unknown(unknown, sum(rows for *_, rows in results), "the files of mutations")
    pairs = sum(len(paths) > 1 for paths in found)
    facts = [
        (int(np.nansum(burden)), "non-silent variants"),
        *((how[route], f"variants whose gene was found by {route}") for route in genes.ROUTES[1:]),
        (how[""], "variants dropped: their genes are not among the cohort's"),
        (pairs, "aliquots in several tumour/normal pairs; a variant of any of them counts"),
    ]
    notes = [f"mutation: {count} {fact}" for count, fact in facts if count]
    return layer, burden, notes + strange


def _refuse_other_samples(path: Path, variants: pd.DataFrame, aliquot: str) -> None:
    others = sorted(set(variants["sample"]) - {aliquot})
    if others:
        raise SourceError(
            f"{path} holds variants of {first_few(others)}, but should be of {aliquot}. {_AGAIN}"
        )


def _refuse_other_genes(path: Path, reference: Path, at: np.ndarray) -> None:
    """`SourceError` when too few of the wanted genes were found."""
    if (at >= 0).mean() < MIN_SHARED_GENES:
        raise SourceError(
            f"{path} has {int((at >= 0).sum())} of the {len(at)} genes of {reference}: it is cut "
            f"short, or of another release. {_AGAIN}"
        )


def _ids(found: GeneValues, path: Path) -> list[str]:
    """Ensembl ids without versions; `SourceError` for what is none, and for one that repeats."""
    ids: list[str] = pc.replace_substring_regex(found.ids, _VERSION, "").to_pylist()
    strange = [key for key in ids if not genes.ENSEMBL_ID.fullmatch(key)]
    if strange:
        raise SourceError(f"{path} has a gene {strange[0]!r}, which is no Ensembl id. {_AGAIN}")
    if len(set(ids)) < len(ids):
        repeated = next(key for key, count in Counter(ids).items() if count > 1)
        raise SourceError(f"{path} has gene {repeated} more than once. {_AGAIN}")
    return ids


def _places(panel: _Panel) -> pd.DataFrame:
    """Where each gene lies: by its Ensembl id, else by its symbol; indexed by symbol."""
    places = genes.annotate(panel.ids).set_axis(panel.symbols, axis=0)
    unknown = (places["chromosome"] == "").to_numpy()
    by_symbol = genes.annotate(panel.symbols)
    columns = ["chromosome", "start"]
    places.loc[unknown, columns] = by_symbol.loc[unknown, columns]
    return places


def _side_by_side(read: Callable[[int], Result], n: int) -> list[Result]:
    """What `read` returns for 0 to n - 1, on all processors.

    Threads are enough: nearly all the time goes into Arrow and zlib, which run side by side.
    """
    parallel = joblib.Parallel(n_jobs=-1, require="sharedmem", return_as="generator")
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    found = parallel(joblib.delayed(read)(i) for i in range(n))
    return list(tqdm(found, total=n, unit="file", leave=False, disable=silent))


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
                f"{self.path} cannot be read as {self.what}: {one_line(error)}. " + _AGAIN
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


def _open(path: Path, what: str) -> _Text:
    """The file after its comment lines (`#`) and header."""
    content = _content(path)
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


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked when they are gzip's; `SourceError` beyond `MAX_UNPACKED`."""
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_UNPACKED + 1)
            if len(content) > MAX_UNPACKED:
                raise SourceError(
                    f"{path} unpacks to more than {MAX_UNPACKED >> 20} MB, as no such file does. "
                    + _AGAIN
                )
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. {_AGAIN}") from None
    except EOFError:
        raise SourceError(f"{path} is cut short: its gzip data has no end. {_AGAIN}") from None
    except (OSError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read: {one_line(error)}. {_AGAIN}") from None
    return content
