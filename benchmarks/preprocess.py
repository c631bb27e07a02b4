"""Fit and transform 10,000 samples x 20,000 genes of counts: time, peak memory, and a plain peer.

    PYTHONPATH=src python benchmarks/preprocess.py [--samples N] [--genes N]

The peer is what one would write with pandas and scikit-learn (CPM, log2, filter, StandardScaler),
run on an eighth of the samples and compared per sample. Budget on two cores: 60 s and 6 GB.
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd
from anndata import AnnData

from oncopixel.cohort.contract import Cohort
from oncopixel.core.params import PreprocessParams
from oncopixel.images.preprocessing import features, fit
from oncopixel.images.preprocessor import to_images

PARAMS = PreprocessParams(
    normalise="auto",
    min_expressed_fraction=0.2,
    genes="top_variance",
    clip=6.0,
    mutation_encoding="binary",
    layout="genomic",
    seed=1,
)


def make_cohort(n_samples: int, n_genes: int) -> Cohort:
    rng = np.random.default_rng(1)
    means = rng.gamma(0.5, 400, n_genes).astype(np.float32)
    counts = np.empty((n_samples, n_genes), dtype=np.float32)
    for start in range(0, n_samples, 500):
        rows = counts[start : start + 500]
        rows[:] = np.floor(means * rng.gamma(2.0, 0.5, rows.shape).astype(np.float32))
    names = [f"s{i:05d}" for i in range(n_samples)]
    obs = pd.DataFrame({"patient": names, "sample_type": "", "site": "", "batch": ""}, index=names)
    obs["label"] = "case"
    var = pd.DataFrame(
        {"ensembl_id": "", "chromosome": rng.integers(1, 23, n_genes).astype(str)},
        index=[f"G{i:05d}" for i in range(n_genes)],
    )
    var["start"] = rng.integers(0, 10**8, n_genes)
    data = AnnData(obs=obs, var=var, layers={"expression": counts})
    data.uns.update(scale="counts", origin="benchmark", classes=np.array(["case"], dtype=object))
    return Cohort(data)


def peer(cohort: Cohort) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    frame = pd.DataFrame(cohort.layer("expression"))
    log2_cpm = np.log2(frame.div(frame.sum(axis=1), axis=0) * 1e6 + 1)
    kept = log2_cpm.loc[:, (log2_cpm > 1).mean() >= PARAMS.min_expressed_fraction]
    top = kept.var().nlargest(10_000).index
    return StandardScaler().fit_transform(kept[top]).clip(-PARAMS.clip, PARAMS.clip)


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=20_000)
    size = parser.parse_args()

    few = make_cohort(size.samples // 8, size.genes)
    peer(make_cohort(50, size.genes))  # imports
    start = time.perf_counter()
    peer(few)
    peer_per_sample = (time.perf_counter() - start) / len(few.samples)
    del few

    cohort = make_cohort(size.samples, size.genes)
    start = time.perf_counter()
    pre = fit(cohort, PARAMS, channels=["expression"], image=(100, 100))
    fitted = time.perf_counter()
    values = features(pre, cohort)
    transformed = time.perf_counter()
    to_images(pre, values)
    end = time.perf_counter()
    per_sample = (transformed - start) / size.samples

    print(f"cohort          {size.samples} samples x {size.genes} genes, {len(pre.genes)} pixels")
    print(f"fit             {fitted - start:6.1f} s")
    print(f"features        {transformed - fitted:6.1f} s")
    print(f"images          {end - transformed:6.1f} s")
    print(f"total           {end - start:6.1f} s   (budget 60 s)")
    print(f"peak memory     {peak_gb():6.2f} GB  (budget 6 GB, cohort and benchmark included)")
    print(f"pandas/sklearn  {peer_per_sample / per_sample:6.2f} x our time per sample")


if __name__ == "__main__":
    main()
