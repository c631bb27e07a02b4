"""What goes wrong with remotes: each fault ends in a message, and in an intact workspace."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import (
    CHECK,
    QUICK,
    READER,
    S3,
    WRITER,
    Proxy,
    dvc_files,
    free_ports,
    is_intact,
    nginx,
    object_key,
    proxy,
    s3_remote,
    use,
)

from conftest import Project

pytest_plugins = ["storage"]
MODEL, COHORT = "models/simulated/ensemble.keras", "data/simulated/cohort.h5ad"
WRITE = WRITER | QUICK
READ = READER | QUICK


@pytest.fixture(scope="module")
def author(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with whole cache; tests change its remote only."""
    return finished.copy(tmp_path_factory.mktemp("author"))


def fails(project: Project, *command: str, status: int, **env: str) -> str:
    """What a command says that ends with `status` and leaves the files as they were."""
    before = dvc_files(project)
    result = project.run(*command, check=False, **env)
    said = result.stdout + result.stderr
    assert result.returncode == status, said
    assert "Traceback" not in said
    assert dvc_files(project).items() >= before.items()
    assert is_intact(project)
    return said


@pytest.fixture
def reader(author: Project, tmp_path: Path) -> Project:
    return author.clone(tmp_path / "reader")


def test_a_wrong_key(author: Project, reader: Project, s3: S3) -> None:
    nobody = WRITE | {"AWS_ACCESS_KEY_ID": "nobody"}
    wrong = WRITE | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    for project in (author, reader):
        use(project, **s3_remote(s3.endpoint, "key"))
    said = fails(author, "dvc", "push", status=255, **nobody)
    assert "access key ID you provided does not exist" in said
    said = fails(author, "dvc", "push", status=255, **wrong)
    assert "does not match the signature" in said
    assert "Forbidden" in fails(reader, "dvc", "pull", status=1, **wrong)
    said = fails(reader, *CHECK, status=2, **wrong)
    assert "refuses to be read. Are the key, the secret and the permissions right?" in said


def test_no_such_bucket(author: Project, s3: S3) -> None:
    use(author, **s3_remote(s3.endpoint, "x", bucket="nowhere"))
    assert "bucket does not exist" in fails(author, "dvc", "push", status=255, **WRITE)
    said = fails(author, *CHECK, status=2, **WRITE)
    assert "s3://nowhere/x cannot be read: " in said
    assert "The specified bucket does not exist" in said


def test_an_unreachable_server(reader: Project) -> None:
    (port,) = free_ports(1)
    nowhere = f"http://127.0.0.1:{port}"
    use(reader, **s3_remote(nowhere, "x"))
    assert "Could not connect" in fails(reader, "dvc", "pull", status=1, **WRITE)
    assert "cannot be read: Could not connect" in fails(reader, *CHECK, status=2, **WRITE)
    use(reader, url=nowhere)
    assert f"{nowhere} cannot be read: Cannot connect to" in fails(reader, *CHECK, status=2)


def test_a_remote_or_target_that_makes_no_sense(reader: Project) -> None:
    use(reader, url="s3://oncopixel/x")
    said = fails(reader, *CHECK, "--remote", "stor", status=2)
    assert "no remote is called stor (did you mean store?)" in said
    use(reader, url="oss://oncopixel/x")
    said = fails(reader, *CHECK, status=2)
    assert "needs one more package" in said
    use(reader, url="s3://oncopixel/x", nonsense="1")
    assert "extra keys not allowed" in fails(reader, *CHECK, status=2)
    use(reader, url="s3://oncopixel/x")
    said = fails(reader, *CHECK, "models/simulatd", status=2)
    assert "is called models/simulatd (did you mean models/simulated" in said


@pytest.fixture
def between(s3: S3) -> Iterator[Proxy]:
    """A proxy before the server, which is up again afterwards."""
    with proxy(s3.port) as middle:
        yield middle
    assert s3.server is not None
    if s3.server.process.poll() is not None:
        s3.server.start()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_server_is_killed_midway(
    direction: str, author: Project, reader: Project, s3: S3, between: Proxy
) -> None:
    assert s3.server is not None
    path = f"killed-{direction}"
    for project in (author, reader):
        use(project, **s3_remote(f"http://127.0.0.1:{between.port}", path))
    half = sum(map(len, dvc_files(author).values())) // 2
    if direction == "up":
        between.arm("up", half, s3.server.kill)
        said = author.run("dvc", "push", check=False, **WRITE)
    else:
        author.run("dvc", "push", **WRITE)
        between.arm("down", half, s3.server.kill)
        said = reader.run("dvc", "pull", check=False, **WRITE)
    assert between.struck.is_set()
    assert said.returncode == 1
    assert "ERROR: failed to transfer " in said.stderr
    cut = ("Connection was closed before we received a valid response", "Could not connect")
    assert any(reason in said.stderr for reason in cut)
    assert f"files failed to {direction}load" in said.stderr
    assert is_intact(author)
    assert is_intact(reader)

    s3.server.start()
    whole = dvc_files(author)
    assert dvc_files(reader).items() <= whole.items()  # nothing half-written
    if direction == "up":
        assert 0 < len(s3.keys(path)) < len(whole)
        said = fails(author, *CHECK, status=3, **WRITE)
        assert "  missing: " in said
        assert "damaged" not in said
        author.run("dvc", "push", **WRITE)
    reader.run("dvc", "pull", **WRITE)
    assert dvc_files(reader) == whole


