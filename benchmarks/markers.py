"""Biomarker lists beside those of other methods, on simulated cohorts whose planted truth is known.

    python3.11 -m venv .venv-markers
    .venv-markers/bin/pip install --no-deps --require-hashes \
        -r requirements.lock -r benchmarks/requirements-markers.txt
    OMP_NUM_THREADS=1 PYTHONPATH=src .venv-markers/bin/python benchmarks/markers.py

Every fit appends a line to `--out`, so that a run goes on where the last one stopped, and one run
at a time writes there. The default is benchmarks/markers.jsonl, which is in git: it holds all that
`--table` renders. `--redo --methods beyond,associated` forgets what these methods gave, as a
change to them asks for. `--table` fits nothing and renders the tables of docs/markers-benchmark.md;
`--quick` is a small cohort of each arm.

Only expression is judged, because most methods know nothing else. A selected gene is true when it
is planted in the expression channel. Genes within 5 Mb of a planted copy number event move with it:
they are associated but not planted, so they count neither as true nor as false. Genes of modules
that move with the label are false: no list of planted genes should hold them.
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
from marker_methods import METHODS, Data, Found, Method
from sklearn.metrics import average_precision_score
from tables import markdown
from tables import render as write_tables
from threadpoolctl import threadpool_limits

from oncopixel.cohort.contract import Cohort
from oncopixel.core.params import CHANNELS, PreprocessParams, SimulatedSource
from oncopixel.images.preprocessing import features, fit
from oncopixel.markers.stability import nogueira
from oncopixel.sources.simulated import simulate

ARMS = {
    "linear": {},
    "linear, moving modules": {"moving_modules": 3},
    "non-linear": {"nonlinear": True},
    "non-linear, moving modules": {"nonlinear": True, "moving_modules": 3},
}
SIZES = (400, 100, 200, 800)
QS = (0.05, 0.1, 0.2)
FIRST_SEED = 1001  # no cohort on which a method of ours was chosen
GENES, MARKERS = 2_500, 75
CIS = 5e6  # bases around a planted copy number event
RESAMPLED_Q = 0.1
PREPROCESS = PreprocessParams(
    normalise="auto", min_expressed_fraction=0.2, genes="all", clip=6.0,
    mutation_encoding="binary", layout="random", seed=1,
)  # fmt: skip
MAIN_SIZE = 400
DOC = Path("docs/markers-benchmark.md")
OURS = "beyond"
NONE = "\N{EN DASH}"


@dataclass(frozen=True)
class Truth:
    """What is known of each gene: bool arrays of one length."""

    planted: np.ndarray
    xor: np.ndarray
    judged: np.ndarray


def draw(arm: str, n: int, seed: int, n_genes: int, n_markers: int) -> tuple[Data, Truth]:
    """A cohort's expression, class and truth; the genes are those that preprocessing keeps."""
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
    xor = np.isin(genes, expressed.loc[expressed["kind"] == "xor", "gene"])
    chromosome, start = var.loc[genes, "chromosome"].to_numpy(), var.loc[genes, "start"].to_numpy()
    cis = np.zeros(len(genes), dtype=bool)
    for gene in truth.loc[truth["channel"] == "copy_number", "gene"]:
        here = var.loc[gene]
        cis |= (chromosome == here["chromosome"]) & (np.abs(start - here["start"]) <= CIS)
    return Truth(planted, xor, planted | ~cis)


def judge(found: Found, truth: Truth) -> dict[str, object]:
    """AUPRC, and for each set its size, false-discovery proportion and power."""
    sets = {}
    for name, chosen in found.sets.items():
        counted = chosen & truth.judged
        sets[str(name)] = {
            "size": int(counted.sum()),
            "fdp": float((counted & ~truth.planted).sum() / max(1, counted.sum())),
            "power": float(chosen[truth.planted].mean()),
            "xor_power": float(chosen[truth.xor].mean()) if truth.xor.any() else None,
        }
    auprc = average_precision_score(truth.planted[truth.judged], found.score[truth.judged])
    return {"auprc": float(auprc), "sets": sets}


