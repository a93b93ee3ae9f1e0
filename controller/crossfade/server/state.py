"""State: what one running app holds for all its requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from flask import current_app
from sqlalchemy import Engine

from crossfade.server.lookup import TargetLookup
from crossfade.server.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`secret` is the server's; `lookup` is asked whether a candidate's targets exist."""

    engine: Engine
    secret: str = field(repr=False)
    watcher: Watcher
    lookup: TargetLookup
    retention: timedelta


def state() -> State:
    """Of the app that handles this request."""
    found: State = current_app.extensions["crossfade"]
    return found
