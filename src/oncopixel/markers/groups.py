"""Groups of genes that move together, each tested as one where all other genes are held fixed.

Where genes stand in for each other none of them tells more than the others; together they may. A
group is one discovery: some of its genes tell of the label, and these data do not say which.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from ..images.coexpression import standardised
from .discovery import Hypotheses
from .fdr import benjamini_hochberg
from .held_fixed import (
    BROAD,
    NEAR,
    STRONG,
    Channel,
    Prepared,
    choose,
    combined,
    control,
    efficient_scores,
    least_z,
    logistic,
    prepare,
    ridge_residual,
    saddlepoint,
    samples_of,
)

TOGETHER = 0.3
"""Mean |correlation| between the halves of a group, at least (average linkage)."""
MOST_GENES = 12_000
"""With more there are no groups: their correlations would need gigabytes."""
RATE = 0.05
"""False-discovery rate, and so how often a label that says nothing gives a group, at most."""
COLUMNS = ("group", "n_genes", "genes", "p_value", "q_value")


def find_groups(x: np.ndarray) -> list[np.ndarray]:
    """Positions of the genes of each group of two or more, of `(samples, genes)` expression."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if not 2 <= x.shape[1] <= MOST_GENES:
        return []
    z = standardised(x)
    distance = np.maximum(1 - np.abs(z.T @ z) / len(z), 0)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    number = fcluster(tree, 1 - TOGETHER, "distance")
    members = [np.flatnonzero(number == group) for group in range(1, number.max() + 1)]
    return sorted((of for of in members if len(of) > 1), key=lambda of: int(of[0]))


def group_table(hypotheses: Hypotheses, label: np.ndarray) -> pd.DataFrame:
    """Groups of genes that together tell more of the label than all genes outside.

    Returns
    -------
    `COLUMNS` of those at `RATE`, by p, the genes most like the group's component first; none
    without expression.
    """
    channels, genes = hypotheses.candidates.channels, hypotheses.genes["gene"].tolist()
    groups = find_groups(channels[0].measured) if "expression" in hypotheses.channels else []
    p, n_classes = np.zeros(0), len(hypotheses.classes)
    if groups:
        p = group_p_values(channels, groups, label, n_classes, hypotheses.covariates)
    q = np.nan_to_num(benjamini_hochberg(p), nan=1.0)
    rows = []
    for i in np.flatnonzero(q <= RATE):
        z = standardised(channels[0].measured[:, groups[i]])
        alike = np.abs(np.linalg.svd(z, full_matrices=False)[2][0])
        names = [genes[gene] for gene in groups[i][np.argsort(-alike, kind="stable")]]
        rows.append((f"{names[0]}+{len(names) - 1}", len(names), " ".join(names), p[i], q[i]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("p_value", kind="stable", ignore_index=True)


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator] # same bytes on any cores
def group_p_values(
    channels: Sequence[Channel],
    groups: Sequence[np.ndarray],
    label: np.ndarray,
    n_classes: int,
    covariates: np.ndarray,
) -> np.ndarray:
    """How surely groups of candidates go with a label where all outside of them are held fixed.

    Parameters
    ----------
    groups
        Positions of each one's candidates, of the first channel. A group is tested by its first
        principal component.
    label
        `(samples,)` class indices.

    Returns
    -------
    `(groups,)` two-sided p-values; see `conditional_p_values`.
    """
    prepared = prepare(channels, covariates, np.ones(len(label), dtype=bool))
    own = np.column_stack([_own_of_group(prepared, channels[0], group) for group in groups])
    targets = [1] if n_classes == 2 else list(range(n_classes))
    p = np.full(len(groups), np.nan)
    for target in targets:
        y = (label == target).astype(np.float64)
        p = np.fmin(p, np.minimum(_p_of_groups(prepared, y, groups, own) * len(targets), 1))
    return p


def _own_of_group(prepared: Prepared, channel: Channel, group: np.ndarray) -> np.ndarray:
    """`(samples,)` what no candidate outside a group says of its first principal component."""
    # Of x, the group's columns, `residual` is Px with P of all candidates of the channel; without x
    # in K it is Px / (1 - x'Px) (Woodbury).
    x, residual = prepared.first[:, group], prepared.residual[:, group]
    loadings = np.linalg.svd(x, full_matrices=False)[2][0]
    core = np.eye(len(group)) - x.T @ residual
    own = residual @ np.linalg.solve(core, loadings)
    if channel.copies is not None:
        copies = standardised(channel.copies[:, group]) @ loadings
        own = own - copies * ((copies @ own) / max(copies @ copies, 1e-6))
    return standardised(own[:, None])[:, 0]


def _p_of_groups(
    prepared: Prepared, y: np.ndarray, groups: Sequence[np.ndarray], own: np.ndarray
) -> np.ndarray:
    """`(groups,)` p-values of what is own, with both models of what those outside leave of y."""
    few, every, p = (np.full(len(groups), np.nan) for _ in range(3))
    broad = np.zeros(len(groups), dtype=bool)
    for tested, held, firmly in _models_of_groups(prepared, y, groups):
        design, chance = logistic(prepared, y, held)
        few[tested] = efficient_scores(own[:, tested], design, chance, y)
        p[tested] = saddlepoint(own[:, tested], design, chance, y)
        basis, left, spread = ridge_residual(prepared, y, slice(None), firmly)
        for i in tested:
            x, s = prepared.free[:, groups[i]], spread[:, groups[i]]
            rest = left + s @ np.linalg.solve(np.eye(len(groups[i])) - x.T @ s, x.T @ left)
            mine = own[:, i] - basis @ (basis.T @ own[:, i])
            size = (mine @ mine) * (rest @ rest) / max(len(y) - basis.shape[1], 1)
            every[i] = mine @ rest / np.sqrt(max(size, 1e-12))
            broad[i] = samples_of(mine) * samples_of(rest) >= BROAD * len(y)
    p = control(few, p, [slice(None)])
    of_all = control(every, 2 * norm.sf(np.abs(every)), [slice(None)])
    return np.where(broad, combined(p, of_all), p)


def _models_of_groups(
    prepared: Prepared, y: np.ndarray, groups: Sequence[np.ndarray]
) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """Which groups are tested, and which candidates outside of them either model holds."""
    least = least_z(prepared)
    chosen, highest = choose(prepared, y, [], slice(None), least)
    near, strong = np.flatnonzero(highest >= NEAR), np.flatnonzero(highest >= STRONG)
    inside = [np.flatnonzero(np.isin(chosen, group)) for group in groups]
    apart = [number for number, places in enumerate(inside) if not len(places)]
    yield apart, chosen, [one for one in chosen if one in strong]
    for number, places in enumerate(inside):
        if len(places):
            others = near[~np.isin(near, groups[number])]
            held, _ = choose(prepared, y, chosen[: places[0]], others, least)
            yield [number], held, [one for one in held if one in strong]
