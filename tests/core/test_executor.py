"""Workers here end with the process that started them; those of a cluster may be lost."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from conftest import until
from oncopixel.core import cluster, executor
from oncopixel.core.errors import LabelError, RemoteError, WorkerError
from oncopixel.core.executor import SCHEDULER, parallel
from oncopixel.core.params import TrainParams, read_params
from oncopixel.core.storage import scratch_array, sha256, take_rows
from oncopixel.images.folds import FoldImages
from oncopixel.images.splits import Fold
from oncopixel.markers.conditional import conditional_p_values
from oncopixel.markers.held_fixed import Channel
from oncopixel.networks.folds import Files, train_folds

ROOT = Path(__file__).parents[2]
ANY_PORT = "127.0.0.1:0"
"""Where a scheduler serves HTTP: at its default, 8787, it may meet another one."""
PROGRAM = """
import fcntl, os, signal, sys
from functools import partial
from pathlib import Path
import numpy as np
from oncopixel import cli
from oncopixel.core.executor import parallel

def work(folder, values, i):
    handle = open(folder / f"lock-{i}", "w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    with open(folder / "started", "w") as told:
        told.write(str(i))
    signal.pause()

def run():
    folder = Path(sys.argv[1])
    with parallel(partial(work, folder, np.zeros(10**6)), 2, folder / "data", "task") as run_all:
        list(run_all([(0,), (1,)]))

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and those of nohup ignore this
cli.app = run
cli.main()
"""


def test_without_a_terminal_lines_tell_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor, "LINE_SECONDS", 0)
    with caplog.at_level("INFO", "oncopixel"), parallel(abs, 1, tmp_path, "task") as run_all:
        assert list(run_all([(-1,), (-2,), (-3,)])) == [1, 2, 3]
    assert [record.getMessage().strip() for record in caplog.records] == [
        "task 1 of 3",
        "task 2 of 3",
    ]


def ended_by(number: int, folder: Path) -> subprocess.Popen:
    """A process with two workers amid their work, after the signal, when all have ended."""
    (folder / "data").mkdir()
    os.mkfifo(folder / "started")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    started = os.open(folder / "started", os.O_RDWR)  # no worker meets an end that is closed
    for _ in range(2):
        os.read(started, 1)
    os.close(started)
    process.send_signal(number)
    process.communicate()
    for i in range(2):
        with (folder / f"lock-{i}").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the worker, which holds it, is gone
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, number: int) -> None:
    process = ended_by(number, tmp_path)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert list((tmp_path / "data").iterdir()) == []


def total(values: np.ndarray, i: int) -> float:
    return i * float(values.sum())


def test_arrays_that_lie_on_disk_reach_workers(tmp_path: Path) -> None:
    values = scratch_array(tmp_path, (1000, 1000))
    values[:] = 1
    for sent in (values, take_rows(values, np.arange(500))):
        with parallel(partial(total, sent), 2, tmp_path, "task") as run_all:
            assert list(run_all([(1,), (2,)])) == [sent.size, 2 * sent.size]


def place_of(i: int) -> tuple[Path, bool]:
    return Path.cwd(), os.getpid() == i


def test_workers_are_where_this_process_is_now(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with (
            contextlib.chdir(tmp_path / name),
            parallel(place_of, 2, tmp_path, "task") as run_all,
        ):
            assert list(run_all([(os.getpid(),)] * 2)) == [(tmp_path / name, False)] * 2


def end_itself(i: int) -> int:
    if i:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def test_a_worker_that_is_ended_is_told_of(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkerError, match="memory ran out"),
        parallel(end_itself, 2, tmp_path, "task") as run_all,
    ):
        list(run_all([(0,), (1,)]))


# ---------------------------------------------------------------------- clusters that do not serve


def run_on(address: str, folder: Path, patch: pytest.MonkeyPatch, wait: float = 1) -> None:
    patch.setenv(SCHEDULER, address)
    patch.setattr(cluster, "WAIT_SECONDS", wait)
    with parallel(abs, 1, folder, "task") as run_all:
        list(run_all([(-1,)]))


def test_dask_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RemoteError, match=r"pip install 'oncopixel\[dask\]'"):
        run_on("tcp://127.0.0.1:1", tmp_path, monkeypatch)


@pytest.fixture
def dask() -> None:
    """Dask, or no test; where all tests run it has to be there."""
    if "ONCOPIXEL_CI" not in os.environ:
        pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.mark.usefixtures("dask")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nothing://here", "tcp://", "tls://x:1"])
def test_no_scheduler(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    with pytest.raises(RemoteError, match=f"no Dask scheduler answers at {SCHEDULER}={address} "):
        run_on(address, tmp_path, monkeypatch)
    assert set(threading.enumerate()) <= before  # no event loop, with its sockets, is left


@pytest.mark.usefixtures("dask")
@pytest.mark.parametrize(
    ("workers", "threads", "message", "wait"),
    [(0, 1, "has no worker", 3), (1, 2, "--nthreads 1", 60)],
)
def test_no_worker_that_is_fit(
    workers: int,
    threads: int,
    message: str,
    wait: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import LocalCluster

    options = {"processes": False, "threads_per_worker": threads, "dashboard_address": ANY_PORT}
    with (
        LocalCluster(n_workers=workers, **options) as local,
        pytest.raises(RemoteError, match=message),
    ):
        run_on(local.scheduler_address, tmp_path, monkeypatch, wait)


# ------------------------------------------------------------------------------- a cluster at work


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._folder = folder
        paths = [ROOT / "src", Path(__file__).parent, ROOT / "tests"]
        self._env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--host", "127.0.0.1", "--dashboard-address", ANY_PORT
        )

    def address(self) -> str | None:
        """The scheduler's, once its file is whole."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(self._file.read_text())["address"]
        return None

    def _start(self, what: str, *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", what, "--scheduler-file", str(self._file),
             "--no-dashboard", *options],
            env=self._env, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def add_worker(self) -> None:
        options = "--nthreads", "1", "--no-nanny"
        self.workers.append(self._start("worker", *options))

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()


@pytest.fixture
def one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster keeps but one copy of what is not in use, as it does after some seconds."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__INTERVAL", "10ms")


