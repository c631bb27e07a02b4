"""The list: which genes, segments, arms, modules and pairs carry the label, at a stated error rate.

`search` prepares all that needs no label: candidates with their decoys, modules and activities.
`discover` asks one labelling, and can be asked for resampled or permuted ones as well, since the
decoys are the same for all.

What the list says of a gene is the cohort's `claim`, which chooses the decoys (see `decoys`).
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
from .decoys import Candidates, candidates, compete
from .fdr import LEVELS, q_values, select
from .joint import module_table, pair_table, two_hit_table

JOINT_SHARE = 0.1
"""Share of q at which pairs of modules, and two hits, are selected."""
MOST_MODULES = 100
LEADING = 10
"""Genes of each module of a discovered pair that are listed, those of largest weight."""
NEAR = 5_000_000
"""Bases around a planted copy-number gene within which genes follow it: neither true nor false."""

CLAIMS: tuple[Claim, ...] = ("beyond", "associated")


@dataclass(frozen=True, eq=False)
class Search:
    """All of a cohort that needs no label."""

    genes: pd.DataFrame
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

    found_by: np.ndarray
    """`(rows,)` str: "gene", "segment", "pair" or "two_hits"; "" for a row that is not listed."""
    units: pd.DataFrame
    """Per candidate: level, channel, name, genes, evidence (mean W), and `selected`."""
    modules: pd.DataFrame
    """See `interactions.module_table`."""
    interactions: pd.DataFrame
    """Selected pairs and two hits: kind, first, second, class, effect, p_value, q_value, genes."""


def search(
    features: np.ndarray,
    genes: pd.DataFrame,
    channels: list[str],
    classes: list[str],
    params: BiomarkerParams,
) -> Search:
    """What can be prepared from the development samples' features without their labels.

    `genes` has `gene`, `chromosome` and `start`. Modules are of the first channel.
    """
    found = candidates(features, genes, channels, params.decoys, params.seed)
    modules = find_modules(features[:, :, 0], most=MOST_MODULES)
    activity = modules.activity(features[:, :, 0])
    leading = {
        f"M{number}": np.argsort(-np.abs(weight), kind="stable")[: min(LEADING, len(members))]
        for number, (weight, members) in enumerate(
            zip(modules.weights.T, modules.members(), strict=True), start=1
        )
    }
    return Search(genes, channels, classes, features, found, modules, activity, leading)


def statistics(
    space: Search, claim: Claim, labels: np.ndarray, draws: int, params: BiomarkerParams
) -> np.ndarray:
    """What a claim rests on: W of each labelling, draw and candidate.

    `labels` `(labellings, samples)`; -1 is a sample that takes no part. See `decoys.compete`.
    """
    w, _ = compete(
        space.candidates, claim, labels, len(space.classes),
        draws=draws,
        seed=params.seed,
    )  # fmt: skip
    return w


def discover(
    space: Search, y: np.ndarray, statistic: np.ndarray, params: BiomarkerParams
) -> Discoveries:
    """All that the labels `y` show; `statistic` `(draws, candidates)` is of this labelling."""
    found, names = space.candidates, space.genes["gene"].tolist()
    units = found.table[["level", "channel", "name"]].assign(
        genes=[" ".join(names[i] for i in members) for members in found.members],
        evidence=statistic.mean(axis=0),
        selected=select(statistic, params.q, params.decoys),
    )
    interactions = _interactions(space, y, params.q * JOINT_SHARE)
    found_by = _found_by(space, units["selected"].to_numpy(), interactions)
    interactions["genes"] = [
        " ".join(names[i] for part in (space.leading[a], space.leading[b]) for i in part)
        if kind == "pair"
        else a
        for kind, a, b in interactions[["kind", "first", "second"]].itertuples(index=False)
    ]
    modules = module_table(space.modules, space.activity, y, names, space.classes)
    return Discoveries(found_by, units, modules, interactions)


def listed(
    space: Search, y: np.ndarray, statistic: np.ndarray, params: BiomarkerParams
) -> np.ndarray:
    """`(rows,)` bool: the list that these labels give; -1 is a sample that takes no part."""
    interactions = _interactions(space, y, params.q * JOINT_SHARE)
    selected = select(statistic, params.q, params.decoys)
    rows: np.ndarray = _found_by(space, selected, interactions) != ""
    return rows


def _found_by(space: Search, selected: np.ndarray, interactions: pd.DataFrame) -> np.ndarray:
    """`(rows,)` what put each row on the list; a gene's or segment's own evidence comes first."""
    found_by = np.full(len(space.rows), "", dtype=object)
    pairs = interactions[interactions["kind"] == "pair"]
    for module in pd.unique(pairs[["first", "second"]].to_numpy().ravel()):
        found_by[_row(space, space.leading[module], space.channels[0])] = "pair"
    hits = interactions.loc[interactions["kind"] == "two_hits", "first"]
    at = np.flatnonzero(space.genes["gene"].isin(hits))
    for channel in ("copy_number", "mutation") if len(at) else ():
        found_by[_row(space, at, channel)] = "two_hits"
    candidate, row = space.row_of_candidate
    mine = selected[candidate]
    found_by[row[mine]] = space.candidates.table["level"].to_numpy()[candidate[mine]]
    return found_by


def _row(space: Search, genes: np.ndarray | pd.Index, channel: str) -> np.ndarray:
    """Positions among the list's rows of these genes, by position, in a channel."""
    at: np.ndarray = np.asarray(genes) * len(space.channels) + space.channels.index(channel)
    return at


