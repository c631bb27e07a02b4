"""The tasks of accuracy.py: cohorts by name, and what a method sees of one fold of them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from oncopixel.cohort.barcodes import pick_aliquots
from oncopixel.cohort.contract import Cohort, read_cohort, write_cohort
from oncopixel.cohort.labels import label_cohort
from oncopixel.core.params import CohortParams, Params
from oncopixel.images.folds import fold_arrays
from oncopixel.images.layout import Genome
from oncopixel.images.preprocessor import to_images
from oncopixel.images.splits import Fold
from oncopixel.sources import load

WORK = Path(os.environ.get("ONCOPIXEL_WORK", "data/accuracy"))
"""Cohorts that were read, and predictions: not for git."""
TWELVE = [
    "BLCA", "BRCA", "COAD", "GBM", "HNSC", "KIRC", "LGG", "LUAD", "LUSC", "OV", "PRAD", "UCEC",
]  # fmt: skip
GENES = ["TP53", "KRAS", "EGFR", "STK11", "KEAP1"]
SILENT = {"Silent", "RNA", "Intron", "IGR", "3'UTR", "5'UTR", "5'Flank"}
PAN_CANCER = {
    "members": 4, "convolve": "both", "filters": [32, 64, 96], "kernel": 7, "units": 192,
    "epochs": 14, "patience": 6, "batch_size": 64, "learning_rate": 2e-3, "schedule": "cosine",
    "mixup": 0.0, "label_smoothing": 0.1, "class_weights": False,
}  # fmt: skip
"""`train` of the tasks with thousands of tumours, as in the example of params.yaml."""


@dataclass(frozen=True)
class Task:
    """A cohort entry; its files lie in the folder `data` of `ONCOPIXEL_DATA`, or ship."""

    entry: dict[str, Any]
    data: str = ""
    folder: str = ""
    change: Callable[[Cohort, Path], None] | None = None
    """Of the cohort, before it is labelled."""
    prepare: Callable[[Path, Path], None] | None = None
    """Makes the folder from which it is read, of the files in `data`."""

    @property
    def inputs(self) -> Path | None:
        """Where the files are; None where they are not here."""
        if not self.data:
            return Path(self.folder)
        root = os.environ.get("ONCOPIXEL_DATA")
        return Path(root) / self.data if root and (Path(root) / self.data).is_dir() else None


def _segments(label: str, **more: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "segments", "segments": "segments.parquet", "build": "hg19"},
        "label": label, "channels": ["copy_number"], "image": [64, 64], **more,
    }  # fmt: skip


def _matrix(expression: str, label: str, side: int, **more: Any) -> dict[str, Any]:
    source = {
        "kind": "files", "expression": expression, "samples": "labels.csv", "scale": "log2",
        "orientation": "samples_by_genes",
    }  # fmt: skip
    return {"source": source | more, "label": label, "image": [side, side]}


def _luad(label: str) -> Task:
    entry = {"source": {"kind": "bundled"}, "label": label, "image": [100, 100]}
    return Task(entry, folder="data/bundled/tcga-luad")


def _luad_channels(gene: str) -> Task:
    """Three channels; a quarter of the tumours has no copy number here."""
    source = {
        "kind": "files", "expression": "tcga-luad/expression_rsem.parquet", "scale": "rsem",
        "samples": "tcga-luad/labels.csv", "orientation": "samples_by_genes",
        "copy_number": {"segments": "tcga-segments/segments.parquet", "build": "hg19"},
        "mutation": "tcga-luad/mutation_gene_binary.parquet",
    }  # fmt: skip
    channels = ["expression", "copy_number", "mutation"]
    entry = {"source": source, "label": f"mutation:{gene}", "channels": channels}
    return Task(entry | {"image": [100, 100]}, ".")


def _by_patient(data: Path, folder: Path) -> None:
    """PAM50's files, and segments and mutations of the same patients' first primary samples."""
    for name in ("expression_log2.parquet", "labels.csv"):
        shutil.copy(data / "tcga-brca-pam50" / name, folder)
    for name, column in (("segments", "Sample"), ("mutations", "sample")):
        path, only = data / "tcga-segments" / f"{name}.parquet", [("project", "=", "BRCA")]
        table = pd.read_parquet(path, filters=only).drop(columns="project")
        samples = sorted(one for one in table[column].unique() if one[13:15] == "01")
        first = {one[:12]: one for one in reversed(samples)}
        patients = {one: patient for patient, one in first.items()}
        table = table.assign(**{column: table[column].map(patients)}).dropna(subset=[column])
        table.to_parquet(folder / path.name)


def _add_tp53(cohort: Cohort, folder: Path) -> None:
    """Column TP53 of the tumours of sequenced samples."""
    calls = pd.read_parquet(folder / "mutations.parquet")
    hit = calls[(calls["gene"] == "TP53") & ~calls["class"].isin(SILENT)]
    names = cohort.samples.index
    status = np.where(names.isin(hit["sample"].astype(str)), "mutated", "wild-type")
    known = names.isin(calls["sample"].astype(str))
    cohort.data.obs["TP53"] = pd.Series(status, names).where(known)


SIMULATED = {
    "kind": "simulated", "seed": 1, "n_samples": 600, "n_genes": 2500, "n_markers": 75,
    "nonlinear": True,
}  # fmt: skip
TASKS = {
    "types33": Task(_segments("column:project", train=PAN_CANCER), "tcga-segments"),
    "luad_lusc": Task(_segments("column:project", classes=["LUAD", "LUSC"]), "tcga-segments"),
    "types12": Task(
        _segments("column:project", classes=TWELVE, train=PAN_CANCER), "tcga-segments"
    ),
    "tp53_pan": Task(
        _segments("column:TP53", drop_unlabelled=True, positive="mutated", train=PAN_CANCER),
        "tcga-segments", change=_add_tp53,
    ),
    "brca_pam50": Task(
        _matrix("expression_log2.parquet", "column:pam50_name", 78), "tcga-brca-pam50"
    ),
    "brca_pam50_3_channels": Task(
        _matrix(
            "expression_log2.parquet", "column:pam50_name", 78, mutation="mutations.parquet",
            copy_number={"segments": "segments.parquet", "build": "hg19"},
        )
        | {"channels": ["expression", "copy_number", "mutation"]},
        ".", prepare=_by_patient,
    ),
    **{f"luad_{gene.lower()}": _luad(f"mutation:{gene}") for gene in GENES},
    **{f"luad_{gene.lower()}_3_channels": _luad_channels(gene) for gene in GENES},
    "luad_tumour": _luad("sample_type"),
    "expression11": Task(
        _matrix(
            "expression_common.parquet", "column:cancer", 60, sample_type_column="sample_type_code"
        )
        | {"sample_types": ["01"]},
        "tcga-paired11",
    ),
    "simulated": Task(
        {
            "source": SIMULATED, "label": "column:status", "positive": "case",
            "channels": ["expression", "copy_number", "mutation"], "image": [50, 50],
        },
        folder="src/oncopixel/data",
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Data:
    """One fold: images and flat features, classes and patients of who is trained on."""

    images: np.ndarray
    held_out_images: np.ndarray
    genome: Genome | None
    x: np.ndarray
    held_out_x: np.ndarray
    y: np.ndarray
    patients: np.ndarray
    held_out_y: np.ndarray
    held_out_patients: np.ndarray
    n_classes: int
    channels: int
    params: Params
    seed: int


@cache
def cohort_of(name: str) -> Cohort:
    """The labelled cohort, kept in `WORK`."""
    task, path = TASKS[name], WORK / "cohorts" / f"{name}.h5ad"
    if not path.exists():
        entry = CohortParams.model_validate(task.entry | {"inputs": "."})
        folder = task.inputs
        if task.prepare:
            folder = WORK / "inputs" / name
            folder.mkdir(parents=True, exist_ok=True)
            task.prepare(task.inputs, folder)
        cohort = pick_aliquots(load(entry.source, folder)[0])
        if task.change:
            task.change(cohort, task.inputs)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_cohort(path, label_cohort(cohort, entry))
    return read_cohort(path)


def fold_of(cohort: Cohort, folds: int, repeat: int, k: int, size: int) -> Fold:
    """Fold k of a repeat, by patient and class; of the training part `size` samples, 0 for all."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=1 + repeat)
    train, held_out = list(splitter.split(cohort.y, cohort.y, cohort.patients))[k]
    if size and size < len(train):
        some = StratifiedShuffleSplit(1, train_size=size, random_state=1 + repeat)
        train = train[np.sort(next(some.split(train, cohort.y[train]))[0])]
    return Fold(f"{repeat}-{k}", repeat, k, train, held_out)


def data_of(name: str, fold: Fold, params: Params, seed: int) -> Data:
    """The fold's arrays, by a preprocessor of its training samples."""
    task, cohort = TASKS[name], cohort_of(name)
    entry = CohortParams.model_validate(task.entry | {"inputs": "."})
    arrays = fold_arrays(cohort, fold, entry, params.preprocess)
    pre = arrays.preprocessor
    both = arrays.train_features, arrays.held_out_features
    train = params.train.model_copy(update=entry.train.model_dump() | {"seed": seed})
    return Data(
        *(to_images(pre, part) for part in both), pre.genome,
        *(part.reshape(len(part), -1) for part in both),
        arrays.train_y, arrays.train_patients, cohort.y[fold.held_out],
        cohort.patients[fold.held_out], len(cohort.classes), len(entry.channels),
        params.model_copy(update={"train": train}), seed,
    )  # fmt: skip
