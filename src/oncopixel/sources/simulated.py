"""A cohort from a seed, with planted markers: the only data whose true biomarkers are known.

Each function draws one layer. In log2 units, the mean expression of gene g in sample i is

    library_i + base_g + batch_g,b(i) + loading_g activity_i,module(g) + dosage_g copy_number_ig
              + purity_i (contrast_g + subtype_g,s(i) + planted_ig)

and the count is negative binomial around it. Copy number is arm events plus focal events, diluted
by normal cells; mutations are a background that follows burden and gene length, plus drivers. The
label belongs to the patient. Batches, sites, subtypes, purity, drivers and co-expression do not
depend on it: only planted markers do, and without them (`n_markers: 0`) nothing does. With
`moving_modules` some programmes do depend on it: further modules, as coherent as proliferation or
an immune infiltrate, are on average more active in the tumours of cases. Each of their genes goes
with the label, yet none is a planted marker; they are named in `uns["moving_genes"]`.

In a case, each linear marker is on with its own probability, which `penetrance` scales: an
expression shift, a focal gain or loss, a mutation. The non-linear part tells the class in a share
`nonlinear_share` of the tumours, and leaves every single gene distributed alike in both classes:
only pairs tell. Two planted modules are both high or both low in telling cases and opposed in
telling controls ("xor"); some genes are lost and mutated together in telling cases and never
together, as far as planted, in telling controls ("loss_and_mutation"). A model that sees nothing
but the signs of the xor pair reaches an AUC of (1 + nonlinear_share) / 2 at best.

`seed` draws the biology (genes, their profiles, the markers and their effects), `patients` draws
the samples; subtypes, arm rates and what modules share are those of the patients. An array measures
the same RNA with some of the genes only, as log2(background + saturated(affinity_g signal ^
slope_g)) + noise, where the signal is the count in a library of usual size.

Numbers are measured on open TCGA data where a source is named; "assumption" marks the others.
miniACC is TCGA-ACC in Bioconductor's MultiAssayExperiment: 198 cancer genes, 79 tumours.
"""

import numpy as np
import pandas as pd

from ..cohort.contract import VAR_COLUMNS, Cohort, build_cohort
from ..cohort.genes import table
from ..core.errors import SourceError
from ..core.params import SimulatedSource

# Genome. Boundary of the p and q centromere bands in Mb, UCSC cytoBand hg38. Autosomes only, so
# that copy number needs no sex.
CENTROMERES = dict(zip(
    map(str, range(1, 23)),
    (123.4, 93.9, 90.9, 50.0, 48.8, 59.8, 60.1, 45.2, 43.0, 39.8, 53.4,
     35.5, 17.7, 17.2, 19.0, 36.8, 25.1, 18.5, 26.2, 28.1, 12.0, 15.0),
    strict=True,
))  # fmt: skip
GENOME_MB = 2_875  # GRCh38 autosomes
GENOME_GENES = 19_000  # protein-coding genes, about; for rates that are known per exome
EARLY_GENES = 15_000  # of the first 15,000 Ensembl numbers, 95% are in TCGA-LUAD's RNA-Seq table

# Driver genes and the share of tumours in which they are mutated: Bailey et al. 2018, Cell
# 173:371, table S1, pan-cancer. They do not depend on the label.
DRIVERS = {
    "TP53": 0.375, "PIK3CA": 0.118, "KMT2D": 0.083, "PTEN": 0.075, "BRAF": 0.071,
    "KRAS": 0.070, "ARID1A": 0.067, "APC": 0.059, "IDH1": 0.056, "ATM": 0.041,
    "CDKN2A": 0.040, "FBXW7": 0.038, "EGFR": 0.038, "RB1": 0.037,
}  # fmt: skip

# Samples
PURITY = (6.0, 3.0)  # Beta, median 0.68: assumption; ABSOLUTE and CPE medians are about 0.6 to 0.7
SITES_PER_BATCH = 4  # assumption
LIBRARY = (2.8, 0.3)  # median over TCGA-LUAD's 20 M normalised reads, and log-SD: assumptions

