"""Decoys keep what they must and lose what they must; the competition sees only what differs."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.core.errors import SourceError
from oncopixel.core.params import BiomarkerParams
from oncopixel.markers.association import p_values
from oncopixel.markers.candidates import Candidates, candidates
from oncopixel.markers.competition import compete, ridge_scores
from oncopixel.markers.fdr import benjamini_hochberg, select
from oncopixel.markers.knockoffs import ExpressionDecoys, _blocks

CHANNELS = ["expression", "copy_number", "mutation"]
SETTINGS = BiomarkerParams(
    steps=32, tolerance=0.01, top=20, q=0.1, test="moderated_t", minimum_effect=0.0,
    draws=4, decoys=4, permutations=19, repeat_draws=2, seed=1,
)  # fmt: skip


def genes(n: int) -> pd.DataFrame:
    half = n // 2
    return pd.DataFrame(
        {
            "gene": [f"G{i}" for i in range(n)],
            "chromosome": ["1"] * half + ["2"] * (n - half),
            "start": [10_000_000 + 100_000 * i for i in range(half)]
            + [10_000_000 + 100_000 * i for i in range(n - half)],
        }
    )


def features(n: int = 240, p: int = 120, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Expression with two latent factors and ten markers, copy number in runs, mutations."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, p, 3)).astype(np.float32)
    x[:, :, 0] += (rng.standard_normal((n, 2)) @ rng.standard_normal((2, p))).astype(np.float32)
    x[:, :10, 0] += 0.8 * y[:, None]
    steps = rng.standard_normal((n, p // 10)).repeat(10, axis=1)
    x[:, :, 1] = 0.3 * x[:, :, 1] + steps
    x[:, :, 2] = rng.random((n, p)) < 0.1
    return x, y


def test_decoys_look_like_the_real_candidates_and_know_no_label() -> None:
    x, y = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    first, second, *_ = found.decoys(np.random.default_rng(1))
    assert first.shape == found.real.shape == (240, len(found.table))
    for decoy in (first, second):
        np.testing.assert_allclose(decoy.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(decoy.std(axis=0), 1, atol=1e-3)
        gap = decoy[y == 1].mean(axis=0) - decoy[y == 0].mean(axis=0)
        real = found.real[y == 1].mean(axis=0) - found.real[y == 0].mean(axis=0)
        assert np.median(np.abs(gap[:10])) < 0.25
        assert np.median(np.abs(real[:10])) > 0.35
    assert not np.array_equal(first, second)


def test_decoys_are_the_same_for_the_same_seed_and_for_any_label() -> None:
    x, y = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    both = np.vstack([y, y[::-1]])
    w, _ = compete(found, both, 2, draws=2, seed=7)
    alone, _ = compete(found, y[None], 2, draws=2, seed=7)
    np.testing.assert_allclose(w[0], alone[0], rtol=1e-3, atol=1e-6)


def test_draws_side_by_side_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    together = compete(found, y[None], 2, draws=4, seed=7)
    monkeypatch.setattr("oncopixel.markers.competition.THREADS", 1)
    alone = compete(found, y[None], 2, draws=4, seed=7)
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(alone[0][0, 0], alone[0][0, 1])


@pytest.mark.parametrize("n_decoys", [1, 10])
def test_a_gene_may_change_places_with_any_of_its_decoys(n_decoys: int) -> None:
    rng = np.random.default_rng(2)
    n, p = 4_000, 12
    loading = np.linspace(0.9, 0.3, p)
    values = rng.standard_normal((n, 1)) * loading + rng.standard_normal((n, p)) * 0.6
    values = ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float32)
    (block,) = _blocks(values, n_decoys)
    part = ExpressionDecoys(values, np.zeros((n, 0), np.float32), None, [block])
    decoys = part.draw(np.random.default_rng(3), n_decoys)
    at = block.genes
    real = np.cov(values[:, at].T)
    cross = real - np.diag(block.own.astype(float) ** 2)
    for number, decoy in enumerate(decoys):
        mine = decoy[:, at]
        np.testing.assert_allclose(np.cov(mine.T), real, atol=0.1)
        for other in (values, *decoys[:number]):
            both = (mine - mine.mean(axis=0)).T @ (other[:, at] - other[:, at].mean(axis=0)) / n
            np.testing.assert_allclose(both, cross, atol=0.1)
    smallest = np.linalg.eigvalsh(real)[0]
    assert (
        np.median(block.own**2) > 1.2 * smallest
    )  # further from their genes than the equal spread


def test_what_a_factor_shares_is_no_evidence_beyond_it() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(400) % 2
    factor = rng.standard_normal(400) + 1.5 * y
    x = rng.standard_normal((400, 300, 1))
    x[:, :60, 0] += factor[:, None]  # sixty genes follow a factor that follows the label
    x[:, 60:75, 0] += 0.8 * y[:, None]  # fifteen genes follow the label themselves
    x = x.astype(np.float32)
    found = candidates(x, genes(300), ["expression"], SETTINGS)
    beyond = select(compete(found, y[None], 2, draws=6, seed=1)[0][0], 0.1, 4)
    assert beyond[:60].mean() < 0.1
    assert beyond[60:75].mean() > 0.6
    assert beyond[75:].mean() < 0.02
    (p,) = p_values(found.tested[0], y[None], 2, np.zeros((400, 0)), SETTINGS)
    associated = benjamini_hochberg(p) <= 0.1
    assert associated[:75].mean() > 0.9
    assert associated[75:].mean() < 0.05


def test_the_expression_of_a_gene_is_judged_beyond_its_own_copy_number() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 80, 3)).astype(np.float32)
    x[:, :, 0] += 2 * x[:, :, 1]
    x[:, :, 2] = 0
    found = candidates(x, genes(80), CHANNELS, SETTINGS)
    expression = (found.table["channel"] == "expression").to_numpy()
    for values in (found.real, *found.decoys(rng)):
        own = (values[:, expression] * x[:, :, 1]).mean(axis=0)
        np.testing.assert_allclose(own, 0, atol=1e-3)


def test_neighbours_that_move_together_are_one_segment_and_arms_are_candidates() -> None:
    x, _ = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    segments = [
        members
        for members, level in zip(found.members, found.table["level"], strict=True)
        if level == "segment"
    ]
    assert sorted(np.concatenate(segments)) == list(range(120))
    assert max(map(len, segments)) == 10
    assert np.median([len(s) for s in segments]) == 10
    assert found.table.loc[found.table["level"] == "arm", "name"].tolist() == ["1p", "2p"]


def test_rarely_mutated_genes_are_no_candidates() -> None:
    x, _ = features()
    x[:, :5, 2] = 0
    x[:2, 0, 2] = 1
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    mutated = found.table[found.table["channel"] == "mutation"]
    assert set(range(5)).isdisjoint(mutated["position"])
    assert len(mutated) == 115


def test_exchanging_a_candidate_with_its_decoy_turns_the_sign_of_its_w_alone() -> None:
    rng = np.random.default_rng(5)
    y = np.arange(120) % 2
    real, decoy = (rng.standard_normal((120, 30)).astype(np.float32) for _ in range(2))
    real[:, 0] += y
    before = ridge_scores(np.hstack([real, decoy]), y[None], 2, 0.1).reshape(2, 30)
    real[:, 0], decoy[:, 0] = decoy[:, 0].copy(), real[:, 0].copy()
    after = ridge_scores(np.hstack([real, decoy]), y[None], 2, 0.1).reshape(2, 30)
    np.testing.assert_allclose(after[:, 0], before[::-1, 0], rtol=1e-3)
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], rtol=1e-3, atol=1e-9)


def test_each_candidate_has_one_winner_among_itself_and_its_decoys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    image = [found.real, *found.decoys(np.random.default_rng(1))]
    w = []
    for number, real in enumerate(image):
        decoys = image[:number] + image[number + 1 :]
        monkeypatch.setattr(Candidates, "decoys", lambda *_, decoys=decoys: decoys)
        vars(found)["real"] = real
        w.append(compete(found, y[None], 2, draws=1, seed=1)[0][0, 0])
    assert (np.sum(np.array(w) > 0, axis=0) == 1).all()
    for other in w[1:]:
        np.testing.assert_allclose(np.abs(other), np.abs(w[0]), rtol=0.02, atol=1e-3)


def test_w_is_the_largest_score_less_the_median_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = np.array([[10, 1, 3], [1, 10, 3], [2, 2, 3], [3, 3, 3], [8, 8, 3]], dtype=float)
    monkeypatch.setattr(
        "oncopixel.markers.competition.ridge_scores", lambda *_: uses.flatten()[None]
    )
    table, values = pd.DataFrame({"channel": ["expression"] * 3}), np.zeros((6, 3), np.float32)
    found = Candidates(table, [], [], 4, [])
    vars(found)["real"] = values
    w, used = compete(found, np.zeros((1, 6), int), 2, draws=1, seed=1)
    np.testing.assert_allclose(w[0, 0], [2.5, -2.5, 0])
    np.testing.assert_allclose(used[0, 0], uses[0] / 3)


def test_permuted_labels_favour_neither_candidates_nor_decoys() -> None:
    x, y = features(n=200, p=400, seed=9)
    places = genes(400).assign(chromosome=[str(1 + i // 20) for i in range(400)])
    rng = np.random.default_rng(2)
    found = candidates(x, places, CHANNELS, SETTINGS)
    labels = np.array([rng.permutation(y) for _ in range(60)])
    w = compete(found, labels, 2, draws=2, seed=1)[0]
    for level in ("gene", "segment", "arm"):
        for channel in set(found.table.loc[found.table["level"] == level, "channel"]):
            of = (found.table["level"] == level) & (found.table["channel"] == channel)
            mine = w[:, :, of].ravel()
            strongest = np.abs(mine) >= np.quantile(np.abs(mine), 0.95)
            assert abs((mine > 0).mean() - 0.2) < 0.015, (level, channel)
            assert (mine[strongest] > 0).mean() < 0.25, (level, channel)


def test_decoys_of_an_arm_keep_its_events_whole() -> None:
    x, _ = features()
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    (decoy, *_) = found.decoys(np.random.default_rng(1))
    position = found.table["position"] < 60
    arm = ((found.table["channel"] == "copy_number") & position).to_numpy()
    rows = [{tuple(row) for row in values[:, arm]} for values in (found.real, decoy)]
    assert rows[0] == rows[1]
    assert not np.array_equal(found.real[:, arm], decoy[:, arm])


@pytest.mark.parametrize("channel", ["copy_number", "mutation"])
def test_a_decoy_has_the_burden_of_its_sample(channel: str) -> None:
    x, _ = features()
    at = CHANNELS.index(channel)
    quiet = np.arange(240) < 200  # most samples have no event at all, as in a panel of genes
    x[quiet, :, at] = 0
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    of = (found.table["channel"] == channel).to_numpy()
    for decoy in found.decoys(np.random.default_rng(1)):
        same = np.ptp(decoy[quiet][:, of], axis=0)
        np.testing.assert_allclose(same, 0, atol=1e-6)


@pytest.mark.parametrize("channels", [["expression"], ["copy_number"], ["mutation"], CHANNELS])
def test_values_that_never_differ_are_refused(channels: list[str]) -> None:
    x = np.ones((60, 40, len(channels)), np.float32)
    named = ", ".join(channels).replace("_", " ")
    with pytest.raises(SourceError, match=f"no gene's {named} differs"):
        candidates(x, genes(40), channels, SETTINGS)


@pytest.mark.parametrize("marked", [0, 1, 2])
def test_use_does_not_depend_on_the_order_of_samples_and_speaks_of_every_class(marked: int) -> None:
    rng = np.random.default_rng(6)
    y = np.arange(150) % 3
    x = rng.standard_normal((150, 20)).astype(np.float32)
    x[:, 0] += 2.0 * (y == marked) - 2.0 * (y == (marked + 1) % 3)
    turned = rng.permutation(150)
    a, b = ridge_scores(x, y[None], 3, 0.1), ridge_scores(x[turned], y[turned][None], 3, 0.1)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7)
    assert a[0].argmax() == 0


def test_channels_compete_on_one_scale_when_the_label_goes_with_a_latent_factor() -> None:
    x, _ = features(seed=3)
    rng = np.random.default_rng(3)
    factor = rng.standard_normal(240)
    x[:, :, 0] += np.outer(factor, rng.standard_normal(120))
    y = (factor + 0.3 * rng.standard_normal(240) > 0).astype(int)
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    w, _ = compete(found, y[None], 2, draws=5, seed=1)
    typical = {
        channel: np.median(np.abs(w[0][:, found.table["channel"] == channel]))
        for channel in CHANNELS
    }
    assert max(typical.values()) < 1.5 * min(typical.values()), typical


def test_samples_that_take_no_part_change_nothing() -> None:
    x, y = features()
    flat = x[:, :, 0].copy()
    some = np.where(np.arange(240) < 180, y, -1)
    before = ridge_scores(flat, some[None], 2, 0.1)
    flat[180:] = 99
    np.testing.assert_allclose(ridge_scores(flat, some[None], 2, 0.1), before, rtol=1e-3, atol=1e-7)


def test_labels_that_say_nothing_give_no_list() -> None:
    x, y = features(seed=8)
    x[:, :10, 0] -= 0.8 * y[:, None]
    rng = np.random.default_rng(1)
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    labels = np.array([rng.permutation(y) for _ in range(20)])
    w, _ = compete(found, labels, 2, draws=3, seed=1)
    assert sum(select(mine, 0.1, 4).any() for mine in w) <= 1
