"""Ways to score samples of another platform: the table of docs/external.md.

    export PYTHONPATH=src OMP_NUM_THREADS=1
    python benchmarks/external.py                   # nine simulated pairs of cohorts
    python benchmarks/external.py --folder FOLDER   # tcga-luad and the cohort in FOLDER
    python benchmarks/external.py --folder FOLDER --list   # the shipped list there, without fits
    python benchmarks/external.py --table           # fits nothing, renders the table

FOLDER holds `expression.tsv.gz` (log2, genes in rows) and `samples.csv` (`sample`, `patient` and
`sample_type`, which is tumor or normal). Every pair appends a line to benchmarks/external.jsonl.
The network learns from all samples of the first cohort; the second is scored at a threshold of 0.5.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, roc_auc_score
from tables import markdown, render

from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.contract import Cohort, read_cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import CohortParams, FilesSource, LabelledSource, Params, read_params
from oncopixel.core.storage import read_parquet
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.preprocessor import Preprocessor, to_images
from oncopixel.images.splits import final_fold
from oncopixel.networks.training import fit_ensemble, predict_logits, set_up
from oncopixel.reading.external import align, image_for, replicate, share_genes
from oncopixel.sources import load

DOC, OUT = Path("docs/external.md"), Path("benchmarks/external.jsonl")
FIRST_SEED, PAIRS, NONLINEAR = 101, 9, 5
AS_DRAWN = 0.4
SHARES = (0.15, AS_DRAWN, 0.75)
"""Of cases among the simulated external samples."""
FILES = FilesSource(
    kind="files", expression="expression.tsv.gz", samples="samples.csv", scale="log2"
)


def labelled(source: LabelledSource, folder: Path) -> Cohort:
    return label_cohort(pick_aliquots(load(source.source, folder)[0]), source)


def simulated(entry: CohortParams, seed: int, nonlinear: bool) -> tuple[Cohort, Cohort]:
    """Two cohorts of the same biology, as in the entry but for the seed."""
    changes = {"seed": seed, "nonlinear": nonlinear}
    own, other = (
        part.model_copy(update={"source": part.source.model_copy(update=changes)})
        for part in (entry, entry.external)
    )
    return labelled(own, Path()), labelled(other, Path())


def mixtures(cohort: Cohort, seed: int) -> Iterator[tuple[float, Cohort]]:
    """The cohort, and parts of it with other shares of cases."""
    rng = np.random.default_rng(seed)
    for share in SHARES:
        cases, controls = (rng.permutation(np.flatnonzero(cohort.y == k)) for k in (1, 0))
        if share > cases.size / len(cohort.y):
            controls = controls[: round(cases.size * (1 - share) / share)]
        else:
            cases = cases[: round(controls.size * share / (1 - share))]
        yield share, cohort.take(np.sort(np.concatenate([cases, controls])))


class Network:
    """The pipeline's ensemble on one cohort."""

    def __init__(self, pre: Preprocessor, cohort: Cohort, params: Params) -> None:
        self.pre, self.seen = pre, features(pre, cohort)
        seeds = range(params.train.seed, params.train.seed + params.train.members)
        self.model, _ = fit_ensemble(
            to_images(pre, self.seen), cohort.y, cohort.patients, params.train,
            seeds=seeds, n_classes=2,
        )  # fmt: skip

    def probability(self, values: np.ndarray) -> np.ndarray:
        logits = predict_logits(self.model, to_images(self.pre, values))
        return softmax(logits, axis=-1).mean(axis=1)[:, 1]


