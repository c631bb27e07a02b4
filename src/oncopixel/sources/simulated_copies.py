"""Copy number of simulated tumours: events along the genome, diluted by normal cells, and noise.

Levels are copies more or less than two in a tumour's own cells: whole arms, chromosomes and parts
of arms from their end on, focal events, and the planted ones. Numbers are set so that segments are
like those of 2,000 of TCGA's tumours, drawn from all 33 projects (CBS of SNP 6.0 arrays, Broad
Firehose 2015-11-01, as in the R package RTCGA.CNV), autosomes, 5 markers or more. Medians and
quartiles there: 90 (53 to 162) segments, 20% (7 to 40%) of the genome beyond ±0.2, 7 (2 to 13) arms
that are so for more than 70%, 28 (8 to 72) segments that differ by 0.2 from the rest of their arm.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..cohort.genome import lengths

# Boundary of the p and q centromere bands in Mb, UCSC cytoBand hg38. Autosomes only, so that copy
# number needs no sex.
CENTROMERES = dict(zip(
    map(str, range(1, 23)),
    (123.4, 93.9, 90.9, 50.0, 48.8, 59.8, 60.1, 45.2, 43.0, 39.8, 53.4,
     35.5, 17.7, 17.2, 19.0, 36.8, 25.1, 18.5, 26.2, 28.1, 12.0, 15.0),
    strict=True,
))  # fmt: skip
BETWEEN = 1_000
"""Mb from the start of one chromosome to that of the next on the axis of places."""
INSTABILITY = 0.9  # shape of a gamma of mean 1, by which a tumour has more or fewer events
ARM_GAIN, ARM_LOSS = 0.19, 0.20  # mean chance of an arm in a tumour of mean instability
ARM_SPREAD = 4.0  # Dirichlet concentration of these between arms
TWO_MORE = 0.2  # share of gains of arms that are of two copies
WHOLE = 0.8  # share of chromosomes both of whose arms have one event
PART = 0.5  # share of events of arms that reach from the arm's end to a breakpoint anywhere in it
JITTER = 0.03  # SD of the end of the others at the centromere, in lengths of the arm
FOCAL = 52.0  # focal events of a tumour of mean instability
FOCAL_SPREAD = 0.8  # log-SD of their number beside that
FOCAL_MB = (0.32, 2.1)  # length, lognormal median and log-SD
PLANTED_MB = (1.5, 1.0)  # the same of planted events: recurrent ones are longer
FOCAL_GAIN = 0.55  # share of gains
MORE_COPIES = 0.5  # chance of each further copy of a focal gain
BOTH_COPIES = 0.25  # share of focal losses that are of both copies
SUBCLONAL = (0.8, 0.3)  # share of events in some of the tumour's cells, and their least share
LOWEST, HIGHEST = -2, 16  # copies less and more than two
BREAKS = 12.0  # further segments that differ by noise alone
NOISE = 0.025  # SD of a segment's log2 ratio
BASELINE = 0.04  # SD of a sample's
FLOOR = 0.125  # 2 ** -3: what is left of the ratio where no copy is
BLOCK = 256  # samples whose values are worked out at a time, which bounds the memory


Events = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Position of the tumour, start and end on the axis of places, and copies more or less."""


@dataclass(frozen=True)
class _Steps:
    """By how much the value of a sample changes at a place, on the way to the genome's end."""

    sample: np.ndarray
    place: np.ndarray
    amount: np.ndarray

    @classmethod
    def of(
        cls, sample: np.ndarray, start: np.ndarray, end: np.ndarray, amount: np.ndarray
    ) -> "_Steps":
        """Of events from a start to an end, both included."""
        behind = np.nextafter(end, np.inf)
        return cls(*map(np.concatenate, ((sample, sample), (start, behind), (amount, -amount))))

    def at(self, place: np.ndarray, first: int, n: int) -> np.ndarray:
        """`(n, places)` float32 values of `n` samples from the first on, at places in order."""
        rows = self.sample - first
        own = (rows >= 0) & (rows < n)
        steps = np.zeros((n, len(place) + 1), dtype=np.float32)
        where = np.searchsorted(place, self.place[own])
        np.add.at(steps, (rows[own], where), self.amount[own].astype(np.float32))
        np.cumsum(steps, axis=1, out=steps)
        return np.asarray(steps[:, :-1])


def draw_copy_number(
    rng: np.random.Generator,
    genes: pd.DataFrame,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    on: np.ndarray,
) -> np.ndarray:
    """`(samples, genes)` float32 log2(copies / 2) of the whole sample, normal cells included."""
    place, purity = genes["place"].to_numpy(), samples["purity"].to_numpy()
    tumours = np.flatnonzero(purity > 0)
    levels, noise = draw_steps(rng, tumours, len(samples))
    planted = truth[truth["channel"] == "copy_number"]
    who, marker = np.nonzero(on[:, planted.index])
    centre = place[planted["position"].to_numpy()[marker]]
    start, end = _around(rng, centre, PLANTED_MB)
    events = _Steps.of(who, start, end, planted["effect"].to_numpy()[marker])
    copies = np.empty((len(samples), len(genes)), dtype=np.float32)
    for first in range(0, len(samples), BLOCK):
        block = copies[first : first + BLOCK]
        shares = purity[first : first + BLOCK, np.newaxis].astype(np.float32)
        found = levels.at(place, first, len(block)) + events.at(place, first, len(block))
        ratio = np.maximum(1 + shares / 2 * found.clip(LOWEST, HIGHEST), FLOOR)
        block[:] = np.log2(ratio) + noise.at(place, first, len(block))
    return copies


