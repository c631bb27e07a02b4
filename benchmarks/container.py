"""The container beside the host: a full reproduction in both, from one run, and the image's size.

    python benchmarks/container.py [--base IMAGE] [--revision HEAD]

Builds the image from a clone of the revision, times a build after a change of source only, then
runs `dvc repro` of every cohort in two clones without cache: in the container as docs/container.md
says, and with this environment (`source .venv/bin/activate` before). A busy machine slows both; the
ratio is the steadier figure.
"""

import argparse
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

TAG = "oncopixel-benchmark"
CHANGED = f"{TAG}:changed"
HARDENED = [
    "--rm", "--init", "--network", "none", "--read-only", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--tmpfs", "/tmp",  # noqa: S108
]  # fmt: skip


def seconds(folder: Path, *command: str) -> float:
    """Wall time of a command that must succeed; what it says is shown only if it does not."""
    start = time.perf_counter()
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return time.perf_counter() - start


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def clone(revision: str, folder: Path) -> Path:
    root = output("git", "rev-parse", "--show-toplevel").strip()
    seconds(Path(root), "git", "clone", "-q", "--no-hardlinks", root, str(folder))
    seconds(folder, "git", "checkout", "-q", output("git", "rev-parse", revision).strip())
    return folder


def image_report() -> str:
    """The image's size, and its three largest parts: the base with git, and each package."""
    size = int(output("docker", "image", "inspect", "--format", "{{.Size}}", TAG))
    measure = "cd /opt/venv/lib/python3*/site-packages && du -sb -- */; du -sbx --exclude=/opt /"
    lines = output("docker", "run", *HARDENED, TAG, "sh", "-c", f"{measure} 2>/dev/null; true")
    parts = sorted((int(n), name) for n, name in map(str.split, lines.splitlines()))[:-4:-1]
    named = [f"{name.strip('/') or 'base and git'} {n / 1e6:.0f} MB" for n, name in parts]
    return f"image: {size / 1e9:.2f} GB, of that {', '.join(named)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", help="base image (default: the Dockerfile's)")
    parser.add_argument("--revision", default="HEAD")
    options = parser.parse_args()
    base = ["--build-arg", f"BASE={options.base}"] if options.base else []
    build = ["docker", "build", *base, ".", "--tag"]
    caller = f"{os.getuid()}:{os.getgid()}"

    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        stack.callback(subprocess.run, ["docker", "rmi", TAG, CHANGED], capture_output=True)
        inside = clone(options.revision, Path(temporary, "inside"))
        outside = clone(options.revision, Path(temporary, "outside"))
        print(f"build: {seconds(outside, *build, TAG):.0f} s with what was cached before")
        source = outside / "src/oncopixel/__init__.py"
        original = source.read_text(encoding="utf-8")
        source.write_text(f"{original}\n# {time.time()}\n", encoding="utf-8")
        print(f"build after a change of source only: {seconds(outside, *build, CHANGED):.1f} s")
        source.write_text(original, encoding="utf-8")
        print(image_report())

        run = ["docker", "run", *HARDENED, "--user", caller, "--volume", f"{inside}:/app", TAG]
        in_container = seconds(inside, *run)
        on_host = seconds(outside, "dvc", "repro")
        same = (inside / "dvc.lock").read_bytes() == (outside / "dvc.lock").read_bytes()
        print(f"dvc repro in the container: {in_container:.0f} s, on the host: {on_host:.0f} s")
        print(f"container / host: {in_container / on_host:.2f}; dvc.lock identical: {same}")


if __name__ == "__main__":
    main()