def test_damaged_objects_are_refused_found_and_mended(
    author: Project, reader: Project, s3: S3
) -> None:
    for project in (author, reader):
        use(project, **s3_remote(s3.endpoint, "damaged"))
    author.run("dvc", "push", **WRITE)
    whole = dvc_files(author)
    model, cohort = whole[MODEL], whole[COHORT]
    s3.put(f"damaged/{object_key(model)}", model[:1000] + b"damaged" + model[1007:])
    s3.put(f"damaged/{object_key(cohort)}", cohort[:5000])

    said = fails(reader, "dvc", "pull", status=1, **READ)
    assert "Checkout failed for following targets" in said
    assert dvc_files(reader) == {n: c for n, c in whole.items() if n not in (MODEL, COHORT)}
    assert "up to date" in author.run("dvc", "push", **WRITE).stdout  # which is why we check

    said = fails(author, *CHECK, status=3, **READ)
    assert "22 sound, 2 damaged; " in said
    assert f"  damaged: {MODEL} (train@simulated) [" in said
    assert f"  damaged: {COHORT} (ingest@simulated) [" in said
    assert "run `oncopixel remote check --repair`" in said
    said = fails(reader, *CHECK, "--repair", status=3, **WRITE)
    assert "damaged and not in the local cache" in said
    said = fails(author, *CHECK, "--repair", status=2, **READ)
    assert "cannot be written: Access Denied. Mending needs write access" in said

    mended = author.run(*CHECK, "--repair", **WRITE).stderr
    assert f"mended {MODEL}" in mended
    assert f"mended {COHORT}" in mended
    reader.run("dvc", "pull", **READ)
    assert dvc_files(reader) == whole


def test_a_push_from_an_incomplete_cache(author: Project, reader: Project, s3: S3) -> None:
    use(reader, **s3_remote(s3.endpoint, "incomplete"))
    assert "up to date" in reader.run("dvc", "push", **WRITE).stdout  # it is not
    said = fails(reader, *CHECK, status=3, **WRITE)
    assert "0 sound, 24 missing" in said
    for name in dvc_files(author):
        assert f"  missing: {name} (" in said
    # --repair is as good as a push where the cache is whole
    use(author, **s3_remote(s3.endpoint, "incomplete"))
    assert author.run(*CHECK, "--repair", **WRITE).stderr.count("mended ") == 24


def test_a_damaged_local_cache_mends_nothing(
    author: Project, tmp_path: Path, finished: Project
) -> None:
    mine = finished.copy(tmp_path / "mine")
    use(mine, url=str(tmp_path / "store"))
    mine.run("dvc", "push")
    stored = tmp_path / "store" / object_key((mine.folder / MODEL).read_bytes())
    cached = mine.folder / ".dvc/cache" / object_key((mine.folder / MODEL).read_bytes())
    for path in (stored, cached):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    said = fails(mine, *CHECK, "--repair", status=3)
    assert f"  damaged in the local cache too: {MODEL}" in said
    assert stored.read_bytes() == b"damaged"


def test_a_web_server_that_only_serves(author: Project, reader: Project, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with nginx(folder) as url:
        use(author, url=f"{folder}/store")
        author.run("dvc", "push")
        (folder / "store" / object_key(dvc_files(author)[MODEL])).unlink()
        closed = {"url": f"{url}/closed", "auth": "basic", "user": "reader"}
        use(reader, **closed, **{"password": "wrong"})
        said = fails(reader, "dvc", "pull", status=1)
        assert "cache files do not exist neither locally nor on remote" in said
        assert "refuses to be read" in fails(reader, *CHECK, status=2)
        use(reader, **closed, **{"password": READER["AWS_SECRET_ACCESS_KEY"]})
        reader.run("dvc", "pull", COHORT)
        assert "23 sound, 1 missing" in fails(reader, *CHECK, status=3)
        use(reader, url=f"{url}/failing")
        said = fails(reader, *CHECK, status=2)
        assert "cannot be read: 500, message='Internal Server Error'" in said
        use(author, url=f"{url}/open", method="PUT")
        said = fails(author, *CHECK, "--repair", status=2)
        assert "cannot be written: " in said


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[list[str]]:
    """A folder that holds so much; where mounting is not permitted, a prefix that limits files."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    try:
        limit = f'ulimit -f {kilobytes // 2}; exec "$@"'
        yield [] if mounted.returncode == 0 else ["bash", "-c", limit, "limited"]
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk(author: Project, reader: Project, s3: S3, tmp_path: Path) -> None:
    for project in (author, reader):
        use(project, **s3_remote(s3.endpoint, "full"))
    author.run("dvc", "push", **WRITE)
    reader.run("dvc", "pull", "plan@simulated", **READ)
    with small_disk(tmp_path / "cache", 800) as prefix:
        reader.run("dvc", "config", "--local", "cache.dir", str(tmp_path / "cache"))
        said = fails(reader, *prefix, "dvc", "pull", status=1, **READ)
        assert os.strerror(28) in said or os.strerror(27) in said
        assert dvc_files(reader).items() <= dvc_files(author).items()
    reader.run("dvc", "config", "--local", "--unset", "cache.dir")
    reader.run("dvc", "pull", **READ)
    assert dvc_files(reader) == dvc_files(author)
