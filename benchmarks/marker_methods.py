"""The methods that benchmarks/markers.py compares: each gives lists of genes.

A method that controls the false-discovery rate gives one list per q, others one by their own rule
("own").
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import digamma, polygamma
from scipy.stats import false_discovery_control, norm, t, ttest_ind

from oncopixel.baselines.linear import binary_path
from oncopixel.baselines.tuning import fit_predict
from oncopixel.core.params import CHANNELS, BaselineParams, Claim, read_params

FIRST = 20
"""Genes that SHAP values list."""
PAIRS = 25
"""Complementary pairs of half samples (Shah and Samworth 2013), so 50 fits."""
KEPT = (5, 10, 20, 40)
SHARES = np.linspace(0.6, 0.9, 16)
"""Of stability selection: genes that a half keeps, and shares of the halves that must keep one."""
PENALTIES = (0.8, 0.65, 0.5, 0.4, 0.3)
"""Shares of the smallest penalty that removes every feature."""


@dataclass(frozen=True)
class Data:
    """One cohort; `counts` and what derives from them are `(samples, genes)`, y is 1 in cases."""

    features: np.ndarray
    """`(samples, genes, channels)` as preprocessing gives them; expression is the first channel."""
    counts: np.ndarray
    library: np.ndarray
    """`(samples,)` counts of all genes, in millions."""
    y: np.ndarray
    genes: pd.DataFrame
    """`gene`, `chromosome` and `start` of each."""
    planted: np.ndarray | None = None
    """`(genes,)` bool, where the label is made of real genes."""

    @property
    def z(self) -> np.ndarray:
        """Expression as z-scores of log2 CPM, clipped."""
        return self.features[:, :, 0].astype(np.float64)

    @property
    def log2_cpm(self) -> np.ndarray:
        return np.log2(self.counts / self.library[:, None] + 1)


Lists = dict[float | str, np.ndarray]
"""`(genes,)` bool, by q or "own"."""


@dataclass(frozen=True)
class Method:
    title: str
    function: Callable[[Data, Sequence[float], int], Lists]
    cohorts: int
    """Of each arm and size, at most."""
    limit_s: int
    """CPU time of one fit."""
    knows: bool = False
    """Whether it looks at `Data.planted`."""


def by_p_value(p: np.ndarray, qs: Sequence[float]) -> Lists:
    """Benjamini and Hochberg 1995."""
    adjusted = false_discovery_control(p)
    return {q: adjusted <= q for q in qs}


def welch(data: Data, qs: Sequence[float], _seed: int) -> Lists:
    test = ttest_ind(data.z[data.y == 1], data.z[data.y == 0], equal_var=False)
    return by_p_value(test.pvalue, qs)


def moderated_t(data: Data, qs: Sequence[float], _seed: int) -> Lists:
    """Smyth 2004, Stat Appl Genet Mol Biol 3:3, sections 4 to 6, on log2 CPM."""
    case, control = data.log2_cpm[data.y == 1], data.log2_cpm[data.y == 0]
    n, m = len(case), len(control)
    d = n + m - 2
    variance = ((n - 1) * case.var(axis=0, ddof=1) + (m - 1) * control.var(axis=0, ddof=1)) / d
    e = np.log(variance) - digamma(d / 2) + np.log(d / 2)
    excess = e.var(ddof=1) - polygamma(1, d / 2)
    if excess > 0:
        half = inverse_trigamma(excess)
        prior, d0 = np.exp(e.mean() + digamma(half) - np.log(half)), 2 * half
        variance, d = (d0 * prior + d * variance) / (d0 + d), d0 + d
    else:
        variance, d = np.full_like(variance, np.exp(e.mean())), np.inf
    statistic = (case.mean(axis=0) - control.mean(axis=0)) / np.sqrt(variance * (1 / n + 1 / m))
    return by_p_value(2 * t.sf(np.abs(statistic), d), qs)


def inverse_trigamma(x: float) -> float:
    """Newton's iteration on 1 / trigamma (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(50):
        value = polygamma(1, y)
        y += value * (1 - value / x) / polygamma(2, y)
    return float(y)


def deseq2(data: Data, qs: Sequence[float], _seed: int) -> Lists:
    """Defaults of pydeseq2; its independent filter is told the q."""
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats

    inference = DefaultInference(n_cpus=1)
    names = [f"s{i}" for i in range(len(data.y))]
    status = pd.DataFrame({"status": np.where(data.y == 1, "case", "control")}, index=names)
    fitted = DeseqDataSet(
        counts=pd.DataFrame(data.counts, index=names),
        metadata=status,
        design="~status",
        inference=inference,
        quiet=True,
    )
    fitted.deseq2()
    contrast, sets = ["status", "case", "control"], {}
    for q in qs:
        test = DeseqStats(fitted, contrast, alpha=q, inference=inference, quiet=True)
        with redirect_stdout(None):
            test.summary()
        sets[q] = test.results_df["padj"].to_numpy() <= q
    return sets


