"""The list: which genes, segments and arms carry the label, at a stated error rate.

`prepare_hypotheses` makes all that needs no label: candidates and modules.
`discover` tests them on many labellings at once, resampled and permuted ones as well.

What the list says of a gene is the cohort's `claim`. `associated`: it goes with the label, alone or
through anything else; each candidate is tested by itself. `beyond`: it adds information beyond all
other candidates and its own copy number; each is tested with these held fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..core.params import BiomarkerParams, Claim
from ..images.coexpression import Modules, find_modules
from .association import p_values
from .candidates import Candidates, candidates
from .conditional import conditional_p_values
from .fdr import benjamini_hochberg

MOST_MODULES = 100

CLAIMS: tuple[Claim, ...] = ("beyond", "associated")


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """What is tested in a cohort; it holds no label."""

    genes: pd.DataFrame
    """`gene`, `chromosome` and `start` of each."""
    channels: list[str]
    classes: list[str]
    features: np.ndarray
    """`(samples, genes, channels)` float32, standardised."""
    covariates: np.ndarray
    """`(samples, terms)` that are held fixed."""
    candidates: Candidates
    modules: Modules
    activity: np.ndarray
    """`(samples, modules)` float32."""

    @cached_property
    def rows(self) -> pd.MultiIndex:
        """Gene and channel of each row of the list, gene by gene."""
        return pd.MultiIndex.from_product(
            [self.genes["gene"], self.channels], names=["gene", "channel"]
        )

    @cached_property
    def module_of_gene(self) -> np.ndarray:
        """`(genes,)` name of each gene's module, "" for a gene in none."""
        names = np.full(len(self.genes), "", dtype=object)
        for number, members in enumerate(self.modules.members(), start=1):
            names[members] = f"M{number}"
        return names

    @cached_property
    def row_of_candidate(self) -> tuple[np.ndarray, np.ndarray]:
        """Candidate and row of each gene of each candidate; arms stand for no single gene."""
        table, members = self.candidates.table, self.candidates.members
        channel = table["channel"].map(self.channels.index).to_numpy()
        one = np.flatnonzero(table["level"] != "arm")
        candidate = np.repeat(one, [len(members[k]) for k in one])
        gene = np.concatenate([np.zeros(0, dtype=int), *(members[k] for k in one)])
        return candidate, gene * len(self.channels) + channel[candidate]


@dataclass(frozen=True, eq=False)
class Discoveries:
    """What one labelling shows of a claim, by candidate: `(candidates,)` each."""

    p: np.ndarray
    """Of `associated` NaN for what never differs."""
    q: np.ndarray
    selected: np.ndarray
    """bool: at the rate asked for."""

    @property
    def evidence(self) -> np.ndarray:
        """-log10 p, 0 without one."""
        least = np.finfo(float).tiny
        evidence: np.ndarray = -np.log10(np.maximum(np.nan_to_num(self.p, nan=1.0), least))
        return evidence


def prepare_hypotheses(
    features: np.ndarray,
    genes: pd.DataFrame,
    channels: list[str],
    classes: list[str],
    params: BiomarkerParams,
    covariates: np.ndarray | None = None,
) -> Hypotheses:
    """What needs no label: candidates, and modules of the first channel."""
    found = candidates(features, genes, channels, params)
    modules = find_modules(features[:, :, 0], most=MOST_MODULES)
    activity = modules.activity(features[:, :, 0])
    fixed = np.zeros((len(features), 0)) if covariates is None else covariates
    return Hypotheses(genes, channels, classes, features, fixed, found, modules, activity)


def discover(
    hypotheses: Hypotheses,
    claim: Claim,
    labels: np.ndarray,
    params: BiomarkerParams,
) -> list[Discoveries]:
    """What each labelling shows of a claim.

    Parameters
    ----------
    labels
        `(labellings, samples)` class indices, -1 for a sample that takes no part.

    Returns
    -------
    One per labelling.
    """
    n_classes, held_fixed = len(hypotheses.classes), hypotheses.covariates
    if claim == "beyond":
        p = conditional_p_values(hypotheses.candidates.channels, labels, n_classes, held_fixed)
    else:
        tested = hypotheses.candidates.tested
        p = np.hstack([p_values(of, labels, n_classes, held_fixed, params) for of in tested])
    q = [np.nan_to_num(benjamini_hochberg(one), nan=1.0) for one in p]
    return [Discoveries(*both, both[1] <= params.q) for both in zip(p, q, strict=True)]


def units(hypotheses: Hypotheses, found: Discoveries) -> pd.DataFrame:
    """Per candidate: level, channel, name, genes, evidence, q_value and `selected`."""
    table, names = hypotheses.candidates.table, hypotheses.genes["gene"].tolist()
    return table[["level", "channel", "name"]].assign(
        genes=[" ".join(names[i] for i in of) for of in hypotheses.candidates.members],
        evidence=found.evidence,
        q_value=found.q,
        selected=found.selected,
    )


def rows_of(hypotheses: Hypotheses, found: Sequence[Discoveries]) -> np.ndarray:
    """`(labellings, rows)` bool: the list that each labelling gives."""
    lists = [to_rows(hypotheses, one.selected, False) for one in found]
    return np.array(lists).reshape(len(found), len(hypotheses.rows))


def to_rows(hypotheses: Hypotheses, values: np.ndarray, fill: Any) -> np.ndarray:
    """`(rows,)` of a value per candidate: each gene's own, or its segment's; `fill` without one."""
    result = np.full(len(hypotheses.rows), fill, dtype=np.asarray(values).dtype)
    candidate, row = hypotheses.row_of_candidate
    result[row] = np.asarray(values)[candidate]
    return result
