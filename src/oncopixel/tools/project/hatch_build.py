"""Puts the repository's own pipeline into the wheel, from which `oncopixel new` makes projects."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = (
    ".dvc/.gitignore", ".dvc/config", ".dvc/plots/cohorts.json", ".dvc/plots/curves.json",
    ".dvc/plots/learning.json", ".dvc/plots/page.html",
    ".dockerignore", ".dvcignore", ".gitignore", "Dockerfile", "data/.gitignore", "dvc.yaml",
    "models/.gitignore", "params.yaml", "reports/.gitignore", "requirements.lock",
)  # fmt: skip


class Pipeline(BuildHookInterface):
    """Of a tree that has no pipeline, such as the image is built from, a wheel without one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the files to the wheel, not to an editable installation, which has the tree."""
        if version == "editable":
            return
        for name in SHIPPED:
            if (path := Path(self.root, name)).is_file():
                build_data["force_include"][str(path)] = f"oncopixel/tools/project/shipped/{name}"
