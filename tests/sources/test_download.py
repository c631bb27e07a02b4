"""Downloads: whole and right or not at all, whatever the server does, and once for all cohorts."""

import hashlib
import itertools
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import until
from gdc_server import Gdc
from oncopixel.core.errors import OutputError, SourceError
from oncopixel.sources.http import cache as cache_module
from oncopixel.sources.http import client as client_module
from oncopixel.sources.http import download
from oncopixel.sources.http.cache import RemoteFile, cache_path, cached, keep, locked, partial_path
from oncopixel.sources.http.client import Client, Deadline
from oncopixel.sources.http.download import fetch

SIZE = 300_000


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324


def some_bytes(seed: int, size: int = SIZE) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a client that waits next to nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache_module.CACHE_VARIABLE, str(folder))
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(client_module, "LONGEST_WAIT", 0.01)
    return folder


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client would have waited, which it does not."""
    asked: list[float] = []

    def pause(_: Deadline, seconds: float, *__: str) -> None:
        asked.append(seconds)
        time.sleep(0.001)

    monkeypatch.setattr(Deadline, "pause", pause)
    return asked


@pytest.fixture
def gdc() -> Iterator[Gdc]:
    """A server with the files `f0` to `f5`."""
    contents = {f"f{i}": some_bytes(i) for i in range(6)}
    files = [{"id": key, "file_name": f"{key}.bin", "access": "open"} for key in contents]
    with Gdc(files, [], contents) as server:
        yield server


def remote(gdc: Gdc, key: str = "f0") -> RemoteFile:
    content = gdc.contents[key]
    return RemoteFile(f"{gdc.url}/data/{key}", f"{key}.bin", md5(content), len(content))


def get(*files: RemoteFile, connections: int = 4, minutes: float = 1440, **more) -> list[bytes]:
    found = fetch(files, connections=connections, minutes=minutes, **more)
    return [path.read_bytes() for path, _ in found]


def test_files_come_in_order_and_lie_read_only_under_their_md5(gdc: Gdc, cache: Path) -> None:
    files = [remote(gdc, key) for key in gdc.contents]
    found = fetch(files, connections=3, minutes=1440)
    assert [file for _, file in found] == files
    for (path, file), content in zip(found, gdc.contents.values(), strict=True):
        assert path == cache / file.md5[:2] / file.md5
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert list((cache / "partial").iterdir()) == []


def test_what_the_cache_holds_is_not_asked_for_again(gdc: Gdc, cache: Path) -> None:
    files = [remote(gdc, key) for key in gdc.contents]
    get(*files[:4])
    get(*files)
    get(*files)
    assert sorted(gdc.requests) == [f"GET /data/{key}" for key in gdc.contents]


def test_as_many_connections_as_asked_for_and_no_more(gdc: Gdc, cache: Path) -> None:
    gdc.together = 3
    get(*(remote(gdc, key) for key in gdc.contents), connections=3)
    assert gdc.most_at_once == 3


@pytest.mark.parametrize("damage", ["change", "cut"])
def test_a_damaged_file_in_the_cache_is_mended(
    gdc: Gdc, cache: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    file = remote(gdc)
    ((path, _),) = fetch([file], connections=1, minutes=1440)
    path.chmod(0o644)
    content = path.read_bytes()
    path.write_bytes(b"x" + content[1:] if damage == "change" else content[:-1])
    with caplog.at_level(logging.WARNING):
        assert get(file) == [gdc.contents["f0"]]
    assert "f0.bin is damaged in the cache" in caplog.text
    assert gdc.count("GET /data/f0") == 2


@pytest.mark.parametrize("kind", ["reset", "truncated"])
@pytest.mark.parametrize("after", [0, 1, 100_000])
def test_a_body_that_breaks_off_is_continued(gdc: Gdc, cache: Path, kind: str, after: int) -> None:
    gdc.fault("/data/f0", kind, after=after)
    assert get(remote(gdc)) == [gdc.contents["f0"]]
    assert gdc.count("GET /data/f0") == 2
    assert gdc.headers[1].get("Range") == (f"bytes={after}-" if after else None)
    if kind == "truncated":
        assert gdc.sent == 2 * SIZE - after


def test_a_body_that_breaks_off_many_times_is_had_as_long_as_it_grows(
    gdc: Gdc, cache: Path
) -> None:
    gdc.fault("/data/f0", "reset", times=25, after=10_000)
    assert get(remote(gdc)) == [gdc.contents["f0"]]


def test_a_body_that_never_grows_is_given_up(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data/f0", "truncated", times=99)
    with pytest.raises(SourceError, match=r"f0\.bin: the answer broke off.*8 times"):
        get(remote(gdc))
    assert gdc.count("GET /data/f0") == 8


def test_a_server_that_ignores_ranges_sends_all_anew(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data/f0", "truncated", after=1000)
    gdc.ranges = False
    assert get(remote(gdc)) == [gdc.contents["f0"]]
    assert gdc.sent == 2 * SIZE


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_sends_a_part_of_a_range_is_asked_for_the_rest(
    gdc: Gdc, cache: Path, known: bool
) -> None:
    file = remote(gdc) if known else replace(remote(gdc), md5="", size=-1)
    gdc.fault("/data/f0", "truncated", after=1000)
    gdc.part = 20_000
    assert get(file) == [gdc.contents["f0"]]
    assert gdc.sent == 2 * SIZE - 1000


def test_a_begun_file_that_is_longer_or_other_than_the_listed_one_is_begun_anew(
    gdc: Gdc, cache: Path
) -> None:
    for begun in (some_bytes(9, SIZE + 5), some_bytes(9, SIZE), some_bytes(9, 10)):
        file = remote(gdc)
        partial = partial_path(file)
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(begun)
        assert get(file) == [gdc.contents["f0"]]
        cache_path(file.md5).unlink()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {}),
        (429, {"Retry-After": "1"}),
        (503, {"Retry-After": formatdate(time.time() - 3600, usegmt=True)}),
        (503, {"Retry-After": "soon"}),
        (500, {}),
        (504, {}),
    ],
)
def test_a_storm_of_refusals_is_waited_out(
    gdc: Gdc, cache: Path, waits: list[float], status: int, headers: dict[str, str]
) -> None:
    gdc.fault("/data", "status", times=5, status=status, headers=headers)
    assert get(remote(gdc)) == [gdc.contents["f0"]]
    assert len(waits) == 5
    asked = 1 if headers == {"Retry-After": "1"} else 0
    assert all(asked <= wait <= asked + client_module.LONGEST_WAIT for wait in waits)


def test_retry_after_may_be_a_date(gdc: Gdc, cache: Path, waits: list[float]) -> None:
    date = formatdate(time.time() + 3600, usegmt=True)
    gdc.fault("/data", "status", status=429, headers={"Retry-After": date})
    get(remote(gdc))
    assert len(waits) == 1
    assert 0 < waits[0] <= 3600 + client_module.LONGEST_WAIT


def test_a_storm_that_does_not_end_is_given_up(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data", "status", times=99, status=504)
    with pytest.raises(SourceError, match=r"answers 504 \(internal error\).*asked 8 times"):
        get(remote(gdc))
    assert gdc.count("GET .*") == 8


def test_waits_grow_and_differ() -> None:
    for tries, longest in ((1, 0.5), (2, 1), (5, 8), (8, 60), (50, 60)):
        waits = {client_module.backoff(tries) for _ in range(50)}
        assert longest / 2 <= min(waits) < max(waits) <= longest
        assert len(waits) > 40


def test_a_wait_beyond_the_bound_of_time_is_not_begun(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data", "status", times=9, status=429, headers={"Retry-After": "90000"})
    with pytest.raises(SourceError, match="answers 429 and is to be asked again in 90000 s"):
        get(remote(gdc), minutes=1440)
    assert gdc.count("GET .*") == 1


def test_a_trickle_ends_with_the_bound_of_time_and_is_continued(
    gdc: Gdc, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gdc.fault("/data/f0", "trickle", seconds=0.01)
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks), time=time.time)
    monkeypatch.setattr(client_module, "time", clock)  # every look at the clock takes a second
    with pytest.raises(SourceError, match=r"not finished after 1 minutes.*raise `minutes`"):
        get(remote(gdc), minutes=1)
    assert get(remote(gdc)) == [gdc.contents["f0"]]
    assert int(gdc.headers[-1]["Range"][6:-1]) > 10


def test_a_silent_server_is_asked_again(
    gdc: Gdc, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_SECONDS", 1)
    gdc.fault("/data/f0", "stall", after=1)
    assert get(remote(gdc)) == [gdc.contents["f0"]]


def test_a_server_that_hangs_up_is_asked_again(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data/f0", "drop", times=3)
    assert get(remote(gdc)) == [gdc.contents["f0"]]


def test_no_server_is_told(cache: Path, gdc: Gdc) -> None:
    file = replace(remote(gdc), url="http://127.0.0.1:9/data/f0")
    with pytest.raises(SourceError, match=r"f0\.bin: no answer from 127\.0\.0\.1:9 \(.*refused"):
        get(file)


@pytest.mark.parametrize("kind", ["wrong", "short"])
def test_other_content_is_asked_for_twice_and_refused(gdc: Gdc, cache: Path, kind: str) -> None:
    file = remote(gdc)
    gdc.fault("/data/f0", kind, after=SIZE - 1)
    assert get(file) == [gdc.contents["f0"]]
    assert [header.get("Range") for header in gdc.headers] == [None, None]
    cache_path(file.md5).unlink()
    gdc.fault("/data/f0", kind, after=SIZE - 1, times=2)
    with pytest.raises(SourceError) as told:
        get(file)
    got = bytes(SIZE) if kind == "wrong" else gdc.contents["f0"][:-1]
    assert "f0.bin" in str(told.value)
    assert f"expected {SIZE} bytes, MD5 {file.md5}" in str(told.value)
    assert f"got {len(got)} bytes, MD5 {md5(got)}" in str(told.value)
    assert not any(path.is_file() for path in cache.rglob("*"))


def test_a_kill_before_a_complete_file_is_in_its_place_blocks_no_later_run(
    gdc: Gdc, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with locked(partial_path(remote(gdc)), Deadline(1440)) as stream:
            stream.write(gdc.contents["f0"])
            with pytest.raises(KeyboardInterrupt):
                cache_module.finish(stream, remote(gdc).md5)
    assert stat.S_IMODE(partial_path(remote(gdc)).stat().st_mode) & stat.S_IWUSR
    assert get(remote(gdc)) == [gdc.contents["f0"]]


def test_a_page_in_place_of_a_file_is_waited_out_and_refused(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/data/f0", "truncated", after=1000)
    gdc.fault("/data/f0", "page", times=2)
    assert get(remote(gdc)) == [gdc.contents["f0"]]
    assert gdc.headers[-1]["Range"] == "bytes=1000-"
    gdc.fault("/data/f1", "page", times=99)
    with pytest.raises(SourceError, match=r"f1\.bin: the server sent an HTML page"):
        get(remote(gdc, "f1"))


@pytest.mark.parametrize("missing", ["md5", "both"])
def test_a_file_of_unknown_md5_is_had_and_told(gdc: Gdc, cache: Path, missing: str) -> None:
    file = remote(gdc)
    asked = replace(file, md5="") if missing == "md5" else replace(file, md5="", size=-1)
    gdc.fault("/data/f0", "truncated", after=1000)
    ((path, found),) = fetch([asked], connections=1, minutes=1440)
    assert found == file
    assert path == cached(file)
    assert gdc.headers[1]["If-Range"] == f'"{file.md5}"'


@pytest.mark.parametrize("etags", [True, False])
def test_a_file_that_changes_while_it_is_downloaded_is_not_mixed(
    gdc: Gdc, cache: Path, etags: bool
) -> None:
    file = replace(remote(gdc), md5="")
    gdc.etags = etags
    gdc.fault("/data/f0", "truncated", after=1000)
    gdc.after_fault = lambda: gdc.contents.update(f0=some_bytes(77))
    assert get(file) == [some_bytes(77)]


def test_a_file_that_is_gone_is_told(gdc: Gdc, cache: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.bin: .* answers 404 \(File not found: x\)"):
        get(RemoteFile(f"{gdc.url}/data/x", "x.bin"))


def test_what_came_before_a_failure_stays(gdc: Gdc, cache: Path) -> None:
    files = [remote(gdc, key) for key in gdc.contents]
    gdc.fault("/data/f5", "status", status=404)
    with pytest.raises(SourceError):
        get(*files, connections=1)
    gdc.requests.clear()
    get(*files)
    assert gdc.requests == ["GET /data/f5"]


def test_no_path_leaves_the_cache(gdc: Gdc, cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    with pytest.raises(SourceError, match="is no MD5"):
        get(replace(remote(gdc), md5=f"../{tmp_path.name}/outside"))
    assert outside.read_text() == "kept"


def test_a_cache_that_cannot_be_written_is_told(
    gdc: Gdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache_module.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"the cache .*/file cannot be used.*ONCOPIXEL_CACHE"):
        get(remote(gdc))


@pytest.mark.parametrize("named", [None, ""])
def test_the_cache_is_in_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.setenv(cache_module.CACHE_VARIABLE, "~/here")
    assert cache_module.cache_folder() == Path.home() / "here"
    if named is None:
        monkeypatch.delenv(cache_module.CACHE_VARIABLE)
    else:
        monkeypatch.setenv(cache_module.CACHE_VARIABLE, named)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_module.cache_folder() == Path("/somewhere/oncopixel")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_module.cache_folder() == Path.home() / ".cache/oncopixel"


def test_kept_content_is_found_again(cache: Path) -> None:
    kept = keep(b"table", "table.csv", "http://x/cases")
    assert kept is not None
    path, file = kept
    assert cached(file) == path
    assert keep(b"table", "table.csv", "http://x/cases") == kept
    assert keep(b"other", "table.csv", "http://x/cases", only=file.md5) is None


CHILD = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with it ignored
from oncopixel.sources.http.cache import RemoteFile
from oncopixel.sources.http.download import fetch
url, md5, size = sys.argv[1:]
print("go", flush=True)
((path, _),) = fetch([RemoteFile(url, "f0.bin", md5, int(size))], connections=1, minutes=1440)
print(path, flush=True)
"""


