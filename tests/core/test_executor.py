"""Workers end with the process that started them, and leave nothing."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import fcntl, os, signal, sys
from pathlib import Path
import joblib, numpy as np
from oncopixel import cli
from oncopixel.core.executor import parallel

def work(i, folder, values):
    handle = open(folder / f"lock-{i}", "w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    with open(folder / "started", "w") as told:
        told.write(str(i))
    signal.pause()

def run():
    folder = Path(sys.argv[1])
    with parallel(2, folder / "data") as run_all:
        run_all(joblib.delayed(work)(i, folder, np.zeros(10**6)) for i in range(2))

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
cli.app = run
cli.main()
"""


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