def halves(y: np.ndarray, seed: int) -> list[np.ndarray]:
    """Complementary half samples, each with half of every class."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(PAIRS):
        classes = [rng.permutation(np.flatnonzero(y == k)) for k in (0, 1)]
        result.append(np.concatenate([rows[: len(rows) // 2] for rows in classes]))
        result.append(np.concatenate([rows[len(rows) // 2 :] for rows in classes]))
    return result


def l1_stability(data: Data, qs: Sequence[float], seed: int) -> Lists:
    """Stability selection with L1 logistic regression (Meinshausen and Buehlmann 2010, theorem 1).

    Each half sample keeps the k genes that are first on its path. Genes kept in a share pi of the
    halves hold at most k^2 / ((2 pi - 1) genes) false ones in expectation. The theorem knows no q:
    the list at q is the longest one, over k and pi, whose bound is at most q of its length.
    """
    z, genes = data.z, len(data.genes)
    frequency = np.zeros((len(KEPT), genes))
    samples = halves(data.y, seed)
    for rows in samples:
        path = binary_path(z[rows], data.y[rows] == 1, 1.0, [*np.geomspace(0.95, 0.1, 25)])
        strength = np.zeros(genes)
        for i, k in enumerate(KEPT):
            while np.count_nonzero(strength) < k and (step := next(path, None)):
                strength = np.abs(step[0])
            first = np.argsort(-strength, kind="stable")[:k]
            frequency[i, first] += strength[first] > 0
    frequency /= len(samples)
    sets = {}
    for q in qs:
        sets[q] = np.zeros(genes, dtype=bool)
        for kept, row in zip(KEPT, frequency, strict=True):
            for share in SHARES:
                chosen = row >= share
                held = kept**2 / ((2 * share - 1) * genes) <= q * chosen.sum()
                if held and chosen.sum() > sets[q].sum():
                    sets[q] = chosen
    return sets


def stabl(data: Data, _qs: Sequence[float], seed: int) -> Lists:
    """The threshold rule of Hedou et al. 2024, Nat Biotechnol 42:1581, written from its formula.

    Every gene gets a permuted decoy. The selection frequency is the largest over `PENALTIES`; the
    threshold minimises FDP+(t) = (1 + decoys above t) / max(1, genes above t). No q enters.
    """
    z, genes = data.z, len(data.genes)
    x = np.hstack([z, np.random.default_rng(seed).permuted(z, axis=0)])
    counts = np.zeros((len(PENALTIES), 2 * genes))
    samples = halves(data.y, seed)
    for rows in samples:
        for i, (coefficients, _) in enumerate(
            binary_path(x[rows], data.y[rows] == 1, 1.0, PENALTIES)
        ):
            counts[i] += coefficients != 0
    frequency = counts.max(axis=0) / len(samples)
    real, decoy = frequency[:genes], frequency[genes:]
    thresholds = np.arange(0, 1, 0.01)
    estimate = [(1 + (decoy > v).sum()) / max(1, (real > v).sum()) for v in thresholds]
    return {"own": real > thresholds[int(np.argmin(estimate))]}


def boruta(data: Data, _qs: Sequence[float], seed: int) -> Lists:
    """Defaults of boruta (alpha 0.05, 100 rounds) around a balanced forest of depth 5."""
    from boruta import BorutaPy
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(class_weight="balanced", max_depth=5, n_jobs=1)
    selector = BorutaPy(forest, n_estimators="auto", random_state=seed).fit(data.z, data.y)
    return {"own": selector.support_}


def knockpy(data: Data, qs: Sequence[float], seed: int) -> Lists:
    """Gaussian knockoffs (Ledoit-Wolf, MVR in blocks) and cross-validated logistic lasso.

    Its own grid of penalties spans eight decades: one fit took 112 s of CPU time.
    """
    from knockpy.knockoff_filter import KnockoffFilter

    np.random.seed(seed)  # noqa: NPY002  knockpy draws from it
    largest = np.abs(data.z.T @ (data.y - data.y.mean())).max()
    settings = {"alphas": largest * np.array(PENALTIES)}
    knockoffs = KnockoffFilter(fstat="lasso", ksampler="gaussian", fstat_kwargs=settings)
    with redirect_stdout(None):
        knockoffs.forward(data.z, data.y)
    return {q: knockoffs.make_selections(knockoffs.W, q) > 0 for q in qs}


def hidimstat_knockoffs(data: Data, qs: Sequence[float], seed: int) -> Lists:
    """Equicorrelated Gaussian knockoffs; on the usual path of the lasso, the own one is slow."""
    from hidimstat import ModelXKnockoff
    from sklearn.linear_model import LassoCV

    knockoffs = ModelXKnockoff(
        LassoCV(alphas=10, cv=5, random_state=seed),
        preconfigure_lasso_path=False,
        random_state=seed,
    )
    knockoffs.fit_importance(data.z, data.y - data.y.mean())
    return {q: knockoffs.fdr_selection(q) for q in qs}


def hidimstat_d0crt(data: Data, qs: Sequence[float], seed: int) -> Lists:
    """Distilled conditional randomisation test of what a lasso keeps; the rest has p = 1.

    Its hundreds of lassos end at a hundredth of the largest penalty and a tolerance of 1e-3, where
    scikit-learn has a thousandth and 1e-4: penalties near a tenth are chosen either way.
    """
    from hidimstat import D0CRT
    from sklearn.linear_model import LassoCV

    z, y = data.z, data.y - data.y.mean()
    path = {"alphas": 10, "eps": 1e-2, "tol": 1e-3}
    lasso = LassoCV(**path, fit_intercept=False, random_state=seed).fit(z, y)
    kept = 100 * np.mean(lasso.coef_ != 0)
    if not kept:
        return {q: np.zeros(len(data.genes), bool) for q in qs}
    test = D0CRT(
        LassoCV(**path),
        lasso_screening=lasso,
        model_distillation_x=LassoCV(**path),
        screening_threshold=kept,
        random_state=seed,
    )
    test.fit_importance(z, y)
    p = np.where(lasso.coef_ != 0, test.pvalues_, 1.0)
    return by_p_value(p, qs)


def lr_l1(data: Data, _qs: Sequence[float], _seed: int) -> Lists:
    """The project's own baseline, tuned in three inner folds; the list is what is not 0."""
    params = BaselineParams(models=["logistic_l1"], panel_sizes=[5], inner_folds=3, seed=1)
    patients = np.arange(len(data.y)).astype(str)
    fitted = fit_predict("logistic_l1", data.z, data.y, patients, data.z[:1], params)
    return {"own": fitted.importance != 0}


