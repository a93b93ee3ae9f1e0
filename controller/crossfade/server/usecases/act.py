"""Act: what a person does to a rollout."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from crossfade.core.rollout import Rollout


def act(
    engine: Engine,
    rollout_id: int,
    verb: str,
    *,
    reason: str,
    actor: str,
    now: datetime,
    version: int | None = None,
) -> Rollout:
    """Does `verb` (start, pause, resume, advance, promote, abort, undo) and returns the rollout after it.

    `version` is the one the person saw: an older one is refused, except for abort, which always wins.
    Raises `NotFound`; `Invalid` for an unknown verb (`verb`) or an empty reason (`reason`); `Conflict` saying the
    phase or version that is there.
    """
    raise NotImplementedError
