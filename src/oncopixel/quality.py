"""What a cohort's data are like: four tidy tables that the data checks look at.

One row per sample, per gene and per class, and one row for the cohort as a whole, from one pass
over each channel's matrix in blocks of samples. The limits for these facts stand in `checks`.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from .cohort import Cohort
from .labels import barcode

BLOCK_VALUES = 4_000_000
"""Values looked at together: 16 MB of float32."""

LOGGED_BELOW = 50.0
"""Expression that never reaches this, and is not whole numbers, has been logged."""

SD_FLOORS = {"library_size": 0.05, "zero_fraction": 0.005}
"""Least robust SD: in cohorts normalised to equal sums nothing but rounding differs."""

TUMOUR_NAME = re.compile(r"tumou?r|cancer|carcinoma|malignant", re.IGNORECASE)
NORMAL_NAME = re.compile(r"normal|healthy|benign", re.IGNORECASE)

Table = Literal["cohort", "classes", "samples", "genes"]


def make_tables(cohort: Cohort, channels: list[str]) -> dict[Table, pd.DataFrame]:
    """The tables `samples`, `genes`, `classes` and `cohort` that the expectations look at.

    A declared channel that was never measured counts as missing in every sample and gene.
    """
    labels = cohort.samples["label"].astype(str).to_numpy()
    samples = _sample_facts(cohort, labels)
    genes = pd.DataFrame(
        {
            "gene": cohort.genes.index.astype(str),
            "has_position": (cohort.genes["chromosome"].astype(str) != "").to_numpy(),
        }
    )
    for channel in channels:
        per_sample, per_gene = _scan(cohort, channel)
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
        facts[f"{name}_label_v"] = cramers_v(cohort.samples[name].astype(str).to_numpy(), labels)
    for channel in channels:
        missing = samples[f"{channel}_missing"]
        facts[f"{channel}_missing"] = missing.mean()
        by_label = missing.groupby(samples["label"]).mean()
        facts[f"{channel}_missing_gap"] = by_label.max() - by_label.min()
    facts |= {f"{name}_lost": share for name, share in cohort.losses.items()}
    if "expression" in channels:
        facts["looks_logged"] = _looks_logged(
            cohort.scale, genes["expression_max"].max(), genes["expression_fractional"].mean()
        )
    return {"cohort": pd.DataFrame([facts]), "classes": classes, "samples": samples, "genes": genes}


def _looks_logged(scale: str, highest: float, fractional: float) -> bool:
    return bool(scale != "log2" and highest < LOGGED_BELOW and fractional > 0.01)


def _sample_facts(cohort: Cohort, labels: np.ndarray) -> pd.DataFrame:
    """What the identifiers, types and labels of the samples say, one row per sample."""
    names = cohort.samples.index.astype(str)
    facts = pd.DataFrame(
        {
            "sample": names,
            "patient": cohort.patients,
            "sample_type": cohort.samples["sample_type"].astype(str).to_numpy(),
            "label": labels,
        }
    )
    barcodes = [barcode(name) for name in names]
    facts["barcode_type"] = [code[1] if code else None for code in barcodes]
    known_type = facts["sample_type"].where(facts["sample_type"] != "", facts["barcode_type"])
    same = facts["barcode_type"] == facts["sample_type"]
    comparable = facts["barcode_type"].notna() & (facts["sample_type"] != "")
    facts["type_agrees_with_barcode"] = same.where(comparable, None)
    person = pd.Series([code[0] if code else None for code in barcodes], dtype=object)
    names_of_person = facts["patient"].groupby(person).transform("nunique")
    facts["patients_of_barcode"] = names_of_person
    facts["label_agrees_with_type"] = _label_agrees(labels, known_type, cohort.classes)
    facts["repeat_of"] = facts["patient"] + " " + known_type.fillna("")
    return facts


def _label_agrees(labels: np.ndarray, types: pd.Series, classes: list[str]) -> list[bool | None]:
    """Whether a tumour or normal label fits the sample type code; None where that is no question.

    Asked only when the label has both a tumour and a normal class: PAM50's `Normal` is a tumour.
    """
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
        per_gene["spread"] = np.nan_to_num(highest - lowest)
        per_gene["fractional"] = fractional / n
    return per_sample, per_gene


def _blocks(n_samples: int, n_genes: int) -> Iterator[slice]:
    step = max(1, BLOCK_VALUES // max(1, n_genes))
    return (slice(start, start + step) for start in range(0, n_samples, step))


def _shared(profiles: pd.Series, patients: pd.Series) -> pd.Series:
    """Whether the very same expression values also stand under another patient."""
    return patients.groupby(profiles).transform("nunique").fillna(1) > 1


def _robust_deviation(values: pd.Series, floor: float) -> pd.Series:
    """Distance from the median in robust standard deviations (1.4826 MAD)."""
    distance = values - values.median()
    return distance / max(1.4826 * distance.abs().median(), floor)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Bias-corrected Cramér's V of two categorical variables, 0 (independent) to 1.

    Rows where either is "" are left out; 0 when a variable has a single value. Bergsma (2013),
    Journal of the Korean Statistical Society 42, 323-328.
    """
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
