"""How well rankings and lists recover markers that were planted in a simulated cohort."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..images.preprocessor import Preprocessor, to_features
from .attribution import Explanation
from .discovery import Discoveries, Hypotheses, to_rows
from .fdr import LEVELS
from .ranking import score_table

NEAR = 5_000_000
"""Bases around a planted copy-number gene within which genes follow it: neither true nor false."""
JOINT = ("xor", "loss_and_mutation")
"""Kinds that tell the classes apart together only: no list promises them."""


@dataclass(frozen=True)
class Recovery:
    """How well a score puts planted markers before all other candidates."""

    auprc: float
    precision_at_k: float
    n_markers: int
    chance: float
    """Share of markers among the candidates: what a random score reaches in both figures."""


def recovery(scores: np.ndarray, is_marker: np.ndarray, k: int) -> Recovery:
    """How well `(candidates,)` scores put the markers first.

    Returns
    -------
    Precision is among the `k` best; ties at the border count by their share, so that no order of
    the candidates is lucky. AUPRC is the average precision, in which ties count as one step. NaN
    without any marker.
    """
    from sklearn.metrics import average_precision_score

    scores, marker = np.asarray(scores, dtype=np.float64), np.asarray(is_marker, dtype=bool)
    n_markers, k = int(marker.sum()), min(k, len(scores))
    if n_markers == 0:
        return Recovery(math.nan, math.nan, 0, 0.0)
    border = np.partition(scores, -k)[-k]
    above, tied = scores > border, scores == border
    hits = marker[above].sum() + (k - above.sum()) * marker[tied].mean()
    auprc = float(average_precision_score(marker, scores))
    return Recovery(auprc, float(hits / k), n_markers, float(marker.mean()))


def method_scores(
    pre: Preprocessor,
    ranking: pd.DataFrame,
    explained: Explanation,
    t: np.ndarray,
    importances: pd.DataFrame,
) -> dict[str, pd.Series]:
    """By method a `score_table`, `cnn` in the final order; `t` is `(genes, channels)` of |t|."""
    shape = len(pre.genes), len(pre.channels)
    scores = {
        "integrated_gradients": to_features(pre, explained.score[None])[0],
        "t_test": t,
        **{str(name): importances[name].abs().to_numpy().reshape(shape) for name in importances},
    }
    tables = {
        name: score_table(values, pre.genes["gene"], pre.channels)
        for name, values in scores.items()
    }
    order = -ranking.set_index(["gene", "channel"])["rank"]
    return {"cnn": order.loc[tables["t_test"].index], **tables}


def marker_recovery(scores: Mapping[str, pd.Series], truth: pd.DataFrame, k: int) -> pd.DataFrame:
    """How each method's `score_table` recovers the planted markers of `truth`: gene, channel, kind.

    Returns
    -------
    Columns method, kind, then those of `Recovery`; no rows without any truth. Kind "all" takes
    every marker; a single kind leaves the markers of the others out of the candidates. Markers that
    no image holds cannot be recovered and do not count.
    """
    rows: list[dict[str, Any]] = []
    if truth.empty:
        return pd.DataFrame(rows, columns=["method", "kind", *Recovery.__dataclass_fields__])
    kinds = truth.set_index(["gene", "channel"])["kind"]
    for method, table in scores.items():
        kind_of = kinds.reindex(table.index)
        for kind in ["all", *sorted(truth["kind"].unique())]:
            marker = kind_of.notna() if kind == "all" else kind_of == kind
            candidate = (marker | kind_of.isna()).to_numpy()
            found = recovery(table.to_numpy()[candidate], marker.to_numpy()[candidate], k)
            rows.append({"method": method, "kind": kind, **vars(found)})
    return pd.DataFrame(rows)


def realised(hypotheses: Hypotheses, truth: pd.DataFrame, selected: np.ndarray) -> dict[str, Any]:
    """False-discovery proportion and power of the `(rows,)` selected, where the truth is known.

    Returns
    -------
    `fdp`, `power` and `power_<kind>`; `judged` rows, of them `false`; `planted` markers, of them
    `found`. Genes that follow a planted copy number event, its own gene's
    expression and neighbours within `NEAR`, are neither true nor false, nor are the `JOINT` kinds.
    Power is over the planted markers on the image, and over each kind.
    """
    alone = truth[~truth["kind"].isin(JOINT)]
    planted = pd.MultiIndex.from_frame(truth[["gene", "channel"]])
    true = hypotheses.rows.isin(pd.MultiIndex.from_frame(alone[["gene", "channel"]]))
    near = np.zeros(len(hypotheses.genes), dtype=bool)
    events = set(truth.loc[truth["channel"] == "copy_number", "gene"])
    for row in hypotheses.genes[hypotheses.genes["gene"].isin(events)].itertuples():
        same = hypotheses.genes["chromosome"] == row.chromosome
        near |= (same & ((hypotheses.genes["start"] - row.start).abs() <= NEAR)).to_numpy()
    gray = np.repeat(near, len(hypotheses.channels)) & ~true
    gray &= hypotheses.rows.get_level_values("channel").isin(["expression", "copy_number"])
    gray |= hypotheses.rows.isin(planted) & ~true
    false = selected & ~true & ~gray
    hit = selected & true
    kinds = alone.set_index(["gene", "channel"])["kind"].reindex(hypotheses.rows)
    result: dict[str, Any] = {
        "fdp": float(false.sum() / max(1, (false | hit).sum())),
        "power": float(hit.sum() / max(1, true.sum())),
        "judged": int((false | hit).sum()),
        "false": int(false.sum()),
        "planted": int(true.sum()),
        "found": int(hit.sum()),
    }
    for kind in sorted(set(kinds.dropna())):
        mine = (kinds == kind).to_numpy()
        result[f"power_{kind}"] = float(hit[mine].mean())
    return result


def calibration(hypotheses: Hypotheses, truth: pd.DataFrame, found: Discoveries) -> pd.DataFrame:
    """Columns q, fdp, power, selected (rows); empty without a truth."""
    rows = []
    for level in LEVELS if len(truth) else ():
        chosen = to_rows(hypotheses, found.q, 1.0) <= level
        result = realised(hypotheses, truth, chosen)
        rows.append((level, result["fdp"], result["power"], int(chosen.sum())))
    return pd.DataFrame(rows, columns=["q", "fdp", "power", "selected"])