def child(gdc: Gdc) -> subprocess.Popen:
    file = remote(gdc)
    root = str(Path(download.__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, file.url, file.md5, str(file.size)],
        env=os.environ | {"PYTHONPATH": root}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_process_waits_for_another_and_continues_exactly_where_it_ended(
    gdc: Gdc, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, free = threading.Event(), threading.Event()

    def pause(*_: object) -> None:
        waits.set()
        free.wait()

    monkeypatch.setattr(Deadline, "pause", pause)
    gdc.fault("/data/f0", "stall", after=200_000)
    process = child(gdc)
    partial = partial_path(remote(gdc))
    until(lambda: partial.exists() and partial.stat().st_size >= 190_000, process)
    with ThreadPool(1) as pool:
        waiting = pool.apply_async(get, [remote(gdc)])
        until(waits.is_set)
        assert gdc.count("GET /data/f0") == 1
        process.kill()
        process.communicate()
        begun = partial.stat().st_size  # nobody writes: the other waits
        free.set()
        assert waiting.get() == [gdc.contents["f0"]]
    assert 190_000 <= begun <= 200_000
    assert gdc.headers[-1]["Range"] == f"bytes={begun}-"


def test_a_process_takes_what_another_has_finished_meanwhile(
    gdc: Gdc, cache: Path, waits: list[float]
) -> None:
    file = remote(gdc)
    with ThreadPool(1) as pool:
        with locked(partial_path(file), Deadline(1440)) as stream:
            waiting = pool.apply_async(get, [file])
            until(lambda: waits)
            stream.write(gdc.contents["f0"])
            cache_module.finish(stream, file.md5)
        assert waiting.get() == [gdc.contents["f0"]]
    assert gdc.requests == []


def aged(path: Path, days: float, content: str = "begun") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time(), time.time() - 86_400 * days))
    return path


