"""Snapshot: handed to the shims by long poll, whole and signed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from crossfade.core.snapshot import sign, snapshot_to_bytes
from crossfade.errors import Invalid, Problem
from crossfade.server.auth import identity, needs
from crossfade.server.state import state
from crossfade.server.usecases.snapshot import current_snapshot
from crossfade.server.usecases.tokens import Role
from crossfade.server.watcher import LONGEST_WAIT

SIGNATURE = "X-Crossfade-Signature"


class _Body:
    """The bytes of the newest snapshot, made once a version however many shims ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = -1
        self._body = b""

    def at(self, version: int) -> tuple[int, bytes]:
        with self._lock:
            if self._version != version:
                snapshot = current_snapshot(state().engine, now=datetime.now(UTC), secret=state().secret)
                self._version, self._body = snapshot.version, snapshot_to_bytes(snapshot)
            return self._version, self._body


def add_to(api: Blueprint) -> None:
    body = _Body()

    @api.get("/snapshot")
    @needs(Role.SHIM)
    def snapshot() -> ResponseReturnValue:
        """The snapshot, or 304 if `If-None-Match` is still the newest after `wait` seconds."""
        known = _known_version()
        version = state().watcher.wait_beyond(known, _wait())
        if version == known:
            return Response(status=304, headers={"ETag": f'"{version}"'})
        version, content = body.at(version)
        answer = Response(content, mimetype="application/json")
        answer.headers["ETag"] = f'"{version}"'
        answer.headers[SIGNATURE] = sign(identity().text, content)
        return answer


def _known_version() -> int:
    """The version the caller has, or -1."""
    tag = request.headers.get("If-None-Match", "").removeprefix("W/").strip('" ')
    return int(tag) if tag.isdecimal() and len(tag) < 19 else -1


def _wait() -> float:
    text = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise Invalid([Problem("wait", f"is {text[:40]!r}; must be 0 to {LONGEST_WAIT:g} seconds")])
    return seconds
