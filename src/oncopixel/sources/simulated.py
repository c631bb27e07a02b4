"""A cohort from a seed, with planted markers: the only data whose true biomarkers are known.

Each function draws one layer. In log2 units, the mean expression of gene g in sample i is

    library_i + base_g + batch_g,b(i) + loading_g activity_i,module(g) + dosage_g copy_number_ig
              + purity_i (contrast_g + subtype_g,s(i) + planted_ig)

and the count is negative binomial around it. Copy number is arm events plus focal events, diluted
by normal cells, and noise (`simulated_copies`); mutations are a background that follows burden and
gene length, plus drivers. The label belongs to the patient, and nothing but planted markers depends
on it, or, with `moving_modules`, further modules that are on average more active in the tumours of
cases. Each of their genes goes with the label, yet none is a planted marker
(`uns["moving_genes"]`).

In a case, each linear marker is on with its own probability, which `penetrance` scales: an
expression shift, a focal gain or loss, a mutation. The non-linear part tells the class in a share
`nonlinear_share` of the tumours, and by pairs only: two planted modules are both high or both low
in telling cases and opposed in telling controls ("xor"); some genes are lost and mutated together
in telling cases and never, as far as planted, in telling controls ("loss_and_mutation"). The signs
of the xor pair reach an AUC of (1 + nonlinear_share) / 2 at best.

`seed` draws the biology (genes, their profiles, the markers and their effects), `patients` the
samples. An array measures the same RNA with some of the genes only, as
log2(background + saturated(affinity_g signal ^ slope_g)) + noise.

Numbers are measured on open TCGA data where a source is named; "assumption" marks the others.
miniACC is TCGA-ACC in Bioconductor's MultiAssayExperiment: 198 cancer genes, 79 tumours.
"""

import numpy as np
import pandas as pd

from ..cohort.contract import VAR_COLUMNS, Cohort, build_cohort
from ..cohort.genes import table
from ..core.errors import SourceError
from ..core.params import SimulatedSource
from .simulated_copies import BETWEEN, CENTROMERES, draw_copy_number
from .simulated_layers import (
    DRIVERS,
    LIBRARY,
    draw_activity,
    draw_counts,
    draw_events,
    draw_moving,
    draw_mutations,
    draw_telling,
    scan_array,
)

EARLY_GENES = 15_000  # of the first 15,000 Ensembl numbers, 95% are in TCGA-LUAD's RNA-Seq table
# Samples
PURITY = (6.0, 3.0)  # Beta, median 0.68: assumption; ABSOLUTE and CPE medians are about 0.6 to 0.7
SITES_PER_BATCH = 4  # assumption
# Expression, log2 of the count in a library of 20 M reads over 20,531 genes
BASE = (10.5, 1.5, 2.2, 1.3)  # 10.5 - Gamma(1.5, 2.2) + N(0, 1.3): gene means of TCGA-LUAD, n=515
EXPRESSED = 6.0  # markers are planted in genes above this base level
DISPERSION = (0.03, 40.0, 1.1)  # (0.03 + 40 / mean) x lognormal: total dispersion as in miniACC
LOADING = 0.6  # SD; with SHARED: gene-gene |r| of miniACC, quantiles 50/90/99% .13/.32/.54
CONTRAST = (0.25, 1.5)  # share of genes unlike normal tissue, and log2 SD: assumption
DOSAGE = (0.85, 0.5)  # cis effect, N(mean, SD): miniACC, -.07/.40/.70 log2 per level (10/50/90%)
LENGTH_LOG_SD = 0.8  # of coding lengths: assumption
# Markers: design choices, set so that a linear model finds the default cohort hard but learnable
LINEAR = {
    ("expression", "linear"): 0.5,
    ("copy_number", "linear"): 0.25,
    ("mutation", "linear"): 0.25,
}
NONLINEAR = {("expression", "xor"): 0.8, ("copy_number", "loss_and_mutation"): 0.2}
NONLINEAR_MARKERS = 1 / 3  # share of the markers, when there is a non-linear part
EFFECT_LOG_SD = 0.3
XOR_LOADING = 1.0  # log2 per SD of the module's activity
# Modules that move with the label: design choices
MOVING_SHARE = 0.03  # of the genes, for each module; expressed genes that are no markers
MOVING_LOADING = (
    0.8  # SD of log2 per SD of activity: a little more coherent than background modules
)
LAYERS = (
    "samples", "genes", "markers", "telling", "events",
    "copy_number", "mutation", "activity", "expression",
    "moving_genes", "moving_activity", "chip", "scan",
)  # fmt: skip
"""A random stream each; a new one goes last, so that the others stay what they are."""
BIOLOGY = {"genes", "markers", "moving_genes", "chip"}
"""Streams that `patients` leaves alone."""