def test_what_was_begun_and_abandoned_is_removed_when_something_is_downloaded(
    gdc: Gdc, cache: Path
) -> None:
    old, young = (aged(cache / "partial" / f"{i:032x}.partial", 30 + i) for i in (1, -1))
    get(remote(gdc))
    assert not old.exists()
    assert young.read_text() == "begun"


def test_nothing_else_is_removed(gdc: Gdc, cache: Path, tmp_path: Path) -> None:
    name = f"{0:032x}.partial"
    kept = [
        aged(tmp_path / "outside" / name, 99),
        aged(cache / "partial" / "mine.partial", 99),
        aged(cache / "partial" / f"x{name}", 99),
        aged(cache / "partial" / "sub" / name, 99),
        aged(cache / name, 99),
        aged(cache / "ab" / f"{1:032x}", 99),
    ]
    link = cache / "partial" / f"{2:032x}.partial"
    link.symlink_to(kept[0])
    (cache / "partial" / f"{3:032x}.partial").mkdir()
    os.mkfifo(cache / "partial" / f"{4:032x}.partial")
    get(remote(gdc))
    assert all(path.read_text() == "begun" for path in kept)
    assert link.is_symlink()
    assert len(list((cache / "partial").iterdir())) == 6


def test_a_folder_of_partials_that_is_a_link_is_left_alone(
    gdc: Gdc, cache: Path, tmp_path: Path
) -> None:
    outside = aged(tmp_path / "outside" / f"{0:032x}.partial", 99)
    cache.mkdir()
    (cache / "partial").symlink_to(outside.parent)
    get(remote(gdc))
    assert outside.read_text() == "begun"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_in_place_of_a_partial_is_refused(
    gdc: Gdc, cache: Path, tmp_path: Path, kind: str
) -> None:
    outside = aged(tmp_path / "outside", 0)
    partial = partial_path(remote(gdc))
    partial.parent.mkdir(parents=True)
    make = {"link": lambda: partial.symlink_to(outside), "folder": partial.mkdir}
    make.get(kind, lambda: os.mkfifo(partial))()
    with pytest.raises(OutputError, match="cannot be used"):
        get(remote(gdc))
    assert outside.read_text() == "begun"


