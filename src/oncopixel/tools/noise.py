"""`noise`: the whole pipeline on random numbers with random labels, where there is nothing to find.

The numbers are 1,000 x 100 x 100 x 3, as in the experiment of the paper that this project starts
from. A result above chance would be an error of the pipeline. With the model `paper`, that
experiment itself is repeated, without the pipeline.
"""

import logging
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from ..cohort.contract import Cohort, build_cohort, write_cohort
from ..cohort.genes import annotate, table
from ..core.params import CohortParams, H5adSource, Params
from ..core.project import Paths
from ..core.storage import read_json, write_csv, write_json
from ..evaluation.parts import CNN, PARTS
from ..images.folds import read_images, read_split_cohort
from ..images.preprocessor import read_preprocessor, to_features
from ..images.splits import final_fold
from ..markers.marker_list import make_list
from ..networks.architectures import build
from ..networks.training import set_up
from ..stages import baselines, evaluate, ingest, preprocess, train, validate

log = logging.getLogger(__name__)

NAME = "noise"
BASELINE = "logistic_l2"
HIGHEST = 16.0
"""Expression is uniform from 0 to this, on the scale log2(x + 1)."""

PAPER_EPOCHS = 10
PAPER_FOUND = {"val_loss": 0.6945, "val_accuracy": 0.47}
"""What the paper says that its network had after ten epochs."""


def random_cohort(samples: int, side: int, seed: int) -> Cohort:
    """A cohort of independent, uniform random numbers whose label, `status`, is a coin's.

    Returns
    -------
    Cohort
        One sample per patient, `side` x `side` genes: expression over [0, 16) as log2(x + 1), copy
        number over [-1, 1) as log ratio, mutation over {0, 1}. The genes' names are real, so that
        layouts and chromosome arms are as in a cohort.
    """
    rng = np.random.default_rng(seed)
    known = table()
    genes = known.index[known["chromosome"] != ""][: side * side]
    names = pd.Index([f"noise-{i:05d}" for i in range(samples)])

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=names, columns=genes)

    shape = samples, side * side
    expression, copies = (frame(rng.random(shape, dtype=np.float32)) for _ in range(2))
    sheet = pd.DataFrame({"patient": names}, index=names)
    sheet["status"] = np.where(rng.random(samples) < 0.5, "case", "control")
    return build_cohort(
        HIGHEST * expression,
        sheet,
        annotate(genes),
        scale="log2",
        origin=f"Random numbers with random labels, seed {seed}",
        copy_number=2 * copies - 1,
        mutation=frame(rng.integers(0, 2, shape).astype(np.float32)),
    )


