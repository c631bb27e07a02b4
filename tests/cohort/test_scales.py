"""What values look like: every way of writing expression is told from the others, or let pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncopixel.cohort.scales import copies, misfit, refuse_relative, relative
from oncopixel.core.errors import SourceError


def tpm(n: int = 40, genes: int = 150, seed: int = 0) -> np.ndarray:
    """Linear values of a panel, `(samples, genes)`, not whole and without a common sum."""
    rng = np.random.default_rng(seed)
    return np.exp2(rng.normal(rng.uniform(3, 12, genes), 1, (n, genes)).clip(0))


def reads(n: int = 40, genes: int = 150) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.poisson(rng.lognormal(2, 2, genes), (n, genes)).astype(float)


def z(values: np.ndarray, axis: int = 0) -> np.ndarray:
    return (values - values.mean(axis, keepdims=True)) / values.std(axis, keepdims=True)


LOG2 = np.log2(tpm() + 1)
CPM = reads(genes=200) / reads(genes=200).sum(axis=1, keepdims=True) * 1e4
COUNTED = np.rint(tpm() * 20).clip(max=999_999)
THOUSANDS = np.where(COUNTED < 1000, COUNTED, COUNTED / 1000)
PART = tpm() / tpm().sum(axis=1, keepdims=True) * 1e6


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (reads(), "counts"),
        (tpm(), "rsem"),
        (PART, "tpm"),
        (LOG2, "log2"),
        (np.log2(reads() + 1), "log2"),
        (np.log2(PART + 1), "log2"),
        (np.round(LOG2, 1), "log2"),
        (np.log2(CPM[:, :100] + 1), "log2"),
        (np.rint(PART), "tpm"),
        (np.round(tpm(), 3).clip(0.5, 9999), "rsem"),
        (np.log2(tpm() / 60 + 0.001), "log2"),  # as UCSC's Toil has it
    ],
)
def test_expression_on_its_own_scale_passes(values: np.ndarray, scale: str) -> None:
    assert misfit(values.astype(np.float32), scale) is None
    assert not relative(values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "scales", "words"),
    [
        (z(tpm()), ("counts", "rsem", "tpm", "fpkm"), "z-scores or log ratios"),
        (z(LOG2, 1), ("counts", "rsem", "tpm"), "z-scores or log ratios"),
        (LOG2, ("counts", "rsem", "tpm", "fpkm"), "look like logarithms"),
        (np.log2(reads() + 1), ("counts", "tpm"), "look like logarithms"),
        (reads().clip(max=50), ("log2",), "look like counts"),
        (np.log10(tpm() + 1), ("log2",), "decadic logarithms"),
        (np.log10(reads() + 1).round(4), ("log2",), "decadic logarithms"),
        (np.log(reads() + 1).round(4), ("log2",), "natural logarithms"),
        (np.log(PART / 100 + 1), ("log2",), "natural logarithms"),
        (np.log(CPM[:, :100] + 1).round(4), ("log2",), "natural logarithms"),
        (np.log10(CPM[:, :100] + 1).round(4), ("log2",), "decadic logarithms"),
        (np.log10(tpm(genes=1_000) * 2_000 + 1), ("log2",), "decadic logarithms"),
        (reads() * 3, ("tpm", "fpkm"), "look like counts"),
        (THOUSANDS, ("counts", "rsem", "tpm", "fpkm"), "a point for thousands"),
        (LOG2 / LOG2.max(), ("log2", "tpm", "counts"), "scaled from 0 to 1"),
        ((LOG2 - LOG2.min(0)) / np.ptp(LOG2, axis=0), ("log2", "rsem"), "scaled from 0 to 1"),
        (2 * (LOG2 - LOG2.min(0)) / np.ptp(LOG2, axis=0) - 1, ("log2",), "scaled from -1 to 1"),
        (100 * (LOG2 - LOG2.min(0)) / np.ptp(LOG2, axis=0), ("tpm",), "scaled from 0 to 100"),
    ],
)
def test_what_is_on_another_scale_is_called_by_its_name(
    values: np.ndarray, scales: tuple[str, ...], words: str
) -> None:
    with_gaps = values.astype(np.float32)
    if "natural" not in words:
        with_gaps[::7, 3] = np.nan
    for scale in scales:
        assert words in str(misfit(with_gaps, scale)), scale


@pytest.mark.parametrize(
    "values",
    [
        z(LOG2),
        z(tpm()),
        z(tpm(n=12)),
        LOG2 - np.median(LOG2, axis=0),
        z(LOG2, axis=1),
        z(LOG2)[:3],
        (LOG2 - np.median(LOG2, axis=0)) / 3,
    ],
)
def test_relative_values_pass_as_log2_but_are_refused_where_they_stand_alone(
    values: np.ndarray,
) -> None:
    assert misfit(values, "log2") is None
    assert relative(values)
    with pytest.raises(SourceError, match=r"x\.tsv is taken as `log2`.*z-scores"):
        refuse_relative(values, "log2", "x.tsv")
    refuse_relative(LOG2, "log2", "x.tsv")


def test_few_values_are_not_judged() -> None:
    assert misfit(np.full((10, 19), 0.5), "log2") is None
    assert not relative(z(LOG2)[:1, :150])


@settings(deadline=None, max_examples=30)
@given(st.integers(12, 40), st.integers(30, 80), st.integers(0, 10**6))
def test_a_table_never_passes_as_what_it_is_not(n: int, genes: int, seed: int) -> None:
    values = tpm(n, genes, seed)
    logged = np.log2(values + 1)
    for scale, fitting in (("tpm", values), ("log2", logged)):
        assert misfit(fitting, scale) is None
    assert not relative(logged)
    assert relative(z(logged))
    for scale, other in (
        ("tpm", logged),
        ("tpm", z(values)),
        ("log2", np.log10(values + 1)),
        ("log2", logged / logged.max()),
        ("counts", z(logged)),
    ):
        assert misfit(other, scale)


RATIO = np.random.default_rng(2).lognormal(0, 0.2, (30, 20))


@pytest.mark.parametrize(
    "values",
    [
        np.log2(RATIO),
        np.random.default_rng(3).integers(-2, 3, (30, 20)).astype(float),
        np.random.default_rng(3).choice([0.0, 1, 2], (30, 20), p=[0.7, 0.2, 0.1]),
        np.full((30, 20), np.nan),
        np.zeros((30, 20)),
    ],
)
def test_log_ratios_and_gistic_levels_pass_as_copy_number(values: np.ndarray) -> None:
    assert copies(values) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RATIO, "ratios to normal, or log2(ratio + 1)"),
        (RATIO * 0.9, "ratios to normal"),
        (RATIO - (RATIO < 0.6), "hardly any value is negative"),
        (np.log2(RATIO + 1), "ratios to normal, or log2(ratio + 1)"),
        (RATIO * 2, "numbers of copies"),
        (np.rint(RATIO * 2), "numbers of copies"),
        (np.rint(RATIO**3 * 2) - 2, "copies less 2"),
    ],
)
def test_copies_of_another_kind_are_called_by_their_name(values: np.ndarray, words: str) -> None:
    assert words in str(copies(values))
