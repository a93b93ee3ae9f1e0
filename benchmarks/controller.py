"""Controller: a process that hands one snapshot to shims and takes what they send, for benchmarks of the call path."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crossfade.core.model import Model
from crossfade.core.snapshot import Entry, Snapshot, sign, snapshot_to_bytes

TOKEN = "cft_benchmark"
_STOP_SECONDS = 5


def snapshot_of(entries: Iterable[Entry], models: Iterable[Model]) -> Snapshot:
    """The first one of a controller with these routes."""
    return Snapshot(
        version=1,
        issued_at=time.time(),
        bucket_seconds=10,
        signing_key=bytes(range(32)),
        entries={entry.route.name: entry for entry in entries},
        models={model.name: model for model in models},
    )


@contextlib.contextmanager
def controller(snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """The settings for `crossfade.install`, while it runs. In a process of its own: its time is not the shim's."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, snapshot_to_bytes(snapshot)), daemon=True)
    process.start()
    there.close()  # so that a process that ends before it is ready is noticed
    try:
        with TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{here.recv()}"
            yield {"url": url, "token": TOKEN, "state_dir": Path(folder), "service": "benchmark", "wait": 10}
    finally:
        process.terminate()
        process.join(_STOP_SECONDS)


def _serve(ready: Connection, body: bytes) -> None:
    signature = sign(TOKEN, body)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.headers.get("If-None-Match"):
                time.sleep(float(self.path.partition("wait=")[2] or 0))
                return self._answer(304, b"")
            return self._answer(200, body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, b'{"counted": true, "accepted": 0}')

        def _answer(self, status: int, content: bytes) -> None:
            with contextlib.suppress(OSError):  # a shim that has ended meanwhile
                self.send_response(status)
                self.send_header("ETag", '"1"')
                self.send_header("X-Crossfade-Signature", signature)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()
