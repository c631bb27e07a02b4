"""The layers of a simulated cohort: events, mutations, activities and counts.

`simulated` says what the model is and where its numbers are from.
"""

import numpy as np
import pandas as pd

from ..core.params import SimulatedSource

GENOME_GENES = 19_000  # protein-coding genes, about; for rates that are known per exome
# Driver genes and the share of tumours in which they are mutated: Bailey et al. 2018, Cell
# 173:371, table S1, pan-cancer. They do not depend on the label.
DRIVERS = {
    "TP53": 0.375, "PIK3CA": 0.118, "KMT2D": 0.083, "PTEN": 0.075, "BRAF": 0.071,
    "KRAS": 0.070, "ARID1A": 0.067, "APC": 0.059, "IDH1": 0.056, "ATM": 0.041,
    "CDKN2A": 0.040, "FBXW7": 0.038, "EGFR": 0.038, "RB1": 0.037,
}  # fmt: skip
LIBRARY = (2.8, 0.3)  # median over TCGA-LUAD's 20 M normalised reads, and log-SD: assumptions
SHARED, SHARED_VARIANCE = 3, 0.8  # latent programmes, and their share of each module's variance
BATCH_SD = 0.2  # assumption, usual range 0.1 to 0.3
SUBTYPE = (0.10, 0.8)  # share of genes that a subtype shifts, and log2 SD: assumption
# Mutation
BURDEN = (106.0, 0.95)  # lognormal: median of TCGA-HNSC (maftools tcga_cohort), log-SD of TCGA-LUAD
RELATIVE_PENETRANCE = {"expression": 1.0, "copy_number": 0.4, "mutation": 0.2}
JOINT_RATE = 0.3  # of planted losses, and of planted mutations, of a loss_and_mutation gene
# Array: assumptions, in the range of log2 intensities of one-channel oligonucleotide arrays
ARRAY_GENES = 0.7  # share of the genes that are on the chip
ARRAY_AFFINITY_SD = 1.0  # log2, between probe sets
ARRAY_SLOPE = (0.8, 1.0)  # uniform; below 1 folds are compressed
ARRAY_BACKGROUND = 2.0**5
ARRAY_SATURATION = 2.0**14.5  # of the hyperbola x / (1 + x / saturation), Langmuir's isotherm
ARRAY_NOISE = 0.2  # SD of log2 intensity
BLOCK = 256  # samples whose counts are drawn at a time, which bounds the memory


def draw_telling(rng: np.random.Generator, samples: pd.DataFrame, share: float) -> np.ndarray:
    """`(samples,)` what the non-linear part says: 1 case, -1 control, 0 nothing."""
    says = (samples["purity"] > 0) & (rng.random(len(samples)) < share)
    return np.where(says, np.where(samples["status"] == "case", 1, -1), 0)


def draw_events(
    rng: np.random.Generator,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    penetrance: float,
    tells: np.ndarray,
) -> np.ndarray:
    """`(samples, rows of truth)` bool: which marker is on in which tumour; xor is no event."""
    u = rng.random((len(samples), len(truth)), dtype=np.float32)
    rate = penetrance * truth["channel"].map(RELATIVE_PENETRANCE).to_numpy()
    on: np.ndarray = (samples["status"] == "case").to_numpy()[:, None] & (u < rate)
    on[:, truth["kind"] == "xor"] = False
    joint = truth["kind"] == "loss_and_mutation"
    loss = u[:, joint & (truth["channel"] == "copy_number")]
    chance = u[:, joint & (truth["channel"] == "mutation")]
    mutated = np.select([tells[:, None] == 1, tells[:, None] == -1], [loss, 1 - loss], chance)
    on[:, joint] = np.hstack([loss, mutated]) < JOINT_RATE
    on &= (samples["purity"] > 0).to_numpy()[:, None]
    return on


def draw_mutations(
    rng: np.random.Generator,
    genes: pd.DataFrame,
    profile: pd.DataFrame,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    on: np.ndarray,
) -> np.ndarray:
    """`(samples, genes)` float32, 0 or 1: burden spread over genes by length, drivers, markers."""
    mutation = np.zeros((len(samples), len(genes)), dtype=np.float32)
    tumour = (samples["purity"] > 0).to_numpy()
    length = profile["length"].to_numpy()
    burden = rng.lognormal(np.log(BURDEN[0]), BURDEN[1], len(samples)) * tumour
    hits = rng.poisson(burden * length.sum() / GENOME_GENES)
    hit = rng.choice(len(genes), hits.sum(), p=length / length.sum())
    mutation[np.repeat(np.arange(len(samples)), hits), hit] = 1
    for gene, rate in DRIVERS.items():
        mutation[tumour & (rng.random(len(samples)) < rate), genes.index.get_loc(gene)] = 1
    planted = truth[truth["channel"] == "mutation"]
    who, marker = np.nonzero(on[:, planted.index])
    mutation[who, planted["position"].to_numpy()[marker]] = 1
    return mutation


