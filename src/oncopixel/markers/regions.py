"""Copy-number regions: where samples of a class gain or lose DNA more often than the others.

A peak of the difference is taken, what explains it is removed from all samples, and the next one is
looked for, so that the gain of an arm is one region. The largest statistics under permuted labels
say which peaks are more than chance.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ..cohort.genes import arms, bands, table
from ..core.params import BiomarkerParams
from ..images.preprocessor import Preprocessor, to_features
from ..networks.saved import Ensemble
from .attribution import Explanation, deletions
from .marker_list import SIGNIFICANT
from .permutation import permute_labels

CHANNEL = "copy_number"
KINDS = {"gain": 1, "loss": -1}
EVENT = 0.2
"""An event is log2(copies / 2) beyond so much, GISTIC's level 1 or -1 among them."""
HIGHEST = 1.5
"""An event counts by how far it goes beyond `EVENT`, at most so much."""
SHARE = 0.8
"""A region reaches as far as the statistic stays above this share of its peak."""
PERMUTATIONS = 199
MOST = 15
"""Regions of a class, at most."""
COLUMNS = (
    "class", "kind", "chromosome", "start", "end", "peak", "band", "bands", "size", "extent",
    "frequency", "frequency_others", "t", "p_value",
)  # fmt: skip
NETWORK_COLUMNS = ("attribution", "attribution_share", "deletion")


@dataclass(frozen=True, eq=False)
class Events:
    """Gains or losses of the samples on the placed pixels."""

    beyond: np.ndarray
    """`(samples, pixels)` float32, log2 beyond `EVENT`; 0 where there is no event."""
    total: np.ndarray
    squares: np.ndarray
    """`(pixels,)` sums of these and of their squares."""

    @classmethod
    def of(cls, values: np.ndarray) -> "Events":
        """Those of these values."""
        squares = np.einsum("ij,ij->j", values, values, dtype=np.float64)
        return cls(values, values.sum(axis=0, dtype=np.float64), squares)

    def t(self, inside: np.ndarray, usual: float) -> np.ndarray:
        """How much more samples `inside`, `(labellings, samples)`, have than the others.

        Returns
        -------
        `(labellings, pixels)` t, `usual` added to the variances.

        References
        ----------
        Tusher, Tibshirani & Chu 2001, PNAS 98:5116: a constant keeps rare events from the top.
        """
        n, size = len(self.beyond), inside.sum(axis=1)[:, None]
        own = (inside.astype(np.float32) @ self.beyond).astype(np.float64) / size
        rest = (self.total - own * size) / (n - size)
        squares = np.maximum(self.squares - size * own**2 - (n - size) * rest**2, 0)
        error = np.sqrt((squares / (n - 2) + usual) * (1 / size + 1 / (n - size)))
        t: np.ndarray = np.round((own - rest) / error, 3)  # equal where the events are
        return t

    def usual(self) -> float:
        """The mean variance of the pixels."""
        n = len(self.beyond)
        return float((self.squares / n - (self.total / n) ** 2).mean())


@dataclass(frozen=True)
class Peak:
    """A region by positions of pixels, both ends inside."""

    target: int
    kind: str
    first: int
    peak: int
    last: int
    t: float
    p_value: float
    extent: str
    """broad: the class's events there, as wide as half their height, take more than half of the arm
    on average, the higher ones counting more; else focal."""


