"""What each stage of the pipeline takes: wall and CPU seconds, peak memory, and the imports in it.

    python benchmarks/pipeline.py [COHORT ...]

Runs the stages of dvc.yaml one after another in the work tree, as `dvc repro --force` does, without
DVC's own part (about half a second a stage). Imports are those of the stage's main process.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml

IMPORT = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)
ROW = "{:<12}{:<14}{:>8}{:>8}{:>10}{:>10}".format


def measure(stage: str, cohort: str) -> tuple[float, float, float, float]:
    """Wall seconds, CPU seconds, peak GB of the largest process, and seconds of imports."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "oncopixel", "--quiet", stage, cohort],
        env=os.environ | {"PYTHONPATH": "src"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(IMPORT.sub("", said))
    imports = sum(map(int, IMPORT.findall(said))) / 1e6
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6, imports


def main() -> None:
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    shipped = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["cohorts"]
    total = [0.0, 0.0, 0.0]
    print(ROW("stage", "cohort", "wall s", "CPU s", "peak GB", "imports s"))
    for cohort in sys.argv[1:] or shipped:
        for stage in stages:
            wall, cpu, peak, imports = measure(stage, cohort)
            print(ROW(stage, cohort, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.2f}", f"{imports:.1f}"))
            total = [a + b for a, b in zip(total, (wall, cpu, imports), strict=True)]
    print(ROW("all", "", f"{total[0]:.1f}", f"{total[1]:.1f}", "", f"{total[2]:.1f}"))


if __name__ == "__main__":
    main()
