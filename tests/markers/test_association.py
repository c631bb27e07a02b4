"""Each candidate by itself: as limma and scipy have it, and at the rate that is promised."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, fisher_exact, mannwhitneyu

from oncopixel.core.errors import ParamsError
from oncopixel.core.params import BiomarkerParams, parse_params
from oncopixel.markers.association import Values, moderate, p_values

LIMMA = Path(__file__).parent / "limma"


@pytest.fixture
def settings(raw_params: dict) -> BiomarkerParams:
    return parse_params(raw_params).biomarkers


def none(n: int) -> np.ndarray:
    return np.zeros((n, 0))


@pytest.mark.parametrize(
    ("column", "trend", "least", "covariate"),
    [
        ("p_constant", False, 0.0, True),
        ("p_trend", True, 0.0, True),
        ("p_treat", True, 0.5, True),
        ("p_plain", True, 0.0, False),
    ],
)
def test_moderated_t_is_limmas(
    column: str, trend: bool, least: float, covariate: bool, settings: BiomarkerParams
) -> None:
    data, expected = pd.read_csv(LIMMA / "data.csv"), pd.read_csv(LIMMA / "p_values.csv")
    x, y = data.iloc[:, 2:].to_numpy(), data["case"].to_numpy()
    fixed = data[["covariate"]].to_numpy() if covariate else none(len(y))
    tested = Values(x, x.mean(axis=0) if trend else None, least)
    np.testing.assert_allclose(p_values(tested, y[None], 2, fixed, settings)[0], expected[column])


def test_variances_without_a_prior_s_worth_of_scatter_become_one(
    settings: BiomarkerParams,
) -> None:
    variance, freedom = moderate(np.full(20, 2.0), 10)
    np.testing.assert_allclose(variance, variance[0])
    assert freedom == 200


def test_events_have_fishers_exact_p(settings: BiomarkerParams) -> None:
    rng = np.random.default_rng(1)
    y = (np.arange(70) < 25).astype(int)
    events = rng.random((70, 30)) < rng.uniform(0.02, 0.7, 30)
    found = p_values(Values(events), np.array([y, rng.permutation(y)]), 2, none(70), settings)
    for event, p in zip(events.T, found[0], strict=True):
        table = [[(event & (y == k)).sum(), (~event & (y == k)).sum()] for k in (1, 0)]
        assert p == pytest.approx(fisher_exact(table).pvalue)
    assert not np.array_equal(found[0], found[1])


def test_ranks_answer_as_mann_and_whitney_do_and_bear_outliers(settings: BiomarkerParams) -> None:
    rng = np.random.default_rng(2)
    y = np.arange(80) % 2
    x = rng.standard_cauchy((80, 200)) + 0.5 * y[:, None]
    ranked = settings.model_copy(update={"test": "rank", "minimum_effect": 0.0})
    (by_rank,) = p_values(Values(x), y[None], 2, none(80), ranked)
    expected = mannwhitneyu(x[y == 1], x[y == 0], axis=0).pvalue
    np.testing.assert_allclose(by_rank, expected, rtol=0.15, atol=1e-3)
    (by_t,) = p_values(Values(x), y[None], 2, none(80), settings)
    assert np.median(by_rank) < np.median(by_t)


def test_ranks_have_no_fold_change(raw_params: dict) -> None:
    changed = raw_params["biomarkers"] | {"test": "rank", "minimum_effect": 1.0}
    with pytest.raises(ParamsError, match="ranks have no fold change"):
        parse_params(raw_params | {"biomarkers": changed})


def test_what_a_covariate_explains_is_not_associated(settings: BiomarkerParams) -> None:
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 2, 300)
    y = (rng.random(300) < 0.2 + 0.6 * batch).astype(int)
    x = rng.standard_normal((300, 60))
    x[:, :30] += 2 * batch[:, None]
    (alone,) = p_values(Values(x), y[None], 2, none(300), settings)
    (fixed,) = p_values(Values(x), y[None], 2, batch[:, None].astype(float), settings)
    assert (alone[:30] < 1e-6).all()
    assert 0.2 < np.median(fixed[:30]) < 0.8
    assert np.isfinite(p_values(Values(x), batch[None], 2, batch[:, None] * 1.0, settings)).all()


def test_an_effect_below_the_least_one_is_no_finding(settings: BiomarkerParams) -> None:
    rng = np.random.default_rng(4)
    y = np.arange(400) % 2
    x = rng.standard_normal((400, 40)) * 0.5
    x[:, :20] += 0.4 * y[:, None]
    x[:, 20:] += 2.0 * y[:, None]
    (p,) = p_values(Values(x, None, 1.0), y[None], 2, none(400), settings)
    assert (p[:20] > 0.9).all()
    assert (p[20:] < 1e-6).all()


def test_samples_that_take_no_part_and_the_order_of_samples_change_nothing(
    settings: BiomarkerParams,
) -> None:
    rng = np.random.default_rng(5)
    y, x = np.arange(90) % 3, rng.standard_normal((90, 25))
    x[:, 0] += y == 1
    fixed, some = rng.standard_normal((90, 2)), np.arange(90) < 60
    turned = rng.permutation(60)
    (p,) = p_values(Values(x), np.where(some, y, -1)[None], 3, fixed, settings)
    (cut,) = p_values(Values(x[:60][turned]), y[:60][turned][None], 3, fixed[:60][turned], settings)
    np.testing.assert_allclose(p, cut)
    assert p.argmin() == 0


def test_values_that_never_differ_are_no_test(settings: BiomarkerParams) -> None:
    y, x = np.arange(40) % 2, np.random.default_rng(6).standard_normal((40, 5))
    x[:, 2] = 7.0
    (p,) = p_values(Values(x), y[None], 2, none(40), settings)
    assert np.isnan(p).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("test", ["moderated_t", "rank"])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_genes_that_a_joint_model_would_use_are_not_listed(
    test: str, tails: str, settings: BiomarkerParams
) -> None:
    settings = settings.model_copy(update={"test": test, "minimum_effect": 0.0})
    rates = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        factors = rng.standard_normal((400, 2))
        y = (factors.sum(axis=1) + 0.3 * rng.standard_normal(400) > 0).astype(int)
        noise = rng.standard_normal((400, 1_000))
        if tails == "heavy":
            noise /= np.sqrt(rng.chisquare(3, (400, 1)) / 3)
        noise[:, :200] += factors[:, :1]
        noise[:, 200:600] += factors[:, :1] - factors[:, 1:]  # independent of y
        (p,) = p_values(Values(noise), y[None], 2, none(400), settings)
        listed = false_discovery_control(p) <= 0.1
        assert listed[:200].mean() > 0.9
        rates.append(listed[200:].sum() / listed.sum())
    assert np.mean(rates) <= 0.1
