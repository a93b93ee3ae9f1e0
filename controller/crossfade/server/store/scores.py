"""Scores: one a (call, metric, grader); the same again replaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from crossfade.core.evidence import Summary
from crossfade.core.split import Variant


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Score:
    """`called_at` is in whole seconds since 1970; `sealed_at`, in the same, is when its bucket is sealed."""

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


_KEY = ("rollout", "route", "called_at", "call", "metric", "grader")

# A score that arrives after the seal must not change what was judged: it goes beside the judged value.
_UPSERT = text(
    """
    INSERT INTO scores
        (rollout_id, route_id, called_at, call, metric, grader, step, variant, value, received_at)
    SELECT rollout_id, route_id, called_at, call, metric, grader, step, variant, value, :now
    FROM unnest(
        CAST(:rollout AS int[]), CAST(:route AS int[]), CAST(:called_at AS bigint[]), CAST(:call AS text[]),
        CAST(:metric AS text[]), CAST(:grader AS text[]), CAST(:step AS smallint[]), CAST(:variant AS text[]),
        CAST(:value AS float8[])
    ) AS new (rollout_id, route_id, called_at, call, metric, grader, step, variant, value)
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
        columns = ("rollout", "route", "called_at", "call", "metric", "grader", "step", "variant", "value")
        values: dict[str, Any] = {name: [getattr(score, name) for score in new] for name in columns}
        values["variant"] = [str(score.variant) for score in new]
        connection.execute(_UPSERT, {**values, "now": now})


_SUMS = text(
    """
    SELECT bucket, step, variant, count(*) AS n, sum(loss) AS s, sum(loss * loss) AS q
    FROM (
        SELECT called_at / :length * :length AS bucket, step, variant, avg(1 - value) AS loss
        FROM scores
        WHERE rollout_id = :rollout AND route_id = :route AND metric = :metric
          AND called_at >= :after + :length AND called_at < :sealed + :length
          AND received_at <= to_timestamp(called_at / :length * :length + :seal)
        GROUP BY called_at, step, variant, call
    ) AS calls
    GROUP BY bucket, step, variant
    ORDER BY bucket, step
    """
)


def loss_sums(
    connection: Connection,
    *,
    rollout: int,
    route: int,
    metric: str,
    length: int,
    after: int,
    sealed: int,
    seal: float,
) -> Sequence[Row[Any]]:
    """Losses (1 - score, averaged over a call's graders) by (bucket, step, variant): n, s, q.

    Of the buckets of `length` seconds that start in (`after`, `sealed`]; `seal` as in `observations.error_sums`.
    """
    values = {"rollout": rollout, "route": route, "metric": metric, "length": length, "after": after}
    return connection.execute(_SUMS, {**values, "sealed": sealed, "seal": seal}).all()


_BLUE = text(
    """
    SELECT count(*) AS n, coalesce(sum(loss), 0) AS s, coalesce(sum(loss * loss), 0) AS q
    FROM (
        SELECT avg(1 - value) AS loss FROM scores
        WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND metric = :metric AND variant = 'blue'
          AND called_at >= :since AND called_at < :until AND received_at <= to_timestamp(:until)
        GROUP BY rollout_id, called_at, call
    ) AS calls
    """
)


def blue_losses(
    connection: Connection, *, rollouts: list[int], route: int, metric: str, since: float, until: float
) -> Summary:
    """Blue's losses by this metric in [`since`, `until`), as known at the end of it."""
    values = {"rollouts": rollouts, "route": route, "metric": metric, "since": int(since), "until": int(until)}
    row = connection.execute(_BLUE, values).one()
    return Summary(row.n, row.s, row.q)


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
