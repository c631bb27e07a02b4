"""params.yaml is read as DVC reads it, and what is wrong with it ends in one message."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oncopixel.core.errors import ParamsError
from oncopixel.core.yaml_files import read_yaml

SPELLINGS = [
    "10", "010", "0o10", "0x1F", "0b11", "09", "1_000", "1:30", "190:20:30.15", "+1", "-0", "1.",
    ".5", "1e-3", "1.0e-3", "1_0.5", "12e03", "true", "True", "TRUE", "yes", "no", "on", "off", "y",
    "~", "null", "Null", "", "'010'", '"yes"', "!!str 10", "!!float 1", "1.2.3", "0.1e", "1__0",
]  # fmt: skip
"""Ways to write a value on which YAML 1.1 and 1.2 are not of one mind."""


def dvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, capture_output=True,
        text=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"},
    )  # fmt: skip
    return done.stdout


def test_every_spelling_is_the_value_that_dvc_records(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    lines = [f"  key{i}: {spelling}\n" for i, spelling in enumerate(SPELLINGS)]
    path.write_text("train:\n" + "".join(lines), encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("stages: {use: {cmd: 'true', params: [train]}}\n")
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "repro", "-q")
    content = read_yaml(path)
    lock = read_yaml(tmp_path / "dvc.lock")["stages"]["use"]["params"]
    assert repr(lock) == repr({"params.yaml": content})
    assert content != yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["train"]["key1"] == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: `a` is there a second time. Keep one of them."),
        ("a: {b: {c: 1, c: 1}}", "line 1: `c` is there a second time"),
        ("a:\n- b: 1\n  c: {d: 1}\n  b: with value\n", "line 4: `b` is there a second time"),
        ("a: {<<: {x: 1}, <<: {y: 2}}", "line 1: `<<` is there a second time"),
        ("a: \u202e1", r"`a` holds the character \u202e, which nobody sees"),
        ('a: {b: ["c\\0"]}', r"`a.b.0` holds the character \x00, which nobody sees"),
        ('"a\\e[31m": 1', r"`a\x1b[31m` holds the character \x1b"),
        ('a: "\\ud800"', r"`a` holds the character \ud800"),
        ("? [a, \u2066b]\n: 1", "holds a list as a key"),
        ("a: " + "9" * 5000, "is not valid YAML"),
        ("a: 0x" + "F" * 5000, "`a` is a number beyond 64 bits"),
        ("a: [1, -9223372036854775809]", "`a.1` is a number beyond 64 bits"),
        ("a: " + "[" * 3000, "it is nested too deeply"),
        ("- " * 3000, "it is nested too deeply"),
        ("".join(" " * i + "a:\n" for i in range(3000)), "it is nested too deeply"),
        ("a: 2020-13-45", "is not valid YAML: month must be in 1..12"),
        ("a: !!bool perhaps", "is not valid YAML: 'perhaps'"),
        ("a: 1\n---\nb: 2", "is not valid YAML, line 2, column 1"),
        ("a: [1\n", "is not valid YAML, line 2, column 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_aliases_are_followed_once(tmp_path: Path) -> None:
    """Otherwise a few lines name more values than any machine can hold."""
    path = tmp_path / "params.yaml"
    lines = [f"k{i}: &k{i} [*k{i - 1}, *k{i - 1}]\n" for i in range(1, 80)]
    path.write_text("k0: &k0 [1, 2]\n" + "".join(lines) + "own: &own {own: *own}\n")
    content = read_yaml(path)
    assert content["k1"] == [[1, 2], [1, 2]]
    assert content["own"]["own"] is content["own"]


@given(st.binary(max_size=60) | st.text(alphabet="a:-[]{}&*!|>'\"\n 01_.,?#%@", max_size=60))
def test_anything_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    path = tmp_path_factory.mktemp("any") / "params.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with contextlib.suppress(ParamsError):
        read_yaml(path)