def draw_steps(rng: np.random.Generator, tumours: np.ndarray, n: int) -> tuple[_Steps, _Steps]:
    """The events that tell nothing, in copies, and the noise of all `n` samples, as log2 ratios."""
    instability = rng.gamma(INSTABILITY, 1 / INSTABILITY, len(tumours))
    arms = _arm_events(rng, instability)
    focal = _focal_events(rng, instability)
    row, *event = (np.concatenate(pair) for pair in zip(arms, focal, strict=True))
    start, end, amount = event
    clonal = rng.random(len(row)) >= SUBCLONAL[0]
    amount = amount * np.where(clonal, 1, rng.uniform(SUBCLONAL[1], 1, len(row)))
    return _Steps.of(tumours[row], start, end, amount), _noise(rng, n)


def _arm_events(rng: np.random.Generator, instability: np.ndarray) -> Events:
    """Gains and losses of arms, each of which has rates of its own, and of both of a chromosome."""
    first, centre, last = _chromosomes()
    n, k = len(instability), len(first)
    mean = np.array([ARM_LOSS, 1 - ARM_LOSS - ARM_GAIN, ARM_GAIN])
    loss, _, gain = rng.dirichlet(ARM_SPREAD * mean, (k, 2)).transpose(2, 0, 1)
    u = rng.random((n, k, 2))
    whole = rng.random((n, k)) < WHOLE
    u[whole, 1] = u[whole, 0]
    often = instability[:, np.newaxis, np.newaxis]
    lost = u < 1 - (1 - loss) ** often
    gained = ~lost & (u > (1 - gain) ** often)
    level = gained * (1.0 + (u > 1 - TWO_MORE * (1 - (1 - gain) ** often))) - lost
    part = rng.random((n, k, 2)) < PART
    reach = np.where(part, rng.random((n, k, 2)), 1 + JITTER * rng.standard_normal((n, k, 2)))
    reach[whole & (level[..., 0] == level[..., 1])] = 1
    row, at, side = np.nonzero(level)
    arm = np.stack([centre - first, last - centre], axis=1)
    length = arm[at, side] * reach[row, at, side]
    start = np.where(side == 0, first[at], np.maximum(last[at] - length, first[at]))
    end = np.where(side == 0, np.minimum(first[at] + length, last[at]), last[at])
    return row, start, end, level[row, at, side]


def _focal_events(rng: np.random.Generator, instability: np.ndarray) -> Events:
    """Gains and losses anywhere in the genome, more of them where there is more of arms."""
    spread = rng.lognormal(-(FOCAL_SPREAD**2) / 2, FOCAL_SPREAD, len(instability))
    row = np.repeat(np.arange(len(instability)), rng.poisson(FOCAL * instability * spread))
    first, _, last = _chromosomes()
    share = (last - first) / (last - first).sum()
    at = rng.choice(len(first), len(row), p=share)
    start, end = _around(rng, rng.uniform(first[at], last[at]), FOCAL_MB)
    gain = rng.random(len(row)) < FOCAL_GAIN
    more = np.minimum(rng.geometric(1 - MORE_COPIES, len(row)), HIGHEST)
    fewer = np.where(rng.random(len(row)) < BOTH_COPIES, 2, 1)
    return row, start, end, np.where(gain, more, -fewer)


def _around(
    rng: np.random.Generator, centre: np.ndarray, length_mb: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of focal events that hold these places."""
    length = rng.lognormal(np.log(length_mb[0]), length_mb[1], len(centre))
    start = centre - rng.random(len(centre)) * length
    chromosome = centre // BETWEEN * BETWEEN
    ahead = np.maximum(start, chromosome)
    return ahead, np.minimum(start + length, chromosome + BETWEEN - 1)


def _noise(rng: np.random.Generator, n: int) -> _Steps:
    """Segments of chance on every chromosome, all about the sample's own baseline."""
    first, _, last = _chromosomes()
    sample = np.repeat(np.arange(n), rng.poisson(BREAKS, n))
    at = rng.choice(len(first), len(sample), p=(last - first) / (last - first).sum())
    sample = np.concatenate([np.repeat(np.arange(n), len(first)), sample])
    place = np.concatenate([np.tile(first, n), rng.uniform(first[at], last[at])])
    order = np.lexsort((place, sample))
    sample, place = sample[order], place[order]
    baseline = rng.normal(0, BASELINE, n)
    value = baseline[sample] + rng.normal(0, NOISE, len(sample))
    before = np.where(np.diff(sample, prepend=-1) == 0, np.roll(value, 1), 0)
    return _Steps(sample, place, value - before)


def _chromosomes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First base, centromere and last base of each on the axis of places, in Mb."""
    first = BETWEEN * np.arange(1.0, len(CENTROMERES) + 1)
    sizes = np.array([lengths()[name] for name in CENTROMERES]) / 1e6
    return first, first + np.array([*CENTROMERES.values()]), first + sizes
