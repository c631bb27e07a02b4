"""What else could explain a marker: purity, batch, site, sex, age, library size.

For each known confounder: how it goes with the label, with the model's score and with each gene,
and how much of a gene's label effect is left once the confounder is held fixed. Only linear effects
of numbers, and a level per category, are held fixed; what no column tells stays unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from scipy.stats import chi2_contingency
from scipy.stats import false_discovery_control as benjamini_hochberg

from ..cohort.contract import Cohort
from ..core.errors import ParamsError, did_you_mean
from ..evaluation.parts import CNN
from ..images.covariates import is_number, missing_values
from ..quality.facts import cramers_v
from .rank_tests import (
    Ranks,
    kruskal_wallis,
    one_hot,
    p_of_correlation,
    quotient,
    rank_biserial,
    spearman,
)

NUMBERS = {
    "purity": ("purity", "tumour_purity", "tumor_purity"),
    "age": ("age", "age_at_diagnosis", "age_at_index", "age_at_initial_pathologic_diagnosis"),
}
CATEGORIES = {
    "batch": ("batch", "batch_id", "plate"),
    "site": ("site", "tissue_source_site", "tss"),
    "sex": ("sex", "gender", "sex_at_birth"),
}
"""Recognised columns, in lower case; of each confounder the first that says anything is taken."""
LIBRARY_SIZE = "library_size"
LEAST_SD = 0.01
"""SD of log2 library size below which it is the rounding of values normalised to equal sums."""

EXPLAINED = 0.5
"""A marker is flagged when holding a confounder fixed leaves less of its label effect than this."""
Q = 0.05
"""Benjamini-Hochberg q up to which a gene goes with a confounder, over all genes x confounders."""
ALPHA = 0.05
"""p up to which a gene has a label effect of which a share can be left."""
INSEPARABLE = 0.95
"""Strength from which label and confounder are as good as one: neither can be held fixed."""
CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before they become logits."""
BLOCK = 256  # samples whose library size is summed at a time


@dataclass(frozen=True)
class Confounding:
    """How values (genes, the model's score) go with confounders: `(values, confounders)` each.

    `strength` is Spearman's correlation for a number and eta squared of ranks for a category, 0 for
    a constant; `p` is its (Kruskal-Wallis for a category); `q` is Benjamini-Hochberg's. `remaining`
    is the share of the label effect that is left, 0 to 1; NaN where there is no label effect to
    speak of, or label and confounder cannot be told apart.
    """

    strength: np.ndarray
    p: np.ndarray
    q: np.ndarray
    remaining: np.ndarray
    names: list[str]

    @property
    def flagged(self) -> np.ndarray:
        """`(values, confounders)` bool: explained mostly by the confounder."""
        return np.asarray((self.q <= Q) & (self.remaining < EXPLAINED))


def known_confounders(cohort: Cohort, adjust: Sequence[str] = ()) -> pd.DataFrame:
    """What is known of the samples beside their genes: numbers as float64, categories as text.

    Returns
    -------
    `(samples, confounders)`, NaN and None where unknown: purity, batch, site, sex and age under the
    name of their column, where that is not constant; the columns of `adjust`; and `library_size`,
    log2 of the sum of expression on a linear scale.

    Raises
    ------
    ParamsError
        A column of `adjust` is not there.
    """
    samples = cohort.samples
    for name in adjust:
        if name not in samples:
            raise ParamsError(
                f"{name!r} is no column of the samples{did_you_mean(name, samples)}. "
                f"They have: {', '.join(map(str, samples))}."
            )
    columns = {str(name).lower(): str(name) for name in reversed(samples.columns)}
    numeric = {name: is_number(samples[name]) for name in adjust}
    found: dict[str, pd.Series] = {}
    for kinds, number in ((NUMBERS, True), (CATEGORIES, False)):
        for spellings in kinds.values():
            usable = (
                (columns[name], _values(samples[columns[name]], number))
                for name in spellings
                if name in columns
            )
            first = next(((name, v) for name, v in usable if _varies(v)), None)
            if first:
                found[first[0]] = first[1]
    found |= {name: _values(samples[name], numeric[name]) for name in adjust if name not in found}
    if "expression" in cohort.channels:
        size = _library_size(cohort)
        if size.std() > LEAST_SD:
            found.setdefault(LIBRARY_SIZE, pd.Series(size, samples.index))
    return pd.DataFrame(found, index=samples.index)


