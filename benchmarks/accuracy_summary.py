"""Tables and figures of accuracy.py, from its rows and the predictions that were kept."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from accuracy_methods import METHODS
from accuracy_tasks import TASKS, WORK
from tables import markdown
from tables import render as write_tables

from oncopixel.evaluation.scores import areas, scored_classes

DOC, FIGURES, README = Path("docs/benchmarks.md"), Path("docs/images"), Path("README.md")
MAKER = "benchmarks/accuracy.py --summary"
OURS, PARTS = "hybrid", ("linear path", "convolutions")
WHOLE = "types33"
"""The task of which every method is shown; of the others all rows are in docs/accuracy.csv."""
IN_SHORT = {
    "types33": ("33 cancers", "copy number"),
    "types12, n = 500": ("12 cancers", "copy number"),
    "luad_lusc": ("LUAD or LUSC", "copy number"),
    "tp53_pan": ("*TP53*, all cancers", "copy number"),
    "brca_pam50": ("breast cancer's 5 types", "expression"),
    "luad_tumour": ("LUAD or normal", "expression"),
} | {
    f"luad_{of.lower()}": (f"*{of}*, LUAD", "expression")
    for of in ("TP53", "KRAS", "EGFR", "STK11", "KEAP1")
}
"""Rows of the table in `README`."""
SHOWN = ("accuracy", "balanced_accuracy", "auc", "mcc", "brier", "calibration_slope")
NAMES = {"logistic_l1": "L1", "logistic_l2": "L2", "elastic_net": "elastic net",
         "random_forest": "random forest"}  # fmt: skip
PAIRED = ("accuracy", "auc", "brier", "calibration_slope")
UNIT = ["task", "size", "repeat", "fold", "seed"]
DRAWS, MOST = 500, 0.8
"""Of patients; share of the fits that a method must have for the figure of ranks."""
plt.rcParams["svg.hashsalt"] = "oncopixel"  # the same bytes each time


def render(rows: list[dict]) -> None:
    """Writes the tables into `DOC` and `README`, and the figures for which there are rows."""
    frame = in_order(rows)
    full = frame[frame["size"] == 0]
    header = ["method", "folds", *(name.replace("_", " ") for name in SHOWN), "fit s", "GB"]
    short = [f"{name}: network / other" for name in ("accuracy", "AUC", "Brier", "slope")]
    write_tables(
        DOC,
        MAKER,
        "The network beside the best of the others by AUC, means over the folds, and "
        "the difference with 95 % intervals of draws of patients:",
        markdown(
            ["task", "to train on", "folds", "best other", *short, "accuracy: difference",
             "AUC: difference"],
            _comparisons(frame),
        ),
        f"All methods on `{WHOLE}`:",
        markdown(header, _means(frame[(frame["label"] == WHOLE)])),
    )  # fmt: skip
    write_tables(README, MAKER, in_short(frame))
    _learning_curves(frame[frame["size"] > 0])
    _critical_differences(full)


def in_order(rows: list[dict]) -> pd.DataFrame:
    """The rows with numbers, by task and size, and the `label` of each."""
    frame = pd.DataFrame(rows)
    numbers = [name for name in frame if name not in {"task", "method"}]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    frame = frame.assign(order=frame["task"].map(list(TASKS).index), label=_labels(frame))
    return frame.sort_values(["order", "size"], kind="stable")


def _labels(frame: pd.DataFrame) -> list[str]:
    """The task of each row, and how many samples are trained on where these are not all."""
    pairs = zip(frame["task"], frame["size"], strict=True)
    return [f"{task}, n = {size:,}" if size else task for task, size in pairs]


def _means(frame: pd.DataFrame) -> list[list[str]]:
    """A row per method, best AUC first."""
    by_method = frame.groupby("method", sort=False)
    means = by_method[[*SHOWN, "fit_s", "peak_gb"]].mean().assign(folds=by_method.size())
    return [
        [
            str(row.Index),
            str(row.folds),
            *(f"{getattr(row, name):.3f}" for name in SHOWN),
            f"{row.fit_s:.0f}",
            f"{row.peak_gb:.1f}",
        ]
        for row in means.sort_values("auc", ascending=False, kind="stable").itertuples()
    ]


def _comparisons(frame: pd.DataFrame) -> list[list[str]]:
    """A row per task: the network and the best other, on the same folds.

    A row whose predictions are not here stays as it is.
    """
    lines = []
    cells = (line.strip("| ").split(" | ") for line in DOC.read_text().splitlines())
    before = {of[0]: [of] for of in cells if len(of) == 6 + len(PAIRED)}
    for label, ours, best, others in _best_others(frame):
        pairs = [
            [
                _stored(dict(zip(UNIT, unit, strict=True)) | {"method": name})
                for name in (OURS, best)
            ]
            for unit in ours[UNIT].itertuples(index=False, name=None)
        ]
        if not all(path.exists() for pair in pairs for path in pair):
            lines += before.get(label, [])
            continue
        sides = [one[list(PAIRED)].mean() for one in (ours, others)]
        lines.append([
            label, f"{ours['train'].mean():,.0f}", str(len(ours)), best,
            *(" / ".join("none" if np.isnan(side[name]) else f"{side[name]:.3f}" for side in sides)
              for name in PAIRED),
            *map(_interval, _paired(pairs)),
        ])  # fmt: skip
    return lines


def in_short(frame: pd.DataFrame) -> str:
    """The table of `README`, a row per task of `IN_SHORT`."""
    lines = {
        label: [
            f"{ours['train'].mean():,.0f}",
            *(f"{ours[of].mean():.2f} ({others[of].mean():.2f})" for of in ("accuracy", "auc")),
            NAMES.get(best, best),
        ]
        for label, ours, best, others in _best_others(frame)
    }
    header = ["told", "by", "learnt from", "accuracy", "AUC", "best other"]
    return markdown(
        header, [[*told, *lines[label]] for label, told in IN_SHORT.items() if label in lines]
    )


def _best_others(
    frame: pd.DataFrame,
) -> Iterator[tuple[str, pd.DataFrame, str, pd.DataFrame]]:
    """By label the network's rows, the best of the others by AUC, and its rows on these folds."""
    for label in frame["label"].unique():
        part = frame[(frame["label"] == label) & ~frame["method"].isin(PARTS)]
        ours = part[part["method"] == OURS]
        others = part[(part["method"] != OURS) & _units(part).isin(_units(ours))]
        by = others.groupby("method")["auc"]
        complete = by.mean()[by.size() == len(ours)]
        if not complete.empty:
            best = str(complete.idxmax())
            yield label, ours, best, others[others["method"] == best]


