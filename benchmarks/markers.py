"""Biomarker lists beside those of other methods, where the planted truth is known.

    python3.11 -m venv .venv-markers
    .venv-markers/bin/pip install --no-deps --require-hashes \
        -r requirements.lock -r benchmarks/requirements-markers.txt
    OMP_NUM_THREADS=1 PYTHONPATH=src .venv-markers/bin/python benchmarks/markers.py

Every fit appends a line to `--out`, so that a run goes on where the last one stopped, and one run
at a time writes there. The default is benchmarks/markers.jsonl, which is in git: it holds all that
`--table` renders. `--redo --methods beyond,associated` forgets what these methods gave, as a
change to them asks for. `--table` fits nothing and renders the tables of docs/benchmarks.md;
`--quick` is a small cohort of each arm.

First labels are planted in genes of real tumours (`PLANTED`; those of BRCA in the folder that
`ONCOPIXEL_DATA` names), then come simulated cohorts (`ARMS`) and attacks (`ATTACKS`). Only
expression is judged, because most methods know nothing else. A selected gene is true when it is
planted. Genes within 5 Mb of a
simulated copy number event move with it: they are associated but not planted, so they count neither
as true nor as false. Genes of modules that move with the label are false: no list of planted genes
should hold them. Real genes that correlate are hard to tell apart, so these are judged by module,
too: genes that average linkage joins at |r| >= 0.5.
"""

import argparse
import json
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import FrameType

import numpy as np
import pandas as pd
from accuracy_tasks import TASKS, cohort_of
from marker_methods import METHODS, Data, Lists, Method
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.special import expit
from tables import markdown
from tables import render as write_tables
from threadpoolctl import threadpool_limits

from oncopixel.cohort.contract import Cohort
from oncopixel.core.params import CHANNELS, PreprocessParams, SimulatedSource
from oncopixel.images.preprocessing import features, fit
from oncopixel.sources.simulated import simulate

ARMS = {
    "linear": {},
    "linear, moving modules": {"moving_modules": 3},
    "non-linear": {"nonlinear": True},
    "non-linear, moving modules": {"nonlinear": True, "moving_modules": 3},
}
PLANTED = {
    f"{cancer}, {n} genes{how}": (task, n, how)
    for cancer, task in (("LUAD", "luad_keap1"), ("BRCA", "brca_pam50"))
    for n, how in ((15, ""), (40, ""), (15, " above a threshold"))
}
"""Cohort, planted genes, and how they make the label: by their sum, or by how many are high."""
ATTACKS = {"suppressors": False, "suppressors, heavy tails": True}
"""The label goes with the sum of two programmes, and these genes with their difference."""
FOLLOW, SUPPRESS, ATTACKED = 200, 300, 1_000
"""Genes of the sum, of the difference, and all."""
WITHOUT_COUNTS = ("beyond_3", "deseq2")
"""Methods that need more than attacks have."""
STRENGTH, HIGH, SAME_MODULE = 4.0, 0.7, 0.5
"""Logits per SD of what makes the label; z-score of a high gene; |r| at which modules join."""
SIZES = (400, 100, 200, 800)
REAL_SIZES = (500, 200)
QS = (0.05, 0.1, 0.2)
FIRST_SEED = 1001  # no cohort on which a method of ours was chosen
GENES, MARKERS = 2_500, 75
CIS = 5e6  # bases around a planted copy number event
Q = 0.1
"""Of the tables."""
PREPROCESS = PreprocessParams(
    normalise="auto", min_expressed_fraction=0.2, genes="all", clip=6.0,
    mutation_encoding="binary", layout="random", seed=1,
)  # fmt: skip
MAIN_SIZE = 400
DOC = Path("docs/benchmarks.md")
OURS = ("beyond", "associated")


@dataclass(frozen=True)
class Truth:
    """What is known of each gene: bool arrays of one length."""

    planted: np.ndarray
    judged: np.ndarray
    module: np.ndarray | None = None
    """`(genes,)` numbers, where genes are judged by module, too."""
    follows: np.ndarray | None = None
    """Genes that are not false, though only the planted ones count for power."""


