"""Modules, genes that move together: which of them go with the label."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..images.coexpression import Modules
from .effects import contrast, one_against_rest, welch

SHOWN = 10
"""Genes that stand for a module in a table, those of largest weight first."""


def module_table(
    modules: Modules, activity: np.ndarray, y: np.ndarray, genes: Sequence[str], classes: list[str]
) -> pd.DataFrame:
    """By module ("M1", …): n_genes, leading_genes, class, effect (Hedges' g), p_value, q_value."""
    rows = []
    for number, members in enumerate(modules.members()):
        weight = np.abs(modules.weights[members, number])
        lead = members[np.argsort(-weight, kind="stable")][:SHOWN]
        rows.append((f"M{number + 1}", len(members), " ".join(genes[i] for i in lead)))
    table = pd.DataFrame(rows, columns=["module", "n_genes", "leading_genes"])

    def test(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return contrast(activity, inside, 1)[1], welch(activity[inside == 1], activity[inside == 0])

    return pd.concat([table, one_against_rest(test, y, classes)], axis=1)
