"""Tasks that run side by side: in processes that end with this one, or on a Dask cluster."""

import contextlib
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import joblib
from threadpoolctl import threadpool_limits
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .cluster import SCHEDULER, on_cluster
from .disk import scratch_folder, temporary_files_in
from .errors import WorkerError

WATCH_SECONDS, LINE_SECONDS = 1.0, 5.0

log = logging.getLogger("oncopixel")

Run = Callable[[Sequence[tuple[Any, ...]]], Iterator[Any]]


@contextlib.contextmanager
def parallel(work: Callable[..., Any], jobs: int, folder: Path | None, unit: str) -> Iterator[Run]:
    """`work` for many tasks side by side: here, or on the cluster that `SCHEDULER` names.

    Parameters
    ----------
    work
        With all that tasks have in common bound to it: a worker of a cluster gets that once.
    jobs
        Processes, if here, and `folder` for their temporary files; without one, threads.
    unit
        What a task is, beside the progress bar.

    Yields
    ------
    A function of tasks, tuples of arguments: an iterator of what `work` returns of each, in order.

    Raises
    ------
    WorkerError
        A process was ended from outside.
    """
    address = os.environ.get(SCHEDULER)
    if address:
        place = on_cluster(work, address)
    else:
        place = _threads(work, jobs) if folder is None else _processes(work, jobs, folder)
    try:
        with place as run, logging_redirect_tqdm([log]):
            yield lambda tasks: progress(run(tasks), len(tasks), unit)
    except BrokenExecutor:
        raise WorkerError(
            "a process that did part of the work was ended, mostly because memory ran out. With "
            "LOKY_MAX_CPU_COUNT=1 in the environment one works at a time."
        ) from None


@contextlib.contextmanager
def _processes(work: Callable[..., Any], jobs: int, folder: Path) -> Iterator[Run]:
    """Processes of this machine, which end with this one."""
    with (
        scratch_folder(folder) as scratch,
        temporary_files_in(scratch),
        warnings.catch_warnings(),
    ):
        # a worker that grew is replaced; were this an error, joblib would wait for ever
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        run_all = joblib.Parallel(
            jobs,
            return_as="generator",
            initializer=_end_with,
            initargs=(os.getpid(), Path.cwd()),
            temp_folder=scratch,
        )
        yield lambda tasks: run_all(joblib.delayed(work)(*task) for task in tasks)


@contextlib.contextmanager
def _threads(work: Callable[..., Any], jobs: int) -> Iterator[Run]:
    """Threads of this process: for short tasks that spend their time in NumPy."""
    run_all = joblib.Parallel(jobs, require="sharedmem", return_as="generator")
    with threadpool_limits(limits=1):  # one that a thread sets ends with that thread, for all
        yield lambda tasks: run_all(joblib.delayed(work)(*task) for task in tasks)


def progress(results: Iterable[Any], total: int, unit: str) -> Iterator[Any]:
    """The same, with a bar on a terminal, and elsewhere with a line now and then."""
    told = log.isEnabledFor(logging.INFO)
    if sys.stderr.isatty():
        yield from tqdm(results, total=total, unit=unit, leave=False, disable=not told)
        return
    last = time.monotonic()
    for done, result in enumerate(results, start=1):
        if done < total and time.monotonic() - last >= LINE_SECONDS:
            log.info("  %s %d of %d", unit, done, total)
            last = time.monotonic()
        yield result


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU; TensorFlow would take seconds to say so."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _end_with(parent: int, folder: Path) -> None:
    """Goes to `folder`, and ends this process when `parent` is no longer its parent."""
    os.chdir(folder)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
