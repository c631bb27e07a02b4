"""`biomarkers`: which genes carry the label, at what error rate, and what is known of them."""

import logging

from threadpoolctl import threadpool_limits

from ..core import storage
from ..core.params import Params
from ..core.project import Paths
from ..images.covariates import own_terms
from ..images.folds import read_images, read_split_cohort
from ..images.preprocessor import read_preprocessor, to_features
from ..images.splits import final_fold
from ..markers.attribution import explain
from ..markers.effects import t_test
from ..markers.marker_list import make_list
from ..markers.ranking import in_order, rank_genes
from ..markers.recovery import calibration, marker_recovery, method_scores
from ..markers.regions import explain_regions, find_regions, to_bed, to_seg
from ..markers.summary import LISTED, describe, summarise, tables
from ..networks.saved import read_ensemble
from ..reading.confounders import known_confounders, out_of_fold_logits, read_confounders
from ..reading.drivers import annotate, drivers_of_list, name_genes
from ..reading.enrichment import find_gene_sets
from ..reporting import figures

log = logging.getLogger(__name__)

EMPTY = "The marker list is empty: not findings."


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def run(paths: Paths, params: Params) -> None:
    """Writes the ranking, the marker list, its evidence and its reading; sees no test sample."""
    settings, entry = params.biomarkers, params.cohort(paths.cohort)
    cohort, splits = read_split_cohort(paths)
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    train, n_classes = final_fold(splits).train, len(cohort.classes)
    images, y = read_images(paths, cohort, pre.shape)[train], cohort.y[train].astype(int)
    patients, groups = cohort.patients[train], splits["group"].to_numpy(dtype=str)[train]
    predictions, _ = storage.read_parquet(paths.data("cnn_predictions.parquet"))
    importances, _ = storage.read_parquet(paths.data("baseline_importances.parquet"))
    truth = storage.read_csv(paths.data("truth.csv"))

    network = read_ensemble(paths.model("ensemble.keras"), params.train)
    steps, tolerance = settings.steps, settings.tolerance
    explained = explain(network, images, y, n_classes, steps=steps, tolerance=tolerance)
    features = to_features(pre, images)
    fixed = dict.fromkeys([*params.preprocess.adjust, *settings.covariates])
    held_fixed = own_terms(cohort.take(train), fixed, "biomarkers.covariates")
    markers = make_list(features, y, patients, groups, pre, entry.claim, params, held_fixed)
    known = known_confounders(cohort, params.preprocess.adjust).iloc[train]
    logits = out_of_fold_logits(predictions, cohort.samples.index[train], n_classes)
    by_gene, confounders = read_confounders(features, logits, y, known, markers.selected)
    columns = markers.columns().join(by_gene.set_index(markers.hypotheses.rows))
    ranked = rank_genes(pre, explained, features, y).join(columns, on=["gene", "channel"])
    ranking = in_order(annotate(ranked))

    gene_sets = find_gene_sets(
        features[:, :, 0], pre.genes["gene"].tolist(), y, cohort.classes,
        ranking.loc[ranking["selected"], "gene"].unique(), markers.hypotheses.covariates, settings,
    )  # fmt: skip
    scores = method_scores(pre, ranking, explained, t_test(features, y, n_classes), importances)
    recovered = marker_recovery(scores, truth, settings.top)
    own = tables(markers, y)
    content = summarise(markers, own, explained, recovered, truth, patients, y, settings) | {
        "drivers": drivers_of_list(ranking, markers.tested_genes.tolist(), entry.cancer),
        "confounders": confounders,
    }
    regions, frequency = find_regions(features, y, patients, groups, pre, settings)
    regions = name_genes(explain_regions(regions, pre, explained, network, images, y))
    realised = calibration(markers.hypotheses, truth, markers.own)

    storage.write_parquet(paths.data("ranking.parquet"), ranking)
    storage.write_json(paths.report("biomarkers.json"), content)
    for name, table in {
        "biomarkers": ranking,
        "recovery": recovered,
        "enrichment": gene_sets,
        "fdp": realised,
        "regions": regions,
        **own,
    }.items():
        storage.write_csv(paths.report(f"{name}.csv"), table.head(LISTED))
    storage.write_text(paths.report("regions.bed"), to_bed(regions))
    storage.write_text(paths.data("regions.seg"), to_seg(frequency, pre.genes, cohort.classes))
    for name, figure in {
        "top_genes": figures.top_genes(ranking),
        "evidence": figures.evidence(ranking, entry.claim),
        "class_attribution": figures.class_attribution(
            explained.by_class, pre.channels, cohort.classes
        ),
    }.items():
        png = figures.to_png(figure, "" if markers.selected.any() else EMPTY)
        storage.write_bytes(paths.report(f"figures/biomarkers/{name}.png"), png)
    drawn = figures.regions(regions, frequency, pre.genes, cohort.classes)
    storage.write_bytes(paths.report("figures/biomarkers/regions.svg"), figures.to_svg(drawn))
    log.info("%s", describe(content, ranking))
