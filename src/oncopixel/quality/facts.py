"""What a cohort's data are like: four tidy tables that the data checks look at.

One row per sample, per gene and per class, and one row for the cohort as a whole, from one pass
over each channel's matrix in blocks of samples. The limits for these facts stand in `suites`.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, rankdata

from ..cohort.barcodes import barcode, same_people
from ..cohort.contract import Cohort, missing
from ..core.params import MAX_LOG2

BLOCK_VALUES = 4_000_000
"""Values looked at together: 16 MB of float32."""

SD_FLOORS = {"library_size": 0.05, "zero_fraction": 0.005}
"""Least robust SD: in cohorts normalised to equal sums nothing but rounding differs."""

SEPARATES = 0.99
"""AUC from which on one gene separates the classes by itself."""
LEAST_OF_CLASS = 5
"""Samples in a class, and outside it, below which an AUC says nothing."""
LEAST_TOLD = 10
"""Distinct values that two profiles must share to be the same."""
LEAST_RANKED = 100
"""Genes that it takes to tell one sample from another by ranks and correlations."""
COMPARED_GENES = 5_000
"""The most variable genes, by which profiles are compared."""
NEARLY = 0.9999
"""Correlation of ranks within a sample: the same sample on another scale, or rounded."""
NEARLY_STANDARDISED = 0.95
"""Correlation of profiles whose genes are standardised within each cohort."""

SEGMENT_FACTS = ("segments", "segments_covered", "segments_overlap", "segments_baseline")
"""Columns of the samples of a cohort of segments, see `sources.pixels`."""

TUMOUR_NAME = re.compile(r"tumou?r|cancer|carcinoma|malignant", re.IGNORECASE)
NORMAL_NAME = re.compile(r"normal|healthy|benign", re.IGNORECASE)

Table = Literal["cohort", "classes", "samples", "genes"]


def make_tables(cohort: Cohort, channels: list[str]) -> dict[Table, pd.DataFrame]:
    """The tables `samples`, `genes`, `classes` and `cohort` that the expectations look at."""
    labels = cohort.samples["label"].astype(str).to_numpy()
    samples = _sample_facts(cohort, labels)
    genes = pd.DataFrame(
        {
            "gene": cohort.genes.index.astype(str),
            "has_position": (cohort.genes["chromosome"].astype(str) != "").to_numpy(),
        }
    )
    placed = genes["has_position"].to_numpy()
    for channel in channels:
        per_sample, per_gene = _scan(cohort, channel)
        per_gene["separation"] = _separation(cohort, channel, labels, placed)
        for name, column in per_sample.items():
            samples[f"{channel}_{name}"] = column
        for name, column in per_gene.items():
            genes[f"{channel}_{name}"] = column
    if "expression" in channels:
        samples["shares_profile"] = _shared(samples.pop("expression_profile"), samples["patient"])
        for name, values in (
            ("library_size", np.log2(samples["expression_library_size"].clip(lower=0) + 1)),
            ("zero_fraction", samples["expression_zero_fraction"]),
        ):
            samples[f"{name}_deviation"] = _robust_deviation(values, SD_FLOORS[name])
    for name in SEGMENT_FACTS:
        if name in cohort.samples:
            samples[name] = cohort.samples[name].to_numpy()
    classes = pd.DataFrame({"class": cohort.classes})
    by_class = samples.groupby("label")
    classes["samples"] = classes["class"].map(by_class.size()).fillna(0).astype(int)
    classes["patients"] = classes["class"].map(by_class["patient"].nunique()).fillna(0).astype(int)
    facts: dict[str, Any] = {
        "samples": len(samples),
        "patients": samples["patient"].nunique(),
        "genes": len(genes),
        "classes": int((classes["samples"] > 0).sum()),
        "last_class": cohort.classes[-1],
    }
    for name in ("batch", "site"):
        facts[f"{name}_label_v"] = _association(cohort.samples[name], labels)
    for channel in channels:
        missing = samples[f"{channel}_missing"]
        facts[f"{channel}_missing"] = missing.mean()
        by_label = missing.groupby(samples["label"]).mean()
        facts[f"{channel}_missing_gap"] = by_label.max() - by_label.min()
        facts[f"{channel}_range"] = genes[f"{channel}_max"].max() - genes[f"{channel}_min"].min()
    facts |= {f"{name}_lost": share for name, share in cohort.losses.items()}
    if "expression" in channels:
        broken = genes["expression_fractional"].mean() > 0.01
        low = genes["expression_max"].max() < MAX_LOG2
        facts["looks_logged"] = bool(cohort.scale != "log2" and low and broken)
    return {"cohort": pd.DataFrame([facts]), "classes": classes, "samples": samples, "genes": genes}


def _sample_facts(cohort: Cohort, labels: np.ndarray) -> pd.DataFrame:
    """What the identifiers, types and labels of the samples say, one row per sample."""
    names = cohort.samples.index.astype(str)
    facts = pd.DataFrame(
        {
            "sample": names,
            "patient": cohort.patients,
            "patient_known": ~missing(cohort.samples["patient"]),
            "sample_type": cohort.samples["sample_type"].astype(str).replace("", None).to_numpy(),
            "label": labels,
        }
    )
    barcodes = [barcode(name) for name in names]
    facts["barcode_type"] = [code[1] if code else None for code in barcodes]
    known_type = facts["sample_type"].where(facts["sample_type"].notna(), facts["barcode_type"])
    same = facts["barcode_type"] == facts["sample_type"]
    comparable = facts["barcode_type"].notna() & facts["sample_type"].notna()
    facts["type_agrees_with_barcode"] = same.where(comparable, None)
    person = pd.Series([code[0] if code else None for code in barcodes], dtype=object)
    names_of_person = facts["patient"].groupby(person).transform("nunique")
    facts["patients_of_barcode"] = names_of_person
    facts["label_agrees_with_type"] = _label_agrees(labels, known_type, cohort.classes)
    facts["repeat_of"] = facts["patient"] + " " + known_type.fillna("")
    return facts


def _label_agrees(labels: np.ndarray, types: pd.Series, classes: list[str]) -> list[bool | None]:
    """Whether a tumour or normal label fits the type code; None unless both are classes."""
    kinds = {name: class_kind(name) for name in classes}
    if not {"tumour", "normal"} <= set(kinds.values()):
        return [None] * len(labels)
    return [
        None
        if kinds.get(label) is None or not re.fullmatch(r"[01]\d", str(code))
        else (kinds[label] == "normal") == str(code).startswith("1")
        for label, code in zip(labels, types, strict=True)
    ]


def class_kind(class_name: str) -> str | None:
    """`normal` or `tumour` when a class is named so, else None."""
    if NORMAL_NAME.search(class_name):
        return "normal"
    return "tumour" if TUMOUR_NAME.search(class_name) else None


def _scan(cohort: Cohort, channel: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts of one channel per sample and per gene, from one pass in blocks of samples."""
    n, g = cohort.data.shape
    if channel not in cohort.channels:
        return {"missing": np.ones(n)}, {
            "infinite": np.zeros(g, dtype=int),
            "min": np.full(g, np.nan),
            "max": np.full(g, np.nan),
        }
    values = cohort.layer(channel)
    missing = np.zeros(n)
    infinite = np.zeros(g, dtype=int)
    lowest, highest = np.full(g, np.inf, np.float32), np.full(g, -np.inf, np.float32)
    library, zeros, fractional = np.zeros(n), np.zeros(n), np.zeros(g, dtype=int)
    profiles: list[str] = []
    for rows in _blocks(n, g):
        block = values[rows]
        absent = np.isnan(block)
        missing[rows] = absent.sum(axis=1)
        unbounded = np.isinf(block)
        if unbounded.any():
            infinite += unbounded.sum(axis=0)
            block = np.where(unbounded, np.nan, block)
        lowest = np.fmin(lowest, np.fmin.reduce(block, axis=0))
        highest = np.fmax(highest, np.fmax.reduce(block, axis=0))
        if channel == "expression":
            linear = np.exp2(block.clip(max=64)) - 1 if cohort.scale == "log2" else block
            library[rows] = np.nansum(linear, axis=1, dtype=np.float64)
            zeros[rows] = (block <= 0).sum(axis=1)
            fractional += (np.abs(block - np.rint(block)) > 0).sum(axis=0)
            profiles += [hashlib.blake2b(row.tobytes()).hexdigest() for row in block]
    never = np.isinf(lowest) & (lowest > 0)
    lowest[never] = highest[never] = np.nan
    covered = g - int(never.sum())  # a gene that nobody measured, as beside a panel, is not missing
    missing = (missing - never.sum()) / covered if covered else np.ones(n)
    per_sample: dict[str, Any] = {"missing": missing}
    per_gene: dict[str, Any] = {"infinite": infinite, "min": lowest, "max": highest}
    if channel == "expression":
        measured = missing < 1
        per_sample["library_size"] = np.where(measured, library, np.nan)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nothing was measured
            per_sample["zero_fraction"] = zeros / (covered * (1 - missing))
        per_sample["profile"] = pd.Series(profiles, dtype=object).where(measured, None)
        per_gene["range"] = np.nan_to_num(highest - lowest)
        per_gene["fractional"] = fractional / n
    return per_sample, per_gene