def simulate(source: SimulatedSource) -> Cohort:
    """An unlabelled cohort: counts, log2(copies / 2) and mutations 0 or 1, genes in genome order.

    Returns
    -------
    Cohort
        `obs` has `status` ("control" or "case", of the patient), `subtype` and `purity` (0 to 1; 0
        in normal tissue). `truth` has a row per planted gene and channel: `gene`, `channel`, `kind`
        ("linear", "xor" or "loss_and_mutation"), `module` and `effect`: the shift of the gene in a
        pure tumour where the marker is on, as log2 fold change, copies, or 1 for a mutation; for
        xor, log2 fold change per SD of its module's activity. An array gives log2 intensities of
        some of the genes, and no other channel; its `truth` is still the whole.

    Raises
    ------
    SourceError
        When more genes are asked for than are known.
    """
    rng = _streams(source)
    genes = _panel(source.n_genes)
    samples = _draw_samples(rng["samples"], source)
    profile = _draw_profiles(rng["genes"], len(genes), source.n_modules)
    truth = _plant_markers(rng["markers"], source, genes, profile)
    moving = _move_genes(rng["moving_genes"], source, truth, profile)
    tells = draw_telling(rng["telling"], samples, source.nonlinear_share)
    on = draw_events(rng["events"], samples, truth, source.penetrance, tells)
    copy_number = draw_copy_number(rng["copy_number"], genes, samples, truth, on)
    mutation = draw_mutations(rng["mutation"], genes, profile, samples, truth, on)
    activity = np.hstack(
        [
            draw_activity(rng["activity"], samples, source.n_modules, tells),
            draw_moving(rng["moving_activity"], samples, source),
        ]
    )
    counts = draw_counts(rng["expression"], profile, samples, truth, on, copy_number, activity)

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=samples.index, columns=genes.index, copy=False)

    sequenced = source.platform == "rnaseq"
    cohort = build_cohort(
        frame(counts) if sequenced else scan_array(rng["chip"], rng["scan"], frame(counts)),
        samples,
        genes[list(VAR_COLUMNS)],
        scale="counts" if sequenced else "log2",
        origin=f"Simulated from seed {source.seed}, with {source.n_markers} planted marker genes.",
        copy_number=frame(copy_number) if sequenced else None,
        mutation=frame(mutation) if sequenced else None,
        truth=truth.drop(columns="position"),
    )
    if source.moving_modules:
        cohort.data.uns["moving_genes"] = genes.index[moving].to_numpy(dtype=object)
    return cohort


def _streams(source: SimulatedSource) -> dict[str, np.random.Generator]:
    """The random stream of each layer: the biology's from the seed, the others from both seeds."""
    n = len(LAYERS)
    rng = dict(zip(LAYERS, np.random.default_rng(source.seed).spawn(n), strict=True))
    if source.patients > 1:
        own = np.random.default_rng([source.seed, source.patients]).spawn(n)
        rng |= {name: r for name, r in zip(LAYERS, own, strict=True) if name not in BIOLOGY}
    return rng


def _panel(n_genes: int) -> pd.DataFrame:
    """Autosomal genes over the genome with `place`, in Mb, chromosomes `BETWEEN` apart."""
    known = table().reset_index().sort_values("ensembl_id")
    is_clone = known["symbol"].str.contains(".", regex=False)
    known = known[known["chromosome"].isin(CENTROMERES) & ~is_clone]
    if n_genes > len(known):
        raise SourceError(
            f"`source.n_genes` is {n_genes}, but only {len(known)} autosomal genes are known. "
            "Ask for fewer."
        )
    known = known.head(max(n_genes, EARLY_GENES)).set_index("symbol").astype({"start": "int64"})
    chromosome = known["chromosome"].astype(int)
    megabase = known["start"] / 1e6
    known["place"] = BETWEEN * chromosome + megabase
    known = known.sort_values("place", kind="stable")
    drivers, others = known[known.index.isin(DRIVERS)], known[~known.index.isin(DRIVERS)]
    even = np.linspace(0, len(others) - 1, n_genes - len(drivers)).round().astype(int)
    return pd.concat([drivers, others.iloc[even]]).sort_values("place", kind="stable")


