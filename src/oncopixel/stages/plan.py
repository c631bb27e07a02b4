"""`plan`: the cohort's entry of `params.yaml`, in the parts by which later stages are rerun."""

from typing import Any

from ..core.params import Params
from ..core.project import Paths
from ..core.storage import write_json

PARTS: dict[str, Any] = {
    "samples": {
        "source", "inputs", "label", "positive", "classes", "sample_types", "drop_unlabelled",
    },
    "images": {"channels", "image"},
    "markers": {"claim", "cancer"},
    "external": {"external"},
    "train": {"train"},
    "set_up": {"train": {"seed", "threads"}},
}  # fmt: skip
"""What is in each file: DVC runs a stage again when a part on which it depends has changed."""


def run(paths: Paths, params: Params) -> None:
    """Writes `plan/<part>.json` for each of `PARTS`, defaults filled in."""
    entry = params.cohort(paths.cohort)
    for part, keys in PARTS.items():
        write_json(paths.data(f"plan/{part}.json"), entry.model_dump(mode="json", include=keys))