def half(data: Data, seed: int) -> Data:
    """Half of the patients, each class in proportion; every patient has one sample here."""
    rng = np.random.default_rng(seed)
    classes = [rng.permutation(np.flatnonzero(data.y == k)) for k in (0, 1)]
    return data.take(np.sort(np.concatenate([rows[: len(rows) // 2] for rows in classes])))


def limited(call: Callable[[], Found], seconds: int) -> tuple[Found | None, float]:
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


def stability(method: Method, data: Data) -> dict[str, object]:
    """Nogueira's index over lists from half of the patients each, at q = 0.1 or the own rule."""
    chosen = []
    for i in range(method.resamples):
        found, _ = limited(lambda i=i: method.function(half(data, i), QS, i), method.limit_s)
        if found is None:
            return {"timeout": method.limit_s}
        chosen.append(found.sets.get(RESAMPLED_Q, found.sets.get("own")))
    size = float(np.sum(chosen) / len(chosen))
    return {"index": nogueira(np.array(chosen)).index, "size": size}


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
    return line["kind"], line["arm"], line["n"], line["seed"], line["method"]


def tasks(args: argparse.Namespace) -> Iterator[list[dict]]:
    """What is to be fitted to each cohort: the first keys of the lines."""
    for n, nth, arm in product(args.sizes, range(args.seeds), args.arms):
        place = {"arm": arm, "n": n, "seed": FIRST_SEED + nth}
        asked = []
        for name in args.methods:
            method = METHODS[name]
            if nth < method.cohorts and (method.over_n or n == MAIN_SIZE):
                asked.append({"kind": "fit", "method": name, **place})
            if nth < args.stability and method.lists and n == MAIN_SIZE:
                asked.append({"kind": "stability", "method": name, **place})
        yield asked


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
                method = METHODS[line["method"]]
                if line["kind"] == "stability":
                    line |= stability(method, data)
                else:
                    line |= accuracy(method, data, truth, seed)
                out.write(as_line(line))
                out.flush()
                print(as_line(line)[:200].rstrip(), flush=True)


def render(lines: list[dict], doc: Path) -> None:
    """Writes the tables into `doc`."""
    fits: dict[tuple, list[dict]] = {}
    stable: dict[tuple, list[float]] = {}
    for line in lines:
        place = line["arm"], line["n"], line["method"]
        if line["kind"] == "fit":
            fits.setdefault(place, []).append(line)
        elif "index" in line:
            stable.setdefault(place, []).append(line["index"])
    parts = []
    for arm in ARMS:
        header = ["method", *(f"FDP, q = {q}" for q in QS), "power, q = 0.05 / 0.1 / 0.2"]
        header += ["power, xor genes"] * ("nonlinear" in ARMS[arm])
        header += ["AUPRC", "stability", "CPU s", "cohorts"]
        rows = [
            [METHODS[m].title, *row(fits[arm, MAIN_SIZE, m], "nonlinear" in ARMS[arm],
                                    stable.get((arm, MAIN_SIZE, m), []))]
            for m in METHODS if (arm, MAIN_SIZE, m) in fits
        ]  # fmt: skip
        parts += [f"### {arm.capitalize()}, {MAIN_SIZE} patients", markdown(header, rows)]
    rows = []
    for arm in ARMS:
        for m in METHODS:
            found = [fits.get((arm, n, m), []) for n in sorted(SIZES)]
            if METHODS[m].over_n and sum(map(bool, found)) > 1:
                rows.append([arm, METHODS[m].title, *(cell(some) for some in found)])
    header = ["arm", "method", *(f"n = {n}" for n in sorted(SIZES))]
    parts += [
        "### Over the number of patients: FDP and power at q = 0.1 (cohorts)",
        markdown(header, rows),
    ]
    parts += [
        "### Power at q = 0.1 beside peers that hold it, on the same cohorts",
        beside(fits),
    ]
    write_tables(doc, "benchmarks/markers.py --table", *parts)


def beside(fits: dict[tuple, list[dict]]) -> str:
    """Our list and that of each peer whose mean FDP is at most q, where both fits ended."""
    rows = []
    for arm, n, peer in product(ARMS, sorted(SIZES), METHODS):
        ours, theirs = (
            {fit["seed"]: fit["sets"] for fit in fits.get((arm, n, m), []) if "sets" in fit}
            for m in (OURS, peer)
        )
        q = "own" if any("own" in sets for sets in theirs.values()) else str(RESAMPLED_Q)
        common = sorted(seed for seed in ours.keys() & theirs.keys() if q in theirs[seed])
        if METHODS[peer].title.startswith(METHODS[OURS].title) or not common:
            continue
        mine = [ours[seed][str(RESAMPLED_Q)] for seed in common]
        other = [theirs[seed][q] for seed in common]
        fdp, power = (
            [np.array([found[what] for found in sets]) for sets in (mine, other)]
            for what in ("fdp", "power")
        )
        if fdp[1].mean() > RESAMPLED_Q or not power[1].any():
            continue
        rows.append([
            arm, f"{n}", METHODS[peer].title, f"{len(common)}",
            *(f"{part.mean():.2f}" for part in (*fdp, *power)), with_error(power[0] - power[1]),
        ])  # fmt: skip
    header = ["arm", "n", "peer", "cohorts", "FDP, ours", "FDP, peer", "power, ours", "power, peer"]
    return markdown([*header, "difference"], rows)


def figures(fits: list[dict], name: str, what: str) -> np.ndarray:
    return np.array([fit["sets"][name][what] for fit in fits if name in fit.get("sets", {})])


def with_error(values: np.ndarray) -> str:
    error = f" ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}" if len(values) > 1 else ""
    return f"{values.mean():.2f}{error}" if len(values) else NONE


def row(fits: list[dict], nonlinear: bool, stable: list[float]) -> list[str]:
    """The cells of one method; a list by the method's own rule stands in all three places of q."""
    done = [fit for fit in fits if "auprc" in fit]
    names = [str(q) for q in QS]
    cells = [with_error(figures(done, name, "fdp")) for name in names]
    power = [figures(done, name, "power") for name in names]
    xor = figures(done, str(RESAMPLED_Q), "xor_power") if nonlinear else np.array([])
    if any("own" in fit["sets"] for fit in done):
        cells = [NONE, with_error(figures(done, "own", "fdp")) + ", own rule", NONE]
        power = [figures(done, "own", "power")]
        xor = figures(done, "own", "xor_power") if nonlinear else xor
    cells.append(" / ".join(f"{p.mean():.2f}" for p in power if len(p)) or NONE)
    if nonlinear:
        cells.append(f"{xor.mean():.2f}" if len(xor) else NONE)
    late, seconds = len(fits) - len(done), np.mean([fit["cpu_s"] for fit in fits])
    return [
        *cells,
        f"{np.mean([fit['auprc'] for fit in done]):.2f}" if done else NONE,
        f"{np.nanmean(stable):.2f}" if np.isfinite(stable).any() else NONE,
        f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}",
        f"{len(done)}" + f" ({late} over the time limit)" * (late > 0),
    ]


def cell(fits: list[dict]) -> str:
    name = "own" if any("own" in fit.get("sets", {}) for fit in fits) else str(RESAMPLED_Q)
    fdp, power = figures(fits, name, "fdp"), figures(fits, name, "power")
    late = f"{len(fits) - len(fdp)} over the time limit" if len(fits) > len(fdp) else ""
    if not len(fdp):
        return late or NONE
    return f"{fdp.mean():.2f}, {power.mean():.2f} ({len(fdp)}{late and '; ' + late})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/markers.jsonl"))
    parser.add_argument("--methods", type=lambda v: v.split(","), default=list(METHODS))
    parser.add_argument("--arms", type=lambda v: v.split(";"), default=list(ARMS))
    parser.add_argument("--sizes", type=lambda v: [int(n) for n in v.split(",")], default=SIZES)
    parser.add_argument("--seeds", type=int, default=20, help="cohorts of each arm and size")
    parser.add_argument("--stability", type=int, default=1, help="cohorts that are resampled")
    parser.add_argument("--quick", action="store_true", help="one cohort of 400 x 500 for each arm")
    parser.add_argument("--redo", action="store_true", help="forget these methods' lines first")
    parser.add_argument("--table", action="store_true", help=f"render {DOC}, fit nothing")
    args = parser.parse_args()
    args.genes, args.markers = GENES, MARKERS
    if args.quick:
        args.genes, args.markers, args.seeds, args.sizes, args.stability = (
            500,
            30,
            1,
            [MAIN_SIZE],
            0,
        )
        args.out, args.redo = Path("benchmarks/markers-quick.jsonl"), True
    if args.table:
        render(records(args.out), DOC)
    else:
        run(args)


if __name__ == "__main__":
    main()