@pytest.fixture
def all_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster keeps every copy: else what waits for its task on a busy machine goes twice."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START", "false")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask: None) -> Iterator[Cluster]:
    """A cluster of two workers, to which this process sends its tasks."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    try:
        until(made.address, made.scheduler)
        for _ in range(2):
            made.add_worker()
        from distributed import Client

        with Client(made.address(), set_as_default=False) as client:
            client.wait_for_workers(2)
        monkeypatch.setenv(SCHEDULER, made.address())
        yield made
    finally:
        made.close()


class Counted:
    """Data that notes in a file in which process it arrived."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict) -> None:
        self.__dict__ = state
        with (self.folder / "arrived").open("a") as file:
            file.write(f"{os.getpid()}\n")


def who_works(data: Counted, i: int) -> tuple[int, int, str]:
    (data.folder / f"{os.getpid()}-at-{i}").touch()
    return i, os.getpid(), str(Path.cwd())


def fail(i: int) -> None:
    raise LabelError(f"task {i} is bad input")


def wait_for_release(data: Counted, i: int) -> tuple[int, int]:
    """Tasks wait for a file, so that a worker can be killed amid its own."""
    (data.folder / f"{os.getpid()}-at-{i}").touch()
    until((data.folder / "go").exists)
    return i, os.getpid()


@pytest.mark.slow
@pytest.mark.usefixtures("all_copies")
def test_data_goes_once_to_each_worker_and_results_come_in_order(
    served: Cluster, tmp_path: Path
) -> None:
    with parallel(partial(who_works, Counted(tmp_path)), 1, tmp_path, "task") as run_all:
        found = list(run_all([(i,) for i in range(20)]))
    assert [i for i, _, _ in found] == list(range(20))
    assert {folder for _, _, folder in found} == {str(Path.cwd())}
    workers = {str(worker.pid) for worker in served.workers}
    assert {str(pid) for _, pid, _ in found} <= workers
    arrived = (tmp_path / "arrived").read_text().split()
    assert sorted(pid for pid in arrived if pid in workers) == sorted(workers)


@pytest.mark.slow
def test_bad_input_on_a_worker_is_bad_input_here(served: Cluster, tmp_path: Path) -> None:
    with (
        pytest.raises(LabelError, match="is bad input"),
        parallel(fail, 1, tmp_path, "task") as run_all,
    ):
        list(run_all([(i,) for i in range(3)]))