def _draw_samples(rng: np.random.Generator, source: SimulatedSource) -> pd.DataFrame:
    """The sample sheet: one tumour per patient, then normal tissue of some of the patients."""
    n_normals = round(source.n_samples * source.normal_fraction)
    n = source.n_samples - n_normals
    study = "SIM" if source.patients == 1 else f"SIM{source.patients}"
    case = rng.permutation(n) < round(n * source.positive_fraction)
    site = rng.integers(SITES_PER_BATCH * source.n_batches, size=n)
    tumours = pd.DataFrame(
        {
            "patient": [f"{study}-{i:05d}" for i in range(1, n + 1)],
            "sample_type": "01",
            "site": [f"S{i + 1:02d}" for i in site],
            "batch": [f"B{i % source.n_batches + 1}" for i in site],
            "status": np.where(case, "case", "control"),
            "subtype": [f"subtype {i + 1}" for i in rng.integers(source.n_subtypes, size=n)],
            "purity": rng.beta(*PURITY, size=n).clip(0.2, 0.98),
        }
    )
    normals = tumours.iloc[np.sort(rng.choice(n, n_normals, replace=False))]
    normals = normals.assign(sample_type="11", subtype="normal", purity=0.0)
    samples = pd.concat([tumours, normals], ignore_index=True)
    return samples.set_index(samples["patient"] + "-" + samples["sample_type"])


def _draw_profiles(rng: np.random.Generator, n: int, n_modules: int) -> pd.DataFrame:
    """What sets genes apart, one row per gene: level, noise, module, tissue, cis effect, length."""
    top, shape, scale, sd = BASE
    base = top - rng.gamma(shape, scale, n) + rng.normal(0, sd, n)
    floor, slope, spread = DISPERSION
    trend = floor + slope / (LIBRARY[0] * 2**base)
    return pd.DataFrame(
        {
            "base": base,
            "dispersion": trend * rng.lognormal(0, spread, n),
            "module": rng.integers(n_modules, size=n),
            "loading": rng.normal(0, LOADING, n),
            "contrast": rng.normal(0, CONTRAST[1], n) * (rng.random(n) < CONTRAST[0]),
            "dosage": rng.normal(*DOSAGE, n),
            "length": rng.lognormal(-(LENGTH_LOG_SD**2) / 2, LENGTH_LOG_SD, n),
        }
    )


def _plant_markers(
    rng: np.random.Generator, source: SimulatedSource, genes: pd.DataFrame, profile: pd.DataFrame
) -> pd.DataFrame:
    """The truth table, with each gene's `position`; xor genes change module in `profile`."""
    n_nonlinear = round(source.n_markers * NONLINEAR_MARKERS) if source.nonlinear else 0
    plan = _apportion(LINEAR, source.n_markers - n_nonlinear) + _apportion(NONLINEAR, n_nonlinear)
    free = np.flatnonzero((profile["base"] > EXPRESSED) & ~genes.index.isin(DRIVERS))
    truth = pd.DataFrame(plan, columns=["channel", "kind"], dtype=object)
    truth["position"] = rng.choice(free, len(plan), replace=False)
    truth.insert(0, "gene", genes.index[truth["position"]])
    xor, joint = truth["kind"] == "xor", truth["kind"] == "loss_and_mutation"
    sign = rng.choice([-1.0, 1.0], len(truth))
    fold = source.effect * rng.lognormal(0, EFFECT_LOG_SD, len(truth))
    expressed, copies = truth["channel"] == "expression", truth["channel"] == "copy_number"
    truth["effect"] = np.select(
        [xor, joint, expressed, copies], [sign * XOR_LOADING, -1.0, sign * fold, sign], 1.0
    )
    side = np.arange(xor.sum()) % 2
    truth["module"] = ""
    truth.loc[xor, "module"] = np.array(["xor a", "xor b"], dtype=object)[side]
    profile.loc[truth.loc[xor, "position"], "module"] = source.n_modules + side
    profile.loc[truth.loc[xor, "position"], "loading"] = truth.loc[xor, "effect"].to_numpy()
    mutated = truth[joint].assign(channel="mutation", effect=1.0)
    return pd.concat([truth, mutated], ignore_index=True)


def _move_genes(
    rng: np.random.Generator, source: SimulatedSource, truth: pd.DataFrame, profile: pd.DataFrame
) -> np.ndarray:
    """`(genes,)` positions of the moving modules' genes; they change module in `profile`."""
    free = profile.index[profile["base"] > EXPRESSED].difference(truth["position"])
    size = max(1, round(MOVING_SHARE * len(profile)))
    moving = rng.choice(free, source.moving_modules * size, replace=False)
    first = source.n_modules + 2  # the xor pair's come before
    profile.loc[moving, "module"] = first + np.arange(len(moving)) // size
    profile.loc[moving, "loading"] = rng.normal(0, MOVING_LOADING, len(moving))
    return moving


def _apportion(shares: dict[tuple[str, str], float], n: int) -> list[tuple[str, str]]:
    """`n` keys of `shares`, in these shares."""
    edges = np.round(np.cumsum([0.0, *shares.values()]) * n).astype(int)
    counts = np.diff(edges)
    return [key for key, count in zip(shares, counts, strict=True) for _ in range(count)]
