"""What is found, in numbers and tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..core.params import BiomarkerParams
from .attribution import Explanation
from .discovery import units
from .marker_list import SIGNIFICANT, MarkerList
from .modules import module_table
from .permutation import repeated_samples
from .recovery import realised
from .stability import nogueira
from .two_hits import two_hit_table

LISTED = 500
"""Rows of the tables that are in git, at most; `ranking.parquet` has every gene and channel."""
NAMED = 10
"""Genes that stand for a group, at most."""
LEVELS = ("arm", "segment", "gene")
"""Kinds of candidates, in the order of `units.csv`."""


def summarise(
    markers: MarkerList,
    tables: Mapping[str, pd.DataFrame],
    explained: Explanation,
    recovered: pd.DataFrame,
    truth: pd.DataFrame,
    patients: np.ndarray,
    y: np.ndarray,
    params: BiomarkerParams,
) -> dict[str, Any]:
    """Sizes, stability and null of the list, modules, completeness; recovery of any `truth`."""
    errors = explained.completeness
    content: dict[str, Any] = {
        "claim": markers.claim,
        "q": params.q,
        "n_genes": len(markers.hypotheses.genes),
        "tested": len(np.unique(markers.hypotheses.row_of_candidate[1])),
        "repeated_samples": repeated_samples(patients, y),
        "top": params.top,
        "list": _sizes(markers, params.q),
        "stability": {
            "resamples": len(markers.resampled),
            "mean_size": float(markers.resampled.sum(axis=1).mean()),
            **vars(nogueira(markers.resampled)),
        },
        "null": _null(markers),
        "groups": [
            {"n": row.n_genes, "first": row.genes.split()[:NAMED], "q": row.q_value}
            for row in markers.groups.itertuples()
        ],
        "modules": _tested(tables["modules"], params.q),
        "two_hits": _tested(tables["two_hits"], params.q),
        "completeness_error": {
            "median": float(np.median(errors)),
            "max": float(np.max(errors)),
        },
    }
    if len(truth):
        content["truth"] = realised(markers.hypotheses, truth, markers.selected)
        content["recovery"] = {
            row.method: {"auprc": row.auprc, f"precision_at_{params.top}": row.precision_at_k}
            for row in recovered[recovered["kind"] == "all"].itertuples()
        }
    return content


def _sizes(markers: MarkerList, q: float) -> dict[str, Any]:
    """Rows and genes of the list, discoveries of each kind, and of either claim."""
    genes = markers.hypotheses.rows.get_level_values("gene")
    level = markers.hypotheses.candidates.table.loc[markers.own.selected, "level"]
    listed = markers.p_value <= SIGNIFICANT
    return {
        "selected": int(markers.selected.sum()),
        "genes": int(genes[markers.selected].nunique()),
        "by": {name: int((level == name).sum() * listed) for name in LEVELS},
        **{claim: int((found.q <= q).sum()) for claim, found in markers.found.items()},
    }


def _null(markers: MarkerList) -> dict[str, Any]:
    """What the labels give beside permuted ones."""
    sizes = markers.permuted.sum(axis=1)
    return {
        "permutations": len(sizes),
        "p": markers.p_value,
        "empty": int((sizes == 0).sum()),
        "observed": int(markers.found_rows.sum()),
        "sizes": sizes.tolist(),
    }


def _tested(table: pd.DataFrame, q: float) -> dict[str, int]:
    return {"n": len(table), "associated": int((table["q_value"] <= q).sum())}


def tables(markers: MarkerList, y: np.ndarray) -> dict[str, pd.DataFrame]:
    """`units` (groups, arms, segments, genes, each by evidence), `modules`, `two_hits`."""
    hypotheses = markers.hypotheses
    names, classes = hypotheses.genes["gene"].tolist(), hypotheses.classes
    listed = units(hypotheses, markers.own)
    listed = listed[listed["selected"] & (markers.p_value <= SIGNIFICANT)]
    listed = listed.drop(columns="selected").sort_values("evidence", ascending=False, kind="stable")
    listed = listed.sort_values("level", key=lambda of: of.map(LEVELS.index), kind="stable")
    together = markers.groups.assign(
        level="group", channel="expression", evidence=-np.log10(markers.groups["p_value"])
    ).rename(columns={"group": "name"})
    listed = pd.concat([together[listed.columns], listed] if len(together) else [listed])
    layers = dict(zip(hypotheses.channels, np.moveaxis(hypotheses.features, 2, 0), strict=True))
    nothing = np.zeros((len(y), len(names)), np.float32)
    copies, mutated = (layers.get(name, nothing) for name in ("copy_number", "mutation"))
    hits = two_hit_table(copies, mutated, y, names, classes)
    return {
        "units": listed,
        "modules": module_table(hypotheses.modules, hypotheses.activity, y, names, classes),
        "two_hits": hits.sort_values(["p_value", "gene"], ignore_index=True),
    }


def describe(content: dict[str, Any], ranking: pd.DataFrame) -> str:
    """The list in one line, with its first genes."""
    first = ", ".join(ranking.loc[ranking["selected"], "gene"].unique()[:8]) or "none"
    stability = "{index:.2f} [{low:.2f}, {high:.2f}]".format(**content["stability"])
    return (
        f"{content['list']['genes']} genes listed as {content['claim']} at q = {content['q']:g}: "
        f"{first}; stability {stability}; p of the list {content['null']['p']:.3g}"
    )