def plant(arm: str, n: int, seed: int) -> tuple[Data, Truth]:
    """Real tumours whose class a few of their genes make."""
    task, n_planted, how = PLANTED[arm]
    cohort = cohort_of(task)
    cohort = cohort.take(cohort.samples["sample_type"].ne("11").to_numpy())
    settings = PREPROCESS.model_copy(update={"genes": "top_variance", "normalise": "none"})
    pre = fit(cohort, settings, channels=["expression"], image=(50, 50))
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(cohort.samples))[:n])
    every = features(pre, cohort)
    z, genes = every[some, :, 0], pre.genes
    planted = rng.choice(z.shape[1], n_planted, replace=False)
    mine = z[:, planted] * rng.choice([-1, 1], n_planted)
    made = (mine > HIGH if how else mine).sum(axis=1)
    y = rng.random(len(z)) < expit(STRENGTH * (made - made.mean()) / made.std())
    scale, center = genes["expression_scale"].to_numpy(), genes["expression_center"].to_numpy()
    data = Data(
        features=every[some],
        counts=np.exp2(z * scale + center) - 1,
        library=np.ones(len(z)),
        y=y.astype(int),
        genes=genes[["gene", "chromosome", "start"]],
        planted=np.isin(np.arange(z.shape[1]), planted),
    )
    distance = np.maximum(1 - np.abs(np.corrcoef(every[:, :, 0].T)), 0)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    module = fcluster(tree, 1 - SAME_MODULE, "distance")
    return data, Truth(data.planted, np.ones(len(module), bool), module)


def attack(arm: str, n: int, seed: int, n_planted: int) -> tuple[Data, Truth]:
    """A label of two programmes and planted genes; `SUPPRESS` genes help a model, and are null.

    Genes that follow one of the programmes are not planted, but true of either claim.
    """
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, n, 1))
    z = rng.standard_normal((n, ATTACKED))
    if ATTACKS[arm]:
        z /= np.sqrt(rng.chisquare(3, (n, 1)) / 3)
    own = z[:, :n_planted].sum(axis=1)
    z[:, n_planted:FOLLOW] += first
    z[:, FOLLOW : FOLLOW + SUPPRESS] += first - second
    score = own / own.std() + (first + second)[:, 0] / np.sqrt(2)
    y = (score + 0.3 * rng.standard_normal(n) > 0).astype(int)
    z = ((z - z.mean(axis=0)) / z.std(axis=0)).clip(-6, 6)
    at = np.arange(ATTACKED)
    genes = pd.DataFrame({"gene": [f"G{i}" for i in at], "chromosome": "1", "start": 1_000 * at})
    planted = at < n_planted
    features = z[:, :, None].astype(np.float32)
    data = Data(features, np.exp2(z + 8) - 1, np.ones(n), y, genes)
    return data, Truth(planted, np.ones(ATTACKED, dtype=bool), follows=at < FOLLOW)


