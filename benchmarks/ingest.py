"""Files of the GDC: speed and peak memory of reading them, beside plain peers and the disk.

    PYTHONPATH=src python benchmarks/ingest.py read [--files 2000] [--polars PYTHON]
    PYTHONPATH=src python benchmarks/ingest.py whole [--samples 11000] [--genes all]
    PYTHONPATH=src python benchmarks/ingest.py stages [--samples 10000] [--n-genes 20000]
    ONCOPIXEL_DATA=FOLDER PYTHONPATH=src python benchmarks/ingest.py segments [--bins 10000]

`read` reads STAR files of the real layout (60,660 genes, 4.2 MB each) into one matrix: by us on all
processors and on one, by a loop of pandas, by the scanner of polars, and as bytes only, which is
the limit that disk and page cache set. Each reader runs twice: cold, after the system has dropped
the files from memory (checked by `fincore`), and warm, right after that. polars is no dependency of
the project: install it in an environment of its own and name its Python. `whole` takes three
channels from files to `cohort.h5ad`, `stages` the split and the preprocessing of a simulated
cohort. Only `--distinct` files are made: `read` copies them, for `whole` they stand under many
names. `segments` takes the real tumours of `tcga-segments/segments.parquet` below the folder that
`ONCOPIXEL_DATA` names to bins of the genome, and every fortieth of them also by a loop of pandas
over segments; without the folder it says so, and does nothing. Each runs in a process of its own.
Memory is the highest sum of private memory (`RssAnon`: what cannot be written out to a file) of the
process, looked at every 20 ms; `RSS` adds the file pages that happen to be in memory. Core-seconds
are processor time of all threads, imports included, which other work on the machine hardly changes.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

N_GENES = 60_660
COUNTERS = ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")
STAR_HEADER = "gene_id gene_name gene_type unstranded stranded_first stranded_second"
STAR_HEADER += " tpm_unstranded fpkm_unstranded fpkm_uq_unstranded"
COPY_HEADER = "gene_id gene_name chromosome start end copy_number min_copy_number max_copy_number"


def make_genes() -> list[tuple[str, str, str, str, int]]:
    """Ensembl id with version, symbol, type, chromosome and start of as many genes as STAR has."""
    from oncopixel.cohort.genes import table

    known = [(row.ensembl_id, symbol, row.chromosome, row.start)
             for symbol, row in zip(table().index, table().itertuples(), strict=True)]  # fmt: skip
    known += [(f"ENSG0099{i:07d}", f"AC{i}.1", "1", i) for i in range(N_GENES - len(known))]
    return [
        (f"{key}.{i % 20 + 1}", name, "lncRNA" if i % 3 else "protein_coding", chromosome, start)
        for i, (key, name, chromosome, start) in enumerate(known)
    ]


def make_files(folder: Path, distinct: int, *, dna: bool) -> dict[str, list[Path]]:
    """So many different files per channel."""
    import numpy as np

    genes = make_genes()
    rng = np.random.default_rng(1)
    means = rng.gamma(0.3, 4_000, N_GENES)
    paths: dict[str, list[Path]] = {"expression": [], "copy_number": [], "mutation": []}
    for i in range(distinct):
        counts = rng.poisson(means * rng.gamma(2, 0.5, N_GENES))
        tpm = counts / counts.sum() * 1e6
        lines = ["# gene-model: GENCODE v36", STAR_HEADER.replace(" ", "\t")]
        lines += [f"{name}\t\t\t4402480\t4402480\t4402480\t\t\t" for name in COUNTERS]
        lines += [
            f"{key}\t{name}\t{kind}\t{n}\t{n // 2}\t{n - n // 2}\t{x:.4f}\t{x / 2:.4f}\t{x / 3:.4f}"
            for (key, name, kind, _, _), n, x in zip(genes, counts, tpm, strict=True)
        ]
        paths["expression"].append(folder / f"{i}.rna_seq.augmented_star_gene_counts.tsv")
        paths["expression"][-1].write_text("\n".join(lines) + "\n")
        if dna:
            copies = np.repeat(rng.choice([0, 1, 2, 2, 2, 3, 4], 60), N_GENES // 60)
            cells = [str(n) if at % 50 else "" for at, n in enumerate(copies)]
            lines = [COPY_HEADER.replace(" ", "\t")]
            lines += [
                f"{key}\t{name}\tchr{place}\t{start}\t{start + 999}\t{n}\t{n}\t{n}"
                for (key, name, _, place, start), n in zip(genes, cells, strict=True)
            ]
            paths["copy_number"].append(folder / f"{i}.ascat3.gene_level_copy_number.v36.tsv")
            paths["copy_number"][-1].write_text("\n".join(lines) + "\n")
            mutated = rng.integers(0, N_GENES, rng.poisson(200))
            lines = ["#version gdc-1.0.0", "\t".join(MAF)]
            lines += ["\t".join(variant(genes[g], f"SAMPLE{i}")) for g in mutated]
            paths["mutation"].append(folder / f"{i}.wxs.aliquot_ensemble_masked.maf.gz")
            paths["mutation"][-1].write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))
    return paths


MAF = ["Hugo_Symbol", "Chromosome", "Start_Position", "Variant_Classification"]
MAF += ["Reference_Allele", "Tumor_Seq_Allele2", "Tumor_Sample_Barcode", "Gene", "IMPACT"]
MAF += [f"column_{i}" for i in range(140 - len(MAF))]


def variant(gene: tuple, sample: str) -> list[str]:
    key, name, _, chromosome, start = gene
    cells = [name, f"chr{chromosome}", str(start), "Missense_Mutation", "G", "A", sample]
    return [*cells, key.split(".")[0], "MODERATE", *["some text"] * (140 - 9)]


# Each of these runs in a process of its own, and prints what it has to say as JSON.


def child_ours(paths: list[str]) -> dict:
    from oncopixel.sources.gdc.cohort import build

    cohort = build(listing({"expression": paths}), clinical(), source("all"), origin="benchmark")
    return {"shape": cohort.layer("expression").shape, "sum": total(cohort.layer("expression"))}


def child_pandas(paths: list[str]) -> dict:
    import pandas as pd

    columns = {}
    for i, path in enumerate(paths):
        table = pd.read_csv(path, sep="\t", skiprows=1, usecols=["gene_id", "unstranded"])
        columns[i] = table["unstranded"].to_numpy()[len(COUNTERS) :]
    frame = pd.DataFrame(columns).T
    return {"shape": frame.shape, "sum": total(frame.to_numpy())}


def child_polars(paths: list[str]) -> dict:
    import polars as pl

    scan = pl.scan_csv(
        paths, separator="\t", skip_rows=1, quote_char=None,
        schema_overrides={"unstranded": pl.Float32},
    )  # fmt: skip
    gene = pl.col("row") % (N_GENES + len(COUNTERS)) >= len(COUNTERS)
    values = scan.select("unstranded").with_row_index("row").filter(gene).select("unstranded")
    column = values.collect(engine="streaming")["unstranded"]
    return {"shape": (len(paths), len(column) // len(paths)), "sum": column.cast(pl.Float64).sum()}


def child_bytes(paths: list[str]) -> dict:
    return {"shape": (len(paths),), "sum": sum(len(Path(path).read_bytes()) for path in paths)}


def child_whole(paths: dict[str, list[str]], samples: int, genes: str, out: str) -> dict:
    from oncopixel.cohort.barcodes import pick_aliquots
    from oncopixel.cohort.contract import write_cohort
    from oncopixel.cohort.labels import label_cohort
    from oncopixel.core.params import LabelledSource
    from oncopixel.sources.gdc import mutations
    from oncopixel.sources.gdc.cohort import build

    many = {kind: [found[i % len(found)] for i in range(samples)] for kind, found in paths.items()}
    variants = mutations.read_variants
    mutations.read_variants = lambda path, **o: variants(path, **o).assign(sample="")  # one file,
    mutations._refuse_other_samples = lambda *_: None  # many samples
    start = time.perf_counter()
    seconds, entry = {}, source(genes, dna=True)
    cohort = build(listing(many), clinical(samples), entry, origin="benchmark")
    seconds["build"] = time.perf_counter() - start
    cohort = label_cohort(
        pick_aliquots(cohort),
        LabelledSource(source=entry, label="column:status", positive="b"),
    )
    seconds["label"] = time.perf_counter() - start - seconds["build"]
    shape = cohort.layer("expression").shape
    write_cohort(Path(out), cohort)
    seconds["write"] = time.perf_counter() - start - sum(seconds.values())
    return {"shape": shape, "seconds": seconds, "bytes": Path(out).stat().st_size}


def child_simulate(samples: int, n_genes: int, out: str) -> dict:
    from oncopixel.cohort.contract import write_cohort
    from oncopixel.cohort.labels import label_cohort
    from oncopixel.core.params import LabelledSource, SimulatedSource
    from oncopixel.sources.simulated import simulate

    simulated = SimulatedSource(
        kind="simulated", n_samples=samples, n_genes=n_genes, normal_fraction=0.05
    )
    entry = LabelledSource(source=simulated, label="column:status", positive="case")
    write_cohort(Path(out), label_cohort(simulate(simulated), entry))
    return {}


def child_stages(path: str) -> dict:
    import yaml

    from oncopixel.cohort.contract import read_cohort
    from oncopixel.core.params import PreprocessParams, SplitParams
    from oncopixel.images.preprocessing import features, fit
    from oncopixel.images.preprocessor import to_images
    from oncopixel.images.splits import final_fold, make_splits

    raw = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())
    seconds, start = {}, time.perf_counter()
    cohort = read_cohort(Path(path))
    seconds["read"] = time.perf_counter() - start
    start = time.perf_counter()
    splits = make_splits(cohort, SplitParams.model_validate(raw["split"]))
    seconds["split"] = time.perf_counter() - start
    start = time.perf_counter()
    params = PreprocessParams.model_validate(raw["preprocess"])
    training = cohort.take(final_fold(splits).train)
    pre = fit(training, params, channels=cohort.channels, image=(100, 100))
    images = to_images(pre, features(pre, cohort))
    seconds["preprocess"] = time.perf_counter() - start
    return {"shape": [*cohort.layer("expression").shape, "to", *images.shape], "seconds": seconds}


def child_segments(folder: str, name: str, bins: int) -> dict:
    from oncopixel.core.params import SegmentsSource
    from oncopixel.sources.segments_cohort import load_segments

    source = SegmentsSource(kind="segments", segments=name, bins=bins)
    values = load_segments(source, Path(folder)).layer("copy_number")
    return {"shape": values.shape, "sum": total(covered(values))}


def covered(values):
    import numpy as np

    return values[:, np.isfinite(values).all(axis=0)]


def child_segments_pandas(folder: str, name: str, bins: int) -> dict:
    """One segment after the other, each added to the bins that it overlaps."""
    import numpy as np
    import pandas as pd

    from oncopixel.cohort.genome import bins as bins_of
    from oncopixel.cohort.genome import to_hg38

    table, pixels = pd.read_parquet(Path(folder) / name), bins_of(bins)
    table = table[table["Num_Probes"] >= 5].assign(name=table["Chromosome"].astype(str))
    table["name"] = table["name"].replace("23", "X")
    places = {
        key: rows.reset_index() for key, rows in pixels.reset_index(drop=True).groupby("chromosome")
    }
    values = []
    for _, rows in table.groupby("Sample", observed=True):
        bases, area = np.zeros(bins), np.zeros(bins)
        for row in rows.itertuples():
            start, end = to_hg38(row.name, np.array([row.Start, row.End]))
            place = places[row.name]
            met = place[(place["start"] <= end) & (place["end"] >= start)]
            overlap = np.minimum(met["end"], end) - np.maximum(met["start"], start) + 1
            bases[met["index"]] += overlap
            area[met["index"]] += overlap * np.clip(row.Segment_Mean, -3, 7)
        with np.errstate(invalid="ignore"):
            values.append(area / bases)
    values = np.array(values, dtype=np.float32)
    return {"shape": values.shape, "sum": total(covered(values))}


def listing(paths: dict[str, list[str]]):
    import pandas as pd

    letters = {"expression": "R", "copy_number": "D", "mutation": "D"}
    return pd.DataFrame(
        [
            (
                kind,
                f"{i:06d}-{Path(path).name}",
                path,
                f"{patient(i)}-01A-01{letters[kind]}-A277-07",
            )
            for kind, found in paths.items()
            for i, path in enumerate(found)
        ],
        columns=["channel", "name", "path", "samples"],
    )


def patient(i: int) -> str:
    return f"TCGA-{i // 10_000 + 10}-{i % 10_000:04d}"


def clinical(n: int = 0):
    import pandas as pd

    return pd.DataFrame({"status": ["ab"[i % 2] for i in range(n)]}, [patient(i) for i in range(n)])


def source(genes: str, *, dna: bool = False):
    from oncopixel.core.params import GdcSource

    more = {} if dna else {"copy_number": None, "mutation": None}
    return GdcSource(kind="gdc", projects=["TCGA-LUAD"], genes=genes, **more)


def total(values) -> float:
    return float(sum(float(row.sum(dtype="float64")) for row in values))


# ------------------------------------------------------------------------------------------ runs


def measure(kind: str, given: dict, *, python: str = sys.executable, cores: int = 0) -> dict:
    """What a child says, with its wall time in seconds and its peak memory in GB."""
    os_cores = sorted(os.sched_getaffinity(0))[: cores or None]
    process = subprocess.Popen(
        [python, __file__, "child", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, os_cores),
    )  # fmt: skip
    peak = {"RssAnon": 0, "VmRSS": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                name = line.partition(":")[0]
                if name in peak:
                    peak[name] = max(peak[name], int(line.split()[1]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate(json.dumps(given))
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{kind} failed")
    result = json.loads(out.splitlines()[-1])
    return result | {"anon": peak["RssAnon"] / 1e6, "rss": peak["VmRSS"] / 1e6}


def run_child(kind: str) -> None:
    given = json.load(sys.stdin)
    start = time.perf_counter()
    result = globals()[f"child_{kind}"](**given)
    result.setdefault("seconds", {})["all"] = time.perf_counter() - start
    result["cpu"] = time.process_time()
    print(json.dumps(result))


def compare_readers(folder: Path, n: int, distinct: int, polars: str | None) -> None:
    made = make_files(folder, distinct, dna=False)["expression"]
    paths = [shutil.copyfile(made[i % distinct], folder / f"copy-{i}.tsv") for i in range(n)]
    given = {"paths": [str(path) for path in paths]}
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    readers: dict[str, tuple[str, dict]] = {
        "bytes only": ("bytes", {}),
        "ours": ("ours", {}),
        "ours, one core": ("ours", {"cores": 1}),
        "pandas, a loop": ("pandas", {}),
    }
    if polars:
        readers["polars, a scan"] = ("polars", {"python": polars})
    print(f"{n} STAR files, {megabytes:,.0f} MB, {len(os.sched_getaffinity(0))} cores")
    print("| reader | cold, s | MB/s | warm, s | MB/s | files per core-second | "
          "private memory, GB | load |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    sums = set()
    for name, (kind, how) in readers.items():
        evict(paths)
        cold, warm = (measure(kind, given, **how) for _ in range(2))
        times = (run["seconds"]["all"] for run in (cold, warm))
        cells = [f"{s:.1f} | {megabytes / s:.0f}" for s in times]
        print(f"| {name} | {' | '.join(cells)} | {n / warm['cpu']:.0f} | {warm['anon']:.2f} | "
              f"{os.getloadavg()[0]:.1f} |", flush=True)  # fmt: skip
        if kind != "bytes":
            sums |= {round(cold["sum"]), round(warm["sum"])}
    if len(sums) > 1:
        raise SystemExit(f"the readers disagree: {sums}")


def compare_segments(folder: Path, bins: int) -> None:
    data = Path(os.environ.get("ONCOPIXEL_DATA", "")) / "tcga-segments/segments.parquet"
    if "ONCOPIXEL_DATA" not in os.environ or not data.is_file():
        print("skipped: ONCOPIXEL_DATA names no folder with tcga-segments/segments.parquet")
        return
    import pandas as pd

    table = pd.read_parquet(data)
    some = table[table["Sample"].isin(table["Sample"].cat.categories[::40])]
    table.to_parquet(folder / "all_hg19.parquet")
    some.to_parquet(folder / "some_hg19.parquet")
    print("| reader | tumours | s | core-seconds | tumours per core-second | private memory, GB |")
    print("|---|---|---|---|---|---|")
    sums = {}
    for name, kind, file in (
        ("ours", "segments", "all_hg19.parquet"),
        ("ours", "segments", "some_hg19.parquet"),
        ("pandas, a loop", "segments_pandas", "some_hg19.parquet"),
    ):
        run = measure(kind, {"folder": str(folder), "name": file, "bins": bins})
        tumours = run["shape"][0]
        sums.setdefault(tumours, []).append(run["sum"])
        print(f"| {name} | {tumours} | {run['seconds']['all']:.1f} | {run['cpu']:.1f} | "
              f"{tumours / run['cpu']:.0f} | {run['anon']:.2f} |", flush=True)  # fmt: skip
    mine, theirs = sums[tumours]
    if abs(mine - theirs) > 1e-4 * abs(theirs):
        raise SystemExit(f"the readers disagree: {mine}, {theirs}")


def evict(paths: list[Path]) -> None:
    """Makes the system drop the files from its page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)  # pages that are not on disk yet stay
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    listed = ["fincore", "--bytes", "--noheadings", "--output", "RES", *map(str, paths)]
    resident = sum(map(int, subprocess.check_output(listed, text=True).split()))
    if resident:
        raise SystemExit(f"{resident} bytes of the files are still in memory: nothing is cold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["read", "whole", "stages", "segments", "child"])
    parser.add_argument("kind", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--distinct", type=int, default=100)
    parser.add_argument("--polars", help="a Python that has polars")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--genes", choices=["all", "protein_coding"], default="all")
    parser.add_argument("--n-genes", type=int, default=20_000)
    parser.add_argument("--bins", type=int, default=10_000)
    given = parser.parse_args()
    if given.what == "child":
        run_child(given.kind)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".benchmark-") as name:
        folder = Path(name)
        os.environ["ONCOPIXEL_CACHE"] = str(folder / "cache")
        if given.what == "read":
            compare_readers(folder, given.files, given.distinct, given.polars)
            return
        if given.what == "segments":
            compare_segments(folder, given.bins)
            return
        if given.what == "whole":
            made = make_files(folder, min(given.distinct, 50), dna=True)
            paths = {kind: [str(path) for path in found] for kind, found in made.items()}
            result = measure("whole", {
                "paths": paths, "samples": given.samples or 11_000, "genes": given.genes,
                "out": str(folder / "cohort.h5ad"),
            })  # fmt: skip
        else:
            out = str(folder / "cohort.h5ad")
            size = {"samples": given.samples or 10_000, "n_genes": given.n_genes}
            made = measure("simulate", size | {"out": out})
            print(f"simulated in {made['seconds']['all']:.0f} s and {made['anon']:.1f} GB")
            result = measure("stages", {"path": out})
    seconds = ", ".join(f"{step} {s:.1f} s" for step, s in result["seconds"].items())
    print(f"{result['shape']}: {seconds}, {result['cpu']:.0f} core-seconds")
    print(f"private memory {result['anon']:.2f} GB, RSS {result['rss']:.2f} GB")
    print(f"load {os.getloadavg()[0]:.1f}")
    if "bytes" in result:
        print(f"cohort.h5ad: {result['bytes'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
