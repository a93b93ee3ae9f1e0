"""Presence: whether the caller of one request is still there."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.rsgi import HTTPProtocol  # type: ignore[attr-defined]

_MOMENT = 0.005
"""Seconds that granian's own thread may take to bring the news that a caller left some time ago."""


class Presence:
    """Looks only when it is first asked, since looking costs more than the rest of granian's part. Close it after."""

    def __init__(self, protocol: HTTPProtocol) -> None:
        self._protocol = protocol
        self._news: Any = None

    async def left(self, seconds: float) -> bool:
        """Lets so many seconds pass, fewer if the caller leaves; whether it has left: closed its connection, or
        ended its stream of HTTP/2."""
        if self._news is None:
            self._news = self._protocol.client_disconnect()
            seconds = max(seconds, _MOMENT)
        await asyncio.wait((self._news,), timeout=seconds)
        return bool(self._news.done())

    def close(self) -> None:
        """Must be: news that nobody waits for any more crash granian at its end."""
        if self._news is not None:
            self._news.cancel()
