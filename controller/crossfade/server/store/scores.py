"""Scores: one a (call, metric, grader); the same again replaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from crossfade.core.split import Variant


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Score:
    """`called_at` is in whole seconds since 1970; `sealed_at`, in the same, is when its bucket is sealed.

    `group` is that of the call's stickiness key, None if it had none.
    """

    rollout: int
    route: int
    called_at: int
    call: str
    metric: str
    grader: str
    step: int
    variant: Variant
    value: float
    sealed_at: float
    group: int | None = None


_KEY = ("rollout", "route", "called_at", "call", "metric", "grader")

# A score that arrives after the seal must not change what was judged: it goes beside the judged value.
_UPSERT = text(
    """
    INSERT INTO scores
        (rollout_id, route_id, called_at, call, metric, grader, step, variant, value, grp, received_at)
    SELECT rollout_id, route_id, called_at, call, metric, grader, step, variant, value, grp, :now
    FROM unnest(
        CAST(:rollout AS int[]), CAST(:route AS int[]), CAST(:called_at AS bigint[]), CAST(:call AS text[]),
        CAST(:metric AS text[]), CAST(:grader AS text[]), CAST(:step AS smallint[]), CAST(:variant AS text[]),
        CAST(:value AS float8[]), CAST(:group AS smallint[])
    ) AS new (rollout_id, route_id, called_at, call, metric, grader, step, variant, value, grp)
    ON CONFLICT (rollout_id, route_id, called_at, call, metric, grader) DO UPDATE
    SET value = excluded.value, received_at = excluded.received_at, late_value = NULL
    """
)
_REPLACE_LATE = text(
    """
    UPDATE scores SET late_value = CAST(:value AS float8)
    WHERE rollout_id = :rollout AND route_id = :route AND called_at = :called_at AND call = :call
      AND metric = :metric AND grader = :grader AND received_at <= to_timestamp(:sealed_at)
    """
)


def put(connection: Connection, scores: Iterable[Score], now: datetime) -> None:
    """Adds or replaces; in the order of their keys, so that two requests never wait for each other in a circle."""
    latest = {tuple(getattr(score, name) for name in _KEY): score for score in scores}
    ordered = [latest[key] for key in sorted(latest)]
    late = [score for score in ordered if now.timestamp() > score.sealed_at]
    replaced = {score for score in late if _replace_late(connection, score)}
    new = [score for score in ordered if score not in replaced]
    if new:
        columns = ("rollout", "route", "called_at", "call", "metric", "grader", "step", "variant", "value", "group")
        values: dict[str, Any] = {name: [getattr(score, name) for score in new] for name in columns}
        values["variant"] = [str(score.variant) for score in new]
        connection.execute(_UPSERT, {**values, "now": now})


def counted(connection: Connection, *, rollout: int, route: int) -> dict[Variant, int]:
    """How many scores came in, of every metric and whenever, by variant."""
    query = text(
        "SELECT variant, count(*) AS n FROM scores WHERE rollout_id = :rollout AND route_id = :route GROUP BY variant"
    )
    rows = connection.execute(query, {"rollout": rollout, "route": route})
    return {Variant(row.variant): row.n for row in rows}


def _replace_late(connection: Connection, score: Score) -> bool:
    values = {name: getattr(score, name) for name in (*_KEY, "value", "sealed_at")}
    return connection.execute(_REPLACE_LATE, values).rowcount > 0