def label_association(y: np.ndarray, confounders: pd.DataFrame) -> pd.DataFrame:
    """How each confounder goes with the label, whatever the genes do.

    Returns
    -------
    Columns `confounder`, `kind` ("number" or "category"), `known` (samples), `strength`, `p`, and
    `separable`, whether label effects can be looked at with the confounder held fixed. `strength`
    is bias-corrected Cramér's V for a category (p of the chi-squared test), and for a number |2 AUC
    - 1|, of several classes the largest, one against the rest (p of Kruskal-Wallis).
    """
    rows = []
    for name, column in confounders.items():
        known = column.notna().to_numpy()
        values, label = column[known], y[known]
        classes = np.unique(label)
        strength, p = 0.0, 1.0
        if len(classes) > 1 and _varies(values):
            if is_number(values):
                ranks = Ranks.of(values.to_numpy(dtype=float)[:, np.newaxis])
                p = float(kruskal_wallis(ranks, label)[1][0])
                strength = max(rank_biserial(ranks, label == k) for k in classes)
            else:
                text = values.to_numpy(dtype=str)
                strength = cramers_v(text, label.astype(str))
                p = float(chi2_contingency(pd.crosstab(text, label), correction=False).pvalue)
        kind = "number" if is_number(column) else "category"
        rows.append((str(name), kind, int(known.sum()), strength, p, strength < INSEPARABLE))
    columns = ["confounder", "kind", "known", "strength", "p", "separable"]
    return pd.DataFrame(rows, columns=columns)


def confounding(values: np.ndarray, y: np.ndarray, confounders: pd.DataFrame) -> Confounding:
    """How each column of `(samples, values)` goes with each confounder."""
    exact = np.asarray(values, dtype=np.float64)
    shape = values.shape[1], confounders.shape[1]
    strength, p, remaining = np.zeros(shape), np.ones(shape), np.full(shape, np.nan)
    target, has_effect = _main_effect(exact, y)
    separable = label_association(y, confounders)["separable"].to_numpy(dtype=bool)
    ranked: dict[bytes, Ranks] = {}
    for i, (_, column) in enumerate(confounders.items()):
        known = column.notna().to_numpy()
        if not _varies(column):
            continue
        if known.tobytes() not in ranked:
            ranked[known.tobytes()] = Ranks.of(values[known])
        ranks = ranked[known.tobytes()]
        if is_number(column):
            strength[:, i], p[:, i] = spearman(ranks, column[known].to_numpy(dtype=float))
        else:
            strength[:, i], p[:, i] = kruskal_wallis(ranks, column[known].to_numpy(dtype=str))
        if separable[i]:
            share = _remaining(exact, y, known, _design(column[known]), target)
            remaining[:, i] = np.where(has_effect, share, np.nan)
    q = benjamini_hochberg(p.ravel()).reshape(shape) if p.size else p
    return Confounding(strength, p, q, remaining, [str(name) for name in confounders])


def gene_columns(found: Confounding) -> pd.DataFrame:
    """The columns `confounder` and `remaining`, one row per value.

    Returns
    -------
    `confounder` is the one that explains most of a flagged marker, else "". `remaining` is the
    least share of the label effect that any confounder leaves with which the value goes (q <= Q): 1
    when it goes with none, NaN when it has no label effect of its own.
    """
    related = found.q <= Q
    shares = np.where(related & ~np.isnan(found.remaining), found.remaining, np.inf)
    no_effect = np.isnan(found.remaining).all(axis=1)
    worst = np.minimum(shares.min(axis=1, initial=np.inf), 1.0)
    remaining = np.where(no_effect, np.nan, worst)
    names = np.full(len(remaining), "", dtype=object)
    flagged = found.flagged.any(axis=1)
    if flagged.any():
        names[flagged] = np.array(found.names, dtype=object)[shares[flagged].argmin(axis=1)]
    return pd.DataFrame({"confounder": names, "remaining": remaining})


def out_of_fold_logits(predictions: pd.DataFrame, samples: pd.Index, n_classes: int) -> np.ndarray:
    """`(samples, classes)` the CNN's out-of-fold logits; of two classes the last one's only."""
    own = predictions[(predictions["model"] == CNN) & (predictions["part"] == "cv")]
    mean = own.groupby("sample")[[f"p_{k}" for k in range(n_classes)]].mean()
    logits: np.ndarray = logit(mean.loc[samples].to_numpy().clip(CLIP, 1 - CLIP))
    return logits[:, 1:] if n_classes == 2 else logits


