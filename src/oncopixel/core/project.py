"""Where each step finds and leaves its files, and the version of the package."""

import tomllib
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path


def version() -> str:
    """The version of oncopixel: of the tree whose code runs, else of the installed package."""
    tree = Path(__file__).parents[3] / "pyproject.toml"
    if tree.is_file():
        return str(tomllib.loads(tree.read_text(encoding="utf-8"))["project"]["version"])
    return version_of("oncopixel")


@dataclass(frozen=True)
class Paths:
    """The files of one cohort below the project's root."""

    root: Path
    cohort: str

    def data(self, name: str) -> Path:
        """A file of DVC's that may hold sample identifiers; those of the manifest are public."""
        return self.root / "data" / self.cohort / name

    def model(self, name: str) -> Path:
        """A file that `predict` needs: versioned by DVC."""
        return self.root / "models" / self.cohort / name

    def report(self, name: str) -> Path:
        """A metric, table or figure without sample identifiers: in git."""
        return self.root / "reports" / self.cohort / name
