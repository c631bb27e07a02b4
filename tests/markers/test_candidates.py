"""What is tested: genes, segments, arms; what never differs is refused."""

import numpy as np
import pandas as pd
import pytest

from oncopixel.core.errors import SourceError
from oncopixel.core.params import BiomarkerParams
from oncopixel.markers.candidates import candidates

CHANNELS = ["expression", "copy_number", "mutation"]
SETTINGS = BiomarkerParams(
    steps=32, tolerance=0.01, top=20, q=0.1, test="moderated_t", minimum_effect=0.0,
    permutations=19, seed=1,
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


def features(n: int = 240, p: int = 120, seed: int = 1) -> np.ndarray:
    """Expression, copy number in runs, mutations."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p, 3)).astype(np.float32)
    steps = rng.standard_normal((n, p // 10)).repeat(10, axis=1)
    x[:, :, 1] = 0.3 * x[:, :, 1] + steps
    x[:, :, 2] = rng.random((n, p)) < 0.1
    return x


def test_neighbours_that_move_together_are_one_segment_and_arms_are_candidates() -> None:
    x = features()
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
    x = features()
    x[:, :5, 2] = 0
    x[:2, 0, 2] = 1
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    mutated = found.table[found.table["channel"] == "mutation"]
    assert set(range(5)).isdisjoint(mutated["position"])
    assert len(mutated) == 115


@pytest.mark.parametrize("channels", [["expression"], ["copy_number"], ["mutation"], CHANNELS])
def test_values_that_never_differ_are_refused(channels: list[str]) -> None:
    x = np.ones((60, 40, len(channels)), np.float32)
    named = ", ".join(channels).replace("_", " ")
    with pytest.raises(SourceError, match=f"no gene's {named} differs"):
        candidates(x, genes(40), channels, SETTINGS)


@pytest.mark.parametrize("quiet", [0, 200])
def test_samples_of_a_like_burden_are_one_class(quiet: int) -> None:
    x = features()
    x[:quiet, :, 1:] = 0  # most samples may have no event at all, as in a panel of genes
    for channel in candidates(x, genes(120), CHANNELS, SETTINGS).channels[1:]:
        strata = channel.fixed @ np.arange(1, channel.fixed.shape[1] + 1)
        assert (strata[:quiet] == strata[:1]).all()
        sizes = np.unique(strata, return_counts=True)[1]
        assert len(sizes) >= 2
        assert sizes.min() >= 20 or quiet


def test_a_channel_without_a_candidate_is_none() -> None:
    x = features()
    x[:, :, 2] = 0
    found = candidates(x, genes(120), CHANNELS, SETTINGS)
    assert len(found.channels) == 2
    assert sum(channel.measured.shape[1] for channel in found.channels) == len(found.table)
