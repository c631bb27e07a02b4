"""Tasks that run side by side: in processes that end with this one, or on a Dask cluster."""

import contextlib
import logging
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .cluster import SCHEDULER, on_cluster
from .disk import scratch_folder, temporary_files_in

WATCH_SECONDS = 1.0

log = logging.getLogger("oncopixel")

Run = Callable[[Sequence[tuple[Any, ...]]], Iterator[Any]]
_work: Callable[..., Any]


@contextlib.contextmanager
def parallel(work: Callable[..., Any], jobs: int, folder: Path, unit: str) -> Iterator[Run]:
    """`work` for many tasks side by side: here, or on the cluster that `SCHEDULER` names.

    Parameters
    ----------
    work
        With all that tasks have in common bound to it: a worker of a cluster gets that once.
    jobs
        Processes, if here, and `folder` for their temporary files.
    unit
        What a task is, beside the progress bar.

    Yields
    ------
    A function of tasks, tuples of arguments: an iterator of what `work` returns of each, in order.
    """
    address = os.environ.get(SCHEDULER)
    place = on_cluster(work, address) if address else _here(work, jobs, folder)
    silent = None if log.isEnabledFor(logging.INFO) else True  # None: a bar on terminals only
    with place as run, logging_redirect_tqdm([log]):
        yield lambda tasks: iter(
            tqdm(run(tasks), total=len(tasks), unit=unit, leave=False, disable=silent)
        )


def _here(
    work: Callable[..., Any], jobs: int, folder: Path
) -> contextlib.AbstractContextManager[Run]:
    """Processes of this machine, which end with this one."""
    jobs = joblib.effective_n_jobs(jobs)
    if jobs > 1 and sys.platform == "linux" and "tensorflow" not in sys.modules:
        return _forked(work, jobs)
    return _started(work, jobs, folder)


@contextlib.contextmanager
def _forked(work: Callable[..., Any], jobs: int) -> Iterator[Run]:
    """Copies of this process, which import nothing and are sent nothing; not of TensorFlow."""
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, context, _begin, (os.getpid(), work))
    try:
        yield lambda tasks: pool.map(_call, tasks)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if isinstance(process, context.Process):
                process.kill()


def _begin(parent: int, work: Callable[..., Any]) -> None:
    global _work
    _work = work
    _end_with(parent)


def _call(task: tuple[Any, ...]) -> Any:
    return _work(*task)


@contextlib.contextmanager
def _started(work: Callable[..., Any], jobs: int, folder: Path) -> Iterator[Run]:
    """New processes."""
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


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU; TensorFlow would take seconds to say so."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _end_with(parent: int, folder: Path = Path()) -> None:
    """Goes to `folder`, and ends this process when `parent` is no longer its parent."""
    os.chdir(folder)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