def test_what_another_still_downloads_is_not_abandoned(gdc: Gdc, cache: Path) -> None:
    path = partial_path(remote(gdc, "f1"))
    with locked(path, Deadline(1440)):
        os.utime(path, (0, 0))
        get(remote(gdc))
        assert path.exists()
    get(remote(gdc, "f2"))
    assert not path.exists()


def test_an_interrupt_ends_a_download_at_once(gdc: Gdc, cache: Path) -> None:
    reached = threading.Event()
    gdc.after_fault = reached.set
    gdc.fault("/data/f0", "stall", after=1000)
    process = child(gdc)
    until(reached.is_set, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()  # the server still says nothing
    assert not gdc.stalled.is_set()
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize("failing", [False, True])
def test_no_thread_works_on_after_a_download(gdc: Gdc, cache: Path, failing: bool) -> None:
    others = set(threading.enumerate())  # what other tests left
    if failing:
        gdc.fault("/data/f0", "status", status=404)
        with pytest.raises(SourceError):
            get(remote(gdc), remote(gdc, "f1"))
    else:
        get(remote(gdc), remote(gdc, "f1"))
    new = (thread for thread in threading.enumerate() if thread not in others)
    pool = [thread for thread in new if "(worker)" in thread.name]
    until(lambda: not any(thread.is_alive() for thread in pool))


TOKEN = "s3cret-T0ken"  # noqa: S105


def test_a_token_is_sent_to_the_host_that_is_asked(gdc: Gdc, cache: Path) -> None:
    gdc.file("f0")["access"] = "controlled"
    with pytest.raises(SourceError, match=r"answers 403.*ONCOPIXEL_GDC_TOKEN"):
        get(remote(gdc))
    assert get(remote(gdc), token=TOKEN) == [gdc.contents["f0"]]


def test_a_token_is_not_sent_where_a_server_redirects_to(gdc: Gdc, cache: Path) -> None:
    contents = {"f0": gdc.contents["f0"]}
    hit = {"id": "f0", "file_name": "f0.bin", "access": "open"}
    with Gdc([hit], [], contents) as other:
        gdc.fault("/data/f0", "redirect", headers={"Location": f"{other.url}/data/f0"})
        assert get(remote(gdc), token=TOKEN) == [contents["f0"]]
        assert gdc.headers[0]["X-Auth-Token"] == TOKEN
        assert len(other.headers) == 1
        assert TOKEN not in str(other.headers)


def test_a_token_is_not_sent_over_plain_http(cache: Path) -> None:
    with pytest.raises(SourceError, match=r"not sent to example\.org over plain HTTP") as told:
        get(RemoteFile("http://example.org/data/f0", "f0.bin"), token=TOKEN)
    assert TOKEN not in str(told.value)


def test_a_token_is_sent_to_no_other_host_that_is_not_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(1, TOKEN)
    assert client._token_header("https://api.gdc.cancer.gov/data/f0") == {"X-Auth-Token": TOKEN}
    monkeypatch.setenv(client_module.TOKEN_HOST_VARIABLE, "")
    for host in ("example.org", "api.gdc.cancer.gov.example.org", "api.gdc.cancer.gov@example.org"):
        with pytest.raises(SourceError, match=r"not sent to .*example\.org, which is not the GDC"):
            client._token_header(f"https://{host}/data/f0")
    monkeypatch.setenv(client_module.TOKEN_HOST_VARIABLE, "Example.org")
    assert client._token_header("https://example.org/data/f0") == {"X-Auth-Token": TOKEN}
    with pytest.raises(SourceError, match="over plain HTTP"):
        client._token_header("http://example.org/data/f0")


def test_a_token_that_a_server_echoes_is_masked(gdc: Gdc, cache: Path) -> None:
    gdc.answers = {"/echo": f'{{"said": "{TOKEN}!"}}'.encode()}
    with Client(1, TOKEN) as client:
        assert client.json(f"{gdc.url}/echo", what="the echo") == {"said": "<token>!"}


def test_an_answer_that_a_proxy_compressed_is_read(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/status", "gzip")
    with Client(1) as client:
        assert client.json(f"{gdc.url}/status", what="the status")["status"] == "OK"


def test_a_token_is_in_no_log_and_no_message(
    gdc: Gdc, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="root"):
        gdc.message = f"the token {TOKEN} has expired"
        gdc.fault("/data/f0", "status", status=401)
        with pytest.raises(SourceError, match="the token <token> has expired") as told:
            get(remote(gdc), token=TOKEN)
        gdc.fault("/data/f0", "status", status=503, times=2)
        get(remote(gdc), token=TOKEN)
    assert caplog.text
    client = Client(1, TOKEN)
    for text in (caplog.text, str(told.value), repr(client), repr(told.value.__context__)):
        assert TOKEN not in text


def test_an_answer_that_is_no_json_is_asked_for_again_and_refused(gdc: Gdc, cache: Path) -> None:
    gdc.fault("/status", "page")
    gdc.fault("/status", "truncated", after=10)
    gdc.fault("/status", "short", after=20)
    gdc.fault("/status", "reset", after=30)
    gdc.fault("/status", "status", status=502)
    with Client(1) as client:
        assert client.json(f"{gdc.url}/status", what="the status")["status"] == "OK"
        assert len(gdc.requests) == 6
        gdc.fault("/status", "page", times=99)
        with pytest.raises(SourceError, match=r"the status: the server sent an HTML page.*8 times"):
            client.json(f"{gdc.url}/status", what="the status")
