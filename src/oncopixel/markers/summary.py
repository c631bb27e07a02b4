"""What is found, in numbers and tables."""

from typing import Any

import numpy as np
import pandas as pd

from ..core.params import BiomarkerParams
from .attribution import Explanation
from .discovery import CLAIMS, Discoveries
from .marker_list import MarkerList
from .permutation import repeated_samples
from .recovery import realised
from .stability import nogueira

LISTED = 500
"""Rows of the tables that are in git, at most; `ranking.parquet` has every gene and channel."""
LEVELS = ("arm", "segment", "gene")
"""Kinds of candidates, in the order of `units.csv`."""


def summarise(
    markers: MarkerList,
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
        "repeated_samples": repeated_samples(patients, y),
        "top": params.top,
        "list": _sizes(markers, params.q),
        "stability": {
            "resamples": len(markers.resampled),
            "draws": params.repeat_draws,
            "mean_size": float(markers.resampled.sum(axis=1).mean()),
            **vars(nogueira(markers.resampled)),
        },
        "null": _null(markers.observed, markers.permuted),
        "modules": {
            "n": len(markers.found.modules),
            "associated": int((markers.found.modules["q_value"] <= params.q).sum()),
            "pairs": _count(markers.found.interactions["kind"], "pair"),
            "two_hits": _count(markers.found.interactions["kind"], "two_hits"),
        },
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
    """Rows and genes of the list, discoveries of each kind, and rows of either claim."""
    found, genes = markers.found, markers.hypotheses.rows.get_level_values("gene")
    level = found.units.loc[found.units["selected"], "level"]
    by = {name: _count(level, name) for name in LEVELS}
    joint = {name: _count(found.interactions["kind"], name) for name in ("pair", "two_hits")}
    return {
        "selected": int(markers.selected.sum()),
        "genes": int(genes[markers.selected].nunique()),
        "by": by | joint,
        **{claim: int((markers.q_values[claim] <= q).sum()) for claim in CLAIMS},
    }


def _null(observed: np.ndarray, permuted: np.ndarray) -> dict[str, Any]:
    """How long the list of the labels is beside those of permuted ones, `(permutations, rows)`."""
    sizes = permuted.sum(axis=1)
    return {
        "permutations": len(permuted),
        "p": float((1 + (sizes >= observed.sum()).sum()) / (1 + len(permuted))),
        "empty": int((sizes == 0).sum()),
        "observed": int(observed.sum()),
        "sizes": sizes.tolist(),
    }


def _count(values: pd.Series, value: str) -> int:
    return int((values == value).sum())


def tables(found: Discoveries) -> dict[str, pd.DataFrame]:
    """`units` (arms, then segments, then genes, each by evidence), `modules`, `interactions`."""
    units = found.units[found.units["selected"]].drop(columns="selected")
    units = units.sort_values("evidence", ascending=False, kind="stable")
    units = units.sort_values("level", key=lambda of: of.map(LEVELS.index), kind="stable")
    return {
        "units": units.head(LISTED),
        "modules": found.modules,
        "interactions": found.interactions.head(LISTED),
    }


def describe(content: dict[str, Any], ranking: pd.DataFrame, *, named: bool) -> str:
    """The list in one line; its first genes only where they may be `named`."""
    first = ", ".join(ranking.loc[ranking["selected"], "gene"].unique()[:8]) or "none"
    stability = "{index:.2f} [{low:.2f}, {high:.2f}]".format(**content["stability"])
    return (
        f"{content['list']['genes']} genes listed as {content['claim']} at q = {content['q']:g}: "
        f"{first if named else 'not named'}; stability {stability}; "
        f"p of the list {content['null']['p']:.3g}"
    )
