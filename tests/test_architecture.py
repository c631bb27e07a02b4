"""House rules that no type checker sees: import direction, stage dependencies, documentation."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

import oncopixel
from oncopixel.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "oncopixel"
ORDER = [
    "errors", "dvcyaml", "params", "scales", "rnames", "disk", "hdf5", "artifacts", "genes",
    "gene_keys", "cohort", "labels", "sources", "quality", "checks", "data_docs", "splits",
    "layout", "preprocess", "applicability", "modules", "models", "augment", "train", "baselines",
    "evaluate", "fdr", "decoys", "biomarkers", "interactions", "discoveries", "stability",
    "confounders", "external", "enrichment", "figures", "report", "reproduced", "prdiff", "remote",
    "commands", "cli", "__main__",
]  # fmt: skip
SOURCES = [
    "text", "layouts", "parquet", "sheets", "tables", "variants", "phenotypes", "samples",
    "gene_rows", "files", "bundled", "h5ad", "simulated", "pace", "download", "named", "gdc_files",
    "gdc", "xena", "cbioportal",
]  # fmt: skip
SHELL = {"oncopixel.__main__", "oncopixel.cli", "oncopixel.commands"}
"""Modules that only pass arguments on, or are empty: no stage's result depends on them."""


def module_path(name: str) -> Path | None:
    base = SOURCE.parent.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def imports(name: str) -> frozenset[str]:
    """Every module of the package that `name` imports anywhere, also inside functions."""
    path = module_path(name)
    assert path is not None
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            target = ".".join(filter(None, (base, node.module)))
            candidates = [f"{target}.{alias.name}" for alias in node.names]
            found |= {c if module_path(c) else target for c in candidates}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(m for m in found if m.split(".")[0] == "oncopixel" and module_path(m))


def closure(name: str) -> set[str]:
    seen: set[str] = set()
    todo = ["oncopixel", name]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += imports(module)
    return seen


def all_modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(oncopixel.__path__, "oncopixel.")]


def stages() -> dict[str, dict]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("name", all_modules())
def test_modules_import_only_downwards(name: str) -> None:
    room = name.split(".")[1]
    for other in imports(name):
        if other == "oncopixel" or other.split(".")[1] == room:
            continue
        assert ORDER.index(other.split(".")[1]) < ORDER.index(room), f"{name} imports {other}"


def test_sources_import_only_downwards() -> None:
    names = [name.rpartition(".")[2] for name in all_modules() if ".sources." in name]
    assert sorted(names) == sorted(SOURCES)
    for name in names:
        others = {
            m.rpartition(".")[2] for m in imports(f"oncopixel.sources.{name}") if ".sources." in m
        }
        assert others <= set(SOURCES[: SOURCES.index(name)]), f"{name} imports {others}"


@pytest.mark.parametrize("stage", stages())
def test_stage_depends_on_exactly_the_modules_that_its_command_imports(stage: str) -> None:
    needed = {
        str(module_path(m).relative_to(ROOT))
        for m in closure(f"oncopixel.commands.{stage}") - SHELL
    }
    needed |= {
        f"src/oncopixel/templates/{template}"
        for path in needed
        for template in re.findall(r"[a-z_]+\.html\.j2", (ROOT / path).read_text(encoding="utf-8"))
    }
    declared = {d for d in stages()[stage]["do"]["deps"] if d.endswith((".py", ".j2"))}
    assert declared == needed


@pytest.mark.parametrize("stage", stages())
def test_stage_runs_the_command_of_its_name_from_the_tree(stage: str) -> None:
    assert stages()[stage]["do"]["cmd"] == f"PYTHONPATH=src python -m oncopixel {stage} ${{key}}"


def test_outputs_are_files_that_git_or_dvc_keeps_not_both() -> None:
    for stage in stages().values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage["do"].get(kind, []):
                path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                path = path.replace("${key}", "any-cohort")
                assert Path(path).suffix, f"{path} looks like a directory"
                ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
                assert (ignored.returncode == 0) == options.get("cache", True), path


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("own/expression.csv", True),
        ("own/deeper/patients.xlsx", True),
        ("patients.csv", True),
        ("own.dvc", False),
        ("deeper/own.dvc", False),
        (".gitignore", False),
    ],
)
def test_data_of_patients_stays_out_of_git_and_its_pointers_do_not(
    name: str, ignored: bool
) -> None:
    path = f"data/sources/{name}"
    found = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    assert (found.returncode == 0) is ignored


def commands() -> dict[str, Callable]:
    """Every command by what is typed, those of groups (`remote check`) too."""
    groups = {f"{group.name} ": group.typer_instance for group in app.registered_groups}
    return {
        prefix + (command.name or command.callback.__name__): command.callback
        for prefix, part in ({"": app} | groups).items()
        for command in part.registered_commands
    }


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert f"## `oncopixel {command}`" in text
    assert commands()[command].__doc__


def test_every_stage_is_a_command() -> None:
    assert set(stages()) <= set(commands())


def test_every_parameter_is_documented() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in raw.items():
        if section != "cohorts":
            for key in values:
                assert f"`{section}.{key}`" in text, f"{section}.{key}"


def test_help_is_fast_because_it_imports_nothing_heavy() -> None:
    program = (
        "import sys; from oncopixel import cli; print(*{m.split('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"tensorflow", "keras", "great_expectations", "pandas", "numpy", "sklearn", "dvc"}
    assert not heavy & set(loaded)


def test_every_module_can_be_imported_alone() -> None:
    for name in all_modules():
        if not name.endswith("__main__"):
            importlib.import_module(name)


@pytest.mark.parametrize("name", all_modules())
def test_nothing_is_checked_that_python_may_be_told_to_leave_out(name: str) -> None:
    path = module_path(name)
    assert path is not None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"
        assert getattr(node, "id", "") != "__debug__"
        assert getattr(node, "attr", "") != "__doc__"