def run(
    params: Params,
    *,
    samples: int,
    side: int,
    seed: int,
    model: str | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """What the pipeline says of a random cohort, by the stages' own commands.

    Parameters
    ----------
    params
        Taken as they are, but of the baselines only `logistic_l2` runs.
    model
        The network, if not that of `params`; `paper`: see `repeat_paper`.
    folder
        Where all files stay; None: nowhere.

    Returns
    -------
    dict
        AUCs with intervals and p-values, out of fold and on the test set; markers; the verdict.
    """
    if model == "paper":
        return repeat_paper(params, samples=samples, side=side, seed=seed, folder=folder)
    entry = CohortParams(
        source=H5adSource(kind="h5ad", path="noise.h5ad"),
        inputs=".",
        label="column:status",
        positive="case",
        channels=["expression", "copy_number", "mutation"],
        image=[side, side],
    )
    settings = params.model_copy(
        update={
            "cohorts": {NAME: entry},
            "baselines": params.baselines.model_copy(update={"models": [BASELINE]}),
            "train": params.train.model_copy(update={"model": model} if model else {}),
        }
    )
    set_up(settings.train)
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        paths = Paths(Path(place), NAME)
        write_cohort(paths.root / "noise.h5ad", random_cohort(samples, side, seed))
        for stage in (ingest, validate, preprocess, baselines, train, evaluate):
            log.info("%s:", stage.__name__.rpartition(".")[-1])
            stage.run(paths, settings)
            get_reusable_executor().shutdown()  # workers that grow are replaced amid their tasks
        found = read_json(paths.report("evaluation.json"))
        log.info("markers:")
        selected = _selected(paths, settings)
    return {
        "samples": samples,
        "image": [side, side, len(entry.channels)],
        "seed": seed,
        "model": settings.train.model,
        "roc_auc": {
            name: {part: found["models"][name][part]["roc_auc"] for part in PARTS}
            for name in (CNN, BASELINE)
        },
        "permutation_p": found["permutation_p"],
        "markers_selected": selected,
        "claim": entry.claim,
        "q": settings.biomarkers.q,
        "verdict": found["verdict"],
    }


def repeat_paper(
    params: Params, *, samples: int, side: int, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """The paper's experiment with its settings, on random numbers with random labels.

    Its network on `samples` images of `side` x `side` x 3; a fifth of them, the last, for
    validation; Adam as Keras has it, binary cross-entropy, batches of 32, ten epochs.

    Parameters
    ----------
    params
        Only `train.threads` counts.
    folder
        Where `history.csv` goes, if anywhere.

    Returns
    -------
    dict
        Each epoch's loss and accuracy (`history`), and the paper's last (`paper`).
    """
    changes = {"seed": seed, "mixed_precision": False}
    settings = params.train.model_copy(update=changes)
    set_up(settings)
    rng = np.random.default_rng(seed)
    images, y = rng.random((samples, side, side, 3), dtype=np.float32), rng.integers(0, 2, samples)
    model = build((side, side, 3), 2, settings)
    # the cross-entropy of the two logits (0, z) is the binary one of the unit
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    fit = round(0.8 * samples)
    log.info("%d weights, %d images, %d epochs", model.count_params(), fit, PAPER_EPOCHS)
    found = model.fit(
        images[:fit],
        y[:fit],
        batch_size=32,
        epochs=PAPER_EPOCHS,
        validation_data=(images[fit:], y[fit:]),
        verbose=0,
    ).history
    history = pd.DataFrame(found)[["loss", "accuracy", "val_loss", "val_accuracy"]]
    history.insert(0, "epoch", range(1, PAPER_EPOCHS + 1))
    if folder:
        write_csv(folder / "history.csv", history)
    return {
        "samples": samples,
        "image": [side, side, 3],
        "seed": seed,
        "model": "paper",
        "history": history.to_dict("records"),
        "paper": PAPER_FOUND,
    }


def _selected(paths: Paths, params: Params) -> int:
    """How many rows the marker list has, found in the development samples."""
    cohort, splits = read_split_cohort(paths)
    rows = final_fold(splits).train
    pre = read_preprocessor(paths.model("preprocessor.parquet"))
    features = to_features(pre, read_images(paths, cohort, pre.shape)[rows])
    patients, groups = cohort.patients[rows], splits["group"].to_numpy(dtype=str)[rows]
    y, claim = cohort.y[rows].astype(int), params.cohort(paths.cohort).claim
    markers = make_list(features, y, patients, groups, pre, claim, params)
    selected = int(markers.selected.sum())
    log.info("%d of %d genes and channels listed", selected, len(markers.selected))
    return selected


def write(path: Path, found: dict[str, Any]) -> None:
    """What `run` found as JSON."""
    write_json(path, found)


def describe(found: dict[str, Any]) -> str:
    """What `run` found as a short table."""
    size = " x ".join(map(str, [found["samples"], *found["image"]]))
    lines = [f"{size} random numbers, random labels, network {found['model']}"]
    if "history" in found:
        rows = pd.DataFrame([*found["history"], {"epoch": "paper"} | found["paper"]])
        table = rows.to_string(index=False, float_format="{:.4f}".format, na_rep="")
        return "\n".join(line.rstrip() for line in [*lines, *table.split("\n")])
    row = "{:<20}{:<24}{}".format
    lines.append(row("", "out of fold", "test"))
    for name, parts in found["roc_auc"].items():
        cells = ("{value:.3f} [{low:.3f}, {high:.3f}]".format(**parts[part]) for part in PARTS)
        lines.append(row(f"roc_auc {name}", *cells))
    p_values = (f"{found['permutation_p'][part]:.3f}" for part in PARTS)
    lines.append(row("permutation p", *p_values))
    lines.append(f"markers selected at q = {found['q']:g}: {found['markers_selected']}")
    lines.append(f"verdict: {found['verdict']}")
    return "\n".join(line.rstrip() for line in lines)