@pytest.mark.slow
def test_other_code_is_refused(
    served: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_code", lambda: "of another day")
    with (
        pytest.raises(RemoteError, match="other code"),
        parallel(fail, 1, tmp_path, "task"),
    ):
        pass


def began(folder: Path, worker: subprocess.Popen) -> bool:
    """Whether it has begun a task."""
    return any(folder.glob(f"{worker.pid}-at-*"))


def killed_amid_work(
    workers: list[subprocess.Popen], folder: Path, tasks: int
) -> list[tuple[int, int]]:
    """Results of tasks; each of `workers` is killed amid its first one."""

    ended = threading.Event()

    def kill() -> None:
        for worker in workers:
            until(lambda worker=worker: began(folder, worker) or ended.is_set(), worker)
            worker.kill()
        (folder / "go").touch()

    work = partial(wait_for_release, Counted(folder))
    with ThreadPoolExecutor() as threads:
        try:
            with parallel(work, 1, folder, "task") as run_all:
                killing = threads.submit(kill)
                found = list(run_all([(i,) for i in range(tasks)]))
        finally:
            ended.set()
        killing.result()
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("one_copy")
def test_all_workers_are_lost(served: Cluster, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="lost its scheduler, or all workers"):
        killed_amid_work(served.workers, tmp_path, tasks=4)


@pytest.mark.slow
@pytest.mark.usefixtures("one_copy")
def test_tasks_of_a_killed_worker_run_again(served: Cluster, tmp_path: Path) -> None:
    killed, left = served.workers
    found = killed_amid_work([killed], tmp_path, tasks=6)
    assert [i for i, _ in found] == list(range(6))
    assert {pid for _, pid in found} == {left.pid}
    assert began(tmp_path, killed)


def load(folder: Path, fold: Fold) -> FoldImages:
    """Images of a fold, from a folder that all workers see."""
    (folder / f"{os.getpid()}-at-{fold.name}").touch()
    images = np.load(folder / "images.npy", mmap_mode="r")
    return FoldImages(images[fold.train], images[fold.held_out], None)


def trained(folder: Path, params: TrainParams) -> tuple[list, str]:
    """What training on four folds gives, and the digest of the saved model."""
    rng = np.random.default_rng(3)
    n = 48
    cohort = SimpleNamespace(
        y=np.arange(n) % 2, patients=np.array([f"P{i}" for i in range(n)]), classes=["a", "b"]
    )
    images = rng.normal(size=(n, 22, 22, 1)).astype(np.float32)
    np.save(folder / "images.npy", images + cohort.y[:, None, None, None])
    parts = np.array_split(rng.permutation(n), 4)
    folds = [
        Fold(f"fold-{i}", 0 if i else -1, i - 1, np.concatenate(parts[:i] + parts[i + 1 :]), part)
        for i, part in enumerate(parts)
    ]  # fmt: skip
    files = Files(folder / "ensemble.keras", folder / "live")
    found = train_folds(cohort, folds, partial(load, folder), params, folder, files)
    digest = sha256(files.ensemble) + sha256(files.curves / "plots/metrics/eval/loss.tsv")
    files.ensemble.unlink()
    return found, digest


@pytest.mark.slow
@pytest.mark.usefixtures("one_copy")
def test_training_gives_the_same_bytes_when_a_worker_is_killed(
    served: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"model": "paper", "members": 2, "cv_members": 1, "epochs": 2, "batch_size": 8}
    params = read_params(ROOT / "params.yaml").train.model_copy(update=small)
    killed = served.workers[0]

    def kill() -> None:
        until(partial(began, tmp_path, killed), killed)
        killed.kill()

    with ThreadPoolExecutor() as threads:
        killing = threads.submit(kill)
        found, digest = trained(tmp_path, params)
        killing.result()
    assert killed.wait() == -signal.SIGKILL
    monkeypatch.delenv(SCHEDULER)
    wanted, usual = trained(tmp_path, params)
    assert digest == usual
    for one, other in zip(found, wanted, strict=True):
        pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)
        assert one.chosen == other.chosen
        for name, probabilities in other.probabilities.items():
            np.testing.assert_array_equal(one.probabilities[name], probabilities)


@pytest.mark.slow
@pytest.mark.usefixtures("one_copy")
def test_permuted_labels_are_tested_on_a_cluster_with_the_same_result(
    served: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    n, p = 60, 40
    x = rng.normal(size=(n, p, 3)).astype(np.float32)
    x[:, :, 1] += rng.normal(size=(n, 4)).repeat(p // 4, axis=1)
    x[:, :, 2] = rng.random((n, p)) < 0.2
    channels = [Channel(x[:, :, k], np.zeros((n, 0))) for k in range(3)]
    labels = np.array([rng.permutation(np.arange(n) % 2) for _ in range(60)])
    there = conditional_p_values(channels, labels, 2, np.zeros((n, 0)))
    monkeypatch.delenv(SCHEDULER)
    np.testing.assert_array_equal(
        there, conditional_p_values(channels, labels, 2, np.zeros((n, 0)))
    )