# Expression, log2 of the count in a library of 20 M reads over 20,531 genes
BASE = (10.5, 1.5, 2.2, 1.3)  # 10.5 - Gamma(1.5, 2.2) + N(0, 1.3): gene means of TCGA-LUAD, n=515
EXPRESSED = 6.0  # markers are planted in genes above this base level
DISPERSION = (0.03, 40.0, 1.1)  # (0.03 + 40 / mean) x lognormal: total dispersion as in miniACC
LOADING = 0.6  # SD; with SHARED: gene-gene |r| of miniACC, quantiles 50/90/99% .13/.32/.54
SHARED, SHARED_VARIANCE = 3, 0.8  # latent programmes, and their share of each module's variance
BATCH_SD = 0.2  # assumption, usual range 0.1 to 0.3
CONTRAST = (0.25, 1.5)  # share of genes unlike normal tissue, and log2 SD: assumption
SUBTYPE = (0.10, 0.8)  # share of genes that a subtype shifts, and log2 SD: assumption
DOSAGE = (0.85, 0.5)  # cis effect, N(mean, SD): miniACC, -.07/.40/.70 log2 per level (10/50/90%)

# Copy number
ARM_GAIN, ARM_LOSS = 0.30, 0.17  # means over arms: miniACC's GISTIC levels -1, 0, 1: 18/51/30%
ARM_SPREAD = 4.0  # Dirichlet concentration: miniACC's genes are gained in 3 to 66% of tumours
FOCAL_SHARE = 0.015  # of the genome: assumption; gives miniACC's 0.3% and 1.0% of levels -2 and 2
FOCAL_MB = (1.5, 1.0)  # length, lognormal median and log-SD: assumption
FOCAL_TWO = 0.5  # share of focal events that change two copies: assumption

# Mutation
BURDEN = (106.0, 0.95)  # lognormal: median of TCGA-HNSC (maftools tcga_cohort), log-SD of TCGA-LUAD
LENGTH_LOG_SD = 0.8  # of coding lengths: assumption

# Markers: design choices, set so that a linear model finds the default cohort hard but learnable
LINEAR = {
    ("expression", "linear"): 0.5,
    ("copy_number", "linear"): 0.25,
    ("mutation", "linear"): 0.25,
}
NONLINEAR = {("expression", "xor"): 0.8, ("copy_number", "loss_and_mutation"): 0.2}
NONLINEAR_MARKERS = 1 / 3  # share of the markers, when there is a non-linear part
RELATIVE_PENETRANCE = {"expression": 1.0, "copy_number": 0.4, "mutation": 0.2}
EFFECT_LOG_SD = 0.3
XOR_LOADING = 1.0  # log2 per SD of the module's activity
JOINT_RATE = 0.3  # of planted losses, and of planted mutations, of a loss_and_mutation gene

# Modules that move with the label: design choices
MOVING_SHARE = 0.03  # of the genes, for each module; expressed genes that are no markers
MOVING_LOADING = (
    0.8  # SD of log2 per SD of activity: a little more coherent than background modules
)

# Array: assumptions, in the range of log2 intensities of one-channel oligonucleotide arrays
ARRAY_GENES = 0.7  # share of the genes that are on the chip
ARRAY_AFFINITY_SD = 1.0  # log2, between probe sets
ARRAY_SLOPE = (0.8, 1.0)  # uniform; below 1 folds are compressed
ARRAY_BACKGROUND = 2.0**5
ARRAY_SATURATION = 2.0**14.5  # of the hyperbola x / (1 + x / saturation), Langmuir's isotherm
ARRAY_NOISE = 0.2  # SD of log2 intensity

LAYERS = (
    "samples", "genes", "markers", "telling", "events",
    "copy_number", "mutation", "activity", "expression",
    "moving_genes", "moving_activity", "chip", "scan",
)  # fmt: skip
"""A random stream each; a new one goes last, so that the others stay what they are."""
BIOLOGY = {"genes", "markers", "moving_genes", "chip"}
"""Streams that `patients` leaves alone."""
BLOCK = 256  # samples whose counts are drawn at a time, which bounds the memory