def read_confounders(
    features: np.ndarray,
    logits: np.ndarray,
    y: np.ndarray,
    known: pd.DataFrame,
    selected: np.ndarray,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """`gene_columns` of `(samples, genes, channels)` features, and the `summary`."""
    genes = confounding(features.reshape(len(features), -1), y, known)
    score = confounding(logits, y, known)
    found = summary(label_association(y, known), score, genes, selected)
    return gene_columns(genes), found


def summary(
    label: pd.DataFrame, score: Confounding, genes: Confounding, selected: np.ndarray
) -> dict[str, Any]:
    """What the report says: per confounder the label, the score and the selected genes; notes."""
    table = gene_columns(genes)[np.asarray(selected, dtype=bool)]
    rows, notes = [], []
    for i, row in enumerate(label.itertuples()):
        j = int(score.p[:, i].argmin())
        explained = int((table["confounder"] == row.confounder).sum())
        related = int((genes.q[np.asarray(selected, dtype=bool), i] <= Q).sum())
        rows.append(
            {
                "confounder": row.confounder,
                "kind": row.kind,
                "known": row.known,
                "label": {"strength": row.strength, "p": row.p, "separable": bool(row.separable)},
                "score": {
                    "strength": score.strength[j, i],
                    "p": score.p[j, i],
                    "q": score.q[j, i],
                    "remaining": score.remaining[j, i],
                    "flagged": bool(score.flagged[j, i]),
                },
                "markers": {"related": related, "flagged": explained},
            }
        )
        if not row.separable:
            notes.append(
                f"`{row.confounder}` and the label are as good as one (strength "
                f"{row.strength:.2f}): these samples cannot tell whether a marker follows the one "
                "or the other, so none is flagged for it."
            )
        if explained:
            notes.append(
                f"{explained} of {len(table)} markers are explained mostly by `{row.confounder}`: "
                f"with it held fixed, less than {EXPLAINED:.0%} of their label effect is left."
            )
        if score.flagged[j, i]:
            notes.append(
                f"The model's score is explained mostly by `{row.confounder}`: "
                f"{score.remaining[j, i]:.0%} of its label effect is left with it held fixed."
            )
    if not rows:
        notes.append("No confounder is known of these samples: that none was found says nothing.")
    return {
        "confounders": rows,
        "markers": {"selected": len(table), "flagged": int((table["confounder"] != "").sum())},
        "notes": notes,
    }


def _values(column: pd.Series, number: bool) -> pd.Series:
    """The column as numbers, or as text; NaN or None where it says nothing."""
    if number:
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        return numbers.where(np.isfinite(numbers))
    return column.astype(str).astype(object).where(~missing_values(column), None)


def _varies(column: pd.Series) -> bool:
    return len(column.dropna().unique()) > 1


def _library_size(cohort: Cohort) -> np.ndarray:
    """`(samples,)` log2 of one more than the sum of expression on a linear scale."""
    layer = cohort.layer("expression")
    sizes = []
    for start in range(0, len(layer), BLOCK):
        chunk = layer[start : start + BLOCK]
        linear = np.exp2(chunk) - 1 if cohort.scale == "log2" else chunk
        sizes.append(np.nansum(linear, axis=1, dtype=np.float64))
    return np.asarray(np.log2(np.maximum(np.concatenate(sizes), 0) + 1))


def _design(column: pd.Series) -> np.ndarray:
    """`(samples, terms)` of one confounder, centred."""
    if is_number(column):
        terms = column.to_numpy(dtype=np.float64)[:, np.newaxis]
    else:
        terms = one_hot(column.to_numpy(dtype=str))
    return np.asarray(terms - terms.mean(axis=0))


def _main_effect(values: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every column the class that correlates most with it, and whether p <= ALPHA."""
    classes = np.unique(y)
    targets = classes[1:] if len(classes) == 2 else classes
    length = np.sqrt(len(y)) * values.std(axis=0, dtype=np.float64)
    labels = [(y == k) - np.mean(y == k) for k in targets]
    r = np.abs([quotient(x @ values, length * np.sqrt(x @ x)) for x in labels])
    p = p_of_correlation(r.max(axis=0), len(y))
    return targets[r.argmax(axis=0)], p * len(targets) <= ALPHA


def _remaining(
    values: np.ndarray, y: np.ndarray, known: np.ndarray, design: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Share, 0 to 1, of each column's label effect with the confounder held fixed (Lovell 1963)."""
    basis, singular, _ = np.linalg.svd(design, full_matrices=False)
    basis = basis[:, singular > singular.max() * 1e-9]
    share = np.full(values.shape[1], np.nan)
    for k in np.unique(target):
        label = np.where(known, (y == k) - np.mean(y[known] == k), 0)
        residual = label.copy()
        residual[known] -= basis @ (basis.T @ label[known])
        if residual @ residual <= 1e-9 * len(y):
            continue
        before = label @ values / (label @ label)
        after = residual @ values / (residual @ residual)
        ratio = np.divide(after, before, out=np.full(len(before), np.nan), where=before != 0)
        share = np.where(target == k, np.clip(ratio, 0, 1), share)
    return share
