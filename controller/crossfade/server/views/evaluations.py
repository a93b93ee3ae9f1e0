"""Evaluations: every look at a rollout, for charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.server.database import begin
from crossfade.server.store import evaluations as store
from crossfade.server.store import rollouts
from crossfade.server.views.plain import plain_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One look. `verdicts` holds one `server.figures.verdict_figures` dict a check."""

    at: datetime
    step: int
    weight: float
    act: str
    reason: str
    sentence: str
    log_e_worse: float
    log_e_worse_needed: float
    verdicts: tuple[dict[str, Any], ...]
    conditions: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


def evaluations(engine: Engine, rollout_id: int, *, since: datetime | None = None, most: int = 500) -> list[Evaluation]:
    """In time order, after `since`; thinned evenly to `most`, the last and every act but hold always kept.

    Raises `NotFound`.
    """
    with begin(engine, snapshot=True) as connection:
        rollouts.find(connection, rollout_id)
        rows = store.since(connection, rollout_id, at=since or datetime(1970, 1, 1, tzinfo=UTC), most=most)
    return [
        Evaluation(
            at=row.at,
            step=row.step,
            weight=row.weight,
            act=row.act,
            reason=row.reason,
            sentence=row.sentence,
            log_e_worse=row.log_e_worse,
            log_e_worse_needed=row.log_e_worse_needed,
            verdicts=tuple(row.verdicts),
            conditions=row.conditions,
        )
        for row in rows
    ]
