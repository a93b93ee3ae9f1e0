"""Attempt: one request to one Target, told to botocore's event handlers through the thread that makes it."""

from __future__ import annotations

import threading

from crossfade.core.model import Target
from crossfade.shim.watchdog import Watch


class Attempt:
    """What the handlers inside the client need to know. `read` and `connect` are socket timeouts in seconds."""

    __slots__ = ("connect", "read", "target", "watch")

    def __init__(self, target: Target, *, read: float, connect: float, watch: Watch) -> None:
        self.target = target
        self.read = read
        self.connect = connect
        self.watch = watch


class Elsewhere:
    """A request that is not routed but belongs to another region: only signing and endpoint are steered."""

    __slots__ = ("target",)

    def __init__(self, target: Target) -> None:
        self.target = target


class _Here(threading.local):
    attempt: Attempt | Elsewhere | None = None


HERE = _Here()
"""`HERE.attempt` is the request this thread is making, or None: then a call is none of ours."""
