"""Push and pull against real servers: SeaweedFS, rclone, sshd, nginx, a folder."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from servers import (
    BUCKET,
    CHECK,
    QUICK,
    READER,
    ROOT,
    S3,
    TOOLS,
    WRITER,
    compose_storage,
    dvc_files,
    is_intact,
    nginx,
    object_key,
    rclone,
    s3_remote,
    sshd,
    use,
)  # fmt: skip

from conftest import Project

pytest_plugins = ["storage"]


@pytest.fixture(scope="module")
def project(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two cohorts through the pipeline, and a folder that was added by hand."""
    project = finished.copy(tmp_path_factory.mktemp("author"))
    project.set_params(
        lambda params: params["cohorts"].update(second=params["cohorts"]["simulated"])
    )
    for name, content in dvc_files(project).items():
        path = project.folder / name.replace("/simulated/", "/second/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content + b"second")
    shutil.copy(project.folder / "data/simulated/manifest.csv", project.folder / "data/second")
    for name in ("panel.json", "card.md"):
        shutil.copy(project.folder / "models/simulated" / name, project.folder / "models/second")
    own = project.folder / "data/sources/own"
    own.mkdir(parents=True)
    for name in ("expression.tsv", "samples.csv"):
        (own / name).write_text(name, encoding="utf-8")
    shutil.copytree(
        project.folder / "reports/simulated", project.folder / "reports/second",
        dirs_exist_ok=True, ignore=shutil.ignore_patterns("report.html"),
    )  # fmt: skip
    project.run("dvc", "add", "data/sources/own")
    project.run("dvc", "commit", "--force")
    project.commit("a second cohort")
    return project


@dataclass
class Place:
    """A remote as the one who writes and the one who reads configure it."""

    writes: dict[str, str]
    reads: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)


