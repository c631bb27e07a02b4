"""Processes that work side by side, and that end with the one that started them."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib

from .disk import scratch_folder, temporary_files_in

WATCH_SECONDS = 1.0


@contextlib.contextmanager
def parallel(jobs: int, folder: Path, **options: Any) -> Iterator[joblib.Parallel]:
    """`joblib.Parallel` with temporary files in `folder`; its workers end with this process."""
    with scratch_folder(folder) as scratch, temporary_files_in(scratch):
        yield joblib.Parallel(
            jobs, initializer=_end_with, initargs=(os.getpid(),), temp_folder=scratch, **options
        )


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU; TensorFlow would take seconds to say so."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _end_with(parent: int) -> None:
    """Ends this process when `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