def draw_activity(
    rng: np.random.Generator, samples: pd.DataFrame, n_modules: int, tells: np.ndarray
) -> np.ndarray:
    """`(samples, modules + 2)` float32 N(0, 1) activity of each module; the xor pair comes last.

    Returns
    -------
    ndarray
        Modules share latent programmes. The xor pair agrees in sign in telling cases, differs in
        telling controls and is random in the rest; each of the two is N(0, 1) in both classes.
    """
    n = len(samples)
    weights = rng.standard_normal((SHARED, n_modules))
    weights /= np.linalg.norm(weights, axis=0)
    shared = np.einsum("ns,sm->nm", rng.standard_normal((n, SHARED)), weights)
    own = rng.standard_normal((n, n_modules))
    modules = np.sqrt(SHARED_VARIANCE) * shared + np.sqrt(1 - SHARED_VARIANCE) * own
    sign = np.where(samples.groupby("status").cumcount() % 2, 1, -1)
    agree = np.where(tells == 0, rng.choice([-1, 1], n), tells)
    pair = np.abs(rng.standard_normal((n, 2))) * np.column_stack([sign, sign * agree])
    return np.hstack([modules, pair]).astype(np.float32)


def draw_moving(
    rng: np.random.Generator, samples: pd.DataFrame, source: SimulatedSource
) -> np.ndarray:
    """`(samples, moving modules)` float32 activity: N(0, 1), shifted in the tumours of cases."""
    case = (samples["status"] == "case") & (samples["purity"] > 0)
    activity = rng.standard_normal((len(samples), source.moving_modules))
    activity += source.moving_shift * case.to_numpy()[:, None]
    return activity.astype(np.float32)


def draw_counts(
    rng: np.random.Generator,
    profile: pd.DataFrame,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    on: np.ndarray,
    copy_number: np.ndarray,
    activity: np.ndarray,
) -> np.ndarray:
    """`(samples, genes)` float32 negative binomial counts: Poisson around gamma."""
    n, p = copy_number.shape
    gene = {name: column.to_numpy(dtype=np.float32) for name, column in profile.items()}
    module = profile["module"].to_numpy()
    batch, batches = pd.factorize(samples["batch"])
    batch_shift = rng.normal(0, BATCH_SD, (len(batches), p)).astype(np.float32)
    subtype, subtypes = pd.factorize(samples["subtype"])
    shifted = rng.random((len(subtypes), p)) < SUBTYPE[0]
    subtype_shift = (shifted * rng.normal(0, SUBTYPE[1], shifted.shape)).astype(np.float32)
    library = np.log2(LIBRARY[0]) + rng.normal(0, LIBRARY[1] / np.log(2), (n, 1))
    library = library.astype(np.float32)
    purity = samples["purity"].to_numpy(dtype=np.float32)[:, None]
    planted = truth[(truth["channel"] == "expression") & (truth["kind"] == "linear")]
    fold = on[:, planted.index] * planted["effect"].to_numpy(dtype=np.float32)
    counts = np.empty((n, p), dtype=np.float32)
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        mean = subtype_shift[subtype[rows]]
        mean += gene["contrast"]
        mean[:, planted["position"]] += fold[rows]
        mean *= purity[rows]
        mean += gene["base"] + library[rows] + batch_shift[batch[rows]]
        mean += gene["loading"] * activity[rows][:, module]
        mean += gene["dosage"] * copy_number[rows]
        np.exp2(mean, out=mean)
        mean *= gene["dispersion"]
        mean *= rng.standard_gamma(1 / gene["dispersion"], mean.shape, dtype=np.float32)
        counts[rows] = rng.poisson(mean)
    return counts


def scan_array(
    chip: np.random.Generator, noise: np.random.Generator, counts: pd.DataFrame
) -> pd.DataFrame:
    """`(samples, genes on the chip)` float32 log2 intensities of the RNA that was counted.

    Returns
    -------
    DataFrame
        The chip's genes, their affinities and slopes are the biology's; noise is the sample's.

    References
    ----------
    Langmuir saturation: Hekstra et al. 2003, Nucleic Acids Res 31:1962
    """
    n = round(ARRAY_GENES * counts.shape[1])
    genes = chip.choice(counts.shape[1], n, replace=False)
    affinity = np.exp2(chip.normal(0, ARRAY_AFFINITY_SD, n))
    slope = chip.uniform(*ARRAY_SLOPE, n)
    library = counts.sum(axis=1).to_numpy(dtype=np.float64)
    signal = counts.iloc[:, genes].div(library / np.median(library), axis=0)
    bound = affinity * signal**slope
    logged = np.log2(ARRAY_BACKGROUND + bound / (1 + bound / ARRAY_SATURATION))
    return (logged + noise.normal(0, ARRAY_NOISE, logged.shape)).astype(np.float32)