def find_regions(
    features: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    pre: Preprocessor,
    params: BiomarkerParams,
) -> tuple[pd.DataFrame, np.ndarray]:
    """The regions of each class, strongest first, and how frequent gains and losses are.

    Parameters
    ----------
    features
        `(samples, genes, channels)`, standardised.

    Returns
    -------
    regions
        Columns `COLUMNS`, none without copy number. `start` and `end`: first and last base, GRCh38
        from 1; `peak`: the base in the middle of the strongest pixel. `p_value` is family-wise over
        genome, kinds and classes: the share of permutations whose largest t reaches the region's.
    frequency
        `(kinds, classes + 1, genes)`, the last class being all samples; no genes without copy
        number.

    References
    ----------
    Westfall & Young 1993, Resampling-based multiple testing. Peeling: Mermel et al. 2011, Genome
    Biol 12:R41.
    """
    if CHANNEL not in pre.channels:
        return pd.DataFrame(columns=[*COLUMNS]), np.zeros((len(KINDS), len(pre.classes) + 1, 0))
    at = pre.channels.index(CHANNEL)
    scale = pre.genes[f"{CHANNEL}_scale"].replace(np.inf, 0).to_numpy(dtype=np.float32)
    center = pre.genes[f"{CHANNEL}_center"].to_numpy(dtype=np.float32)
    log2 = features[:, :, at] * scale + center
    arm = np.array(arms(pre.genes["chromosome"], pre.genes["start"]))
    log2[:, arm == ""] = 0
    events = {
        kind: Events.of(np.clip(sign * log2 - EVENT, 0, HIGHEST)) for kind, sign in KINDS.items()
    }
    usual = float(np.mean([of.usual() for of in events.values()])) or 1.0
    classes = np.arange(len(pre.classes))[:, None]
    permuted = permute_labels(
        y, patients, groups, params.model_copy(update={"permutations": PERMUTATIONS})
    )
    null = [
        max(of.t(labels == classes, usual).max() for of in events.values()) for labels in permuted
    ]
    inside = y == classes
    peaks = [
        peak
        for target in range(len(inside))
        for peak in _peaks(target, inside[target], events, arm, usual, np.array(null))
    ]
    member = np.vstack([inside, np.ones(len(y), bool)]).astype(np.float32)
    count = np.array([member @ (of.beyond > 0) for of in events.values()])
    return _table(peaks, count, pre, y), count / member.sum(axis=1)[:, None]


def _peaks(
    target: int,
    inside: np.ndarray,
    events: dict[str, Events],
    arm: np.ndarray,
    usual: float,
    null: np.ndarray,
) -> list[Peak]:
    """The peaks of one class that permuted labels do not reach, by descending t."""
    found: list[Peak] = []
    chromosome = np.array([name.rstrip("pq") for name in arm])
    remaining: dict[tuple[str, str], np.ndarray] = {}
    kinds = list(events)
    t = np.concatenate([of.t(inside[None], usual) for of in events.values()])
    while len(found) < MOST:
        row, top = np.unravel_index(t.argmax(), t.shape)
        highest, kind = t[row, top], kinds[row]
        p = (1 + int((null >= highest).sum())) / (1 + len(null))
        if p > SIGNIFICANT:
            break
        on = np.flatnonzero(chromosome == chromosome[top])
        height, at = t[row, on], int(top - on[0])
        at = sum(_run(height == highest, at)) // 2
        left, right = _run(height >= SHARE * highest, at)
        values = remaining.setdefault((kind, chromosome[top]), events[kind].beyond[:, on])
        covering = _covering(values > 0, at)
        broad = _share(values[inside], at, arm[on] == arm[top]) > 0.5
        first, peak, last = map(int, on[[left, at, right]])
        extent = "broad" if broad else "focal"
        found.append(Peak(target, kind, first, peak, last, float(highest), p, extent))
        values[covering] = 0
        t[row, on] = Events.of(values).t(inside[None], usual)[0]
    return found


def _run(mask: np.ndarray, at: int) -> tuple[int, int]:
    """First and last of the neighbours of `at`, itself included, that are True."""
    gaps = np.flatnonzero(~mask)
    after = int(np.searchsorted(gaps, at))
    first = gaps[after - 1] + 1 if after else 0
    return int(first), int(gaps[after] - 1 if after < len(gaps) else len(mask) - 1)


def _share(values: np.ndarray, at: int, of: np.ndarray) -> float:
    """How much of these pixels events at `at` take, as wide as half their height, by height."""
    height = values[:, at]
    wide = _covering(values >= np.maximum(height / 2, 1e-6)[:, None], at)
    return float(np.average(wide[:, of].mean(axis=1), weights=height))


def _covering(happened: np.ndarray, at: int) -> np.ndarray:
    """`(samples, pixels)` of `happened` only what is one run with `at`."""
    left = np.logical_and.accumulate(happened[:, at::-1], axis=1)[:, :0:-1]
    return np.hstack([left, np.logical_and.accumulate(happened[:, at:], axis=1)])


def _table(peaks: list[Peak], count: np.ndarray, pre: Preprocessor, y: np.ndarray) -> pd.DataFrame:
    """The peaks by place; `count` is of samples with an event, `(kinds, classes + 1, genes)`."""
    genes = pre.genes
    ends = _ends(genes)
    starts = genes["start"].to_numpy()
    middles = (starts + ends) // 2
    band = np.array(bands(genes["chromosome"], middles))
    rows = []
    for of in peaks:
        own, everyone = count[list(KINDS).index(of.kind), [of.target, -1], of.peak]
        size = int((y == of.target).sum())
        start, end = starts[of.first], ends[of.first : of.last + 1].max()
        rows.append(
            asdict(of)
            | {
                "class": pre.classes[of.target],
                "chromosome": genes["chromosome"].iloc[of.peak],
                "start": start,
                "end": end,
                "peak": middles[of.peak],
                "band": band[of.peak],
                "bands": "-".join(dict.fromkeys((band[of.first], band[of.last]))),
                "size": end - start + 1,
                "frequency": own / size,
                "frequency_others": (everyone - own) / (len(y) - size),
            }
        )
    return pd.DataFrame(rows, columns=[*COLUMNS])