def _units(frame: pd.DataFrame) -> pd.Series:
    return frame[UNIT].astype(str).agg("-".join, axis=1)


def _stored(key: dict) -> Path:
    order = ("task", "method", "size", "repeat", "fold", "seed")
    return WORK / "predictions" / ("-".join(str(key[part]) for part in order) + ".npz")


def _paired(pairs: list[list[Path]]) -> tuple[np.ndarray, np.ndarray]:
    """`(1 + DRAWS,)` differences in accuracy and in AUC, means over fits; the first of all."""
    fits = [[np.load(path) for path in pair] for pair in pairs]
    people = np.unique(np.concatenate([fit["patients"] for fit, _ in fits]))
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), DRAWS)
    weights = np.vstack([np.ones(len(people)), drawn])
    found = []
    for pair in fits:
        mine = weights[:, np.searchsorted(people, pair[0]["patients"])]
        found.append(np.subtract(*(_scores(fit["p"], fit["y"], mine) for fit in pair)))
    accuracy, area = np.nanmean(found, axis=0)
    return accuracy, area


def _scores(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`(2, draws)` accuracy and AUC."""
    right = weights @ (p.argmax(axis=1) == y) / weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        area = [areas(p[:, k], y == k, weights)[0] for k in scored_classes(p.shape[1])]
    return np.stack([right, np.nanmean(area, axis=0)])


def _interval(draws: np.ndarray) -> str:
    low, high = np.nanquantile(draws[1:], [0.025, 0.975])
    return f"{draws[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def _learning_curves(frame: pd.DataFrame) -> None:
    """Accuracy by the number of training samples, a panel per task."""
    tasks = list(frame["task"].unique())
    if not tasks:
        return
    figure, panels = plt.subplots(
        1, len(tasks), squeeze=False, figsize=(4 * len(tasks), 3.2), layout="constrained"
    )
    for panel, task in zip(panels[0], tasks, strict=True):
        part = frame[frame["task"] == task]
        means = part.pivot_table(index="size", columns="method", values="accuracy")
        look = {"marker": ".", "title": task, "ylabel": "accuracy", "legend": False}
        means.plot(ax=panel, logx=True, xlabel="tumours to train on", **look)
        panel.set_xticks(means.index, [f"{size:,}" for size in means.index])
        panel.minorticks_off()
    panels[0, -1].legend(fontsize=7)
    figure.savefig(FIGURES / "accuracy-curves.svg", metadata={"Date": None})


def _critical_differences(full: pd.DataFrame) -> None:
    """Mean ranks by AUC over tasks and folds, and which differ by Nemenyi's test (Demsar 2006)."""
    import scikit_posthocs  # of requirements-accuracy.txt

    part = full[full["method"].isin(METHODS)].assign(unit=_units(full))
    table = part.pivot_table(index="unit", columns="method", values="auc")
    table = table.loc[:, table.notna().mean() > MOST].dropna()
    if table.shape[0] < 3 or table.shape[1] < 3:
        return
    figure, panel = plt.subplots(figsize=(7, 0.35 * table.shape[1] + 1), layout="constrained")
    scikit_posthocs.critical_difference_diagram(
        table.rank(axis=1, ascending=False).mean(),
        scikit_posthocs.posthoc_nemenyi_friedman(table.to_numpy())
        .set_axis(table.columns, axis=0)
        .set_axis(table.columns, axis=1),
        ax=panel,
    )
    figure.savefig(FIGURES / "accuracy-ranks.svg", metadata={"Date": None})
