"""A sidecar in a thread of the test process, around a shim that is there already: its server, App and sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Self

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from crossfade.core.snapshot import Snapshot
from crossfade.shim.board import Board
from crossfade.shim.recorder import Recorder
from crossfade.shim.runtime import Shim
from crossfade.sidecar.app import App, Limits
from crossfade.sidecar.callers import Callers
from crossfade.sidecar.identity import Identity
from crossfade.sidecar.serve import limits as of_granian
from crossfade.sidecar.upstream import Upstream


class OfShim:
    """What the App needs, from the shim of this process."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim

    @property
    def board(self) -> Board:
        return self._shim.board

    @property
    def recorder(self) -> Recorder:
        return self._shim.recorder

    @property
    def snapshot(self) -> Snapshot | None:
        return self._shim.feed.snapshot

    def metrics(self) -> str:
        return ""


class Port:
    """`with Port() as port`: granian, listening at `port.url` on loopback, for many sidecars one after another.

    One embedded server for all tests: started anew for each it is slower, and has crashed the process once.
    """

    def __init__(self) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.number = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.number}"
        self._app: App | None = None
        self.under_way = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._ready = threading.Event()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        app = self._app
        if app is None:
            protocol.response_bytes(503, [], b"no test is under way")
            return
        self.under_way += 1
        try:
            await app.__rsgi__(scope, protocol)
        finally:
            self.under_way -= 1

    @contextmanager
    def answering(self, app: App, upstream: Upstream) -> Iterator[None]:
        """Lets this App answer; at the end, what is under way is waited for, so that it is in no other test's way."""
        before, self._app = self._app, app
        try:
            yield
        finally:
            self._app = before
            until = time.monotonic() + 10
            while self.under_way and time.monotonic() < until:
                time.sleep(0.005)
            asyncio.run_coroutine_threadsafe(self._close(app, upstream), self._loop).result(10)
            assert not self.under_way, "the sidecar does not come to an end with what it was asked"

    @staticmethod
    async def _close(app: App, upstream: Upstream) -> None:
        await app.copies.end(time.monotonic())
        await upstream.close()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = Server(
            self,
            port=self.number,
            interface=Interfaces.RSGI,
            http=HTTPModes.auto,
            websockets=False,
            log_enabled=False,
            **of_granian(60),
        )
        self._ready.set()
        await self._server.serve()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.number)) == 0:
                    return self
            time.sleep(0.01)
        raise AssertionError("the sidecar does not listen")

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def sidecar(
    port: Port,
    shim: Shim,
    session: Any,
    *,
    callers: Callers | None = None,
    limits: Limits | None = None,
    upstream: str | None = None,
) -> Iterator[None]:
    """What listens at the port is a sidecar around this shim."""
    requests = Upstream(Identity(session), upstream)
    app = App(OfShim(shim), requests, callers or Callers(), limits or Limits())
    shim.shadow = app.copies  # what `health` tells of
    with port.answering(app, requests):
        yield
