"""How well classes are told: the network, its parts, the baselines and peers on the same folds.

    python -m venv .venv-accuracy       # peers are in benchmarks/requirements-accuracy.txt
    .venv-accuracy/bin/pip install --no-deps --require-hashes \
        -r requirements.lock -r benchmarks/requirements-accuracy.txt
    export PYTHONPATH=src OMP_NUM_THREADS=1 ONCOPIXEL_DATA=FOLDER
    .venv-accuracy/bin/python benchmarks/accuracy.py --tasks types33 --folds 4 --only 0
    .venv-accuracy/bin/python benchmarks/accuracy.py --tasks types12 --sizes 250 500 1000 2000
    .venv-accuracy/bin/python benchmarks/accuracy.py --summary

Every fit appends rows to docs/accuracy.csv, so that a run goes on where the last one stopped, and
one run at a time writes there. Tasks whose files are not in `ONCOPIXEL_DATA` are left out with a
word. Folds are by patient; whatever a method chooses, it chooses in a fold's training samples.
Predictions are kept in `ONCOPIXEL_WORK` (data/accuracy), which is not for git: the intervals of
`--summary` are of draws of patients, the same for both methods.
"""

import argparse
import csv
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from accuracy_methods import MANY, METHODS, SLOW_FOR_MANY, THREADS
from accuracy_tasks import TASKS, WORK, cohort_of, data_of, fold_of
from sklearn import metrics

from oncopixel.core.errors import OncopixelError
from oncopixel.core.params import read_params
from oncopixel.evaluation.scores import weighted_scores

ROWS = Path("docs/accuracy.csv")
KEY = ("task", "method", "size", "repeat", "fold", "seed")
SCORES = ("accuracy", "balanced_accuracy", "auc", "mcc", "brier", "calibration_slope")
COLUMNS = (
    *KEY,
    "classes",
    "train",
    "held_out",
    *SCORES,
    "fit_s",
    "predict_s",
    "peak_gb",
    "threads",
)


def scores(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The columns `SCORES`; AUC, of more than two classes the mean of one against the rest."""
    one = np.ones((1, len(y)))
    more, classes = weighted_scores(p, y, one, None, 10, np.zeros(len(y), int))
    slopes = [single["calibration_slope"][0] for single in classes]
    called = p.argmax(axis=1)
    area = metrics.roc_auc_score(y, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
    return {
        "accuracy": metrics.accuracy_score(y, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, called),
        "auc": area,
        "mcc": metrics.matthews_corrcoef(y, called),
        "brier": more["brier"][0],
        "calibration_slope": np.nanmean(slopes),  # of classes where there is one
    }


def fit(
    task: str, method: str, size: int, folds: int, repeat: int, k: int, seed: int
) -> list[dict]:
    """The rows of one fit; its predictions go to `WORK`. Runs in a process of its own."""
    params = read_params(Path("params.yaml"))
    train = params.train.model_copy(update={"threads": THREADS})
    params = params.model_copy(update={"train": train})
    cohort = cohort_of(task)
    data = data_of(task, fold_of(cohort, folds, repeat, k, size), params, seed)
    begin = time.perf_counter()
    predictors = METHODS[method](data)
    fit_s = time.perf_counter() - begin
    rows = []
    for name, predict in predictors.items():
        begin = time.perf_counter()
        p = np.asarray(predict(), np.float64)
        predict_s = time.perf_counter() - begin
        p /= p.sum(axis=1, keepdims=True)
        key = dict(zip(KEY, (task, name, size, repeat, k, seed), strict=True))
        save(key, p, data.held_out_y, data.held_out_patients)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        numbers = scores(data.held_out_y, p) | {
            "fit_s": fit_s,
            "predict_s": predict_s,
            "peak_gb": peak,
        }
        counts = {
            "classes": data.n_classes, "train": len(data.y), "held_out": len(p), "threads": THREADS,
        }  # fmt: skip
        rows.append(key | counts | {n: f"{value:.4g}" for n, value in numbers.items()})
    return rows


def predictions(key: dict) -> Path:
    return WORK / "predictions" / ("-".join(str(key[part]) for part in KEY) + ".npz")


def save(key: dict, p: np.ndarray, y: np.ndarray, patients: np.ndarray) -> None:
    predictions(key).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        predictions(key), p=p.astype(np.float32), y=y, patients=patients.astype(str)
    )


def read_rows() -> list[dict]:
    return list(csv.DictReader(ROWS.open())) if ROWS.exists() else []


def asked(args: argparse.Namespace) -> Iterator[tuple]:
    """The arguments of every fit that is asked for and has no row."""
    done = {tuple(row[part] for part in KEY) for row in read_rows()}
    for task in args.tasks:
        if TASKS[task].inputs is None:
            print(f"{task}: no {TASKS[task].data} in ONCOPIXEL_DATA", file=sys.stderr)
            continue
        many = len(cohort_of(task).classes) > MANY
        for size, repeat, k, seed, method in product(
            args.sizes,
            range(args.repeats),
            args.only or range(args.folds),
            args.seeds,
            args.methods,
        ):
            key = tuple(map(str, (task, method, size, repeat, k, seed)))
            if key not in done and not (many and method in SLOW_FOR_MANY):
                yield task, method, size, args.folds, repeat, k, seed


def run(args: argparse.Namespace) -> None:
    fresh = ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)
    is_new = not ROWS.exists()
    with fresh, ROWS.open("a", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            out.writeheader()
            file.flush()
        for job in asked(args):
            try:
                rows = fresh.submit(fit, *job).result()
            except OncopixelError as error:  # such as a class of too few patients
                print(*job, error, file=sys.stderr)
                continue
            out.writerows(rows)
            file.flush()
            for row in rows:
                print(*(row[name] for name in (*KEY, *SCORES, "fit_s")), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[0], help="training samples, 0: all"
    )
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--only", nargs="+", type=int, help="these folds of them")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--summary", action="store_true", help="render docs, fit nothing")
    args = parser.parse_args()
    if args.summary:
        from accuracy_summary import render

        render(read_rows())
    else:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        run(args)


if __name__ == "__main__":
    main()
