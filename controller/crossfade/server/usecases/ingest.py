"""Ingest: observations and scores from the shims, each counted once."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine

RETENTION = timedelta(days=30)


def record_batch(engine: Engine, body: object, *, now: datetime, retention: timedelta = RETENTION) -> bool:
    """Appends one parsed batch (`core.observation.Batch`); False if (shim, sequence) was recorded before.

    Raises `Invalid` with every problem, such as `rows[3].rollout` for one nobody knows; then nothing is counted.
    """
    raise NotImplementedError


def record_scores(engine: Engine, body: object, *, now: datetime, secret: str, retention: timedelta = RETENTION) -> int:
    """Stores `body` ({"scores": [{"call_id", "metric", "value", "grader"}]}); returns how many were accepted.

    The same (call, metric, grader) again replaces. Raises `Invalid` with every problem, such as `scores[7].value`;
    then nothing is stored.
    """
    raise NotImplementedError
