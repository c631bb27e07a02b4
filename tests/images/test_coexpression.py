"""Latent factors and co-expression modules: found where planted, not where nothing is shared."""

import numpy as np

from oncopixel.images.coexpression import find_factors, find_modules


def shared(n: int = 200, genes: int = 60, noise: float = 0.5, seed: int = 1) -> np.ndarray:
    """Three groups of 10 genes, each with an activity of its own, then genes of pure noise."""
    rng = np.random.default_rng(seed)
    x = noise * rng.standard_normal((n, genes))
    for k in range(3):
        signs = np.where(np.arange(10) % 3 == 0, -1, 1)
        x[:, 10 * k : 10 * k + 10] += rng.standard_normal((n, 1)) * signs
    x[:, 30:] /= noise
    return x + 5


def test_factors_are_as_many_as_were_planted_and_few_in_noise() -> None:
    assert find_factors(shared(), 1).axes.shape == (60, 3)
    noise = np.random.default_rng(2).standard_normal((100, 50))
    assert find_factors(noise, 1).axes.shape[1] <= 3


def test_what_factors_leave_is_free_of_them_in_new_samples_too() -> None:
    x, new = shared(), shared(seed=9)
    factors = find_factors(x, 1)
    np.testing.assert_allclose(factors.axes.T @ factors.axes, np.eye(3), atol=1e-5)
    assert np.abs(factors.scores(factors.residual(new) + factors.center)).max() < 1e-4
    before, after = (np.corrcoef(v[:, :10].T)[0, 1:] for v in (new, factors.residual(new)))
    assert np.abs(before).min() > 0.6
    assert np.abs(after).max() < 0.4


def test_modules_are_the_planted_groups_with_activities_of_unit_variance() -> None:
    x = shared()
    modules = find_modules(x)
    assert sorted(map(tuple, modules.members())) == [tuple(range(k, k + 10)) for k in (0, 10, 20)]
    activity = modules.activity(x)
    np.testing.assert_allclose(activity.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(activity.std(axis=0), 1, atol=1e-3)


def test_most_members_rise_with_the_activity_whatever_their_sign() -> None:
    x = shared()
    modules = find_modules(x)
    for members, activity in zip(modules.members(), modules.activity(x).T, strict=True):
        assert np.median(np.corrcoef(activity, x[:, members].T)[0, 1:]) > 0


def test_modules_respect_their_limits_and_constant_genes() -> None:
    x = shared()
    x[:, 5] = 1.0
    assert find_modules(x, most=2).weights.shape == (60, 2)
    assert find_modules(x, smallest=11).weights.shape == (60, 0)
    assert 5 not in np.concatenate(find_modules(x).members())


def test_order_of_genes_does_not_change_the_modules() -> None:
    x = shared()
    turned = np.random.default_rng(3).permutation(60)
    expected = {frozenset(m) for m in find_modules(x).members()}
    assert {frozenset(turned[m]) for m in find_modules(x[:, turned]).members()} == expected