def simulate(source: SimulatedSource) -> Cohort:
    """An unlabelled cohort: counts, log2(copies / 2) and mutations 0 or 1, genes in genome order.

    The sample sheet has `status` ("control" or "case", of the patient), `subtype` ("normal" in
    normal tissue) and `purity` (0 to 1; 0 in normal tissue). `truth` has one row per planted gene
    and channel: `gene`, `channel`, `kind` ("linear", "xor" or "loss_and_mutation"), `effect` and
    `module` ("" if none). `effect` is the shift of the gene in a pure tumour where the marker is
    on: log2 fold change, copies, or 1 for a mutation; for xor, log2 fold change per SD of its
    module's activity. Modules that move with the label are not in there, but in
    `uns["moving_genes"]`. An array gives log2 intensities of some of the genes, in an order of its
    own, and no other channel; its `truth` is still the whole truth. The same source always gives
    the same cohort. Raises `SourceError` when more genes are asked for than are known.
    """
    rng = _streams(source)
    genes = _panel(source.n_genes)
    samples = _draw_samples(rng["samples"], source)
    profile = _draw_profiles(rng["genes"], len(genes), source.n_modules)
    truth = _plant_markers(rng["markers"], source, genes, profile)
    moving = _move_genes(rng["moving_genes"], source, truth, profile)
    tells = _draw_telling(rng["telling"], samples, source.nonlinear_share)
    on = _draw_events(rng["events"], samples, truth, source.penetrance, tells)
    copy_number = _draw_copy_number(rng["copy_number"], genes, samples, truth, on)
    mutation = _draw_mutations(rng["mutation"], genes, profile, samples, truth, on)
    activity = np.hstack(
        [
            _draw_activity(rng["activity"], samples, source.n_modules, tells),
            _draw_moving(rng["moving_activity"], samples, source),
        ]
    )
    counts = _draw_counts(rng["expression"], profile, samples, truth, on, copy_number, activity)

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=samples.index, columns=genes.index, copy=False)

    sequenced = source.platform == "rnaseq"
    cohort = build_cohort(
        frame(counts) if sequenced else _scan(rng["chip"], rng["scan"], frame(counts)),
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
    """Real autosomal genes spread evenly over the genome, drivers among them, in genome order.

    Ensembl numbered well-known protein-coding genes first, so low numbers are preferred. Beside the
    columns of a cohort: `place` (Mb; chromosomes lie 1,000 Mb apart) and `arm` (ordinal).
    """
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
    on_q = megabase > known["chromosome"].map(CENTROMERES)
    known["place"] = 1_000 * chromosome + megabase
    known["arm"] = 2 * chromosome + on_q
    known = known.sort_values("place", kind="stable")
    drivers, others = known[known.index.isin(DRIVERS)], known[~known.index.isin(DRIVERS)]
    even = np.linspace(0, len(others) - 1, n_genes - len(drivers)).round().astype(int)
    panel = pd.concat([drivers, others.iloc[even]]).sort_values("place", kind="stable")
    panel["arm"] = pd.factorize(panel["arm"])[0]
    return panel


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


def _draw_telling(rng: np.random.Generator, samples: pd.DataFrame, share: float) -> np.ndarray:
    """`(samples,)` what the non-linear part says: 1 case, -1 control, 0 nothing."""
    says = (samples["purity"] > 0) & (rng.random(len(samples)) < share)
    return np.where(says, np.where(samples["status"] == "case", 1, -1), 0)


def _draw_events(
    rng: np.random.Generator,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    penetrance: float,
    tells: np.ndarray,
) -> np.ndarray:
    """`(samples, rows of truth)` bool: which marker is on in which tumour; xor is no event.

    The mutation of a loss_and_mutation gene has the loss's uniform draw u in telling cases, 1 - u
    in telling controls and a draw of its own in the rest: it comes always with the loss, never or
    by chance, at the same rate.
    """
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


def _draw_copy_number(
    rng: np.random.Generator,
    genes: pd.DataFrame,
    samples: pd.DataFrame,
    truth: pd.DataFrame,
    on: np.ndarray,
) -> np.ndarray:
    """`(samples, genes)` float32 log2(copies / 2) of the whole sample, normal cells included."""
    tumours = np.flatnonzero(samples["purity"] > 0)
    levels = np.zeros((len(samples), len(genes)), dtype=np.int8)
    levels[tumours] = _arm_levels(rng, len(tumours), genes["arm"].to_numpy())
    planted = truth[truth["channel"] == "copy_number"]
    who, marker = np.nonzero(on[:, planted.index])
    mean_mb = FOCAL_MB[0] * np.exp(FOCAL_MB[1] ** 2 / 2)
    genes_per_event = 1 + mean_mb * len(genes) / GENOME_MB
    n = round(FOCAL_SHARE * len(tumours) * len(genes) / genes_per_event)
    chance = rng.choice([-1, 1], n) * np.where(rng.random(n) < FOCAL_TWO, 2, 1)
    sample = np.append(who, rng.choice(tumours, n))
    centre = np.append(planted["position"].to_numpy()[marker], rng.integers(len(genes), size=n))
    amount = np.append(planted["effect"].to_numpy()[marker], chance).astype(np.int8)
    levels += _focal_levels(rng, genes["place"].to_numpy(), len(samples), sample, centre, amount)
    ratio = np.clip(levels, -2, 2).astype(np.float32)
    ratio *= samples["purity"].to_numpy(dtype=np.float32)[:, None] / 2
    np.log1p(ratio, out=ratio)
    ratio /= np.float32(np.log(2))
    return ratio


def _arm_levels(rng: np.random.Generator, n: int, arm: np.ndarray) -> np.ndarray:
    """`(n, genes)` int8: -1, 0 or 1 for whole arms; each arm has rates of its own."""
    mean = np.array([ARM_LOSS, 1 - ARM_LOSS - ARM_GAIN, ARM_GAIN])
    loss, _, gain = rng.dirichlet(ARM_SPREAD * mean, arm.max() + 1).T
    u = rng.random((n, len(gain)), dtype=np.float32)
    levels = (u > 1 - gain).astype(np.int8) - (u < loss).astype(np.int8)
    return np.take(levels, arm, axis=1)


def _focal_levels(
    rng: np.random.Generator,
    place: np.ndarray,
    n: int,
    sample: np.ndarray,
    centre: np.ndarray,
    amount: np.ndarray,
) -> np.ndarray:
    """`(n, genes)` int8 sum of focal events: event k adds `amount[k]` copies around a gene."""
    length = rng.lognormal(np.log(FOCAL_MB[0]), FOCAL_MB[1], len(sample))
    start = place[centre] - rng.random(len(sample)) * length
    steps = np.zeros((n, len(place) + 1), dtype=np.int8)
    np.add.at(steps, (sample, np.searchsorted(place, start)), amount)
    np.add.at(steps, (sample, np.searchsorted(place, start + length, side="right")), -amount)
    return np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1]


