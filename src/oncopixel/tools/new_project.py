"""A project of one's own, made of the files of oncopixel's: pipeline, parameters, image, workflow.

They are those of the tree whose code runs, else those that `project/hatch_build.py` put into the
wheel, changed where they speak of oncopixel's sources.
"""

import importlib.metadata
import json
import re
import textwrap
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..core.errors import ArtifactError, OutputError
from ..core.params import json_schema
from ..core.project import version
from ..core.storage import write_bytes

TEMPLATES = Path(__file__).parent / "project"
TREE = Path(__file__).parents[3]
AS_THEY_ARE = (
    ".dvc/.gitignore", ".dvc/plots/cohorts.json", ".dvc/plots/curves.json",
    ".dvc/plots/learning.json", ".dvc/plots/page.html", ".dvcignore", "data/.gitignore",
    "models/.gitignore", "reports/.gitignore", "requirements.lock",
)  # fmt: skip
PACKAGE = "requirements.txt"
"""The version of oncopixel; stages depend on it as the tree's do on its code."""
NO_FILES = "data/sources/no-files"
"""`inputs` of cohorts that have none."""
ONLY_IN_THE_TREE = re.compile(
    r"(# uv\.lock|uv\.lock|\*\.egg-info|\.(pytest|mypy|ruff)_cache|\.hypothesis|/benchmarks|"
    r"/\.venv-markers)"
)
"""Lines of .gitignore that are of oncopixel's development."""


def run(folder: Path) -> list[str]:
    """The names of the files that are now in `folder`; `OutputError` if others were there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is there already, and not empty. Name a new folder.")
    files = contents()
    for name, content in files.items():
        write_bytes(folder / name, content)
    return sorted(files)


def contents() -> dict[str, bytes]:
    """The files of a new project by name."""
    requirement, wheel = _package()
    texts = {name: _shipped(name) for name in AS_THEY_ARE} | {
        ".dvc/config": _shipped(".dvc/config").partition("#")[0],
        ".dockerignore": _dockerignore(_shipped(".dockerignore")),
        ".github/workflows/pipeline.yml": _template("pipeline.yml"),
        ".gitignore": _gitignore(_shipped(".gitignore")),
        "Dockerfile": _dockerfile(_shipped("Dockerfile")),
        "README.md": _template("README.md").replace("@VERSION@", version()),
        f"{NO_FILES}/.gitignore": "# Of cohorts that are simulated or downloaded: nothing.\n",
        "dvc.yaml": _pipeline(_shipped("dvc.yaml")),
        "params.schema.json": json_schema(),
        "params.yaml": _params(_shipped("params.yaml")),
        PACKAGE: requirement,
    }
    found = {name: text.encode() for name, text in texts.items()}
    if wheel:
        found[f"wheels/{wheel.name}"] = wheel.read_bytes()
    return found


def _shipped(name: str) -> str:
    """A file of oncopixel's own project."""
    root = TREE if (TREE / "pyproject.toml").is_file() else TEMPLATES / "shipped"
    try:
        return (root / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(
            f"this installation of oncopixel lacks {name}: it was not built of a whole tree. "
            "Install the wheel of a release."
        ) from None


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _pipeline(text: str) -> str:
    """dvc.yaml with the installed command, and the package's version in place of its sources."""
    text = text[text.index("stages:") :]
    text = text.replace("PYTHONPATH=src python -m oncopixel ", "oncopixel ")
    text = re.sub(r"deps: \[(.*?)\]", _deps, text, flags=re.DOTALL)
    before, _, artifacts = text.partition("\nartifacts:\n")
    kept = re.sub(r"reports/luad-keap1/[^,]*, ", "", artifacts[artifacts.index("  simulated:") :])
    return (
        "# The pipeline: every stage runs once per cohort of params.yaml.\n"
        f"# It depends on {PACKAGE}, too: another version of oncopixel runs it anew.\n"
        f"{before}\nartifacts:\n{kept}"
    )


def _deps(found: re.Match[str]) -> str:
    names = [name.strip() for name in found[1].split(",")]
    names = [name for name in names if name != "requirements.lock" and not name.startswith("src/")]
    lock = ["requirements.lock"] if "requirements.lock" in found[1] else []
    listed = ", ".join([*lock, PACKAGE, *names])
    lines = textwrap.wrap(listed, 90, break_long_words=False, break_on_hyphens=False)
    if len(lines) == 1:
        return f"deps: [{listed}]"
    return "deps: [\n" + "\n".join(f"        {line}" for line in lines) + "]"


def _params(text: str) -> str:
    """params.yaml without the cohort whose data the wheel does not have."""
    start, end = (text.index(mark) for mark in ("  # Real: ", "  # Made from a seed"))
    text = text[:start] + text[end:]
    text = re.sub(
        r"(?m)(inputs: )src/oncopixel/data\b *(# gene positions; .*)?$",
        lambda found: f"{found[1]}{NO_FILES}" + " # all comes from the seed" * bool(found[2]),
        text,
    )
    return text.replace("the gene positions will do", "data/sources/no-files will do")


def _gitignore(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not ONLY_IN_THE_TREE.match(line))


def _dockerignore(text: str) -> str:
    kept = [line for line in text.splitlines() if line.startswith(("#", "*", "!requirements.lock"))]
    return "\n".join([*kept, f"!{PACKAGE}", "!wheels", ""])


def _dockerfile(text: str) -> str:
    """The image with the package installed as `PACKAGE` says, in place of that of the tree."""
    comment, _, rest = text.partition("\n")
    text = comment.partition("    ")[0].replace("oncopixel", "biomarkers") + "\n" + rest
    head, mark, rest = text.partition("FROM dependencies AS package\n")
    stage, base, tail = rest.partition("\nFROM ${BASE}\n")
    install = re.sub(r"COPY .*\n", "", stage)
    install = install.replace(" --no-index ", " --find-links /tmp/package ")
    install = install.replace(" /tmp/oncopixel\n", f" -r /tmp/package/{PACKAGE}\n")
    tail = tail.replace("# A tree mounted on /app goes before the image's copy of the code.\n", "")
    tail = tail.replace("PYTHONPATH=/app/src:/opt/oncopixel", "PYTHONPATH=/opt/oncopixel")
    return f"{head}{mark}COPY {PACKAGE} wheels* /tmp/package/\n{install}{base}{tail}"


def _package() -> tuple[str, Path | None]:
    """What pip installs this version of oncopixel by, and the wheel that it was installed from."""
    try:
        record = importlib.metadata.distribution("oncopixel").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        record = None
    origin = json.loads(record or "{}")
    address = str(origin.get("url", ""))
    wheel = Path(unquote(urlsplit(address).path))
    if address.startswith("https://"):
        revision = origin.get("vcs_info", {})
        at = f"{revision['vcs']}+{address}@{revision['commit_id']}" if revision else address
        return f"oncopixel @ {at}\n", None
    pinned = f"--find-links wheels\noncopixel=={version()}\n"
    return pinned, wheel if wheel.suffix == ".whl" and wheel.is_file() else None
