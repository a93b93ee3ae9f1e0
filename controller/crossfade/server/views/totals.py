"""Totals: everything recorded, summed in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from crossfade.server.database import begin
from crossfade.server.views.plain import plain_object

_TOTALS = text(
    """
    SELECT routes.name AS route, rollout, step, variant, sum(calls)::bigint AS calls, sum(judged)::bigint AS judged,
           sum(errors)::bigint AS errors, sum(busy)::bigint AS busy, sum(scores)::bigint AS scores
    FROM (
        SELECT route_id, rollout_id AS rollout, step, variant, calls, judged, errors, busy, 0 AS scores
        FROM observations
        UNION ALL
        SELECT route_id, rollout_id, step, variant, 0, 0, 0, 0, 1 FROM scores
    ) AS parts JOIN routes ON routes.id = route_id
    WHERE CAST(:rollout AS int) IS NULL OR rollout = :rollout
    GROUP BY routes.name, rollout, step, variant
    ORDER BY routes.name, rollout, step, variant
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Of one route, rollout (0: none was live), step and assigned variant."""

    route: str
    rollout: int
    step: int
    variant: str
    calls: int
    judged: int
    errors: int
    busy: int
    scores: int

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


def totals(engine: Engine, *, rollout_id: int | None = None) -> list[Total]:
    """One row a (route, rollout, step, variant) with calls or scores, in that order; `calls` sums to all recorded."""
    with begin(engine, snapshot=True) as connection:
        rows = connection.execute(_TOTALS, {"rollout": rollout_id})
        return [Total(**row._mapping) for row in rows]
