"""How often pairs of modules, and two hits, are found in cohorts that hold none.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/joint_nulls.py [--cohorts 100]

Draws activities of 100 modules, or copies and mutations of 300 genes, under one null after the
other, and prints in which share of the cohorts anything is found at 0.01, a tenth of q = 0.1, as
the marker list has it.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np

from oncopixel.markers.joint import pair_table, two_hit_table

MODULES, GENES = 100, 300
Q = 0.01
CLASSES = ["control", "case"]
Draw = tuple[np.ndarray, ...]


def classes(rng: np.random.Generator, controls: int, cases: int) -> np.ndarray:
    return rng.permutation(np.repeat([0, 1], [controls, cases]))


def normal(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Normal activities that all correlate by 0.5."""
    y = classes(rng, controls, cases)
    return rng.standard_normal((len(y), MODULES)) + rng.standard_normal((len(y), 1)), y


def heavy(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Independent activities times one lognormal scale for each sample, sigma 0.7."""
    y = classes(rng, controls, cases)
    scale = np.exp(0.7 * rng.standard_normal((len(y), 1)))
    return rng.standard_normal((len(y), MODULES)) * scale, y


def subtype(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """A tenth of the samples, of either class, in which one factor moves all activities."""
    y = classes(rng, controls, cases)
    rare = rng.random((len(y), 1)) < 0.1
    factor = 3 * rng.standard_normal((len(y), 1))
    return rng.standard_normal((len(y), MODULES)) + np.where(rare, factor, 0), y


def one_moves(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Activities that all correlate by 0.6; one is 3 SD higher in 30 % of the cases."""
    y = classes(rng, controls, cases)
    z = np.sqrt(0.6) * rng.standard_normal((len(y), 1))
    z = z + np.sqrt(0.4) * rng.standard_normal((len(y), MODULES))
    z[:, 0] += 3 * y * (rng.random(len(y)) < 0.3)
    return z, y


def one_spreads(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Activities that all correlate by 0.6; the own part of one is 2.5 times as wide in cases."""
    y = classes(rng, controls, cases)
    own = rng.standard_normal((len(y), MODULES))
    own[:, 0] *= np.where(y == 1, 2.5, 1)
    return np.sqrt(0.6) * rng.standard_normal((len(y), 1)) + np.sqrt(0.4) * own, y


def unrelated(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Mutations in 12 % of the samples; copies as skewed as focal gains make them."""
    y = classes(rng, controls, cases)
    shape = len(y), GENES
    gains = (rng.random(shape) < 0.08) * rng.lognormal(1, 0.7, shape)
    copies = gains + 0.1 * rng.standard_normal(shape)
    return copies, 1.0 * (rng.random(shape) < 0.12), y


def more_often(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """A loss multiplies the odds of a mutation by e, which are 0.1 in controls, 0.5 in cases."""
    y = classes(rng, controls, cases)
    copies = rng.standard_normal((len(y), GENES))
    odds = np.where(y == 1, 0.5, 0.1)[:, None] * np.exp(-copies)
    return copies, 1.0 * (rng.random(copies.shape) < odds / (1 + odds)), y


def wider(rng: np.random.Generator, controls: int, cases: int) -> Draw:
    """Copies twice as far from normal in cases; a mutation goes with a loss by the odds of e."""
    y = classes(rng, controls, cases)
    copies = rng.standard_normal((len(y), GENES))
    odds = 0.25 * np.exp(-copies)
    mutated = 1.0 * (rng.random(copies.shape) < odds / (1 + odds))
    return copies * np.where(y == 1, 2, 1)[:, None], mutated, y


NULLS: list[tuple[str, str, Callable[..., Draw], tuple[tuple[int, int], ...]]] = [
    (
        "pairs", "all activities correlate, whatever the class", normal,
        ((200, 200), (50, 50), (300, 15)),
    ),
    (
        "pairs", "each sample has its own scale (heavy tails that all share)", heavy,
        ((200, 200), (50, 50), (387, 44)),
    ),
    (
        "pairs", "a tenth of all samples in which one factor moves everything", subtype,
        ((200, 200), (50, 50), (387, 44)),
    ),
    ("pairs", "one module moves in 30 % of the cases", one_moves, ((200, 200), (387, 44))),
    ("pairs", "one module spreads more widely in cases", one_spreads, ((200, 200), (387, 44))),
    (
        "two hits", "mutations and focal gains have nothing to do with each other", unrelated,
        ((200, 200), (340, 60)),
    ),
    (
        "two hits", "losses go with mutations alike in both classes; cases have more mutations",
        more_often, ((200, 200), (340, 60)),
    ),
    (
        "two hits", "losses go with mutations alike in both classes; cases have larger ones", wider,
        ((200, 200), (340, 60)),
    ),
]  # fmt: skip


def found(data: Draw) -> bool:
    *values, y = data
    if len(values) == 1:
        table = pair_table(*values, y, CLASSES)
    else:
        table = two_hit_table(*values, y, [f"G{i}" for i in range(GENES)], CLASSES)
    return bool((table["q_value"] <= Q).any())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=100)
    options = parser.parse_args()
    for kind, words, null, sizes in NULLS:
        for controls, cases in sizes:
            draw = partial(null, controls=controls, cases=cases)
            hits = [found(draw(np.random.default_rng(seed))) for seed in range(options.cohorts)]
            print(kind, words, f"{controls}, {cases}", f"{np.mean(hits):.0%}", sep="; ", flush=True)


if __name__ == "__main__":
    main()