def draw(arm: str, n: int, seed: int, n_genes: int, n_markers: int) -> tuple[Data, Truth]:
    """A cohort's expression, class and truth; the genes are those that preprocessing keeps."""
    if arm in PLANTED:
        return plant(arm, n, seed)
    if arm in ATTACKS:
        return attack(arm, n, seed, n_markers // 5)
    source = SimulatedSource(
        kind="simulated", seed=seed, n_samples=n, n_genes=n_genes, n_markers=n_markers, **ARMS[arm]
    )
    cohort = simulate(source)
    cohort.data.uns["classes"] = ["control", "case"]
    cohort.data.obs["label"] = cohort.data.obs["status"]
    side = int(np.ceil(np.sqrt(n_genes)))
    pre = fit(cohort, PREPROCESS, channels=list(CHANNELS), image=(side, side))
    genes = pre.genes["gene"].to_numpy(dtype=str)
    counts = pd.DataFrame(cohort.layer("expression"), columns=cohort.genes.index)
    data = Data(
        features=features(pre, cohort),
        counts=counts[genes].to_numpy().astype(int),
        library=counts.sum(axis=1).to_numpy() / 1e6,
        y=(cohort.samples["status"] == "case").to_numpy().astype(int),
        genes=pre.genes[["gene", "chromosome", "start"]],
    )
    return data, truth_of(cohort, genes)


def truth_of(cohort: Cohort, genes: np.ndarray) -> Truth:
    truth, var = cohort.data.uns["truth"], cohort.genes
    expressed = truth[truth["channel"] == "expression"]
    planted = np.isin(genes, expressed["gene"])
    chromosome, start = var.loc[genes, "chromosome"].to_numpy(), var.loc[genes, "start"].to_numpy()
    cis = np.zeros(len(genes), dtype=bool)
    for gene in truth.loc[truth["channel"] == "copy_number", "gene"]:
        here = var.loc[gene]
        cis |= (chromosome == here["chromosome"]) & (np.abs(start - here["start"]) <= CIS)
    return Truth(planted, planted | ~cis)


def judge(lists: Lists, truth: Truth) -> dict[str, object]:
    """For each set its size, false-discovery proportion and power."""
    sets = {}
    false = ~truth.planted if truth.follows is None else ~truth.follows
    for name, chosen in lists.items():
        counted = chosen & truth.judged
        sets[str(name)] = {
            "size": int(counted.sum()),
            "fdp": float((counted & false).sum() / max(1, counted.sum())),
            "power": float(chosen[truth.planted].mean()),
        }
        if truth.module is not None:
            listed, true = (set(truth.module[of]) for of in (chosen, truth.planted))
            sets[str(name)] |= {
                "modules": len(listed),
                "module_fdp": len(listed - true) / max(1, len(listed)),
                "module_power": len(listed & true) / len(true),
            }
    return {"sets": sets}


def limited(call: Callable[[], Lists], seconds: int) -> tuple[Lists | None, float]:
    """What `call` gives, or None when it takes more CPU time; and that time."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    begin = time.process_time()
    try:
        with warnings.catch_warnings(), threadpool_limits(limits=1):
            warnings.simplefilter("ignore")
            return call(), time.process_time() - begin
    except TimeoutError:
        return None, time.process_time() - begin
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def accuracy(method: Method, data: Data, truth: Truth, seed: int) -> dict[str, object]:
    found, seconds = limited(lambda: method.function(data, QS, seed), method.limit_s)
    outcome = judge(found, truth) if found else {"timeout": method.limit_s}
    return {"cpu_s": seconds, **outcome}


def as_line(record: dict) -> str:
    """JSON, floats with four significant digits."""

    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return {name: rounded(part) for name, part in value.items()}
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return json.dumps(rounded(record), separators=(",", ":")) + "\n"


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(line: dict) -> tuple:
    return line["arm"], line["n"], line["seed"], line["method"]


def tasks(args: argparse.Namespace) -> Iterator[list[dict]]:
    """What is to be fitted to each cohort: the first keys of the lines."""
    places = [
        *product(args.real_sizes, range(args.seeds), filter(PLANTED.get, args.arms)),
        *product(args.sizes, range(args.seeds), filter(ARMS.__contains__, args.arms)),
        *product([MAIN_SIZE], range(args.seeds), filter(ATTACKS.__contains__, args.arms)),
    ]
    for n, nth, arm in places:
        if arm in PLANTED and not TASKS[PLANTED[arm][0]].inputs:
            continue
        place = {"arm": arm, "n": n, "seed": FIRST_SEED + nth}
        named = [
            name
            for name in args.methods
            if nth < METHODS[name].cohorts
            and (arm in PLANTED or not METHODS[name].knows)
            and not (arm in ATTACKS and name in WITHOUT_COUNTS)
        ]
        yield [{"method": name, **place} for name in named]


def run(args: argparse.Namespace) -> None:
    lines = records(args.out)
    if args.redo:
        lines = [line for line in lines if line["method"] not in args.methods]
        args.out.write_text("".join(map(as_line, lines)))
    done = {key(line) for line in lines}
    with args.out.open("a") as out:
        for asked in tasks(args):
            todo = [line for line in asked if key(line) not in done]
            if not todo:
                continue
            arm, n, seed = (todo[0][part] for part in ("arm", "n", "seed"))
            data, truth = draw(arm, n, seed, args.genes, args.markers)
            for line in todo:
                line |= accuracy(METHODS[line["method"]], data, truth, seed)
                out.write(as_line(line))
                out.flush()
                print(as_line(line)[:200].rstrip(), flush=True)


def render(lines: list[dict], doc: Path) -> None:
    """Writes the tables into `doc`: every method at one size, ours at all sizes."""
    fits: dict[tuple, list[dict]] = {}
    for line in lines:
        fits.setdefault((line["arm"], line["n"], line["method"]), []).append(line)
    planted = [
        [
            METHODS[m].title,
            *(cell(fits[arm, n, m], "module_") if arm in done else "not run" for arm in PLANTED),
            str(n),
            str(min(len(fits[arm, n, m]) for arm in done)),
        ]
        for n in REAL_SIZES
        for m in METHODS
        if (done := [arm for arm in PLANTED if (arm, n, m) in fits])
    ]
    methods = []
    for m in (name for name in METHODS if not METHODS[name].knows):
        cells = [fits[arm, MAIN_SIZE, m] for arm in ARMS]
        seconds = np.mean([fit["cpu_s"] for fit in cells[0]])
        shown = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
        methods.append([METHODS[m].title, *map(cell, cells), str(len(cells[0])), shown])
    attacked = [
        [METHODS[m].title, *(cell(fits[arm, MAIN_SIZE, m]) for arm in ATTACKS), str(n_cohorts)]
        for m in METHODS
        if (n_cohorts := min(len(fits.get((arm, MAIN_SIZE, m), ())) for arm in ATTACKS))
    ]
    sizes = sorted(SIZES)
    by_size = [
        [f"{METHODS[m].title}, {arm}", *(cell(fits[arm, n, m]) for n in sizes)]
        for m in OURS
        for arm in ARMS
        if all((arm, n, m) in fits for n in sizes)
    ]
    write_tables(
        doc,
        "benchmarks/markers.py --table",
        "Labels planted in real tumours:",
        markdown(["method", *PLANTED, "tumours", "labels"], planted),
        "Simulated cohorts of 400 patients:",
        markdown(["method", *ARMS, "cohorts", "CPU s"], methods),
        "Suppressors, 400 patients:",
        markdown(["method", *ATTACKS, "cohorts"], attacked),
        "By the number of patients, 20 cohorts each:",
        markdown(["", *(f"n = {n}" for n in sizes)], by_size),
    )


def cell(fits: list[dict], of: str = "") -> str:
    """Mean FDP and power at `Q`, or of the own rule; of "module_" also the lists that hold any."""
    done = [fit["sets"] for fit in fits if "sets" in fit]
    if not done:
        return f"over {max(fit['timeout'] for fit in fits)} CPU s"
    chosen = [sets.get("own") or sets[str(Q)] for sets in done]
    fdp, power = (np.mean([one[of + what] for one in chosen]) for what in ("fdp", "power"))
    held = f" ({sum(one['size'] > 0 for one in chosen)})" if of else ""
    return f"{fdp:.2f}, {power:.2f}{held}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/markers.jsonl"))
    parser.add_argument("--methods", type=lambda v: v.split(","), default=list(METHODS))
    parser.add_argument("--arms", type=lambda v: v.split(";"), default=[*PLANTED, *ARMS, *ATTACKS])
    parser.add_argument("--sizes", type=lambda v: [int(n) for n in v.split(",")], default=SIZES)
    parser.add_argument(
        "--real-sizes", type=lambda v: [int(n) for n in v.split(",")], default=REAL_SIZES
    )
    parser.add_argument("--seeds", type=int, default=20, help="cohorts of each arm and size")
    parser.add_argument("--quick", action="store_true", help="one cohort of 400 x 500 for each arm")
    parser.add_argument("--redo", action="store_true", help="forget these methods' lines first")
    parser.add_argument("--table", action="store_true", help=f"render {DOC}, fit nothing")
    args = parser.parse_args()
    args.genes, args.markers = GENES, MARKERS
    if args.quick:
        args.genes, args.markers, args.seeds = 500, 30, 1
        args.sizes, args.real_sizes = [MAIN_SIZE], [REAL_SIZES[0]]
        args.out, args.redo = Path("benchmarks/markers-quick.jsonl"), True
    if args.table:
        render(records(args.out), DOC)
    else:
        run(args)


if __name__ == "__main__":
    main()
