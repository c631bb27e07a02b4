"""A server of the files in a folder, on this machine, that also misbehaves when told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote


@dataclass
class StaticServer:
    """Where it is, what it was asked for, and what it says of some paths in place of the file."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    instead: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    """Status, content type and body by path; the body of a 302 is where it leads."""
    broken: set[str] = field(default_factory=set)
    """Paths whose first answer breaks off in the middle."""


@contextmanager
def serve(folder: Path) -> Iterator[StaticServer]:
    """The server while the block runs."""
    state = StaticServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            state.asked.append(path)
            status, kind, body = state.instead.get(path, (200, "application/octet-stream", b""))
            if path not in state.instead:
                try:
                    body = (state.folder / path).read_bytes()
                except OSError:
                    status, body = 404, b"no such file"
            start, total = 0, len(body)
            tag = f'"{hash(body):x}"'
            asked = self.headers.get("Range", "")
            if status == 200 and asked and self.headers.get("If-Range", tag) == tag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                status = 206
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(total - start))
            self.send_header("ETag", tag)
            if status == 302:
                self.send_header("Location", body.decode())
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            if path in state.broken:
                state.broken.remove(path)
                self.wfile.write(body[start : (start + total) // 2])
                self.close_connection = True
                return
            self.wfile.write(body[start:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