def _draw_mutations(
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


def _draw_activity(
    rng: np.random.Generator, samples: pd.DataFrame, n_modules: int, tells: np.ndarray
) -> np.ndarray:
    """`(samples, modules + 2)` float32 N(0, 1) activity of each module; the xor pair comes last.

    Modules share latent programmes. The xor pair agrees in sign in telling cases, differs in
    telling controls and is random in the rest; each of the two is N(0, 1) in both classes, half of
    each class up and half down.
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


def _draw_moving(
    rng: np.random.Generator, samples: pd.DataFrame, source: SimulatedSource
) -> np.ndarray:
    """`(samples, moving modules)` float32 activity: N(0, 1), shifted in the tumours of cases."""
    case = (samples["status"] == "case") & (samples["purity"] > 0)
    activity = rng.standard_normal((len(samples), source.moving_modules))
    activity += source.moving_shift * case.to_numpy()[:, None]
    return activity.astype(np.float32)


def _draw_counts(
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


def _scan(
    chip: np.random.Generator, noise: np.random.Generator, counts: pd.DataFrame
) -> pd.DataFrame:
    """`(samples, genes on the chip)` float32 log2 intensities of the RNA that was counted.

    The chip's genes, their affinities and slopes are the biology's; noise is the sample's. Langmuir
    saturation after Hekstra et al. 2003, Nucleic Acids Res 31:1962.
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
