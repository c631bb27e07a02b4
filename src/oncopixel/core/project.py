"""Where each step finds and leaves its files: the one list that `dvc.yaml` mirrors."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The files of one cohort below the project's root."""

    root: Path
    cohort: str

    def data(self, name: str) -> Path:
        """A file that may hold sample identifiers: versioned by DVC, not in git.

        The exception is the manifest, whose barcodes its server lists openly.
        """
        return self.root / "data" / self.cohort / name

    def model(self, name: str) -> Path:
        """A file that `predict` needs: versioned by DVC."""
        return self.root / "models" / self.cohort / name

    def report(self, name: str) -> Path:
        """A metric, table or figure without sample identifiers: in git."""
        return self.root / "reports" / self.cohort / name
