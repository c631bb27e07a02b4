"""Decoys of the claim `beyond`: they keep what surrounds a candidate, and redraw the rest.

Expression keeps the cohort's latent factors, the other genes of its module and its own copy number.
Copy number and mutations keep the sample's burden: the decoy has the values of other samples of a
similar one, a whole arm together.
"""

from dataclasses import dataclass

import numpy as np

from ..images.coexpression import find_factors, find_modules, normal_scores

SWEEPS = 20
"""Rounds of the search for decoys as unlike their genes as can be, at most."""
BLOCK_CORRELATION, BLOCK_MOST = 0.3, 200
"""Genes join a block when they correlate so much beyond the factors; genes per block at most."""
STRATA = 5
"""Classes of mutation or copy-number burden within which samples are exchanged."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Genes that still correlate, and how their decoys are drawn from their real values."""

    genes: np.ndarray
    mean: np.ndarray
    """`(genes, genes)`: real values to what is expected of a decoy."""
    common: np.ndarray
    """`(genes, genes)` Cholesky factor of the noise of the mean of a draw's decoys."""
    own: np.ndarray
    """`(genes,)` SD of the noise that each decoy has for itself, the decoys' mean taken out."""


@dataclass(frozen=True, eq=False)
class ExpressionDecoys:
    """Expression beyond the factors and the gene's own copy number, and how it is redrawn."""

    real: np.ndarray
    nuisance: np.ndarray
    """`(samples, factors)` orthonormal: what real and decoy are both free of."""
    copies: np.ndarray | None
    """`(samples, genes)` copy number beyond the factors."""
    blocks: list["_Block"]

    def draw(self, rng: np.random.Generator, n: int) -> list[np.ndarray]:
        """`n` decoys of every gene at once, each `(samples, genes)`, standardised."""
        shape = self.real.shape
        decoys = [rng.standard_normal(shape, dtype=np.float32) for _ in range(n)]
        for block in self.blocks:
            at = block.genes
            common = rng.standard_normal((shape[0], len(at)), dtype=np.float32) @ block.common.T
            common += self.real[:, at] @ block.mean
            common -= block.own * np.mean([decoy[:, at] for decoy in decoys], axis=0)
            for decoy in decoys:
                decoy[:, at] = common + block.own * decoy[:, at]
        return [standardised(_residual(decoy, self.nuisance, self.copies)) for decoy in decoys]


