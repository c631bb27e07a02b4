"""Genes against decoys: which of them tell the classes apart better than what cannot.

Every candidate, real and decoy, stands on one image as paired channels. A linear network whose
pixels all start alike is solved exactly on that image; the candidate's W is how much more the
network uses the real pixel than the decoys' (after DeepPINK: Lu et al. 2018). `fdr` makes a list of
the W of several draws of decoys.

What a selected candidate has shown depends on its decoy. One that is the candidate itself, its
values permuted over the samples, keeps nothing: the candidate is `associated` with the label. The
decoys of the claim `beyond` keep what surrounds it, so that the candidate adds information about
the label beyond that. Expression: the cohort's latent factors, the other genes of its module and
its own copy number; the decoy redraws the rest, as a second-order Gaussian knockoff of the gene's
normal scores, of factors (as in Fan et al. 2020, J Am Stat Assoc 115:1822) and, within each module
of what they leave, of a shrunk covariance (Candès et al. 2018, J R Stat Soc B 80:551). Copy number
and mutations: the sample's burden; the decoy has the values of other samples of a similar burden.
The copy number of a whole arm is permuted together, and neighbours that rise and fall together are
one candidate, a segment, so a broad event is one discovery.

Decoys see no label.
"""

from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd

from ..cohort.genes import arms
from ..core.errors import SourceError
from ..core.params import Claim
from ..images.coexpression import find_factors, find_modules, normal_scores

RIDGE: dict[Claim, float] = {"beyond": 0.1, "associated": 10.0}
"""Penalty of the weights, in units of the mean squared norm of a sample: a light one takes
out what the other pixels explain, a heavy one little more than half of the strongest factors."""
COLUMNS = 20_000
"""Pixels whose use is computed at once: bounds memory."""
THREADS = 2
"""Draws at once, at most: each holds an image of all candidates and their decoys."""
SEGMENT_CORRELATION = 0.5
"""Neighbours join a segment when they correlate with it at least so much, the arm taken out."""
SWEEPS = 20
"""Rounds of the search for decoys as unlike their genes as can be, at most."""
BLOCK_CORRELATION, BLOCK_MOST = 0.3, 200
"""Genes join a block when they correlate so much beyond the factors; genes per block at most."""
STRATA = 5
"""Classes of mutation or copy-number burden within which samples are exchanged."""
MIN_EVENTS = 3
"""A gene mutated in fewer samples is no candidate."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What competes with decoys: genes by expression, segments and arms, mutated genes.

    `table` has a row per candidate: `level` ("gene", "segment" or "arm"), `channel`, `name` (the
    gene's symbol; the arm; the segment's first and last gene) and `position` of the gene that
    stands for it. `members` are the positions of its genes; `real` `(samples, candidates)`
    float32 are their standardised values, expression beyond what its decoy keeps; `plain` are
    normal scores of all of them, of expression as it is. Each competes with `n_decoys` at once.
    """

    table: pd.DataFrame
    members: list[np.ndarray]
    plain: np.ndarray
    real: np.ndarray
    n_decoys: int
    _channels: list["_Expression | _Events"]

    def decoys(self, claim: Claim, rng: np.random.Generator) -> list[np.ndarray]:
        """One draw: decoys of every candidate, each `(samples, candidates)`, standardised."""
        if claim == "associated":
            return [rng.permuted(self.plain, axis=0) for _ in range(self.n_decoys)]
        drawn = [channel.draw(rng, self.n_decoys) for channel in self._channels]
        return [np.hstack(decoy) for decoy in zip(*drawn, strict=True)]


def candidates(
    features: np.ndarray, genes: pd.DataFrame, channels: list[str], n_decoys: int, seed: int
) -> Candidates:
    """The candidates of `(samples, genes, channels)` standardised features, with their decoys.

    `genes` has `gene`, `chromosome` and `start` of each. Labels are not asked for. `SourceError`
    when nothing can be tested.
    """
    layers = {channel: features[:, :, i] for i, channel in enumerate(channels)}
    tables, members = [], []
    parts: list[_Expression | _Events] = []
    if "expression" in layers:
        part = _expression(layers["expression"], layers.get("copy_number"), n_decoys, seed)
        tables.append(_named(genes, np.arange(len(genes)), "expression"))
        members += [np.array([i]) for i in range(len(genes))]
        parts.append(part)
    if "copy_number" in layers:
        table, groups, events = _segments(layers["copy_number"], genes)
        tables.append(table)
        members += groups
        parts.append(events)
    if "mutation" in layers:
        x = layers["mutation"]
        mutated = x > (x.min(axis=0) + x.max(axis=0)) / 2
        usable = np.flatnonzero(mutated.sum(axis=0) >= MIN_EVENTS)
        tables.append(_named(genes, usable, "mutation"))
        members += [np.array([i]) for i in usable]
        burden = _strata(mutated.sum(axis=1))
        parts.append(_Events(x[:, usable], np.arange(len(usable)), burden))
    real = np.hstack([part.real for part in parts])
    if not real.any():
        raise SourceError(
            f"nothing can be a marker: no gene's {', '.join(channels).replace('_', ' ')} differs "
            f"between samples ({MIN_EVENTS} of them at least must have a gene mutated). Look at "
            "the values, name more of the cohort's `channels`, or take more samples."
        )
    plain = real.copy()
    if "expression" in layers:
        plain[:, : len(genes)] = layers["expression"]
    plain = _standardised(normal_scores(plain))
    return Candidates(pd.concat(tables, ignore_index=True), members, plain, real, n_decoys, parts)


