"""Cohorts that ship with the project, each in a folder below `data/bundled`.

A bundled cohort is four files: `expression.parquet` (one row per gene: `gene`, `entrez_id`, then a
column per sample with tenths of log2(x + 1), uint8), `mutations.parquet` (one row per gene that
the calls cover: `gene` and the list of `samples` that carry a mutation), `samples.parquet` (one row
per sample; `mutation_pairs` is 0 where no mutations were called) and `SHA256SUMS`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..cohort.assembly import route_notes
from ..cohort.contract import Cohort, build_cohort
from ..cohort.genes import annotate, reconcile
from ..core.errors import SourceError
from ..core.storage import read_parquet, sha256

FILES = ("expression.parquet", "mutations.parquet", "samples.parquet")
SUMS = "SHA256SUMS"


def load_bundled(folder: Path) -> Cohort:
    """The unlabelled cohort in `folder`: log2(x + 1), and mutations 0 or 1, NaN if not called."""
    _check_sums(folder)
    table, _ = read_parquet(folder / "expression.parquet")
    calls, _ = read_parquet(folder / "mutations.parquet")
    samples = read_parquet(folder / "samples.parquet")[0].set_index("sample")
    table = table.set_index("gene").drop(columns="entrez_id")
    expression = (table.T / np.float32(10)).astype(np.float32)
    expression.columns, routes = reconcile(expression.columns)
    calls["gene"], call_routes = reconcile(calls["gene"], among=expression.columns, join=True)
    genes = annotate(list(expression.columns))
    pairs = samples["mutation_pairs"]
    mutation = _mutation_matrix(calls, pairs > 0)
    covered = expression.columns.isin(mutation.columns)
    carriers = calls["samples"][~calls["gene"].isin(expression.columns)]
    notes = [
        *route_notes(routes, "expression"),
        *route_notes(call_routes, "mutations"),
        f"{(genes['chromosome'] == '').sum()} of {len(genes)} genes have no known place",
        f"mutations: {(pairs > 0).sum()} of {len(pairs)} samples were sequenced, "
        f"{(pairs > 1).sum()} of them in several tumour/normal pairs; "
        "a gene is mutated when at least half of the pairs say so",
        f"mutations: {(~covered).sum()} genes are not covered by the calls; {len(carriers)} genes "
        f"with {carriers.map(len).sum()} calls have no expression and are left out",
    ]
    return build_cohort(
        expression,
        samples,
        genes,
        scale="log2",
        origin=f"bundled cohort {folder.name}; its README.md says where it is from",
        notes=notes,
        mutation=mutation,
    )


def _check_sums(folder: Path) -> None:
    """Raise `SourceError` unless every file is the one that was shipped."""
    listing = folder / SUMS
    if not listing.is_file():
        others = sorted(path.parent.name for path in folder.parent.glob("*/SHA256SUMS"))
        raise SourceError(
            f"{folder} holds no bundled cohort: it has no SHA256SUMS. "
            f"{folder.parent} has: {', '.join(others) or 'none'}. Mend `inputs` of the cohort."
        )
    lines = listing.read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise SourceError(f"{path} is missing. Restore it with `git checkout -- {folder}`.")
        if sha256(path) != sums.get(name):
            raise SourceError(
                f"{path} is not the file that was shipped: {listing} has another SHA-256. "
                f"Restore it with `git checkout -- {folder}`."
            )


def _mutation_matrix(calls: pd.DataFrame, sequenced: pd.Series) -> pd.DataFrame:
    """`(samples, genes)` float32: 1 mutated, 0 sequenced and not mutated, NaN not sequenced."""
    genes = pd.Index(calls["gene"].unique(), name="gene")
    start = np.where(sequenced, np.float32(0), np.float32(np.nan))
    values = np.repeat(start[:, np.newaxis], len(genes), axis=1)
    rows = {sample: row for row, sample in enumerate(sequenced.index)}
    for column, carriers in zip(genes.get_indexer(calls["gene"]), calls["samples"], strict=True):
        values[[rows[sample] for sample in carriers], column] = 1
    return pd.DataFrame(values, index=sequenced.index, columns=genes)
