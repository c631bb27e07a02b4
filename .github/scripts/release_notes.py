#!/usr/bin/env python3
"""The changelog's section of a tag, on standard output; for release.yml.

    release_notes.py v1.2.3

Exit status 1 unless the tag and pyproject.toml name the same version and
CHANGELOG.md says something about it. Standard library only.
"""

import re
import sys
import tomllib
from pathlib import Path


def main(tag: str) -> None:
    """Does what the module says in the current folder."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {"the tag": tag.removeprefix("v"), "pyproject.toml": project["version"]}
    if len(set(named.values())) > 1:
        said = ", ".join(f"{place} says {version}" for place, version in named.items())
        sys.exit(f"error: not one version: {said}")
    changelog = Path("CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(named['the tag'])}\].*\n((?:(?!## ).*\n?)*)"
    section = re.search(heading, changelog, re.MULTILINE)
    if not section or not section[1].strip():
        sys.exit(f"error: CHANGELOG.md has nothing under a heading `## [{named['the tag']}]`")
    print(section[1].strip())  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