@dataclass(frozen=True, eq=False)
class EventDecoys:
    """Copy number or mutations, and the groups of candidates that are permuted together."""

    real: np.ndarray
    group: np.ndarray
    """`(candidates,)`: those of one group keep their relation, such as an arm's segments."""
    strata: list[np.ndarray]
    """Positions of samples of a similar burden."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "real", standardised(self.real))

    def draw(self, rng: np.random.Generator, n: int) -> list[np.ndarray]:
        """`n` decoys of every candidate, each `(samples, candidates)`, standardised."""
        return [self._permuted(rng) for _ in range(n)]

    def _permuted(self, rng: np.random.Generator) -> np.ndarray:
        decoy = np.empty_like(self.real)
        order = np.tile(np.arange(len(self.real))[:, None], self.group.max(initial=-1) + 1)
        for stratum in self.strata:
            order[stratum] = rng.permuted(order[stratum], axis=0)
        for start in range(0, len(self.group), 1_000):
            at = np.arange(start, min(start + 1_000, len(self.group)))
            decoy[:, at] = np.take_along_axis(self.real[:, at], order[:, self.group[at]], axis=0)
        return decoy


def expression_decoys(
    x: np.ndarray, copy_number: np.ndarray | None, n_decoys: int, seed: int
) -> ExpressionDecoys:
    """The decoys of `(samples, genes)` expression, and of its copy number if there is any.

    Returns
    -------
    Second-order Gaussian knockoffs of the genes' normal scores: of factors and, within each module
    of what they leave, of a shrunk covariance.

    References
    ----------
    Candès et al. 2018, J R Stat Soc B 80:551; of factors: Fan et al. 2020, J Am Stat Assoc
    115:1822.
    """
    scores = normal_scores(x)
    nothing = np.zeros((len(x), 0), dtype=np.float32)
    factors = find_factors(scores, seed)
    nuisance, _ = np.linalg.qr(factors.scores(scores)) if factors.axes.size else (nothing, None)
    copies = None
    if copy_number is not None:
        copies = _residual(copy_number - copy_number.mean(axis=0), nuisance, None)
    values = standardised(_residual(scores, nuisance, copies))
    return ExpressionDecoys(values, nuisance, copies, _blocks(values, n_decoys))


def _blocks(values: np.ndarray, n_decoys: int) -> list[_Block]:
    """How to redraw each block of genes that still correlate, given their real values."""
    from sklearn.covariance import ledoit_wolf

    # With the correlation matrix C of a block, shrunk (Ledoit & Wolf 2004), and a diagonal S, each
    # decoy has the mean (1 - S / C) x and the covariance 2 S - S / C S, and two decoys of a draw
    # have S - S / C S: any of them may change places with x without changing the first two moments
    # (simultaneous knockoffs: Gimenez & Zou 2019, PMLR 89:2184, section 3).
    blocks = []
    modules = find_modules(values, correlation=BLOCK_CORRELATION, smallest=2)
    for members in modules.members():
        for at in np.array_split(members, -(-len(members) // BLOCK_MOST)):
            covariance = ledoit_wolf(values[:, at].astype(np.float64))[0]
            sd = np.sqrt(np.diag(covariance))
            c = covariance / np.outer(sd, sd)
            s = _maximum_entropy(c, n_decoys)
            back, one = np.linalg.solve(c, np.diag(s)), np.eye(len(at))
            of_mean = np.diag(s * (1 + 1 / n_decoys)) - s[:, None] * back
            common = np.linalg.cholesky((of_mean + of_mean.T) / 2 + 1e-6 * one)
            parts = one - back, common, np.sqrt(s)
            blocks.append(_Block(at, *(part.astype(np.float32) for part in parts)))
    return blocks


def _maximum_entropy(c: np.ndarray, n_decoys: int) -> np.ndarray:
    """`(genes,)` S of `_blocks`, by which decoys differ from their gene; a lone gene has 1."""
    # It maximises the entropy of genes and decoys, log det((1 + 1 / n) C - S) + n log det S,
    # one gene after the other (Spector & Janson 2022, Ann Statist 50:252, for n = 1). The largest S
    # that is the same for all genes, the smallest eigenvalue, leaves decoys that hardly differ.
    limit = 1 + 1 / n_decoys
    s = np.full(len(c), 0.9 * min(1.0, limit * float(np.linalg.eigvalsh(c)[0])))
    for _ in range(SWEEPS):
        before = s.copy()
        inverse = np.linalg.inv(limit * c - np.diag(s))
        for j in range(len(c)):
            step = min(1.0, (s[j] + 1 / inverse[j, j]) / limit) - s[j]
            column = inverse[:, j].copy()
            inverse += np.outer(column, column) * (step / (1 - step * column[j]))
            s[j] += step
        if np.abs(s - before).max() < 1e-3:
            break
    return s


def burden_strata(burden: np.ndarray) -> list[np.ndarray]:
    """Positions of the samples in each class of burden; equal burdens are in one class."""
    edges = np.unique(np.quantile(burden, np.arange(1, STRATA) / STRATA))
    stratum = np.searchsorted(edges, burden)
    return [np.flatnonzero(stratum == k) for k in np.unique(stratum)]


def _residual(x: np.ndarray, nuisance: np.ndarray, copies: np.ndarray | None) -> np.ndarray:
    """What of `x` neither the nuisance directions nor the gene's own copies explain."""
    x = x - x.mean(axis=0)
    x -= nuisance @ (nuisance.T @ x)
    if copies is not None:
        size = np.maximum((copies**2).sum(axis=0), 1e-6)
        x -= copies * ((x * copies).sum(axis=0) / size)
    return x


def standardised(x: np.ndarray) -> np.ndarray:
    """`(samples, columns)` float32 of mean 0 and variance 1; a constant column is 0."""
    x = np.asarray(x, dtype=np.float32) - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    sd = x.std(axis=0)
    scaled: np.ndarray = np.divide(x, sd, out=np.zeros_like(x), where=sd > 1e-6)
    return scaled
