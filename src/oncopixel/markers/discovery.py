"""The list: which genes, segments, arms, modules and pairs carry the label, at a stated error rate.

`prepare_hypotheses` makes all that needs no label: candidates with their decoys, modules and
activities. `discover` tests them on one labelling, resampled or permuted ones as well, since the
decoys are the same for all.

What the list says of a gene is the cohort's `claim`, which chooses the decoys.
`beyond`: it adds information beyond the latent factors, its module and its own copy number.
`associated`: it goes with the label, alone or through anything else.
Pairs of modules and two hits of a gene are joint discoveries under either claim. Each of these two
kinds has a small share of `q` of its own, so that labels which say nothing seldom give a list.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..core.params import BiomarkerParams, Claim
from ..images.coexpression import Modules, find_modules
from .candidates import Candidates, candidates
from .competition import compete
from .fdr import LEVELS, q_values, select
from .joint import module_table, pair_table, two_hit_table

JOINT_SHARE = 0.1
"""Share of q at which pairs of modules, and two hits, are selected."""
MOST_MODULES = 100
LEADING = 10
"""Genes of each module of a discovered pair that are listed, those of largest weight."""

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
    candidates: Candidates
    modules: Modules
    activity: np.ndarray
    """`(samples, modules)` float32."""
    leading: dict[str, np.ndarray]
    """Positions of the genes that stand for each module, those of largest weight first."""

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
    """What one labelling shows."""

    discovered_as: np.ndarray
    """`(rows,)` str: "gene", "segment", "pair" or "two_hits"; "" for a row that is not listed."""
    units: pd.DataFrame
    """Per candidate: level, channel, name, genes, evidence (mean W), and `selected`."""
    modules: pd.DataFrame
    """See `joint.module_table`."""
    interactions: pd.DataFrame
    """Selected pairs and two hits: kind, first, second, class, effect, p_value, q_value, genes."""


def prepare_hypotheses(
    features: np.ndarray,
    genes: pd.DataFrame,
    channels: list[str],
    classes: list[str],
    params: BiomarkerParams,
) -> Hypotheses:
    """What needs no label: candidates with their decoys, and modules of the first channel."""
    found = candidates(features, genes, channels, params.decoys, params.seed)
    modules = find_modules(features[:, :, 0], most=MOST_MODULES)
    activity = modules.activity(features[:, :, 0])
    leading = {
        f"M{number}": np.argsort(-np.abs(weight), kind="stable")[: min(LEADING, len(members))]
        for number, (weight, members) in enumerate(
            zip(modules.weights.T, modules.members(), strict=True), start=1
        )
    }
    return Hypotheses(genes, channels, classes, features, found, modules, activity, leading)


def decoy_statistics(
    hypotheses: Hypotheses, claim: Claim, labels: np.ndarray, draws: int, params: BiomarkerParams
) -> np.ndarray:
    """`(labellings, draws, candidates)` W, on which a claim rests; see `competition.compete`."""
    w, _ = compete(
        hypotheses.candidates, claim, labels, len(hypotheses.classes),
        draws=draws,
        seed=params.seed,
    )  # fmt: skip
    return w


def discover(
    hypotheses: Hypotheses, y: np.ndarray, statistic: np.ndarray, params: BiomarkerParams
) -> Discoveries:
    """All that the labels `y` show; `statistic` `(draws, candidates)` is of this labelling."""
    found, names = hypotheses.candidates, hypotheses.genes["gene"].tolist()
    units = found.table[["level", "channel", "name"]].assign(
        genes=[" ".join(names[i] for i in members) for members in found.members],
        evidence=statistic.mean(axis=0),
        selected=select(statistic, params.q, params.decoys),
    )
    interactions = _interactions(hypotheses, y, params.q * JOINT_SHARE)
    discovered_as = _kinds_of_rows(hypotheses, units["selected"].to_numpy(), interactions)
    interactions["genes"] = [
        " ".join(names[i] for part in (hypotheses.leading[a], hypotheses.leading[b]) for i in part)
        if kind == "pair"
        else a
        for kind, a, b in interactions[["kind", "first", "second"]].itertuples(index=False)
    ]
    modules = module_table(hypotheses.modules, hypotheses.activity, y, names, hypotheses.classes)
    return Discoveries(discovered_as, units, modules, interactions)


def selected_rows(
    hypotheses: Hypotheses, y: np.ndarray, statistic: np.ndarray, params: BiomarkerParams
) -> np.ndarray:
    """`(rows,)` bool: the list that these labels give; -1 is a sample that takes no part."""
    interactions = _interactions(hypotheses, y, params.q * JOINT_SHARE)
    selected = select(statistic, params.q, params.decoys)
    rows: np.ndarray = _kinds_of_rows(hypotheses, selected, interactions) != ""
    return rows


def _kinds_of_rows(
    hypotheses: Hypotheses, selected: np.ndarray, interactions: pd.DataFrame
) -> np.ndarray:
    """`(rows,)` what put each row on the list; a gene's or segment's own evidence comes first."""
    discovered_as = np.full(len(hypotheses.rows), "", dtype=object)
    pairs = interactions[interactions["kind"] == "pair"]
    for module in pd.unique(pairs[["first", "second"]].to_numpy().ravel()):
        discovered_as[_row(hypotheses, hypotheses.leading[module], hypotheses.channels[0])] = "pair"
    hits = interactions.loc[interactions["kind"] == "two_hits", "first"]
    at = np.flatnonzero(hypotheses.genes["gene"].isin(hits))
    for channel in ("copy_number", "mutation") if len(at) else ():
        discovered_as[_row(hypotheses, at, channel)] = "two_hits"
    candidate, row = hypotheses.row_of_candidate
    mine = selected[candidate]
    discovered_as[row[mine]] = hypotheses.candidates.table["level"].to_numpy()[candidate[mine]]
    return discovered_as


def _row(hypotheses: Hypotheses, genes: np.ndarray | pd.Index, channel: str) -> np.ndarray:
    """Positions among the list's rows of these genes, by position, in a channel."""
    at: np.ndarray = np.asarray(genes) * len(hypotheses.channels) + hypotheses.channels.index(
        channel
    )
    return at


