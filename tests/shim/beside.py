"""A sidecar in a thread of the test process, around a shim that is there already: its server, App and sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import closing
from types import TracebackType
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


class Beside:
    """`with Beside(shim, session) as sidecar`: it listens at `sidecar.url`, on loopback."""

    def __init__(
        self,
        shim: Shim,
        session: Any,
        *,
        callers: Callers | None = None,
        limits: Limits | None = None,
        upstream: str | None = None,
    ) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._shim, self._session, self._own = shim, session, upstream
        self._callers, self._limits = callers or Callers(), limits or Limits()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._ready = threading.Event()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        upstream = Upstream(Identity(self._session), self._own)
        app = App(OfShim(self._shim), upstream, self._callers, self._limits)
        self._shim.shadow = app.copies  # what `health` tells of
        self._server = Server(
            app,
            port=self.port,
            interface=Interfaces.RSGI,
            http=HTTPModes.auto,
            websockets=False,
            log_enabled=False,
        )
        self._ready.set()
        await self._server.serve()
        await upstream.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.01)
        raise AssertionError("the sidecar does not listen")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()
