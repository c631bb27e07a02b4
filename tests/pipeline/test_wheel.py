"""`pip install` of the built wheel, `new`, `init` on a stranger's two files, `dvc repro`."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pandas as pd

from conftest import ROOT, Project, shrink


class Elsewhere(Project):
    """A project of an installed package: its `python` and `oncopixel` come first."""

    def __init__(self, folder: Path, programs: Path) -> None:
        super().__init__(folder)
        self.programs = programs

    @property
    def environment(self) -> dict[str, str]:
        own = super().environment | {"VIRTUAL_ENV": str(self.programs.parent)}
        del own["PYTHONPATH"]
        return own | {"PATH": f"{self.programs}{os.pathsep}{own['PATH']}"}


def install(wheels: Path, environment: Path) -> Path:
    """The folder of the programs of an environment that has the wheel, and what it depends on."""
    hatch = Path(sys.executable).with_name("hatchling")
    build = [str(hatch), "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(environment)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "those-of-the-tests.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = wheels.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", str(wheel)], check=True)
    return environment / "bin"


def write_cohort(folder: Path) -> None:
    """Counts, genes in rows, and a sheet; ten genes are higher in responders."""
    rng = np.random.default_rng(5)
    names = [f"P{i:03d}" for i in range(120)]
    responds = np.arange(120) % 2 == 1
    mean = rng.uniform(50, 500, (200, 1)) * np.where(
        responds & (np.arange(200)[:, None] < 10), 3, 1
    )
    shipped = ROOT / "data/bundled/tcga-luad/expression.parquet"
    genes = pd.read_parquet(shipped, columns=["gene"])["gene"][:200]
    counts = rng.negative_binomial(5, 5 / (5 + mean))
    pd.DataFrame(counts, index=genes, columns=names).to_csv(folder / "counts.tsv", sep="\t")
    response = np.where(responds, "responder", "other")
    sheet = pd.DataFrame({"sample": names, "response": response, "age": rng.integers(40, 80, 120)})
    sheet.to_csv(folder / "patients.csv", index=False)


def test_from_the_wheel_to_a_report_on_own_files(tmp_path: Path) -> None:
    programs = install(tmp_path / "wheels", tmp_path / "environment")
    write_cohort(tmp_path)
    project = Elsewhere(tmp_path, programs)
    project.run("oncopixel", "new", "mine")
    project = Elsewhere(tmp_path / "mine", programs)
    project.run("git", "init", "-q", "-b", "main")
    project.run(
        "oncopixel", "init", "trial", "--expression", "../counts.tsv", "--samples",
        "../patients.csv", "--label", "column:response", "--positive", "responder",
        "--one-per-sample",
    )  # fmt: skip

    def small(params: dict) -> None:
        own = params["cohorts"]["trial"] | {"image": [15, 15]}
        shrink(params)
        params["cohorts"] = {"trial": own}

    project.set_params(small)
    project.run("dvc", "repro")
    assert "responder" in project.text("reports/trial/report.html")
    listed = pd.read_csv(project.folder / "reports/trial/biomarkers.csv")
    assert listed["selected"].sum() >= 8
    imported = project.run("python", "-c", "import oncopixel; print(oncopixel.__file__)").stdout
    assert imported.startswith(str(tmp_path / "environment"))