def _interactions(hypotheses: Hypotheses, y: np.ndarray, q: float) -> pd.DataFrame:
    """The pairs of modules and the two hits that are selected at `q`; y = -1 takes no part."""
    there = y >= 0
    names = hypotheses.genes["gene"].tolist()
    parts = []
    tested = pair_table(hypotheses.activity[there], y[there], hypotheses.classes)
    pairs = tested[tested["q_value"] <= q].rename(columns={"module": "first", "other": "second"})
    parts.append(pairs.assign(kind="pair"))
    if {"copy_number", "mutation"} <= set(hypotheses.channels):
        copies, mutated = (
            hypotheses.features[there, :, hypotheses.channels.index(channel)]
            for channel in ("copy_number", "mutation")
        )
        tested = two_hit_table(copies, mutated, y[there], names, hypotheses.classes)
        hits = tested[tested["q_value"] <= q].rename(columns={"gene": "first"})
        parts.append(hits.assign(kind="two_hits", second=hits["first"]))
    columns = ["kind", "first", "second", "class", "effect", "p_value", "q_value"]
    found = [part[columns] for part in parts if len(part)]
    table = pd.concat(found) if found else pd.DataFrame(columns=columns)
    return table.sort_values(["kind", "p_value", "first", "second"], ignore_index=True)


def to_rows(hypotheses: Hypotheses, values: np.ndarray, fill: Any) -> np.ndarray:
    """`(rows,)` of a value per candidate: each gene's own, or its segment's; `fill` without one."""
    result = np.full(len(hypotheses.rows), fill, dtype=np.asarray(values).dtype)
    candidate, row = hypotheses.row_of_candidate
    result[row] = np.asarray(values)[candidate]
    return result


def q_of_rows(hypotheses: Hypotheses, statistic: np.ndarray, params: BiomarkerParams) -> np.ndarray:
    """The q-value of each gene and channel by itself.

    Returns
    -------
    `(rows,)`: at most `params.q` for those selected by themselves, above it for the others, those
    that are listed for a pair or two hits among them, and 1 for what was no candidate.
    """
    taken = select(statistic, params.q, params.decoys)
    q = q_values(statistic, params.decoys)
    above = min((level for level in LEVELS if level > params.q), default=1.0)
    q = np.where(taken, np.minimum(q, params.q), np.maximum(q, above))
    return to_rows(hypotheses, q, 1.0)


def evidence_of_rows(hypotheses: Hypotheses, statistic: np.ndarray) -> np.ndarray:
    """`(rows,)` mean W over draws; 0 for what was no candidate."""
    return to_rows(hypotheses, statistic.mean(axis=0), 0.0)
