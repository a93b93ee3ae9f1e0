"""Serving the app with gunicorn: one worker, many threads, a port that is ours before anything is forked."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gunicorn.app.base import BaseApplication

from crossfade.errors import SetupError
from crossfade.server import logs
from crossfade.server.database import connect, probe
from crossfade.server.settings import Settings, secret_of
from crossfade.server.usecases.snapshot import configure
from crossfade.server.web import create_app

THREADS = 32
GRACE_SECONDS = 20


def serve(settings: Settings, *, listening: Callable[[str], None] | None = None) -> None:
    """Serves API and pages until SIGTERM or SIGINT; requests under way are finished first.

    Raises `SetupError` if the address cannot be had, the secret is missing, or the database cannot be used.
    `listening` is told the address, which has the real port where the settings asked for port 0.
    """
    logs.configure()
    secret_of(settings)
    _prepare(settings)
    listener = bind(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    if listening:
        listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    _Server(settings, listener).run()


def _prepare(settings: Settings) -> None:
    """Refuses a database that cannot be used, and says how long a time bucket is."""
    engine = connect(settings.database_url.get_secret_value())
    try:
        probe(engine)
        configure(engine, bucket_seconds=settings.bucket_seconds, now=datetime.now(UTC))
    finally:
        # No connection may live on into the worker: two processes would speak over one socket.
        engine.dispose()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises `SetupError` in one line that says what to do."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SetupError(f"cannot listen on {where}: {error.strerror or error}; set CROSSFADE_HOST") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SetupError(
                f"port {port} on {host} is taken; stop what listens there, or give another by --port or CROSSFADE_PORT"
            ) from None
        if error.errno == errno.EACCES:
            raise SetupError(f"no permission to listen on {where}; set CROSSFADE_PORT to 1024 or above") from None
        raise SetupError(f"cannot listen on {where}: {error.strerror}; set CROSSFADE_HOST, CROSSFADE_PORT") from None
    return listener


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": [f"fd://{self._listener.fileno()}"],
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "graceful_timeout": GRACE_SECONDS,
            "timeout": 120,
            "keepalive": 30,
            "control_socket_disable": True,
            "loglevel": "warning",
            "proc_name": "crossfade controller",
            "post_worker_init": _end_long_polls_on_sigterm,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # In the worker, after the fork: connections must never be shared between processes.
        return create_app(self._settings, waiters=THREADS // 2)


def _end_long_polls_on_sigterm(worker: Any) -> None:
    """Lets waiting snapshot requests answer at once, so that a stop does not take as long as they may wait."""
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        worker.wsgi.extensions["crossfade"].watcher.close()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)
