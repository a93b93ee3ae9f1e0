"""Serve: the sidecar's processes. The first has feed, recorder and courier; workers, supervised by granian, answer."""

from __future__ import annotations

import asyncio
import copyreg
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import FrameType
from typing import Any

from botocore.exceptions import BotoCoreError
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.net import SocketHolder as _SocketHolder  # type: ignore[attr-defined]

from crossfade.errors import SetupError
from crossfade.shim import runtime
from crossfade.shim.settings import read_settings
from crossfade.sidecar import sdk
from crossfade.sidecar.app import App
from crossfade.sidecar.channel import Hub, Line
from crossfade.sidecar.identity import Identity
from crossfade.sidecar.settings import Settings, load
from crossfade.sidecar.upstream import Upstream

SocketHolder: Any = _SocketHolder

log = logging.getLogger("crossfade")

MOST_HEAD = 408 * 1024
"""Bytes of a request's head."""
_LAST = 2.0
"""Seconds of the drain that are kept for the last counts."""

_YOUNG = 10_000
"""Objects after which new ones are looked through for garbage. Nearly all of a call's go by themselves, and with
Python's own 700 those of the calls under way were looked through every twenty calls."""


def serve(settings: Settings, *, listening: Callable[[str], None]) -> None:
    """Runs until SIGTERM or Ctrl-C; then finishes what is under way and delivers what was counted."""
    shim_settings = read_settings({})
    if shim_settings is None:
        raise SetupError(
            "CROSSFADE_URL is not set: give the controller's address, and CROSSFADE_TOKEN, a token of the role shim"
        )
    # Not forked: this process has threads, and a child must not keep its way with signals until it has its own.
    multiprocessing.set_start_method("spawn", force=True)
    port = _free(settings)
    _log()
    _tell_nobody()
    shim = runtime.begin(replace(shim_settings, telemetry=False))  # calls are the workers'
    shim.feed.wait_for_first(shim_settings.wait)
    server = Granian(
        "crossfade.sidecar.serve:worker",
        factory=True,
        interface=Interfaces.RSGI,
        address=settings.host,
        port=port,
        uds=settings.socket,
        uds_permissions=0o600 if settings.socket else None,
        workers=settings.workers,
        loop=Loops.auto,
        http=HTTPModes.auto,
        websockets=False,
        **limits(settings.head_seconds),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds,
        log_level=LogLevels.warning,
    )
    # Workers are started anew, not forked: they read the environment again.
    os.environ["CROSSFADE_SIDECAR_HOST"], os.environ["CROSSFADE_SIDECAR_PORT"] = settings.host, str(port)
    if settings.socket:
        os.environ["CROSSFADE_SIDECAR_SOCKET"] = str(settings.socket)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    listening(f"unix:{settings.socket}" if settings.socket else f"http://{host}:{port}")
    try:
        with Hub(shim).open():
            server.serve()
    finally:
        runtime.end()


def limits(head_seconds: int) -> dict[str, Any]:
    """What granian is told of how long a head may take, how long a connection may be silent, and how big a head is."""
    return {
        "http1_settings": HTTP1Settings(header_read_timeout=head_seconds * 1000, max_buffer_size=MOST_HEAD),
        # HTTP/2 has no such time: whoever is silent so long is asked for a sign of life, and has as long to give it.
        "http2_settings": HTTP2Settings(
            keep_alive_interval=head_seconds * 1000, keep_alive_timeout=head_seconds, max_headers_size=MOST_HEAD
        ),
    }


def _log() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, level=logging.WARNING)


def _tell_nobody() -> None:
    """Warns where there are no AWS credentials; workers look for their own. Raises `SetupError` for a broken set-up."""
    try:
        nobody = Identity().nobody
    except BotoCoreError as error:
        raise SetupError(f"the AWS credentials cannot be read: {error}") from None
    if nobody:
        log.warning(
            "the sidecar has found no AWS credentials (environment, profile, container, instance): every call gets "
            "403 until it is started anew with some",
            extra={"action": "no_credentials"},
        )


def _free(settings: Settings) -> int:
    """The port to listen on, 0 resolved. Workers share it, so the kernel would let a second sidecar share it too."""
    if settings.socket is not None:
        _clear(settings.socket)
        return settings.port
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SetupError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
        return int(probe.getsockname()[1])


def _clear(path: Path) -> None:
    """Removes the socket of a sidecar that was killed; refuses one that answers, whatever else is there, and a place
    where there can be none."""
    if not path.parent.is_dir():
        raise SetupError(f"cannot listen on {path}: there is no folder {path.parent}")
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            if not path.is_socket() or probe.connect_ex(str(path)) == 0:
                raise SetupError(f"cannot listen on {path}: something else is there")
        path.unlink()
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path.resolve()))
        except OSError as error:
            raise SetupError(f"cannot listen on {path}: {error.strerror or error}") from None
    path.unlink()


def _handed_down(holder: Any) -> tuple[Any, tuple[Any, ...]]:
    fd, uds, backlog = holder.__getstate__()
    return _inherited, (DupFd(_second(fd)), uds, backlog)


@lru_cache
def _second(fd: int) -> int:
    """The same socket under another number: a child is given each number once, and granian gives it the first."""
    return os.dup(fd)


def _inherited(fd: Any, uds: bool, backlog: int) -> Any:
    return SocketHolder(fd.detach(), uds, backlog)


# granian hands a Unix socket to its workers by number, which holds for forked ones only.
copyreg.pickle(SocketHolder, _handed_down)


class Worker(App):
    """An App with its line to the first process."""

    def __init__(self) -> None:
        settings = load()
        self._drain = settings.drain_seconds
        self._until: float | None = None
        shim_settings = read_settings({})
        self._line = Line(sdk.begin(shim_settings is not None and shim_settings.telemetry))
        self._line.start()
        super().__init__(self._line, Upstream(Identity(), settings.upstream), settings.callers, settings.limits)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian before the first request, once the loop has its ways with signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if callable(before := signal.getsignal(number)):
                signal.signal(number, partial(self._end_copies, before))

    def _end_copies(self, before: Any, number: int, frame: FrameType | None) -> None:
        """Granian finishes the calls under way; no copy of one is begun any more."""
        self.copies.stop()
        if self._until is None:
            self._until = time.monotonic() + self._drain
        before(number, frame)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when every call under way is done."""
        until = time.monotonic() if self._until is None else self._until - min(_LAST, self._drain / 2)
        loop.run_until_complete(self.copies.end(until))
        loop.run_until_complete(self._upstream.close())
        self._line.stop()


def worker() -> Worker:
    """What granian calls in each worker process, once."""
    _log()
    made = Worker()
    # What is there by now stays: to look through it for garbage again and again would hold up calls by tens of ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    return made