@pytest.fixture(params=["seaweed", "rclone", "ssh", "http", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> Iterator[Place]:
    folder = tmp_path / "server"
    folder.mkdir()
    if request.param == "seaweed":
        remote = s3_remote(s3.endpoint, "each")
        yield Place(remote, remote, WRITER | QUICK)
    elif request.param == "rclone":
        with rclone(folder) as other:
            remote = s3_remote(other.endpoint, "each")
            yield Place(remote, remote, WRITER | QUICK)
    elif request.param == "ssh":
        with sshd(folder) as remote:
            yield Place(remote, remote)
    elif request.param == "http":
        with nginx(folder) as url:
            yield Place({"url": f"{folder}/store"}, {"url": f"{url}/open"})
    else:
        yield Place({"url": str(folder)}, {"url": str(folder)})


def test_what_is_pushed_arrives_in_a_fresh_clone(
    project: Project, place: Place, tmp_path: Path
) -> None:
    use(project, **place.writes)
    project.run("dvc", "push", **place.env)
    reader = project.clone(tmp_path / "reader")
    use(reader, **place.reads)
    reader.run("dvc", "pull", **place.env)
    assert dvc_files(reader) == dvc_files(project)
    assert is_intact(reader)
    checked = reader.run(*CHECK, **place.env)
    assert "51 sound; " in checked.stderr
    assert "warning" not in checked.stderr


@pytest.fixture(scope="module")
def pushed(project: Project, s3: S3) -> Callable[[Path], Project]:
    """Makes clones of the project whose files are on SeaweedFS."""
    use(project, **s3_remote(s3.endpoint, "pushed"))
    project.run("dvc", "push", **WRITER)

    def clone(folder: Path) -> Project:
        reader = project.clone(folder)
        use(reader, **s3_remote(s3.endpoint, "pushed"))
        return reader

    return clone


def test_one_model_and_one_cohort_can_be_pulled_alone(
    pushed: Callable[[Path], Project], project: Project, tmp_path: Path
) -> None:
    reader = pushed(tmp_path / "reader")
    model = "models/second/ensemble.keras"
    reader.run("dvc", "pull", model, **READER)
    assert list(dvc_files(reader)) == [model]
    reader.run("bash", "-c", "dvc pull $(dvc stage list --name-only | grep @second)", **READER)
    everything = dvc_files(project)
    assert dvc_files(reader) == {n: c for n, c in everything.items() if "/second/" in n}
    objects = [p for p in (reader.folder / ".dvc/cache/files").rglob("*") if p.is_file()]
    assert len(objects) == len(dvc_files(reader))


def test_an_earlier_version_of_the_data_and_back(
    pushed: Callable[[Path], Project], project: Project, s3: S3, tmp_path: Path
) -> None:
    author = project.copy(tmp_path / "author")
    author.run("git", "tag", "data-1")
    cohort = author.folder / "data/second/cohort.h5ad"
    before = cohort.read_bytes()
    cohort.write_bytes(before + b"later")
    author.run("dvc", "commit", "--force", "ingest@second")
    author.commit("later data")
    use(author, **s3_remote(s3.endpoint, "pushed"))
    author.run("dvc", "push", **WRITER)

    reader = author.clone(tmp_path / "reader")
    use(reader, **s3_remote(s3.endpoint, "pushed"))
    mine = reader.folder / "data/second/cohort.h5ad"
    for revision, content in (("main", before + b"later"), ("data-1", before)):
        reader.run("git", "checkout", "-q", revision)
        reader.run("dvc", "pull", "ingest@second", **READER)
        assert mine.read_bytes() == content
    reader.run("git", "checkout", "-q", "main")
    reader.run("dvc", "checkout", "ingest@second")  # from the local cache
    assert mine.read_bytes() == before + b"later"

    key = f"pushed/{object_key(before)}"
    s3.client.delete_object(Bucket=BUCKET, Key=key)
    now = reader.run(*CHECK, "ingest@second", **READER)
    assert "4 sound; " in now.stderr
    ever = reader.run(*CHECK, "ingest@second", "--all-commits", **READER, check=False)
    assert ever.returncode == 3
    assert "missing: data/second/cohort.h5ad (ingest@second, commit " in ever.stderr
    s3.put(key, before)


def test_the_reader_s_key_does_not_push(pushed: Callable[[Path], Project], tmp_path: Path) -> None:
    reader = pushed(tmp_path / "reader")
    new = reader.folder / "data/sources/new.bin"
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"new")
    reader.run("dvc", "add", str(new))
    refused = reader.run("dvc", "push", str(new), check=False, **READER, **QUICK)
    assert refused.returncode == 1
    assert "Access Denied" in refused.stderr
    assert new.read_bytes() == b"new"


def test_a_bucket_that_keeps_versions_itself(project: Project, s3: S3, tmp_path: Path) -> None:
    s3.client.create_bucket(Bucket="versioned")
    s3.client.put_bucket_versioning(
        Bucket="versioned", VersioningConfiguration={"Status": "Enabled"}
    )
    author = project.copy(tmp_path / "author")
    remote = s3_remote(s3.endpoint, "toy", bucket="versioned") | {"version_aware": "true"}
    use(author, **remote)
    target = "data/sources/own"
    path = author.folder / target / "samples.csv"
    for content in ("first", "second"):
        path.write_text(content, encoding="utf-8")
        author.run("dvc", "add", target)
        author.run("dvc", "push", target, **WRITER)
        author.commit(content)
    assert "version_id" in author.text(f"{target}.dvc")
    reader = author.clone(tmp_path / "reader")
    use(reader, **remote)
    reader.run("git", "checkout", "-q", "HEAD~1")
    reader.run("dvc", "pull", target, **WRITER)
    assert (reader.folder / target / "samples.csv").read_text() == "first"
    refused = reader.run(*CHECK, check=False, **WRITER)
    assert refused.returncode == 2
    assert "cloud-versioned" in refused.stderr


def test_compose_starts_what_these_tests_start() -> None:
    schema = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*schema, ROOT / "compose.yaml"], check=True, capture_output=True)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    storage = compose["services"]["storage"]
    arguments, identities = compose_storage()
    assert storage["ports"] == ["127.0.0.1:8333:8333"]
    assert f"-s3.config={storage['configs'][0]['target']}" in arguments
    assert f"-dir={storage['volumes'][0].split(':')[1]}" in arguments
    assert f"-bucket={BUCKET}" in arguments
    for value in (*WRITER.values(), *READER.values()):
        assert f'"{value}"' in identities
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    assert f"s3://{BUCKET}/" in config
    assert "http://127.0.0.1:8333" in config


