"""What is tested: genes by expression, copy-number segments and arms, mutated genes.

Neighbours whose copy number rises and falls together are one candidate, a segment, so that a broad
event is one discovery. Labels are not asked for.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..cohort.genes import arms
from ..core.errors import SourceError
from ..core.params import Claim
from ..images.coexpression import normal_scores
from .knockoffs import EventDecoys, ExpressionDecoys, burden_strata, expression_decoys, standardised

SEGMENT_CORRELATION = 0.5
"""Neighbours join a segment when they correlate with it at least so much, the arm taken out."""
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
    _channels: list["ExpressionDecoys | EventDecoys"]

    def decoys(self, claim: Claim, rng: np.random.Generator) -> list[np.ndarray]:
        """One draw: decoys of every candidate, each `(samples, candidates)`, standardised."""
        if claim == "associated":
            return [rng.permuted(self.plain, axis=0) for _ in range(self.n_decoys)]
        drawn = [channel.draw(rng, self.n_decoys) for channel in self._channels]
        return [np.hstack(decoy) for decoy in zip(*drawn, strict=True)]


def candidates(
    features: np.ndarray, genes: pd.DataFrame, channels: list[str], n_decoys: int, seed: int
) -> Candidates:
    """What competes with decoys; labels are not asked for.

    Parameters
    ----------
    features
        `(samples, genes, channels)`, standardised.
    genes
        With `gene`, `chromosome` and `start`.

    Returns
    -------
    Genes by expression, then arms and segments, then mutated genes, of the channels that there are.

    Raises
    ------
    SourceError
        Nothing can be tested.
    """
    layers = {channel: features[:, :, i] for i, channel in enumerate(channels)}
    tables, members = [], []
    parts: list[ExpressionDecoys | EventDecoys] = []
    if "expression" in layers:
        part = expression_decoys(layers["expression"], layers.get("copy_number"), n_decoys, seed)
        tables.append(_single_genes(genes, np.arange(len(genes)), "expression"))
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
        tables.append(_single_genes(genes, usable, "mutation"))
        members += [np.array([i]) for i in usable]
        burden = burden_strata(mutated.sum(axis=1))
        parts.append(EventDecoys(x[:, usable], np.arange(len(usable)), burden))
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
    plain = standardised(normal_scores(plain))
    return Candidates(pd.concat(tables, ignore_index=True), members, plain, real, n_decoys, parts)


def _segments(
    x: np.ndarray, genes: pd.DataFrame
) -> tuple[pd.DataFrame, list[np.ndarray], EventDecoys]:
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
    burden = np.abs(x).mean(axis=1)
    events = EventDecoys(values[:, usable], np.array(together)[usable], burden_strata(burden))
    return table.iloc[usable], [groups[i] for i in usable], events


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
