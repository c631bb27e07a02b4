"""What is tested: genes by expression, copy-number segments and arms, mutated genes.

Neighbours whose copy number rises and falls together are one candidate, a segment, so that a broad
event is one discovery. Labels are not asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from ..cohort.genes import arms
from ..core.errors import SourceError
from ..core.params import BiomarkerParams
from .association import Values
from .knockoffs import EventDecoys, ExpressionDecoys, burden_strata, expression_decoys, standardised

SEGMENT_CORRELATION = 0.5
"""Neighbours join a segment when they correlate with it at least so much, the arm taken out."""
MIN_EVENTS = 3
"""A gene mutated in fewer samples is no candidate."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is tested: genes by expression, segments and arms, mutated genes.

    `table` has a row per candidate: `level` ("gene", "segment" or "arm"), `channel`, `name` (the
    gene's symbol; the arm; the segment's first and last gene) and `position` of the gene that
    stands for it. `members` are the positions of its genes; `tested` its values, one channel after
    the other, as `association` tests them. Each competes with `n_decoys` decoys at once.
    """

    table: pd.DataFrame
    members: list[np.ndarray]
    tested: list[Values]
    n_decoys: int
    _decoys: list[Callable[[], ExpressionDecoys | EventDecoys]]
    """Of each channel; made when asked for, since they take long."""

    @cached_property
    def channels(self) -> list[ExpressionDecoys | EventDecoys]:
        """What competes with decoys, and how these are drawn."""
        return [make() for make in self._decoys]

    @cached_property
    def real(self) -> np.ndarray:
        """`(samples, candidates)` float32, standardised; of expression what decoys do not keep."""
        return np.hstack([channel.real for channel in self.channels])

    def decoys(self, rng: np.random.Generator) -> list[np.ndarray]:
        """One draw: decoys of every candidate, each `(samples, candidates)`, standardised."""
        drawn = [channel.draw(rng, self.n_decoys) for channel in self.channels]
        return [np.hstack(decoy) for decoy in zip(*drawn, strict=True)]


def candidates(
    features: np.ndarray, genes: pd.DataFrame, channels: list[str], params: BiomarkerParams
) -> Candidates:
    """What is tested; labels are not asked for.

    Parameters
    ----------
    features
        `(samples, genes, channels)`, standardised.
    genes
        With `gene`, `chromosome` and `start`; `expression_center` and `expression_scale`, where
        they are there, make log2 expression of the features.

    Returns
    -------
    Genes by expression, then arms and segments, then mutated genes, of the channels that there are.

    Raises
    ------
    SourceError
        Nothing can be tested.
    """
    layers = {channel: features[:, :, i] for i, channel in enumerate(channels)}
    tables, members, tested = [], [], []
    decoys: list[Callable[[], ExpressionDecoys | EventDecoys]] = []
    if "expression" in layers:
        x = layers["expression"]
        copies = layers.get("copy_number")
        decoys.append(partial(expression_decoys, x, copies, params.decoys, params.seed))
        tested.append(_log2(x, genes, params.minimum_effect))
        tables.append(_single_genes(genes, np.arange(len(genes)), "expression"))
        members += [np.array([i]) for i in range(len(genes))]
    if "copy_number" in layers:
        x = layers["copy_number"]
        table, groups, values, together = _segments(x, genes)
        tables.append(table)
        members += groups
        tested.append(Values(values))
        burden = burden_strata(np.abs(x).mean(axis=1))
        decoys.append(partial(EventDecoys, values, together, burden))
    if "mutation" in layers:
        x = layers["mutation"]
        mutated = x > (x.min(axis=0) + x.max(axis=0)) / 2
        usable = np.flatnonzero(mutated.sum(axis=0) >= MIN_EVENTS)
        tables.append(_single_genes(genes, usable, "mutation"))
        members += [np.array([i]) for i in usable]
        tested.append(Values(mutated[:, usable]))
        burden = burden_strata(mutated.sum(axis=1))
        decoys.append(partial(EventDecoys, x[:, usable], np.arange(len(usable)), burden))
    if all((of.measured == of.measured[:1]).all() for of in tested):
        raise SourceError(
            f"nothing can be a marker: no gene's {', '.join(channels).replace('_', ' ')} differs "
            f"between samples ({MIN_EVENTS} of them at least must have a gene mutated). Look at "
            "the values, name more of the cohort's `channels`, or take more samples."
        )
    table = pd.concat(tables, ignore_index=True)
    return Candidates(table, members, tested, params.decoys, decoys)


def _log2(x: np.ndarray, genes: pd.DataFrame, least: float) -> Values:
    """log2 expression of standardised values, but for each gene's mean."""
    if "expression_scale" not in genes:
        return Values(x, None, least)
    scale = genes["expression_scale"].replace(np.inf, 0).to_numpy(dtype=np.float32)
    return Values(x * scale, genes["expression_center"].to_numpy(dtype=float), least)


def _segments(
    x: np.ndarray, genes: pd.DataFrame
) -> tuple[pd.DataFrame, list[np.ndarray], np.ndarray, np.ndarray]:
    """Each arm by its median, and segments by what is beyond it.

    Returns
    -------
    table, members, values, arm
        See `Candidates`; `(samples, candidates)`; the number of the arm that each is part of.
    """
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
        for part in (
            _correlated_runs(beyond) if name else map(slice, range(len(at)), range(1, len(at) + 1))
        ):
            mine = at[part]
            ends = dict.fromkeys((names[mine[0]], names[mine[-1]]))
            rows.append(("segment", "copy_number", "-".join(ends), mine[len(mine) // 2]))
            groups.append(mine)
            columns.append(beyond[:, part].mean(axis=1))
            together.append(index)
    table = pd.DataFrame(rows, columns=["level", "channel", "name", "position"])
    values = np.stack(columns, axis=1)
    usable = np.flatnonzero(values.std(axis=0) > 1e-6)
    members = [groups[i] for i in usable]
    return table.iloc[usable], members, values[:, usable], np.array(together)[usable]


def _correlated_runs(x: np.ndarray) -> list[slice]:
    """Runs of neighbouring columns that correlate with the mean of those before them."""
    x = standardised(x)
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


def _single_genes(genes: pd.DataFrame, positions: np.ndarray, channel: str) -> pd.DataFrame:
    names = genes["gene"].to_numpy()[positions]
    return pd.DataFrame({"level": "gene", "channel": channel, "name": names, "position": positions})