def _ends(genes: pd.DataFrame) -> np.ndarray:
    """`(genes,)` last bases; the first where it is unknown."""
    ends = genes["end"] if "end" in genes else genes["gene"].map(table()["end"])
    last: np.ndarray = ends.fillna(genes["start"]).astype("int64").to_numpy()
    return last


def explain_regions(
    regions: pd.DataFrame,
    pre: Preprocessor,
    explained: Explanation,
    model: Ensemble,
    images: np.ndarray,
    y: np.ndarray,
) -> pd.DataFrame:
    """The regions with what the network makes of them.

    Returns
    -------
    Three more columns. `attribution`: integrated gradients of the region's copy number, mean of the
    class's samples, logits towards the class; `attribution_share`: of what all copy number adds,
    signs left out; `deletion`: by how much the class's mean logit falls when the region is set to
    the average.
    """
    added: dict[str, list[float]] = {name: [] for name in NETWORK_COLUMNS}
    baseline = images.mean(axis=0, dtype=np.float64).astype(np.float32)
    for row in regions.to_dict("records"):
        at, own = pre.channels.index(CHANNEL), pre.classes.index(row["class"])
        target, sign = (1, 2 * own - 1) if len(pre.classes) == 2 else (own, 1)
        values = sign * to_features(pre, explained.by_class[[own]])[0, :, at]
        inside = (pre.genes["chromosome"] == row["chromosome"]).to_numpy()
        inside &= pre.genes["start"].between(row["start"], row["end"]).to_numpy()
        deleted = np.zeros(pre.shape, dtype=bool)
        deleted[pre.genes["row"][inside], pre.genes["col"][inside], at] = True
        falls = deletions(model, images[y == own], baseline, target, deleted)
        share = np.abs(values[inside]).sum() / (np.abs(values).sum() or 1)
        numbers = values[inside].sum(), share, sign * falls.mean()
        for name, number in zip(NETWORK_COLUMNS, numbers, strict=True):
            added[name].append(float(number))
    return regions.assign(**added)


def to_bed(regions: pd.DataFrame) -> str:
    """The regions as BED of 9 columns: gains red, losses blue, scores 1,000 times the frequency."""
    lines = ["#chrom\tstart\tend\tname\tscore\tstrand\tthickStart\tthickEnd\titemRgb\n"]
    for row in regions.to_dict("records"):
        name = "_".join(f"{row['class']}:{row['kind']}:{row['band']}".split())
        colour = "213,94,0" if row["kind"] == "gain" else "0,114,178"
        span, score = f"{row['start'] - 1}\t{row['end']}", round(1000 * row["frequency"])
        lines.append(f"chr{row['chromosome']}\t{span}\t{name}\t{score}\t.\t{span}\t{colour}\n")
    return "".join(lines)


def to_seg(frequency: np.ndarray, genes: pd.DataFrame, classes: Sequence[str]) -> str:
    """SEG for IGV, each class a row: by how much gains are more frequent than losses there."""
    net = np.subtract(*frequency) if frequency.size else np.zeros((len(classes) + 1, 0))
    places = genes[["chromosome", "start"]].assign(end=_ends(genes))
    places = places[: net.shape[1]].reset_index(drop=True)
    placed = places[places["start"] >= 0].sort_values(["chromosome", "start"], kind="stable")
    of = pd.concat(
        [
            placed.assign(ID=name, mean=values[placed.index].round(4))
            for name, values in zip([*classes, "all samples"], net, strict=True)
        ]
    )
    same = of[["ID", "chromosome", "mean"]]
    runs = of.groupby(same.ne(same.shift()).any(axis=1).cumsum())
    first, last = runs.first(), runs["end"].max()
    segments = {
        "ID": first["ID"],
        "chrom": "chr" + first["chromosome"],
        "loc.start": first["start"],
        "loc.end": last,
        "num.mark": runs.size(),
        "seg.mean": first["mean"],
    }
    return str(pd.DataFrame(segments).to_csv(sep="\t", index=False))
