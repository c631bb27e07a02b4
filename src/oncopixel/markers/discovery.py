"""The list: which genes, segments and arms carry the label, at a stated error rate.

`prepare_hypotheses` makes all that needs no label: candidates with their decoys, and modules.
`discover` tests them on many labellings at once, resampled and permuted ones as well.

What the list says of a gene is the cohort's `claim`. `associated`: it goes with the label, alone or
through anything else; each candidate has a test of its own. `beyond`: it adds information beyond
the latent factors, its module and its own copy number; candidates compete with knockoffs.
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
from .competition import compete
from .fdr import benjamini_hochberg, mean_e_values, q_values, select

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
    """`(samples, terms)` that `associated` holds fixed."""
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

    evidence: np.ndarray
    """-log10 p of `associated`; of `beyond` the mean W."""
    q: np.ndarray
    selected: np.ndarray
    """bool: at the rate asked for."""
    p: np.ndarray | None = None
    """Of `associated`, NaN for what never differs."""
    e: np.ndarray | None = None
    """Of `beyond`: e-values at the rate asked for."""


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
    draws: int | None = None,
) -> list[Discoveries]:
    """What each labelling shows of a claim; every labelling meets the same decoys.

    Parameters
    ----------
    labels
        `(labellings, samples)` class indices, -1 for a sample that takes no part.
    draws
        Of decoys; `params.draws` unless given. `associated` has none.

    Returns
    -------
    One per labelling.
    """
    if claim == "beyond":
        w = decoy_statistics(hypotheses, labels, draws or params.draws, params)
        return [_beyond(one, params) for one in w]
    n_classes = len(hypotheses.classes)
    p = np.hstack(
        [
            p_values(tested, labels, n_classes, hypotheses.covariates, params)
            for tested in hypotheses.candidates.tested
        ]
    )
    return [_associated(one, params) for one in p]


def decoy_statistics(
    hypotheses: Hypotheses, labels: np.ndarray, draws: int, params: BiomarkerParams
) -> np.ndarray:
    """`(labellings, draws, candidates)` W, on which `beyond` rests; see `competition.compete`."""
    w, _ = compete(
        hypotheses.candidates, labels, len(hypotheses.classes), draws=draws, seed=params.seed
    )
    return w


def _associated(p: np.ndarray, params: BiomarkerParams) -> Discoveries:
    q = np.nan_to_num(benjamini_hochberg(p), nan=1.0)
    evidence = -np.log10(np.maximum(np.nan_to_num(p, nan=1.0), np.finfo(float).tiny))
    return Discoveries(evidence, q, q <= params.q, p=p)


def _beyond(w: np.ndarray, params: BiomarkerParams) -> Discoveries:
    return Discoveries(
        w.mean(axis=0),
        q_values(w, params.q, params.decoys),
        select(w, params.q, params.decoys),
        e=mean_e_values(w, params.q, params.decoys),
    )


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
