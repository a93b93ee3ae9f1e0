"""One loopback port: open, or closed in a way that refuses connections and still keeps the port number."""

from __future__ import annotations

import asyncio
import socket

from crossfade.errors import SetupError
from crossfade.sandbox.wire import Connection, Handler

HOST = "127.0.0.1"


class Listener:
    """Serves `handler` on a port of 127.0.0.1; `port` 0 takes a free one and keeps it."""

    def __init__(self, handler: Handler, *, name: str, port: int) -> None:
        self._handler = handler
        self._name = name
        self.port = port
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None

    async def open(self) -> None:
        """Start or resume listening. Raises SetupError if the port is taken."""
        if self._server is not None:
            return
        bound = self._placeholder or self._bind()
        self._placeholder = None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._handler, self._connections), sock=bound, backlog=512
        )

    def refuse(self) -> None:
        """Stop listening and reset what is open. A bound socket that does not listen holds the port: connects
        are refused and nobody else can take it."""
        if self._server is None:
            return
        self._stop()
        self._placeholder = self._bind()

    def close(self) -> None:
        """Stop for good."""
        if self._server is not None:
            self._stop()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.abort()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, self.port))
        except OSError as error:
            bound.close()
            raise SetupError(
                f"cannot listen on {HOST}:{self.port} for {self._name}: {error.strerror}; "
                "choose another port, or 0 for a free one"
            ) from None
        self.port = bound.getsockname()[1]
        return bound
