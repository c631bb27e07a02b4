"""House rules that no type checker sees: import direction, stage dependencies, documentation."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

import oncopixel
from oncopixel.cli import app
from reference import reference

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "oncopixel"


@cache
def graph() -> grimp.ImportGraph:
    """Every import of the package, also those inside functions."""
    return grimp.build_graph("oncopixel", cache_dir=None)


def closure(module: str) -> set[str]:
    """The modules that `module` imports, directly or by others, and itself."""
    return {module} | graph().find_upstream_modules(module)


def path_of(module: str) -> Path:
    base = SOURCE.parent.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def all_modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(oncopixel.__path__, "oncopixel.")]


def stages() -> dict[str, dict]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_stages_and_tools_import_none_of_their_own() -> None:
    for module in all_modules():
        room, _, name = module.removeprefix("oncopixel.").partition(".")
        if room == "stages" and name:
            others = {m for m in closure(module) if m.startswith("oncopixel.stages.")}
            assert others == {module}, module


@pytest.mark.parametrize("stage", stages())
def test_stage_depends_on_what_its_module_imports(stage: str) -> None:
    declared = [d for d in stages()[stage]["do"]["deps"] if d.startswith("src/")]
    for module in closure(f"oncopixel.stages.{stage}"):
        path = path_of(module).relative_to(ROOT)
        empty = path.name == "__init__.py" and is_empty(ROOT / path)
        assert empty or any(path.is_relative_to(folder) for folder in declared), path


def test_files_are_short() -> None:
    for path in SOURCE.rglob("*.py"):
        most = 99 if path.parent.name == "stages" else 400
        assert len(path.read_text(encoding="utf-8").splitlines()) <= most, path


def is_empty(path: Path) -> bool:
    """Whether a module has nothing but its docstring."""
    return len(ast.parse(path.read_text(encoding="utf-8")).body) <= 1


@pytest.mark.parametrize("stage", stages())
def test_stage_runs_the_command_of_its_name_from_the_tree(stage: str) -> None:
    assert stages()[stage]["do"]["cmd"] == f"PYTHONPATH=src python -m oncopixel {stage} ${{key}}"


def test_outputs_are_files_that_git_or_dvc_keeps_not_both() -> None:
    for stage in stages().values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage["do"].get(kind, []):
                path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                path = path.replace("${key}", "any-cohort")
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
    assert f"### `oncopixel {command}`\n" in reference("commands")
    assert commands()[command].__doc__


def test_every_stage_is_a_command() -> None:
    assert set(stages()) <= set(commands())


def test_every_parameter_is_documented() -> None:
    text = reference("parameters")
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
    path = path_of(name)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}"
        assert getattr(node, "id", "") != "__debug__"
        assert getattr(node, "attr", "") != "__doc__"


def test_what_benchmarks_keep_of_patients_is_not_for_git() -> None:
    path = "data/accuracy/cohorts/any.h5ad"
    assert not subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode
