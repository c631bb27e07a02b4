"""The marker list of a cohort, beside those of resampled patients and of permuted labels."""

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..core.params import Claim, Params
from ..images.preprocessor import Preprocessor
from .discovery import Discoveries, Hypotheses, discover, prepare_hypotheses, rows_of, to_rows
from .groups import group_table
from .modules import alike
from .permutation import repeated_lists

log = logging.getLogger(__name__)

SIGNIFICANT = 0.05
"""Share of permuted labels that may give as small a q-value; with more the list is empty."""


@dataclass(frozen=True, eq=False)
class MarkerList:
    """What the labels show; a row is a gene in a channel, in the order of `hypotheses.rows`."""

    hypotheses: Hypotheses
    claim: Claim
    found: dict[Claim, Discoveries]
    """Of the claim, and always of `associated`, which is quickly found."""
    resampled: np.ndarray
    """`(resamples, rows)` bool: the list of each resample of patients."""
    permuted: np.ndarray
    """`(permutations, rows)` bool: the list of each permutation of the labels."""
    permuted_q: np.ndarray
    """`(permutations,)` least q-value of each."""
    groups: pd.DataFrame
    """What genes tell together; see `groups.group_table`."""

    @property
    def own(self) -> Discoveries:
        """What was found of the claim."""
        return self.found[self.claim]

    @property
    def p_value(self) -> float:
        """How often permuted labels give as small a q-value."""
        return float((1 + (self.permuted_q <= self.own.q.min()).sum()) / (1 + len(self.permuted)))

    @cached_property
    def found_rows(self) -> np.ndarray:
        """`(rows,)` bool: what the claim finds, whatever permuted labels give."""
        rows: np.ndarray = rows_of(self.hypotheses, [self.own])[0]
        return rows

    @cached_property
    def selected(self) -> np.ndarray:
        """`(rows,)` bool: what is listed; nothing where permuted labels do as well."""
        return np.asarray(self.found_rows & (self.p_value <= SIGNIFICANT))

    @property
    def tested_genes(self) -> pd.Series:
        """The genes that are a candidate, or part of one, in any channel."""
        rows = np.unique(self.hypotheses.row_of_candidate[1])
        genes: pd.Series = self.hypotheses.genes["gene"]
        return genes.iloc[np.unique(rows // len(self.hypotheses.channels))]

    def columns(self) -> pd.DataFrame:
        """What the ranking says of each row: evidence, p, q, how discovered, what is alike."""
        hypotheses, table = self.hypotheses, self.hypotheses.candidates.table
        level, name = (to_rows(hypotheses, table[of].to_numpy(), "") for of in ("level", "name"))
        columns = {"evidence": to_rows(hypotheses, self.own.evidence, 0.0)}
        for claim, found in self.found.items():
            columns[f"p_{claim}"] = to_rows(hypotheses, found.p, np.nan)
            columns[f"q_{claim}"] = to_rows(hypotheses, found.q, 1.0)
        columns |= {
            "selected": self.selected,
            "discovered_as": np.where(self.selected, level, ""),
            "unit": name,
            "module": np.repeat(hypotheses.module_of_gene, len(hypotheses.channels)),
            "selection_frequency": self.resampled.mean(axis=0),
        }
        told = alike(hypotheses.features, self.selected, hypotheses.genes["gene"].tolist())
        return pd.DataFrame(columns, index=hypotheses.rows).join(told.set_index(hypotheses.rows))


def make_list(
    features: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    pre: Preprocessor,
    claim: Claim,
    params: Params,
    covariates: np.ndarray | None = None,
) -> MarkerList:
    """The list at `biomarkers.q`; `groups`: patients, or sites where the split holds out sites."""
    settings = params.biomarkers
    hypotheses = prepare_hypotheses(
        features, pre.genes, pre.channels, pre.classes, settings, covariates
    )
    found: dict[Claim, Discoveries] = {}
    for of in dict.fromkeys((claim, "associated")):
        (found[of],) = discover(hypotheses, of, y[None], settings)
        log.info("%s: %d discoveries at q = %g", of, found[of].selected.sum(), settings.q)
    lists = repeated_lists(hypotheses, claim, y, patients, groups, settings, params.stability)
    return MarkerList(hypotheses, claim, found, *lists, group_table(hypotheses, y))
