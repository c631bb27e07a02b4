"""The marker list of a cohort, beside those of resampled patients and of permuted labels."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.params import Claim, Params
from ..images.preprocessor import Preprocessor
from .discovery import (
    CLAIMS,
    Discoveries,
    Hypotheses,
    decoy_statistics,
    discover,
    evidence_of_rows,
    prepare_hypotheses,
    q_of_rows,
    to_rows,
)
from .permutation import repeated_lists

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MarkerList:
    """What the labels show; a row is a gene in a channel, in the order of `hypotheses.rows`."""

    hypotheses: Hypotheses
    claim: Claim
    statistic: np.ndarray
    """`(draws, candidates)` W of the claim."""
    q_values: dict[Claim, np.ndarray]
    """`(rows,)` of each claim."""
    found: Discoveries
    resampled: np.ndarray
    """`(resamples, rows)` bool: the list of each resample of patients."""
    observed: np.ndarray
    """`(rows,)` bool: the list of all patients, by as few draws as the others."""
    permuted: np.ndarray
    """`(permutations, rows)` bool: the list of each permutation of the labels."""

    @property
    def selected(self) -> np.ndarray:
        """`(rows,)` bool: what is listed."""
        return np.asarray(self.found.discovered_as != "")

    @property
    def tested_genes(self) -> pd.Series:
        """The genes that are a candidate, or part of one, in any channel."""
        rows = np.unique(self.hypotheses.row_of_candidate[1])
        genes: pd.Series = self.hypotheses.genes["gene"]
        return genes.iloc[np.unique(rows // len(self.hypotheses.channels))]

    def columns(self) -> pd.DataFrame:
        """What the ranking says of each row: evidence, q-values, how it was discovered."""
        hypotheses = self.hypotheses
        return pd.DataFrame(
            {
                "evidence": evidence_of_rows(hypotheses, self.statistic),
                "q_value": self.q_values["beyond"],
                "q_associated": self.q_values["associated"],
                "selected": self.selected,
                "discovered_as": self.found.discovered_as,
                "unit": to_rows(hypotheses, self.found.units["name"].to_numpy(), ""),
                "module": np.repeat(hypotheses.module_of_gene, len(hypotheses.channels)),
                "selection_frequency": self.resampled.mean(axis=0),
            },
            index=hypotheses.rows,
        )


def make_list(
    features: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    groups: np.ndarray,
    pre: Preprocessor,
    claim: Claim,
    params: Params,
) -> MarkerList:
    """The list at `biomarkers.q`; `groups`: patients, or sites where the split holds out sites."""
    settings = params.biomarkers
    hypotheses = prepare_hypotheses(features, pre.genes, pre.channels, pre.classes, settings)
    statistics: dict[Claim, np.ndarray] = {}
    q_values: dict[Claim, np.ndarray] = {}
    for of in CLAIMS:
        (statistics[of],) = decoy_statistics(hypotheses, of, y[None], settings.draws, settings)
        q_values[of] = q_of_rows(hypotheses, statistics[of], settings)
        log.info("%s: %d rows at q = %g", of, (q_values[of] <= settings.q).sum(), settings.q)
    return MarkerList(
        hypotheses,
        claim,
        statistics[claim],
        q_values,
        discover(hypotheses, y, statistics[claim], settings),
        *repeated_lists(hypotheses, claim, y, patients, groups, settings, params.stability),
    )