def quantiles(seen: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Each feature of `new` on its distribution in `seen`."""
    levels = (rankdata(new, axis=0) - 0.5) / len(new)
    return np.take_along_axis(np.sort(seen, axis=0), (levels * len(seen)).astype(int), axis=0)


def masked(full: Preprocessor, part: Preprocessor, values: np.ndarray) -> np.ndarray:
    """Features of `full`: those of `part` where it has them, else 0."""
    at = pd.Index(full.genes["gene"]).get_indexer(part.genes["gene"])
    channels = [full.channels.index(channel) for channel in part.channels]
    spread = np.zeros((len(values), len(full.genes), len(full.channels)), np.float32)
    spread[:, at[at >= 0, None], channels] = values[:, at >= 0]
    return spread


def scores(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    called = probability >= 0.5
    return {
        "auc": roc_auc_score(y, probability),
        "sensitivity": called[y == 1].mean(),
        "specificity": 1 - called[y == 0].mean(),
        "brier": brier_score_loss(y, probability),
    }


def networks(
    cohort: Cohort, own: Cohort, channels: list[str], entry: CohortParams, params: Params
) -> tuple[Network, Network]:
    """With all genes and channels of the entry, and anew with the shared ones."""
    full = fit(cohort, params.preprocess, channels=entry.channels, image=entry.shape)
    image = image_for(len(own.genes), entry.shape)
    part = fit(own, params.preprocess, channels=channels, image=image)
    return Network(full, cohort, params), Network(part, own, params)


def compare(full: Network, anew: Network, own: Cohort, other: Cohort) -> dict[str, dict]:
    """The scores of each way."""
    as_it_is = features(anew.pre, other)
    z, ranks = (align(anew.pre, own, other, how) for how in ("zscore", "ranks"))
    ways = {
        "masked pixels, z-scores": full.probability(masked(full.pre, anew.pre, z)),
        "masked pixels, ranks": full.probability(masked(full.pre, anew.pre, ranks)),
        "fitted anew, as it is": anew.probability(as_it_is),
        "fitted anew, z-scores": anew.probability(z),
        "fitted anew, quantiles": anew.probability(quantiles(anew.seen, as_it_is)),
        "fitted anew, ranks": anew.probability(ranks),
    }
    return {way: scores(other.y, probability) for way, probability in ways.items()}


def replication(anew: Network, own: Cohort, other: Cohort) -> float:
    """Share of all genes that replicate."""
    every = pd.DataFrame(
        {"gene": anew.pre.genes["gene"], "channel": "expression", "discovered_as": ""}
    )
    every["class"] = own.classes[1]
    values = align(anew.pre, own, other, "zscore")
    found = replicate(anew.pre, every, (anew.seen, own.y), (values, other.y), draws=1, seed=1)
    return found[1]["replication"]["value"]


def run_simulated(params: Params) -> Iterator[dict]:
    entry = params.cohort("simulated")
    for seed in range(FIRST_SEED, FIRST_SEED + PAIRS):
        cohort, external = simulated(entry, seed, nonlinear=seed < FIRST_SEED + NONLINEAR)
        own, other = share_genes(cohort, external)
        full, anew = networks(cohort, own, other.channels, entry, params)
        for share, some in mixtures(other, seed):
            found = compare(full, anew, own, some)
            yield {"pair": "simulated", "seed": seed, "cases": share, "scores": found}


def run_real(params: Params, folder: Path) -> Iterator[dict]:
    entry = params.cohort("tcga-luad")
    cohort = labelled(entry, Path(entry.inputs))
    own, other = share_genes(
        cohort, labelled(LabelledSource(source=FILES, label="sample_type"), folder)
    )
    full, anew = networks(cohort, own, ["expression"], entry, params)
    facts = {
        "tumours": float(own.y.mean()),
        "tumours_there": float(other.y.mean()),
        "shared_genes": len(own.genes),
        "replicated": replication(anew, own, other),
    }
    yield {"pair": "real", "scores": compare(full, anew, own, other), **facts}


def listed(params: Params, folder: Path) -> dict:
    """Replication of the marker list that `dvc repro` left, aligned by z-scores."""
    data = Path("data/tcga-luad")
    there = labelled(LabelledSource(source=FILES, label="sample_type"), folder)
    own, other = share_genes(read_cohort(data / "cohort.h5ad"), there)
    own = own.take(final_fold(read_parquet(data / "splits.parquet")[0]).train)
    image = list(image_for(len(own.genes), params.cohort("tcga-luad").shape))
    pre = fit(own, params.preprocess, channels=["expression"], image=image)
    ranking, _ = read_parquet(data / "ranking.parquet")
    markers = ranking[ranking["selected"].astype(bool)]
    arrays = (features(pre, own), own.y), (align(pre, own, other, "zscore"), other.y)
    return {
        f"first {most}": replicate(pre, markers.head(most), *arrays, draws=2000, seed=1)[1]
        for most in (100, 1000, len(markers))
    }


def table(lines: list[dict]) -> str:
    drawn = [line["scores"] for line in lines if line.get("cases") == AS_DRAWN]
    real = next(line["scores"] for line in lines if line["pair"] == "real")
    names = ["auc", "sensitivity", "specificity", "brier"]
    header = ["", "simulated AUC", "sensitivity", "specificity", "Brier"]
    header += ["LUAD AUC", *header[2:]]
    rows = [
        [way, *(f"{np.mean([one[way][name] for one in drawn]):.3f}" for name in names),
         *(f"{real[way][name]:.3f}" for name in names)]
        for way in real
    ]  # fmt: skip
    return markdown(header, rows)


def differences(lines: list[dict]) -> Iterator[str]:
    """Of the AUC on simulated pairs, mean over the shares of cases."""
    pairs = {line["seed"]: [] for line in lines if line["pair"] == "simulated"}
    for line in lines:
        if line["pair"] == "simulated":
            pairs[line["seed"]].append({w: found["auc"] for w, found in line["scores"].items()})
    mean = pd.DataFrame({seed: pd.DataFrame(found).mean() for seed, found in pairs.items()}).T
    for better, worse in (
        ("fitted anew, z-scores", "masked pixels, z-scores"),
        ("fitted anew, z-scores", "fitted anew, quantiles"),
        ("fitted anew, z-scores", "fitted anew, ranks"),
    ):
        gain = mean[better] - mean[worse]
        yield (
            f"{better} less {worse}: AUC {gain.mean():+.4f} (standard error {gain.sem():.4f}), "
            f"higher in {(gain > 0).sum()} of {len(gain)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of the independent cohort's two files")
    parser.add_argument("--list", action="store_true", help="replicate the shipped list only")
    parser.add_argument("--table", action="store_true", help=f"render {DOC}, fit nothing")
    args = parser.parse_args()
    if args.table:
        lines = [json.loads(line) for line in OUT.read_text().splitlines()]
        render(DOC, "benchmarks/external.py --table", table(lines))
        print(*differences(lines), *(line for line in lines if line["pair"] == "real"), sep="\n")
        return
    params = read_params(Path("params.yaml"))
    if args.list:
        print(json.dumps(listed(params, args.folder), indent=1))
        return
    set_up(params.train)
    found = run_real(params, args.folder) if args.folder else run_simulated(params)
    with OUT.open("a") as out:
        for line in found:
            out.write(json.dumps(line) + "\n")
            out.flush()
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