def test_without_a_default_remote_a_pull_says_so(finished: Project, tmp_path: Path) -> None:
    stranger = finished.clone(tmp_path / "stranger")
    pull = stranger.run("dvc", "pull", check=False)
    assert pull.returncode == 1
    assert "no default remote set" in pull.stderr
    check = stranger.run(*CHECK, check=False)
    assert check.returncode == 2
    assert "Name one with --remote (there is dev)" in check.stderr


def recipes() -> dict[str, list[list[str]]]:
    """The `dvc remote` lines of each recipe of docs/remotes.md, by the URL that it adds."""
    text = (ROOT / "docs/remotes.md").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"```bash\n(.*?)```", text, re.S):
        lines = [shlex.split(line, comments=True) for line in block.splitlines()]
        ours = [line[1:] for line in lines if line[:2] == ["dvc", "remote"]]
        if ours:
            found[ours[0][-1]] = ours
    return found


def test_dvc_accepts_every_recipe(tmp_path: Path) -> None:
    assert {url.split(":")[0] for url in recipes()} == {
        "s3", "ssh", "https", "gs", "azure", "/mnt/share/oncopixel"
    }  # fmt: skip
    program = (
        "import json, sys; from dvc.cli import main; sys.exit(any(map(main, json.load(sys.stdin))))"
    )
    for number, commands in enumerate(recipes().values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        init = [["init", "-q", "--no-scm"], *commands, ["config", "--list"]]
        done = subprocess.run(
            [sys.executable, "-c", program], input=json.dumps(init), cwd=folder,
            capture_output=True, text=True, check=False, env=Project(folder).environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "remote.store.verify=true" in done.stdout
        assert not credentials(folder / ".dvc/config")


CREDENTIALS = {
    "access_key_id", "secret_access_key", "session_token", "profile", "credentialpath",
    "configpath", "user", "password", "passphrase", "keyfile", "token", "sas_token",
    "account_key", "connection_string", "client_secret", "sse_customer_key",
}  # fmt: skip


def credentials(config: Path) -> set[str]:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(config.read_text(encoding="utf-8").replace("    ", ""))
    return {key for section in parsed.values() for key in section} & CREDENTIALS


def test_the_committed_remotes_hold_no_credential_and_verify() -> None:
    assert not credentials(ROOT / ".dvc/config")
    text = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    remotes = text.split("['remote ")[1:]
    assert remotes
    for remote in remotes:
        assert "verify = true" in remote
        assert not re.search(r"//[^/\s]*@", remote)


SECRETS = re.compile(
    rb"(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    rb"|(?i:secret_access_key)\W{1,4}[A-Za-z0-9/+]{40}"
    rb"|-----BEGIN [A-Z ]*PRIVATE KEY"
    rb"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50}"
    rb"|AccountKey=[A-Za-z0-9+/=]{40}|[?&]sig=[A-Za-z0-9%]{40}"  # Azure
    rb"|ya29\.[A-Za-z0-9_-]{30}|AIza[A-Za-z0-9_-]{35}"  # Google
)


def test_no_file_in_git_holds_a_secret() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    found = {
        name: match[0][:12]
        for name in names
        if (ROOT / name).is_file() and (match := SECRETS.search((ROOT / name).read_bytes()))
    }
    assert found == {}
    assert ".dvc/config.local" not in names
