"""Tick: one pass of the scheduler. `evaluate` is one rollout's turn in it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine


def tick(engine: Engine, *, now: datetime) -> int:
    """Evaluates every rollout that is due, each in a transaction of its own; returns how many turns were taken."""
    raise NotImplementedError
