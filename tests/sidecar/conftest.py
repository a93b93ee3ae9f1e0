"""A sidecar to talk to as anybody may: a process of its own, or one in a thread of the test's."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest

from crossfade.core.snapshot import Snapshot
from crossfade.shim import runtime
from crossfade.shim.settings import read_settings

from ..shim.beside import Port, sidecar
from ..shim.conftest import (  # noqa: F401 (fixtures)
    EAST,
    FAST,
    ROUTE,
    WEST,
    calls,
    controller,
    fast,
    loader,
    model,
    port,
    sandbox,
    sandbox_process,
    session,
    settings,
    snapshot,
)

CONVERSE = {"messages": [{"role": "user", "content": [{"text": "bonjour tout le monde"}]}]}


@dataclass(frozen=True)
class Reply:
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Caller:
    """Plain HTTP/1.1, a connection a request."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def converse(self, model_id: str = ROUTE, **headers: str) -> Reply:
        return self.ask("POST", f"/model/{model_id}/converse", CONVERSE, content_type="application/json", **headers)


@pytest.fixture
def beside(
    port: Port,  # noqa: F811
    controller: Any,  # noqa: F811
    settings: dict[str, Any],  # noqa: F811
    session: Any,  # noqa: F811
) -> Iterator[Callable[..., Caller]]:
    """Starts a sidecar in a thread, with a snapshot; further arguments go to `sidecar`."""
    with ExitStack() as stack:

        def make(snapshot: Snapshot | None = None, **more: Any) -> Caller:
            if snapshot is not None:
                controller.serve_snapshot(snapshot)
            shim = runtime.begin(read_settings(settings))
            if snapshot is not None:
                assert shim.feed.wait_for_first(5)
            stack.enter_context(sidecar(port, shim, session._session, **more))
            return Caller(port.number)

        yield make


class Process:
    """`crossfade sidecar` as a person runs it. Ends with the `with`, by SIGTERM."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CROSSFADE_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crossfade", "sidecar", "--port", "0", *arguments],
            env=clean | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self.port = 0
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        answered, _, _ = select.select([self._process.stdout], [], [], 30)
        line = self._process.stdout.readline() if answered else ""
        if not line:
            self.end()
            raise AssertionError(f"the sidecar did not start: {''.join(self.said)}")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        self.port = int(found[1]) if found else 0
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 20.0) -> int:
        code = self._process.wait(seconds)
        self._errors.join(5)
        return code

    def end(self) -> None:
        if self._process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def rest(self) -> str:
        """What it has said to its standard output since the start; ends with the last of its processes."""
        assert self._process.stdout is not None
        return self._process.stdout.read()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.said.extend(self._process.stderr)


@pytest.fixture
def environment(controller: Any, settings: dict[str, Any]) -> dict[str, str]:  # noqa: F811
    """What a sidecar's process needs to know."""
    return {
        "CROSSFADE_URL": controller.url,
        "CROSSFADE_TOKEN": settings["token"],
        "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
        "CROSSFADE_FLUSH_SECONDS": "0.2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": EAST,
        "AWS_DEFAULT_REGION": EAST,
    }


@pytest.fixture
def at_shadow(snapshot: Any, model: Any) -> Callable[..., Snapshot]:  # noqa: F811
    """A snapshot at a step that copies every call of `blue` to `green`."""

    def make(blue: Any = None, green: Any = None, **policy: Any) -> Snapshot:
        models = blue or model("blue", EAST), green or model("green", EAST)
        found = snapshot(*models, policy=replace(FAST, **{"shadow_per_second": 1000, "shadow_concurrent": 8} | policy))
        entry = found.entries[ROUTE]
        assert entry.live is not None
        live = replace(entry.live, step=0, weight=0.0, shadow=100.0)
        return replace(found, entries={ROUTE: replace(entry, live=live)})

    return make
