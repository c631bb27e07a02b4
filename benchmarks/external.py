"""TCGA-LUAD's model and marker list on an independent cohort: the tables of docs/benchmarks.md.

    export PYTHONPATH=src OMP_NUM_THREADS=1
    python benchmarks/external.py FOLDER          # the network, by either alignment
    python benchmarks/external.py FOLDER --list   # the marker list that `dvc repro` made

FOLDER holds `expression.tsv.gz` (log2, genes in rows) and `samples.csv` (`sample`, `patient` and
`sample_type`, which is tumor or normal). The network learns from all samples of `luad-keap1` with
the genes that both cohorts have; the second is scored at a threshold of 0.5. Prints JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import brier_score_loss, roc_auc_score

from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import FilesSource, LabelledSource, Params, read_params
from oncopixel.core.storage import read_parquet
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.preprocessor import to_images
from oncopixel.images.splits import final_fold
from oncopixel.networks.ensemble import fit_ensemble
from oncopixel.networks.saved import mean_probabilities, predict_logits
from oncopixel.networks.training import set_up
from oncopixel.reading.external import align, image_for, replicate, share_genes
from oncopixel.sources import load

FILES = FilesSource(
    kind="files", expression="expression.tsv.gz", samples="samples.csv", scale="log2"
)


TASK = {"label": "sample_type", "sample_types": None}


def labelled(source: LabelledSource, folder: Path) -> Cohort:
    return label_cohort(pick_aliquots(load(source.source, folder)[0]), source)


def scores(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    called = probability >= 0.5
    return {
        "auc": roc_auc_score(y, probability),
        "sensitivity": called[y == 1].mean(),
        "specificity": 1 - called[y == 0].mean(),
        "brier": brier_score_loss(y, probability),
    }


def aligned(params: Params, folder: Path) -> dict[str, dict]:
    """The scores by each alignment."""
    entry = params.cohort("luad-keap1").model_copy(update=TASK)
    there = labelled(LabelledSource(source=FILES, label="sample_type"), folder)
    own, other = share_genes(labelled(entry, Path(entry.inputs)), there)
    image = list(image_for(len(own.genes), entry.shape))
    pre = fit(own, params.preprocess, channels=["expression"], image=image)
    seeds = range(params.train.seed, params.train.seed + params.train.members)
    model, *_ = fit_ensemble(
        to_images(pre, features(pre, own)), own.y, own.patients, params.train,
        seeds=seeds, n_classes=2,
    )  # fmt: skip
    found = {}
    for how in ("zscore", "ranks"):
        logits = predict_logits(model, to_images(pre, align(pre, own, other, how)))
        found[how] = scores(other.y, mean_probabilities(logits)[:, 1])
    return found


def listed(params: Params, folder: Path) -> dict:
    """Replication of the marker list that `dvc repro` left, aligned by z-scores."""
    data = Path("data/luad-keap1")
    there = labelled(LabelledSource(source=FILES, label="sample_type"), folder)
    own, other = share_genes(read_cohort(data / "cohort.h5ad"), there)
    own = own.take(final_fold(read_parquet(data / "splits.parquet")[0]).train)
    image = list(image_for(len(own.genes), params.cohort("luad-keap1").shape))
    pre = fit(own, params.preprocess, channels=["expression"], image=image)
    ranking, _ = read_parquet(data / "ranking.parquet")
    markers = ranking[ranking["selected"].astype(bool)]
    arrays = (features(pre, own), own.y), (align(pre, own, other, "zscore"), other.y)
    return {
        f"first {most}": replicate(pre, markers.head(most), *arrays, draws=2000, seed=1)[1]
        for most in (100, 1000, len(markers))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the independent cohort's two files")
    parser.add_argument("--list", action="store_true", help="replicate the shipped list only")
    args = parser.parse_args()
    params = read_params(Path("params.yaml"))
    set_up(params.train)
    print(json.dumps((listed if args.list else aligned)(params, args.folder), indent=1))


if __name__ == "__main__":
    main()