def compete(
    found: Candidates,
    claim: Claim,
    labels: np.ndarray,
    n_classes: int,
    *,
    draws: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """W, and how much the network uses each candidate: `(labellings, draws, candidates)` float64.

    Both are in units of the median use, decoys included, of the candidate's channel: channels share
    a list, and are not equally free of what else tells the classes apart. `labels` `(labellings,
    samples)` are class indices, -1 for a sample that takes no part; every labelling meets the same
    decoys. |W| is the largest use of a candidate and its decoys minus the median of the others; W
    is positive when the largest is the candidate's own (Gimenez & Zou 2019, PMLR 89:2184; statistic
    of He et al. 2021, Nat Commun 12:3152). Draws run side by side, each on a random stream of its
    own.
    """
    channel = found.table["channel"].to_numpy()
    channels = [channel == name for name in np.unique(channel)]
    real = found.plain if claim == "associated" else found.real

    def one(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image = np.hstack([real, *found.decoys(claim, rng)])
        scores = use(image, labels, n_classes, RIDGE[claim])
        scores = scores.reshape(len(labels), 1 + found.n_decoys, -1)
        for mine in channels:
            usual = np.median(scores[:, :, mine], axis=(1, 2), keepdims=True)
            scores[:, :, mine] /= np.maximum(usual, 1e-12)
        order = np.sort(scores, axis=1)
        size = order[:, -1] - np.median(order[:, :-1], axis=1)
        return np.where(scores[:, 0] >= order[:, -1], size, -size), scores[:, 0]

    drawn = joblib.Parallel(min(THREADS, joblib.cpu_count()), require="sharedmem")(
        joblib.delayed(one)(rng) for rng in np.random.default_rng(seed).spawn(draws)
    )
    w, used = (np.stack(part, axis=1) for part in zip(*drawn, strict=True))
    return w, used


def use(image: np.ndarray, labels: np.ndarray, n_classes: int, ridge: float) -> np.ndarray:
    """How much the network uses each pixel to tell the classes apart: `(labellings, pixels)`.

    `image` is `(samples, pixels)`, standardised; `labels` as of `compete`. The use of a pixel x is
    (x'Py)^2 / (x'PPx s^2), where P is the inverse of K + ridge I with the mean projected out, K the
    samples' products over all pixels, 1 on average for a sample with itself, and s^2 the variance
    of the classes y. x'Py is the pixel's weight in the ridge regression on y, which is where a
    linear network ends whose pixels all start alike; x'PPx s^2 is that weight's variance when y is
    permuted, so that use is 1 on average of all permutations, for every pixel alike. (A score test
    of a mixed model, as of Kang et al. 2010, Nat Genet 42:348, by permutation.) With several
    classes, each against the rest, the largest use counts.
    """
    gram = (image @ image.T).astype(np.float64)
    best = np.zeros((len(labels), image.shape[1]))
    taking, which = np.unique(labels >= 0, axis=0, return_inverse=True)
    for number, rows in enumerate(taking):
        at = np.flatnonzero(which == number)
        project = _projection(gram[np.ix_(rows, rows)], ridge)
        mine = labels[np.ix_(at, rows)]
        for first in range(0, image.shape[1], COLUMNS):
            columns = slice(first, first + COLUMNS)
            x = image[rows, columns]
            weights = project.astype(np.float32) @ x
            variance = np.maximum((weights**2).sum(axis=0), 1e-6)
            for target in [1] if n_classes == 2 else range(n_classes):
                y = (mine == target).astype(np.float64)
                size = np.maximum(y.var(axis=1, ddof=1, keepdims=True), 1e-6)
                square = (y.astype(np.float32) @ weights) ** 2
                best[at, columns] = np.maximum(best[at, columns], square / (variance * size))
    return best


def _projection(gram: np.ndarray, ridge: float) -> np.ndarray:
    """`(samples, samples)` P of `use`, of the products of all pixels."""
    n = len(gram)
    inverse = np.linalg.inv(gram / (np.trace(gram) / n) + ridge * np.eye(n))
    total = inverse.sum(axis=1)
    projection: np.ndarray = inverse - np.outer(total, total) / total.sum()
    return projection


@dataclass(frozen=True, eq=False)
class _Block:
    """Genes that still correlate, and how their decoys are drawn from their real values."""

    genes: np.ndarray
    mean: np.ndarray
    """`(genes, genes)`: real values to what is expected of a decoy."""
    common: np.ndarray
    """`(genes, genes)` Cholesky factor of the noise of the mean of a draw's decoys."""
    own: np.ndarray
    """`(genes,)` SD of the noise that each decoy has for itself, the decoys' mean taken out."""


@dataclass(frozen=True, eq=False)
class _Expression:
    """Expression beyond the factors and the gene's own copy number, and how it is redrawn."""

    real: np.ndarray
    nuisance: np.ndarray
    """`(samples, factors)` orthonormal: what real and decoy are both free of."""
    copies: np.ndarray | None
    """`(samples, genes)` copy number beyond the factors."""
    blocks: list["_Block"]

    def draw(self, rng: np.random.Generator, n: int) -> list[np.ndarray]:
        shape = self.real.shape
        decoys = [rng.standard_normal(shape, dtype=np.float32) for _ in range(n)]
        for block in self.blocks:
            at = block.genes
            common = rng.standard_normal((shape[0], len(at)), dtype=np.float32) @ block.common.T
            common += self.real[:, at] @ block.mean
            common -= block.own * np.mean([decoy[:, at] for decoy in decoys], axis=0)
            for decoy in decoys:
                decoy[:, at] = common + block.own * decoy[:, at]
        return [_standardised(_beyond(decoy, self.nuisance, self.copies)) for decoy in decoys]


@dataclass(frozen=True, eq=False)
class _Events:
    """Copy number or mutations, and the groups of candidates that are permuted together."""

    real: np.ndarray
    group: np.ndarray
    """`(candidates,)`: those of one group keep their relation, such as an arm's segments."""
    strata: list[np.ndarray]
    """Positions of samples of a similar burden."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", _standardised(self.real))

    def draw(self, rng: np.random.Generator, n: int) -> list[np.ndarray]:
        return [self._permuted(rng) for _ in range(n)]

    def _permuted(self, rng: np.random.Generator) -> np.ndarray:
        decoy = np.empty_like(self.real)
        order = np.tile(np.arange(len(self.real))[:, None], self.group.max(initial=-1) + 1)
        for stratum in self.strata:
            order[stratum] = rng.permuted(order[stratum], axis=0)
        for start in range(0, len(self.group), 1_000):
            at = np.arange(start, min(start + 1_000, len(self.group)))
            decoy[:, at] = np.take_along_axis(self.real[:, at], order[:, self.group[at]], axis=0)
        return decoy


def _expression(
    x: np.ndarray, copy_number: np.ndarray | None, n_decoys: int, seed: int
) -> _Expression:
    scores = normal_scores(x)
    nothing = np.zeros((len(x), 0), dtype=np.float32)
    factors = find_factors(scores, seed)
    nuisance, _ = np.linalg.qr(factors.scores(scores)) if factors.axes.size else (nothing, None)
    copies = None
    if copy_number is not None:
        copies = _beyond(copy_number - copy_number.mean(axis=0), nuisance, None)
    values = _standardised(_beyond(scores, nuisance, copies))
    return _Expression(values, nuisance, copies, _blocks(values, n_decoys))


def _blocks(values: np.ndarray, n_decoys: int) -> list[_Block]:
    """How to redraw each block of genes that still correlate, given their real values.

    With the correlation matrix C of a block, shrunk (Ledoit & Wolf 2004), and a diagonal S, each
    decoy has the mean (1 - S / C) x and the covariance 2 S - S / C S, and two decoys of a draw have
    S - S / C S: any of them may change places with x without changing the first two moments
    (simultaneous knockoffs: Gimenez & Zou 2019, section 3).
    """
    from sklearn.covariance import ledoit_wolf

    blocks = []
    modules = find_modules(values, correlation=BLOCK_CORRELATION, smallest=2)
    for members in modules.members():
        for at in np.array_split(members, -(-len(members) // BLOCK_MOST)):
            covariance = ledoit_wolf(values[:, at].astype(np.float64))[0]
            sd = np.sqrt(np.diag(covariance))
            c = covariance / np.outer(sd, sd)
            s = _spread(c, n_decoys)
            back, one = np.linalg.solve(c, np.diag(s)), np.eye(len(at))
            of_mean = np.diag(s * (1 + 1 / n_decoys)) - s[:, None] * back
            common = np.linalg.cholesky((of_mean + of_mean.T) / 2 + 1e-6 * one)
            parts = one - back, common, np.sqrt(s)
            blocks.append(_Block(at, *(part.astype(np.float32) for part in parts)))
    return blocks


def _spread(c: np.ndarray, n_decoys: int) -> np.ndarray:
    """`(genes,)` S of `_blocks`, by which decoys differ from their gene; a lone gene has 1.

    It maximises the entropy of genes and decoys together, log det((1 + 1 / n) C - S) + n log det S,
    one gene after the other (Spector & Janson 2022, Ann Statist 50:252, for n = 1). The largest S
    that is the same for all genes, the smallest eigenvalue, leaves decoys that hardly differ.
    """
    limit = 1 + 1 / n_decoys
    s = np.full(len(c), 0.9 * min(1.0, limit * float(np.linalg.eigvalsh(c)[0])))
    for _ in range(SWEEPS):
        before = s.copy()
        inverse = np.linalg.inv(limit * c - np.diag(s))
        for j in range(len(c)):
            step = min(1.0, (s[j] + 1 / inverse[j, j]) / limit) - s[j]
            column = inverse[:, j].copy()
            inverse += np.outer(column, column) * (step / (1 - step * column[j]))
            s[j] += step
        if np.abs(s - before).max() < 1e-3:
            break
    return s


def _segments(x: np.ndarray, genes: pd.DataFrame) -> tuple[pd.DataFrame, list[np.ndarray], _Events]:
    """Candidates of copy number: each arm by its median, and segments by what is beyond it."""
    arm = np.array(arms(genes["chromosome"], genes["start"]))
    names, start, place = genes["gene"].to_numpy(), genes["start"].to_numpy(), arm.copy()
    rows, groups, columns, together = [], [], [], []
    for index, name in enumerate(sorted(set(place))):
        at = np.flatnonzero(place == name)
        at = at[np.argsort(start[at], kind="stable")]
        median = np.median(x[:, at], axis=1)
        if name:
            rows.append(("arm", "copy_number", name, at[len(at) // 2]))
            groups.append(at)
            columns.append(median)
            together.append(index)
        beyond = x[:, at] - median[:, None] if name else x[:, at]
        for part in _runs(beyond) if name else map(slice, range(len(at)), range(1, len(at) + 1)):
            mine = at[part]
            ends = dict.fromkeys((names[mine[0]], names[mine[-1]]))
            rows.append(("segment", "copy_number", "-".join(ends), mine[len(mine) // 2]))
            groups.append(mine)
            columns.append(beyond[:, part].mean(axis=1))
            together.append(index)
    table = pd.DataFrame(rows, columns=["level", "channel", "name", "position"])
    values = np.stack(columns, axis=1)
    usable = np.flatnonzero(values.std(axis=0) > 1e-6)
    burden = np.abs(x).mean(axis=1)
    events = _Events(values[:, usable], np.array(together)[usable], _strata(burden))
    return table.iloc[usable], [groups[i] for i in usable], events


def _runs(x: np.ndarray) -> list[slice]:
    """Runs of neighbouring columns that correlate with the mean of those before them."""
    x = _standardised(x)
    runs, first = [], 0
    for j in range(1, x.shape[1] + 1):
        if j < x.shape[1]:
            mean = x[:, first:j].mean(axis=1)
            size = float(np.linalg.norm(mean)) * np.sqrt(len(x))
            if size > 0 and float(mean @ x[:, j]) / size >= SEGMENT_CORRELATION:
                continue
        runs.append(slice(first, j))
        first = j
    return runs


def _strata(burden: np.ndarray) -> list[np.ndarray]:
    """Positions of the samples in each class of burden; equal burdens are in one class."""
    edges = np.unique(np.quantile(burden, np.arange(1, STRATA) / STRATA))
    stratum = np.searchsorted(edges, burden)
    return [np.flatnonzero(stratum == k) for k in np.unique(stratum)]


def _named(genes: pd.DataFrame, positions: np.ndarray, channel: str) -> pd.DataFrame:
    names = genes["gene"].to_numpy()[positions]
    return pd.DataFrame({"level": "gene", "channel": channel, "name": names, "position": positions})


def _beyond(x: np.ndarray, nuisance: np.ndarray, copies: np.ndarray | None) -> np.ndarray:
    """What of `x` neither the nuisance directions nor the gene's own copies explain."""
    x = x - x.mean(axis=0)
    x -= nuisance @ (nuisance.T @ x)
    if copies is not None:
        size = np.maximum((copies**2).sum(axis=0), 1e-6)
        x -= copies * ((x * copies).sum(axis=0) / size)
    return x


def _standardised(x: np.ndarray) -> np.ndarray:
    """`(samples, columns)` float32 of mean 0 and variance 1; a constant column is 0."""
    x = np.asarray(x, dtype=np.float32) - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    sd = x.std(axis=0)
    scaled: np.ndarray = np.divide(x, sd, out=np.zeros_like(x), where=sd > 1e-6)
    return scaled