def _blocks(n_samples: int, n_genes: int) -> Iterator[slice]:
    step = max(1, BLOCK_VALUES // max(1, n_genes))
    return (slice(start, start + step) for start in range(0, n_samples, step))


def _shared(profiles: pd.Series, patients: pd.Series) -> pd.Series:
    """Whether the very same expression values also stand under another patient."""
    return patients.groupby(profiles).transform("nunique").fillna(1) > 1


def _separation(cohort: Cohort, channel: str, labels: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """`(genes,)` AUC of genes without a known place, of the class that each tells best; or NaN."""
    found = np.full(len(placed), np.nan)
    unplaced = np.flatnonzero(~placed)
    if channel not in cohort.channels or not len(unplaced):
        return found
    found[unplaced] = _best_auc(cohort, channel, labels, unplaced)
    high = np.flatnonzero(found >= SEPARATES)
    explained = placed.mean() < 0.5
    if len(high) and not explained:  # unless placed ones separate the classes just as often
        others = _best_auc(cohort, channel, labels, np.flatnonzero(placed)) >= SEPARATES
        explained = others.mean() * len(unplaced) >= 0.5
    if explained:  # what is constant in every class is none the less a phenotype
        values = cohort.layer(channel)[:, high]
        ranges = np.array([np.ptp(values[labels == label], axis=0) for label in np.unique(labels)])
        found[np.setdiff1d(unplaced, high[(ranges == 0).all(axis=0)])] = np.nan
    return found


def _best_auc(cohort: Cohort, channel: str, labels: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """`(genes,)` largest AUC of a class against the rest, whichever is higher; at least 0.5."""
    values = cohort.layer(channel)
    best = np.full(len(genes), 0.5)
    for part in _blocks(len(genes), len(labels)):
        ranks = rankdata(values[:, genes[part]], axis=0, nan_policy="omit")
        measured = ~np.isnan(ranks)
        for label in np.unique(labels):
            inside = measured & (labels == label)[:, np.newaxis]
            n, m = inside.sum(axis=0), (measured & ~inside).sum(axis=0)
            usable = (n >= LEAST_OF_CLASS) & (m >= LEAST_OF_CLASS)
            above = np.where(inside, ranks, 0).sum(axis=0) - n * (n + 1) / 2
            auc = np.where(usable, above / np.maximum(n * m, 1), 0.5)
            best[part] = np.maximum(best[part], np.maximum(auc, 1 - auc))
    return best


def likeness(cohort: Cohort, other: Cohort) -> pd.DataFrame:
    """What each sample of `cohort` has in common with a sample of `other`.

    Returns
    -------
    `known_patient`: its patient is there. `known_profile`: the same expression is there, value by
    value where both are measured, or in the same order on another scale. `near_profile`: nearly the
    same is there, as after rounding, or after each cohort's genes were standardised. None: unknown.
    """
    known = pd.DataFrame({"known_patient": same_people(cohort, other)})
    known["known_profile"] = known["near_profile"] = None
    if not all("expression" in each.channels for each in (cohort, other)):
        return known
    both = cohort.genes.index.intersection(other.genes.index)
    values = [c.layer("expression")[:, c.genes.index.get_indexer(both)] for c in (cohort, other)]
    for part in values:
        part[~np.isfinite(part)] = np.nan
    rows = [np.flatnonzero(~np.isnan(part).all(axis=1)) for part in values]
    values = [part[at] for part, at in zip(values, rows, strict=True)]
    if not all(map(len, rows)):
        return known
    genes = np.flatnonzero(np.all([np.isnan(part).mean(axis=0) < 0.5 for part in values], axis=0))
    variance = np.nanvar(values[0][:, genes], axis=0)
    genes = genes[np.argsort(-variance, kind="stable")[:COMPARED_GENES]]
    if len(genes) < LEAST_TOLD:
        return known
    mine, theirs = (part[:, genes] for part in values)
    same = np.array([_met(row, theirs) for row in mine])
    near = np.zeros(len(mine), dtype=bool)
    whole = ~(np.isnan(mine).any(axis=0) | np.isnan(theirs).any(axis=0))
    if whole.sum() >= LEAST_RANKED:
        ranks = [rankdata(part[:, whole], axis=1) for part in (mine, theirs)]
        same |= np.array([_met(row, ranks[1]) for row in ranks[0]])
        near |= _highest_correlation(*ranks) >= NEARLY
    if len(genes) >= LEAST_RANKED:
        logged = (_logged(part, c.scale) for part, c in ((mine, cohort), (theirs, other)))
        near |= _highest_correlation(*map(_standardised, logged)) >= NEARLY_STANDARDISED
        known.loc[rows[0], "near_profile"] = near & ~same
    known.loc[rows[0], "known_profile"] = same
    return known


def _met(row: np.ndarray, others: np.ndarray) -> bool:
    """Whether one of the other rows has equal values, `LEAST_TOLD` distinct ones or more."""
    at = np.arange(len(others))
    for part in (slice(2 * LEAST_TOLD), slice(None)):  # few genes rule out nearly all
        value, beside = row[part], others[at, part]
        at = at[((value == beside) | np.isnan(value) | np.isnan(beside)).all(axis=1)]
    return any(len(np.unique(row[~np.isnan(row + others[i])])) >= LEAST_TOLD for i in at)


def _logged(values: np.ndarray, scale: str) -> np.ndarray:
    return values if scale == "log2" else np.asarray(np.log2(values.clip(min=0) + 1))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Each gene with mean 0 and variance 1; 0 where it is missing or constant."""
    sd = np.nanstd(values, axis=0)
    scaled = (values - np.nanmean(values, axis=0)) / np.where(sd > 0, sd, np.inf)
    return np.asarray(np.nan_to_num(scaled))


def _highest_correlation(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Pearson's r of each row of `mine` with the one of `theirs` that is most like it."""
    unit = []
    for rows in (mine, theirs):
        centred = rows - rows.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        unit.append(centred / np.where(length > 0, length, np.inf))
    return np.asarray((unit[0] @ unit[1].T).max(axis=1))


def _association(values: pd.Series, labels: np.ndarray) -> float:
    """Cramér's V; NaN where less than two values, or one class, are known."""
    known = ~missing(values)
    text = values.astype(str).to_numpy()[known]
    if min(len(set(text)), len(set(labels[known]))) < 2:
        return float("nan")
    return cramers_v(text, labels[known])


def _robust_deviation(values: pd.Series, floor: float) -> pd.Series:
    """Distance from the median in robust standard deviations (1.4826 MAD)."""
    distance = values - values.median()
    return distance / max(1.4826 * distance.abs().median(), floor)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Bias-corrected Cramér's V, 0 to 1, without "" (Bergsma 2013, J Korean Stat Soc 42:323)."""
    known = (a != "") & (b != "")
    table = pd.crosstab(a[known], b[known]).to_numpy()
    if min(table.shape, default=0) < 2:
        return 0.0
    n = table.sum()
    phi2 = chi2_contingency(table, correction=False).statistic / n
    r, k = table.shape
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi2 / min(r - 1, k - 1))) if min(r, k) > 1 else 0.0
