"""The Docker engine of this machine: its builders, a base image, and containers as people run them.

The base image is the one of ONCOPIXEL_BASE_IMAGE, else the Dockerfile's own where a registry can be
reached, else one that `scripts/base_image.sh` makes; that one stays, under the name BASE_TAG.
"""

import functools
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from servers import unavailable

ROOT = Path(__file__).parents[2]
BASE_TAG = "oncopixel-base:bookworm"
HARDENED = (
    "--network", "none", "--read-only", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--tmpfs", "/tmp",  # noqa: S108
)  # fmt: skip


def docker(
    *arguments: str,
    client: str = "docker",
    check: bool = True,
    timeout: float | None = None,
    **env: str,
) -> subprocess.CompletedProcess:
    """Runs a docker command; stdout and stderr come out as one text, in order."""
    result = subprocess.run(
        [client, *arguments], env=os.environ | env, stdin=subprocess.DEVNULL, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if check and result.returncode:
        raise AssertionError(f"docker {arguments} said:\n{result.stdout[-4000:]}")
    return result


def need_engine() -> None:
    """Without an engine CI fails and a developer's run skips."""
    if not shutil.which("docker") or docker("info", check=False).returncode:
        unavailable("no Docker engine answers `docker info`")


@functools.cache
def buildkit_client() -> str:
    """A docker client that can use BuildKit: one with buildx, or one from before buildx."""
    for folder in os.environ["PATH"].split(os.pathsep):
        client = shutil.which("docker", path=folder)
        if not client:
            continue
        version = docker("version", "--format", "{{.Client.Version}}", client=client).stdout
        buildx = docker("buildx", "version", client=client, check=False)
        if buildx.returncode == 0 or int(version.split(".")[0]) < 23:
            return client
    pytest.fail("no docker client with BuildKit: install docker-buildx, or Debian's docker.io")


def build(context: Path, *options: str, buildkit: bool) -> str:
    """`docker build` of a folder by one of the two builders; every step is in the output."""
    arguments = ["build", "--build-arg", f"BASE={base_image()}", *options, str(context)]
    if buildkit:
        client = buildkit_client()
        return docker(*arguments, "--progress=plain", client=client, DOCKER_BUILDKIT="1").stdout
    return docker(*arguments, "--force-rm", DOCKER_BUILDKIT="0").stdout


def run(
    image: str, *command: str, mount: Path | None = None, options: tuple = (), check: bool = True
) -> subprocess.CompletedProcess:
    """A hardened container, as docs/container.md says, with a folder mounted on /app."""
    volume = ["--volume", f"{mount}:/app"] if mount else []
    return docker("run", "--rm", *HARDENED, *volume, *options, image, *command, check=check)


@functools.cache
def base_image() -> str:
    if given := os.environ.get("ONCOPIXEL_BASE_IMAGE"):
        return given
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    default = re.search(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE)[1]
    for tag in (default, BASE_TAG):
        if docker("image", "inspect", tag, check=False).returncode == 0:
            return tag
    with suppress(subprocess.TimeoutExpired):
        if docker("pull", "--quiet", default, check=False, timeout=120).returncode == 0:
            return default
    script = subprocess.run(
        [ROOT / "scripts/base_image.sh", BASE_TAG], capture_output=True, text=True, check=False
    )
    assert script.returncode == 0, script.stderr
    return BASE_TAG


def intermediate(output: str) -> list[str]:
    """Ids of the untagged images that a run of the classic builder left, the last made first."""
    base = docker("image", "inspect", "--format", "{{.Id}}", base_image()).stdout
    made = dict.fromkeys(re.findall(r"^ ---> ([0-9a-f]{12})$", output, re.MULTILINE))
    return [one for one in reversed(made) if one not in base]