def oncopixel(claim: Claim, channels: int, data: Data, qs: Sequence[float], _seed: int) -> Lists:
    """The project's own discoveries, as the pipeline makes them."""
    from oncopixel.markers.discovery import discover, prepare_hypotheses, to_rows

    params = read_params(Path("params.yaml")).biomarkers
    params = params.model_copy(update={"minimum_effect": 0.0})  # as the others
    classes, names = ["control", "case"], list(CHANNELS[:channels])
    hypotheses = prepare_hypotheses(
        data.features[:, :, :channels], data.genes, names, classes, params
    )
    lists = {}
    for q in qs:
        (found,) = discover(hypotheses, claim, data.y[None], params.model_copy(update={"q": q}))
        lists[q] = to_rows(hypotheses, found.selected, False)[::channels]
    return lists


def informed(data: Data, qs: Sequence[float], _seed: int) -> Lists:
    """What `beyond` could find if it knew the planted genes, and held just these fixed."""
    from oncopixel.markers.held_fixed import Channel, efficient_scores, logistic, prepare

    nothing = np.zeros((len(data.y), 0))
    channel = Channel(data.features[:, :, 0], nothing)
    prepared = prepare([channel], nothing, np.ones(len(data.y), dtype=bool))
    planted = np.flatnonzero(data.planted)
    z = np.zeros(len(data.planted))
    models = [(np.flatnonzero(~data.planted), planted)]
    models += [(np.array([gene]), planted[planted != gene]) for gene in planted]
    for tested, held in models:
        design, chance = logistic(prepared, data.y, list(held))
        z[tested] = efficient_scores(prepared.own[:, tested], design, chance, data.y)
    return by_p_value(2 * norm.sf(np.abs(z)), qs)


def shap(data: Data, _qs: Sequence[float], seed: int) -> Lists:
    """The first genes by mean |SHAP value| of LightGBM on the samples that it was fitted on."""
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1).fit(data.z, data.y)
    importance = np.abs(model.predict(data.z, pred_contrib=True)[:, :-1]).mean(axis=0)
    return {"own": np.isin(np.arange(len(importance)), np.argsort(-importance)[:FIRST])}


METHODS = {
    "beyond": Method("oncopixel, beyond", partial(oncopixel, "beyond", 1), 20, 120),
    "beyond_3": Method("oncopixel, beyond, 3 channels", partial(oncopixel, "beyond", 3), 20, 120),
    "associated": Method("oncopixel, associated", partial(oncopixel, "associated", 1), 20, 120),
    "welch": Method("Welch + BH", welch, 20, 60),
    "limma": Method("moderated t + BH", moderated_t, 20, 60),
    "lr_l1": Method("LR-L1", lr_l1, 20, 60),
    "l1_stability": Method("LR-L1 stability selection", l1_stability, 20, 120),
    "stabl": Method("Stabl's rule", stabl, 20, 120),
    "hidimstat_knockoffs": Method("hidimstat ModelXKnockoff", hidimstat_knockoffs, 5, 900),
    "hidimstat_d0crt": Method("hidimstat D0CRT", hidimstat_d0crt, 20, 600),
    "knockpy": Method("knockpy", knockpy, 5, 900),
    "deseq2": Method("pydeseq2", deseq2, 3, 300),
    "boruta": Method("Boruta", boruta, 3, 900),
    "shap": Method(f"SHAP of LightGBM, {FIRST} first", shap, 20, 120),
    "informed": Method("planted genes known", informed, 20, 120, knows=True),
}
