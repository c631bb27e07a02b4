"""What is tested: genes by expression, copy-number segments and arms, mutated genes.

Neighbours whose copy number rises and falls together are one candidate, a segment, so that a broad
event is one discovery. Labels are not asked for.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..cohort.genes import arms
from ..core.errors import SourceError
from ..core.params import BiomarkerParams
from ..images.coexpression import standardised
from .association import Values
from .held_fixed import Channel

SEGMENT_CORRELATION = 0.5
"""Neighbours join a segment when they correlate with it at least so much, the arm taken out."""
MIN_EVENTS = 3
"""A gene mutated in fewer samples is no candidate."""
STRATA = 5
"""Classes of mutation or copy-number burden, which `beyond` holds fixed."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is tested: genes by expression, segments and arms, mutated genes.

    `table` has a row per candidate: `level` ("gene", "segment" or "arm"), `channel`, `name` (the
    gene's symbol; the arm; the segment's first and last gene) and `position` of the gene that
    stands for it. `members` are the positions of its genes; `tested` and `channels` its values, one
    channel after the other, as `association` and as `conditional` test them.
    """

    table: pd.DataFrame
    members: list[np.ndarray]
    tested: list[Values]
    channels: list[Channel]


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
    together: list[Channel] = []
    if "expression" in layers:
        x = layers["expression"]
        together.append(Channel(x, np.zeros((len(x), 0)), layers.get("copy_number")))
        tested.append(_log2(x, genes, params.minimum_effect))
        tables.append(_single_genes(genes, np.arange(len(genes)), "expression"))
        members += [np.array([i]) for i in range(len(genes))]
    if "copy_number" in layers:
        x = layers["copy_number"]
        table, groups, values = _segments(x, genes)
        tables.append(table)
        members += groups
        tested.append(Values(values))
        together.append(Channel(values, _strata(np.abs(x).mean(axis=1))))
    if "mutation" in layers:
        x = layers["mutation"]
        mutated = x > (x.min(axis=0) + x.max(axis=0)) / 2
        usable = np.flatnonzero(mutated.sum(axis=0) >= MIN_EVENTS)
        tables.append(_single_genes(genes, usable, "mutation"))
        members += [np.array([i]) for i in usable]
        tested.append(Values(mutated[:, usable]))
        together.append(Channel(x[:, usable], _strata(mutated.sum(axis=1))))
    if all((of.measured == of.measured[:1]).all() for of in tested):
        raise SourceError(
            f"nothing can be a marker: no gene's {', '.join(channels).replace('_', ' ')} differs "
            f"between samples ({MIN_EVENTS} of them at least must have a gene mutated). Look at "
            "the values, name more of the cohort's `channels`, or take more samples."
        )
    table = pd.concat(tables, ignore_index=True)
    return Candidates(
        table, members, tested, [channel for channel in together if channel.measured.shape[1]]
    )


def _strata(burden: np.ndarray) -> np.ndarray:
    """`(samples, strata - 1)` 1 in a sample's class of burden, the lowest left out."""
    edges = np.unique(np.quantile(burden, np.arange(1, STRATA) / STRATA))
    return np.eye(len(edges) + 1)[np.searchsorted(edges, burden)][:, 1:]


def _log2(x: np.ndarray, genes: pd.DataFrame, least: float) -> Values:
    """log2 expression of standardised values, but for each gene's mean."""
    if "expression_scale" not in genes:
        return Values(x, None, least)
    scale = genes["expression_scale"].replace(np.inf, 0).to_numpy(dtype=np.float32)
    return Values(x * scale, genes["expression_center"].to_numpy(dtype=float), least)


def _segments(
    x: np.ndarray, genes: pd.DataFrame
) -> tuple[pd.DataFrame, list[np.ndarray], np.ndarray]:
    """Each arm by its median, and segments by what is beyond it.

    Returns
    -------
    table, members, values
        See `Candidates`; `(samples, candidates)`.
    """
    arm = np.array(arms(genes["chromosome"], genes["start"]))
    names, start = genes["gene"].to_numpy(), genes["start"].to_numpy()
    rows, groups, columns = [], [], []
    for name in sorted(set(arm)):
        at = np.flatnonzero(arm == name)
        at = at[np.argsort(start[at], kind="stable")]
        median = np.median(x[:, at], axis=1)
        if name:
            rows.append(("arm", "copy_number", name, at[len(at) // 2]))
            groups.append(at)
            columns.append(median)
        beyond = x[:, at] - median[:, None] if name else x[:, at]
        for part in (
            _correlated_runs(beyond) if name else map(slice, range(len(at)), range(1, len(at) + 1))
        ):
            mine = at[part]
            ends = dict.fromkeys((names[mine[0]], names[mine[-1]]))
            rows.append(("segment", "copy_number", "-".join(ends), mine[len(mine) // 2]))
            groups.append(mine)
            columns.append(beyond[:, part].mean(axis=1))
    table = pd.DataFrame(rows, columns=["level", "channel", "name", "position"])
    values = np.stack(columns, axis=1)
    usable = np.flatnonzero(values.std(axis=0) > 1e-6)
    return table.iloc[usable], [groups[i] for i in usable], values[:, usable]


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