def _interactions(space: Search, y: np.ndarray, q: float) -> pd.DataFrame:
    """The pairs of modules and the two hits that are selected at `q`; y = -1 takes no part."""
    there = y >= 0
    names = space.genes["gene"].tolist()
    parts = []
    tested = pair_table(space.activity[there], y[there], space.classes)
    pairs = tested[tested["q_value"] <= q].rename(columns={"module": "first", "other": "second"})
    parts.append(pairs.assign(kind="pair"))
    if {"copy_number", "mutation"} <= set(space.channels):
        copies, mutated = (
            space.features[there, :, space.channels.index(channel)]
            for channel in ("copy_number", "mutation")
        )
        tested = two_hit_table(copies, mutated, y[there], names, space.classes)
        hits = tested[tested["q_value"] <= q].rename(columns={"gene": "first"})
        parts.append(hits.assign(kind="two_hits", second=hits["first"]))
    columns = ["kind", "first", "second", "class", "effect", "p_value", "q_value"]
    found = [part[columns] for part in parts if len(part)]
    table = pd.concat(found) if found else pd.DataFrame(columns=columns)
    return table.sort_values(["kind", "p_value", "first", "second"], ignore_index=True)


def spread(space: Search, values: np.ndarray, fill: Any) -> np.ndarray:
    """`(rows,)` of a value per candidate: each gene's own, or its segment's; `fill` without one."""
    result = np.full(len(space.rows), fill, dtype=np.asarray(values).dtype)
    candidate, row = space.row_of_candidate
    result[row] = np.asarray(values)[candidate]
    return result


def q_of_rows(space: Search, statistic: np.ndarray, params: BiomarkerParams) -> np.ndarray:
    """`(rows,)` q-value of each gene and channel by itself; 1 for what was no candidate.

    It is at most `params.q` for those selected by themselves, and above it for the others, those
    that are listed for a pair or two hits among them.
    """
    taken = select(statistic, params.q, params.decoys)
    q = q_values(statistic, params.decoys)
    above = min((level for level in LEVELS if level > params.q), default=1.0)
    q = np.where(taken, np.minimum(q, params.q), np.maximum(q, above))
    return spread(space, q, 1.0)


def evidence_of_rows(space: Search, statistic: np.ndarray) -> np.ndarray:
    """`(rows,)` mean W over draws; 0 for what was no candidate."""
    return spread(space, statistic.mean(axis=0), 0.0)


def in_order(ranking: pd.DataFrame) -> pd.DataFrame:
    """The rows of the list first, then the rest, each by score; `rank` is set anew."""
    columns = ["selected", "score", "evidence"]
    ordered = ranking.sort_values(columns, ascending=False, kind="stable", ignore_index=True)
    return ordered.assign(rank=np.arange(1, len(ordered) + 1))


def realised(space: Search, truth: pd.DataFrame, selected: np.ndarray) -> dict[str, Any]:
    """False-discovery proportion and power of a list, where the truth is known.

    `truth` has gene, channel and kind of each planted marker; `selected` is `(rows,)`. Genes that
    follow a planted copy number event, its own gene's expression and neighbours within `NEAR`, are
    neither true nor false. Power is over the planted markers on the image, and over each kind.
    """
    planted = pd.MultiIndex.from_frame(truth[["gene", "channel"]])
    true = space.rows.isin(planted)
    near = np.zeros(len(space.genes), dtype=bool)
    events = set(truth.loc[truth["channel"] == "copy_number", "gene"])
    for row in space.genes[space.genes["gene"].isin(events)].itertuples():
        same = space.genes["chromosome"] == row.chromosome
        near |= (same & ((space.genes["start"] - row.start).abs() <= NEAR)).to_numpy()
    gray = np.repeat(near, len(space.channels)) & ~true
    gray &= space.rows.get_level_values("channel").isin(["expression", "copy_number"])
    false = selected & ~true & ~gray
    hit = selected & true
    kinds = truth.set_index(["gene", "channel"])["kind"].reindex(space.rows)
    result: dict[str, Any] = {
        "fdp": float(false.sum() / max(1, (false | hit).sum())),
        "power": float(hit.sum() / max(1, true.sum())),
    }
    for kind in sorted(set(kinds.dropna())):
        mine = (kinds == kind).to_numpy()
        result[f"power_{kind}"] = float(hit[mine].mean())
    return result


def calibration(
    space: Search, truth: pd.DataFrame, statistic: np.ndarray, params: BiomarkerParams
) -> pd.DataFrame:
    """Realised FDP and power of the list at each of `LEVELS`; empty when nothing was planted.

    Columns: q, fdp, power, selected (rows). Joint discoveries are not in it.
    """
    rows = []
    for level in LEVELS if len(truth) else ():
        chosen = spread(space, select(statistic, level, params.decoys), False)
        found = realised(space, truth, chosen)
        rows.append((level, found["fdp"], found["power"], int(chosen.sum())))
    return pd.DataFrame(rows, columns=["q", "fdp", "power", "selected"])
