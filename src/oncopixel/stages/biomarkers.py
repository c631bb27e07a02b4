"""`biomarkers`: which genes carry the label, at what error rate, and what is known of them."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from threadpoolctl import threadpool_limits

from ..cohort.contract import Cohort
from ..core.params import BiomarkerParams, Claim, Params
from ..core.project import Paths
from ..core.storage import (
    read_csv,
    read_json,
    read_keras,
    read_parquet,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
)
from ..evaluation.parts import CNN
from ..evaluation.permutation import permuted_labels
from ..evaluation.verdict import caution
from ..images.folds import read_images, read_split_cohort
from ..images.preprocessor import Preprocessor, read_preprocessor, to_features
from ..images.splits import final_fold
from ..markers.ranking import (
    contrast,
    explain,
    marker_recovery,
    nogueira,
    rank_genes,
    score_table,
    t_test,
)
from ..markers.search import (
    CLAIMS,
    Discoveries,
    Search,
    calibration,
    discover,
    evidence_of_rows,
    in_order,
    listed,
    q_of_rows,
    realised,
    search,
    spread,
    statistics,
)
from ..markers.stability import resamples
from ..networks.training import set_up
from ..reading.confounders import confounding, gene_columns, known_confounders, label_association
from ..reading.confounders import summary as confounder_summary
from ..reading.enrichment import annotate, driver_overlap, over_representation, preranked
from ..reporting import figures

log = logging.getLogger(__name__)

LISTED = 500
"""Rows of the tables that are in git, at most; `ranking.parquet` has every gene and channel."""
UNITS = ["arm", "segment", "gene"]
READ, SHOWN = 200, 100
"""Listed genes of each direction that are read for gene sets, and gene sets kept of each."""
CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 before they become logits."""


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def run(paths: Paths, params: Params) -> None:
    """Writes the ranking, the marker list, its evidence and its reading; sees no test sample.

    Of what `evaluate` found on the test samples it repeats the verdict, beside what names genes.
    """
    settings, entry = params.biomarkers, params.cohort(paths.cohort)
    cohort, splits = read_split_cohort(paths)
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    train = final_fold(splits).train
    images, y = read_images(paths, cohort, pre.shape)[train], cohort.y[train].astype(int)
    features = to_features(pre, images)
    truth = read_csv(paths.data("truth.csv"))

    set_up(params.train)
    explained = explain(
        read_keras(paths.model("ensemble.keras")), images, y, len(cohort.classes),
        steps=settings.steps,
        tolerance=settings.tolerance,
    )  # fmt: skip
    space = search(features, pre.genes, pre.channels, cohort.classes, settings)
    shown, q = {}, {}
    for claim in CLAIMS:
        (shown[claim],) = statistics(space, claim, y[None], settings.draws, settings)
        q[claim] = q_of_rows(space, shown[claim], settings)
        log.info("%s: %d rows at q = %g", claim, (q[claim] <= settings.q).sum(), settings.q)
    claim = entry.claim
    found = discover(space, y, shown[claim], settings)
    groups = splits["group"].to_numpy(dtype=str)[train]
    stable, observed, permuted = _repeated(space, claim, y, cohort.patients[train], groups, params)

    known = known_confounders(cohort, params.preprocess.adjust).iloc[train]
    confounded = confounding(features.reshape(len(features), -1), y, known)
    selected = found.found_by != ""
    columns = pd.DataFrame(
        {
            "evidence": evidence_of_rows(space, shown[claim]),
            "q_value": q["beyond"],
            "q_associated": q["associated"],
            "selected": selected,
            "found_by": found.found_by,
            "unit": spread(space, found.units["name"].to_numpy(), ""),
            "module": np.repeat(_module_of_gene(space), len(pre.channels)),
            "selection_frequency": stable.mean(axis=0),
        },
        index=space.rows,
    ).join(gene_columns(confounded).set_index(space.rows))
    ranking = rank_genes(pre, explained, features, y).join(columns, on=["gene", "channel"])
    ranking = in_order(annotate(ranking))
    tested = pre.genes["gene"].iloc[np.unique(space.row_of_candidate[1] // len(pre.channels))]
    several = cohort.classes if len(cohort.classes) > 2 else []
    against_rest = {
        name: pd.Series(contrast(features, y, k)[1][:, 0], index=pre.genes["gene"])
        for k, name in enumerate(several)
    }
    reading = _reading(ranking[ranking["gene"].isin(tested)], against_rest, settings)

    scores = {
        "cnn": -ranking.set_index(["gene", "channel"])["rank"].loc[space.rows],
        "integrated_gradients": _table(pre, to_features(pre, explained.score[None])[0]),
        "t_test": _table(pre, t_test(features, y, len(cohort.classes))),
        **_baseline_scores(paths, pre),
    }
    recovered = marker_recovery(scores, truth, settings.top)
    verdict = read_json(paths.report("evaluation.json"))["verdict"]
    figure: dict[str, Any] = {
        "verdict": verdict,
        "claim": claim,
        "q": settings.q,
        "n_genes": len(pre.genes),
        "repeated_samples": _repeated_samples(cohort.patients[train], y),
        "top": settings.top,
        "list": {
            "selected": int(selected.sum()),
            "genes": int(ranking.loc[ranking["selected"], "gene"].nunique()),
            "by": _counts(found),
            **{name: int((q[name] <= settings.q).sum()) for name in CLAIMS},
        },
        "stability": {
            "resamples": len(stable),
            "draws": settings.repeat_draws,
            "mean_size": float(stable.sum(axis=1).mean()),
            **vars(nogueira(stable)),
        },
        "null": {
            "permutations": len(permuted),
            "p": float((1 + (permuted.sum(axis=1) >= observed.sum()).sum()) / (1 + len(permuted))),
            "empty": int((~permuted.any(axis=1)).sum()),
            "observed": int(observed.sum()),
            "sizes": permuted.sum(axis=1).tolist(),
        },
        "modules": {
            "n": len(found.modules),
            "associated": int((found.modules["q_value"] <= settings.q).sum()),
            "pairs": int((found.interactions["kind"] == "pair").sum()),
            "two_hits": int((found.interactions["kind"] == "two_hits").sum()),
        },
        "drivers": driver_overlap(
            ranking.loc[ranking["selected"], "gene"].unique().tolist(),
            tested.tolist(),
            ranking.drop_duplicates("gene").set_index("gene")["level"],
            cancer=entry.cancer,
        ),
        "confounders": confounder_summary(
            label_association(y, known),
            confounding(_out_of_fold(paths, cohort, train), y, known),
            confounded,
            selected,
        ),
        "completeness_error": {
            "median": float(np.median(explained.completeness)),
            "max": float(np.max(explained.completeness)),
        },
    }
    if len(truth):
        figure["truth"] = realised(space, truth, selected)
        figure["recovery"] = {
            row.method: {"auprc": row.auprc, f"precision_at_{settings.top}": row.precision_at_k}
            for row in recovered[recovered["kind"] == "all"].itertuples()
        }
    table = calibration(space, truth, shown[claim], settings)
    write_parquet(paths.data("ranking.parquet"), ranking)
    write_csv(paths.report("biomarkers.csv"), ranking.head(LISTED))
    write_json(paths.report("biomarkers.json"), figure)
    write_csv(paths.report("recovery.csv"), recovered)
    units = found.units[found.units["selected"]].drop(columns="selected")
    units = units.sort_values("evidence", ascending=False, kind="stable")
    units = units.sort_values("level", key=lambda of: of.map(UNITS.index), kind="stable")
    write_csv(paths.report("units.csv"), units.head(LISTED))
    write_csv(paths.report("modules.csv"), found.modules)
    write_csv(paths.report("interactions.csv"), found.interactions.head(LISTED))
    write_csv(paths.report("enrichment.csv"), reading)
    write_csv(paths.report("fdp.csv"), table)
    means = np.stack([images[y == k].mean(axis=0) for k in range(len(cohort.classes))])
    for name, drawn in {
        "top_genes": figures.top_genes(ranking),
        "evidence": figures.evidence(ranking),
        "selection_frequency": figures.selection_frequency(ranking),
        "enrichment": figures.enrichment(reading),
        "fdp": figures.fdp(table),
        "class_images": figures.class_images(means, pre.channels, cohort.classes),
        "class_attribution": figures.class_attribution(
            explained.by_class, pre.channels, cohort.classes
        ),
    }.items():
        png = figures.to_png(drawn, caution(verdict))
        write_bytes(paths.report(f"figures/{name}.png"), png)
    first = ", ".join(ranking.loc[ranking["selected"], "gene"].unique()[:8]) or "none"
    if caution(verdict):
        log.warning("warning: %s", caution(verdict))
        first = "not named"
    log.info(
        "%d genes listed as %s at q = %g: %s; stability %.2f [%.2f, %.2f]; p of the list %.3g",
        figure["list"]["genes"],
        claim,
        settings.q,
        first,
        *(figure["stability"][key] for key in ("index", "low", "high")),
        figure["null"]["p"],
    )


def _repeated(
    space: Search,
    claim: Claim,
    y: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    params: Params,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The list of each resample of patients, of all patients, and of each permutation of labels.

    `(resamples, rows)`, `(rows,)` and `(permutations, rows)` bool, all by the same few draws.
    """
    settings, of = params.biomarkers, params.stability
    labels = np.full((of.resamples, len(y)), -1)
    for own, kept in zip(
        labels, resamples(patients, y, of.resamples, of.fraction, of.seed), strict=True
    ):
        own[kept] = y[kept]
    permuted = _permuted(y, patients, groups, settings)
    labels = np.vstack([labels, y[None], permuted])
    shown = statistics(space, claim, labels, settings.repeat_draws, settings)
    lists = np.array(
        [listed(space, own, mine, settings) for own, mine in zip(labels, shown, strict=True)]
    )
    return lists[: of.resamples], lists[of.resamples], lists[of.resamples + 1 :]


def _permuted(
    y: np.ndarray, patients: np.ndarray, groups: np.ndarray, settings: BiomarkerParams
) -> np.ndarray:
    """`(permutations, samples)` labels that say nothing.

    The samples of a patient in one class move together, and change paths with as many of another
    patient, within the site when the split holds out sites. So a patient's tumour and normal sample
    move apart: were their labels to stay within the patient, those with one sample would keep
    theirs, and with it the signal.
    """
    patient, group = (np.unique(unit, return_inverse=True)[1] for unit in (patients, groups))
    unit = np.unique(patient * (y.max() + 1) + y, return_inverse=True)[1]
    nested = not np.array_equal(patients, groups)
    rng = np.random.default_rng(settings.seed)
    everywhere = np.zeros_like(unit)
    return permuted_labels(
        y, everywhere, unit, group if nested else unit, settings.permutations, rng
    )


def _repeated_samples(patients: np.ndarray, y: np.ndarray) -> int:
    """How many samples are a further one of their patient in the same class."""
    return len(y) - len(pd.DataFrame({"patient": patients, "y": y}).drop_duplicates())


def _module_of_gene(space: Search) -> np.ndarray:
    """`(genes,)` name of each gene's module, "" for a gene in none."""
    names = np.full(len(space.genes), "", dtype=object)
    for number, members in enumerate(space.modules.members(), start=1):
        names[members] = f"M{number}"
    return names


def _counts(found: Discoveries) -> dict[str, int]:
    """Discoveries of each kind."""
    counts = {
        level: int((found.units["selected"] & (found.units["level"] == level)).sum())
        for level in reversed(UNITS)
    }
    joint = {kind: int((found.interactions["kind"] == kind).sum()) for kind in ("pair", "two_hits")}
    return counts | joint


def _reading(
    ranking: pd.DataFrame, against_rest: dict[str, pd.Series], settings: BiomarkerParams
) -> pd.DataFrame:
    """Gene sets over-represented among the first listed genes, and enriched in the whole ranking.

    `against_rest`: of more than two classes each one's effects by gene; its genes are read apart.
    Columns: analysis, collection, term, size, overlap, nes, p_value, q_value, genes.
    """
    parts = []
    first = ranking.sort_values("channel", key=lambda c: c != "expression", kind="stable")
    per_gene = first.drop_duplicates("gene").set_index("gene")
    for name, effect in (against_rest or {"": per_gene["effect"]}).items():
        of_class = ranking["class"] == name if name else True
        for direction in ("up", "down"):
            mine = ranking["selected"] & (ranking["direction"] == direction) & of_class
            genes = ranking.loc[mine, "gene"].unique()[:READ].tolist()
            table = over_representation(genes, per_gene.index.tolist())
            said = f"over-represented, {direction}" + (f" in {name}" if name else "")
            parts.append(table[table["overlap"] > 0].assign(analysis=said).head(SHOWN))
        ranked = preranked(effect.reindex(per_gene.index), settings.seed)
        said = "ranked" + (f", {name}" if name else "")
        parts.append(ranked.rename(columns={"leading_edge": "genes"}).assign(analysis=said))
    columns = [
        "analysis", "collection", "term", "size", "overlap", "nes", "p_value", "q_value", "genes",
    ]  # fmt: skip
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or parts[:1], ignore_index=True).reindex(columns=columns)


def _out_of_fold(paths: Paths, cohort: Cohort, train: np.ndarray) -> np.ndarray:
    """`(samples, classes)` the CNN's out-of-fold logits; of two classes the last one's only."""
    table, _ = read_parquet(paths.data("cnn_predictions.parquet"))
    columns = [f"p_{k}" for k in range(len(cohort.classes))]
    mine = (table["model"] == CNN) & (table["part"] == "cv")
    mean = table[mine].groupby("sample")[columns].mean()
    p = mean.loc[cohort.samples.index[train]].to_numpy().clip(CLIP, 1 - CLIP)
    logits: np.ndarray = logit(p)
    return logits[:, 1:] if logits.shape[1] == 2 else logits


def _baseline_scores(paths: Paths, pre: Preprocessor) -> dict[str, pd.Series]:
    """The baselines' absolute importances on the development patients, as score tables."""
    table, _ = read_parquet(paths.data("baseline_importances.parquet"))
    shape = len(pre.genes), len(pre.channels)
    return {str(name): _table(pre, table[name].abs().to_numpy().reshape(shape)) for name in table}


def _table(pre: Preprocessor, scores: np.ndarray) -> pd.Series:
    """`(genes, channels)` scores of the preprocessor's genes as a score table."""
    return score_table(scores, pre.genes["gene"], pre.channels)
