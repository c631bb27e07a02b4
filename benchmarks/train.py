"""Training speed: the paper's own network against the machine's arithmetic, and one hybrid member.

    PYTHONPATH=src python benchmarks/train.py [--threads N] [--repeats N]

The paper's network sees 1000 images of 100 x 100 x 3 for one epoch (batch 32, Adam, no mixup); its
multiply-adds, three times those of a forward pass, over the seconds are compared with the rate of
a float32 matrix product of 2048 on as many threads, measured just before and after. Budget: 50 %.
A hybrid member is trained on 400 images of 100 x 100 x 1, with the parameters of params.yaml.
Each figure is the best of the repeats; on a busy machine CPU seconds are the steadier ones.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from oncopixel.core.params import TrainParams, read_params
from oncopixel.networks.architectures import build
from oncopixel.networks.training import _optimizer, _train_step, fit_ensemble, set_up


def seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall and CPU seconds of `work`."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def matmul_gflops(repeats: int) -> float:
    side = 2048
    a = tf.random.stateless_normal((side, side), seed=(1, 2))
    tf.linalg.matmul(a, a).numpy()
    wall, _ = seconds(lambda: tf.linalg.matmul(a, a).numpy(), 5 * repeats)
    return float(2e-9 * side**3 / wall)


def paper_gflop(n_images: int) -> float:
    """Of one epoch: forward, and twice that backward (less the first layer's input gradient)."""
    first = 98 * 98 * 32 * 27
    rest = 47 * 47 * 64 * 288 + 33856 * 128 + 128 * 2
    return 2e-9 * n_images * (2 * first + 3 * rest)


def paper_epoch(params: TrainParams, repeats: int) -> tuple[float, float]:
    own = params.model_copy(update={"model": "paper", "optimizer": "adam", "l1": 0.0, "l2": 0.0})
    model = build("paper", (100, 100, 3), 2, own)
    step = _train_step(model, _optimizer(own))
    rng = np.random.default_rng(1)
    images = rng.random((1000, 100, 100, 3), dtype=np.float32)
    targets = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 1000)]

    def epoch() -> None:
        for i in range(0, 1000, 32):
            batch = slice(i, i + 32)
            step(images[batch], targets[batch], np.zeros_like(targets[batch]))

    epoch()
    return seconds(epoch, repeats)


def hybrid_member(params: TrainParams, repeats: int) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    y = np.arange(400) % 2
    images = rng.normal(size=(400, 100, 100, 1)).astype(np.float32)
    images[y == 1, :3] += 0.3
    patients = np.arange(400).astype(str)

    def member() -> None:
        fit_ensemble(images, y, patients, params, seeds=[1], n_classes=2)

    member()
    return seconds(member, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    params = read_params(Path("params.yaml")).train
    if given.threads:
        params = params.model_copy(update={"threads": given.threads})
    set_up(params)
    before = matmul_gflops(given.repeats)
    wall, cpu = paper_epoch(params, given.repeats)
    rate = max(before, matmul_gflops(given.repeats))
    gflop = paper_gflop(1000)
    print(f"threads {params.threads}, float32 matmul {rate:.0f} GFLOP/s")
    print(
        f"paper, one epoch of 1000 x 100 x 100 x 3: {wall:.2f} s wall, {cpu:.2f} s CPU, "
        f"{gflop / wall:.0f} GFLOP/s, {gflop / wall / rate:.0%} of matmul (budget 50%)"
    )
    wall, cpu = hybrid_member(params, given.repeats)
    print(f"hybrid, one member on 400 x 100 x 100 x 1: {wall:.2f} s wall, {cpu:.2f} s CPU")


if __name__ == "__main__":
    main()
