"""Observations: appended as they come, summed when read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from crossfade.core import observation
from crossfade.core.split import Variant
from crossfade.server.store import summed
from crossfade.server.store.schema import observations, rollouts, routes

_COLUMNS = tuple(column.name for column in observations.c)
_FIELDS = {"rollout_id": "rollout", "route_id": "route"}
_TABLES = (*summed.TABLES, "groups", "pairs")
_COPY = f"COPY observations ({', '.join(_COLUMNS)}) FROM STDIN"


def append(connection: Connection, rows: Iterable[observation.Row], received_at: datetime) -> None:
    """Adds the rows by COPY."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row([_value(row, column, received_at) for column in _COLUMNS])


def _value(row: observation.Row, column: str, received_at: datetime) -> Any:
    if column == "received_at":
        return received_at
    value = getattr(row, _FIELDS.get(column, column))
    return json.dumps(value) if column in _TABLES else value


def known_routes(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Those of the numbers that are routes, deleted ones too: a shim may not have heard yet."""
    query = routes.select().with_only_columns(routes.c.id).where(routes.c.id.in_(sorted(set(ids))))
    return {row.id for row in connection.execute(query)}


def known_rollouts(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, int, dict[str, Any]]]:
    """Those of the numbers that are rollouts: their route's number, how many steps they have, and their plan."""
    columns = (rollouts.c.id, rollouts.c.route_id, rollouts.c.plan)
    query = rollouts.select().with_only_columns(*columns).where(rollouts.c.id.in_(sorted(set(ids))))
    return {row.id: (row.route_id, len(row.plan["steps"]), row.plan) for row in connection.execute(query)}


_PLACES = "unnest(CAST(:rollouts AS int[]), CAST(:routes AS int[])) AS place (rollout_id, route_id)"
_OF_PLACE = """
    FROM observations AS o
    WHERE o.rollout_id = place.rollout_id AND o.route_id = place.route_id AND bucket >= :since
"""
# Place by place: each is a stretch of one index, however much there is of others.
_TRAFFIC = text(
    f"""
    SELECT route_id, sum(calls)::bigint AS calls, min(first) AS first
    FROM {_PLACES}, LATERAL (SELECT sum(calls - copies) AS calls, min(bucket) AS first {_OF_PLACE}) AS late
    GROUP BY route_id HAVING sum(calls) > 0
    """  # noqa: S608
)
Places = Sequence[tuple[int, int]]
"""(rollout, route) under which calls are recorded."""


def traffic(connection: Connection, places: Places, *, since: float) -> dict[int, tuple[int, int]]:
    """The calls since then and the first bucket with any, by route; of those with any."""
    rows = connection.execute(_TRAFFIC, _placed(places) | {"since": int(since)})
    return {row.route_id: (row.calls, row.first) for row in rows}


def _placed(places: Places) -> dict[str, Any]:
    return {"rollouts": [rollout for rollout, _ in places], "routes": [route for _, route in places]}


_LATE = "FROM observations WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND bucket >= :since AND copies = 0"
_LATE_SUMS = text(
    f"""
    SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum(busy), 0)::bigint AS busy,
           coalesce(sum(raised), 0)::bigint AS raised, coalesce(sum(retries), 0)::bigint AS retries,
           coalesce(sum(failovers), 0)::bigint AS failovers
    {_LATE}
    """
)
_LATE_COUNTED = text(
    f"""
    SELECT what, key, sum(value::bigint)::bigint AS n
    FROM (SELECT outcomes, attempts {_LATE}) AS late,
         LATERAL (SELECT 'outcomes' AS what, * FROM jsonb_each_text(outcomes)
                  UNION ALL SELECT 'attempts', * FROM jsonb_each_text(attempts)) AS counted
    GROUP BY what, key
    """  # noqa: S608
)
_LATE_SERVED = text(
    f"""
    SELECT model, region, sum(calls)::bigint AS calls {_LATE}
    GROUP BY model, region ORDER BY calls DESC, model, region
    """
)


def late(
    connection: Connection, *, rollouts: list[int], route: int, since: float
) -> tuple[Row[Any], tuple[dict[str, int], dict[str, int]], list[Row[Any]]]:
    """The route's calls since then, without copies: their sums, how many of them and how many of their attempts
    ended how, and (model, region, calls) by who answered them."""
    values = {"rollouts": rollouts, "route": route, "since": int(since)}
    counted: dict[str, dict[str, int]] = {"outcomes": {}, "attempts": {}}
    for row in connection.execute(_LATE_COUNTED, values):
        counted[row.what][row.key] = row.n
    both = counted["outcomes"], counted["attempts"]
    return connection.execute(_LATE_SUMS, values).one(), both, list(connection.execute(_LATE_SERVED, values))


_CALLS_BY_BUCKET = text(
    """
    SELECT bucket, sum(calls - copies)::bigint AS calls
    FROM observations
    WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND bucket >= :since
    GROUP BY bucket
    """
)


def calls_by_bucket(connection: Connection, *, rollouts: list[int], route: int, since: float) -> dict[int, int]:
    """The route's calls since then, by the start of the bucket they were made in."""
    values = {"rollouts": rollouts, "route": route, "since": int(since)}
    return {row.bucket: row.calls for row in connection.execute(_CALLS_BY_BUCKET, values)}


_STEP_CALLS = text(
    f"""
    SELECT coalesce(sum(calls - copies), 0)::bigint AS calls,
           coalesce(sum(calls) FILTER (WHERE variant = 'green'), 0)::bigint AS green
    FROM {summed.of_rollout("calls, copies")}
    WHERE step = :step
    """  # noqa: S608
)


def step_calls(connection: Connection, *, rollout: int, route: int, step: int) -> tuple[int, int]:
    """(calls, green's calls) of one step, sealed or not; at a shadow step green has copies, not among the calls."""
    row = connection.execute(_STEP_CALLS, _received(connection, rollout, route) | {"step": step}).one()
    return row.calls, row.green


_STANDING = text(
    f"""
    SELECT rollout_id, calls, green, green_calls, green_copies
    FROM unnest(CAST(:rollouts AS int[]), CAST(:routes AS int[]), CAST(:steps AS int[]))
             AS place (rollout_id, route_id, now_at),
         LATERAL ({summed.END_OF_PLACE}) AS ended,
         LATERAL (
             SELECT coalesce(sum(calls - copies) FILTER (WHERE step = now_at), 0)::bigint AS calls,
                    coalesce(sum(calls) FILTER (WHERE step = now_at AND variant = 'green'), 0)::bigint AS green,
                    coalesce(sum(calls - copies) FILTER (WHERE variant = 'green'), 0)::bigint AS green_calls,
                    coalesce(sum(copies) FILTER (WHERE variant = 'green'), 0)::bigint AS green_copies
             FROM {summed.of_rollout("calls, copies", "place.rollout_id", "place.route_id", "ended.summed")}
         ) AS counted
    """  # noqa: S608
)


def standing(connection: Connection, places: Places, *, steps: Sequence[int]) -> dict[int, Row[Any]]:
    """Of many rollouts, each at one of the steps: `step_calls` as `calls` and `green`, and all of green's calls in all
    steps as `green_calls`, without its `green_copies`, by rollout."""
    rows = connection.execute(_STANDING, _placed(places) | {"steps": steps})
    return {row.rollout_id: row for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Green's copies in all: how many, of them `answered`, with their tokens; what those whose cost is known, `priced`,
    cost in US dollars, None where none is."""

    copies: int
    answered: int
    tokens_in: int
    tokens_out: int
    priced: int
    cost: float | None


_COPIES = text(
    f"""
    SELECT coalesce(sum(copies), 0)::bigint AS copies, coalesce(sum(calls - raised), 0)::bigint AS answered,
           coalesce(sum(tokens_in), 0)::bigint AS tokens_in, coalesce(sum(tokens_out), 0)::bigint AS tokens_out,
           coalesce(sum(cost_n), 0)::bigint AS priced, sum(cost_sum) FILTER (WHERE cost_n > 0) AS cost
    FROM {summed.of_rollout("calls, raised, copies, tokens_in, tokens_out, cost_n, cost_sum")}
    WHERE copies > 0
    """  # noqa: S608
)


def copies(connection: Connection, *, rollout: int, route: int) -> Copies:
    """Of a rollout, sealed or not. At a shadow step green has nothing but copies, and elsewhere none."""
    row = connection.execute(_COPIES, _received(connection, rollout, route)).one()
    return Copies(**row._mapping)


_ATTEMPTS = text(
    """
    SELECT key AS outcome, sum(value::bigint)::bigint AS attempts
    FROM observations, jsonb_each_text(attempts)
    WHERE rollout_id = :rollout AND route_id = :route AND variant = 'green' AND bucket >= :since
    GROUP BY key
    """
)
_ELSEWHERE = text(
    """
    SELECT coalesce(sum(calls), 0)::bigint AS calls
    FROM observations
    WHERE rollout_id = :rollout AND route_id = :route AND variant = 'green' AND bucket >= :since
      AND model NOT IN ('', :green)
    """
)


def green_attempts(
    connection: Connection, *, rollout: int, route: int, green: str, since: float
) -> tuple[dict[str, int], int]:
    """Attempts of green's calls since then by outcome, and how many of the calls another Model answered."""
    values = {"rollout": rollout, "route": route, "since": int(since)}
    counts = {row.outcome: row.attempts for row in connection.execute(_ATTEMPTS, values)}
    elsewhere: int = connection.execute(_ELSEWHERE, {**values, "green": green}).scalar_one()
    return counts, elsewhere


# What a caller got for its own fault is not for lack of a Model. Only rows with such calls are looked into for it.
_TROUBLE = text(
    f"""
    SELECT route_id, coalesce(sum(unknown), 0)::bigint AS unknown, coalesce(sum(calls), 0)::bigint AS calls,
           coalesce(sum(unanswered), 0)::bigint AS unanswered
    FROM {_PLACES}, LATERAL (
        SELECT sum((attempts ->> 'unknown')::bigint) AS unknown, sum(calls) FILTER (WHERE copies = 0) AS calls,
               sum(busy + raised - coalesce((outcomes ->> 'rejected')::bigint, 0)
                   - coalesce((outcomes ->> 'credentials')::bigint, 0))
                   FILTER (WHERE copies = 0 AND busy + raised > 0) AS unanswered
        {_OF_PLACE}
    ) AS late
    GROUP BY route_id HAVING sum(unknown) > 0 OR sum(unanswered) > 0
    """  # noqa: S608
)
_ALL_ATTEMPTS = text(
    f"""
    SELECT route_id, copied, key, sum(n)::bigint AS n
    FROM {_PLACES}, LATERAL (
        SELECT copies > 0 AS copied, key, sum(value::bigint) AS n
        FROM (SELECT attempts, copies {_OF_PLACE}) AS o, jsonb_each_text(attempts)
        GROUP BY copied, key
    ) AS late
    GROUP BY route_id, copied, key
    """  # noqa: S608
)


def trouble(connection: Connection, places: Places, *, since: float) -> dict[int, Row[Any]]:
    """By route, of those with any: how many attempts since then failed in an unknown way, of both variants; of how many
    `calls`, without copies, how many were `unanswered`: busy, or an error that was not the caller's own fault."""
    rows = connection.execute(_TROUBLE, _placed(places) | {"since": int(since)})
    return {row.route_id: row for row in rows}


def attempts(connection: Connection, places: Places, *, since: float) -> dict[int, tuple[dict[str, int], int]]:
    """By route, the attempts since then: those of calls by class, and how many there were of copies."""
    found: dict[int, tuple[dict[str, int], int]] = {}
    for row in connection.execute(_ALL_ATTEMPTS, _placed(places) | {"since": int(since)}):
        ended, copied = found.setdefault(row.route_id, ({}, 0))
        if row.copied:
            found[row.route_id] = ended, copied + row.n
        else:
            ended[row.key] = row.n
    return found


_SUM_OF = "calls, judged, errors, busy, raised, retries, failovers, tokens_in, tokens_out, cost_n, cost_sum"
_SUMS = text(
    f"""
    SELECT variant, sum(calls)::bigint AS calls, sum(judged)::bigint AS judged, sum(errors)::bigint AS errors,
           sum(busy)::bigint AS busy, sum(raised)::bigint AS raised, sum(retries)::bigint AS retries,
           sum(failovers)::bigint AS failovers, sum(tokens_in)::bigint AS tokens_in,
           sum(tokens_out)::bigint AS tokens_out, sum(cost_n)::bigint AS cost_n, sum(cost_sum) AS cost_sum
    FROM {summed.of_rollout(_SUM_OF)} GROUP BY variant
    """  # noqa: S608
)


def sums(connection: Connection, *, rollout: int, route: int) -> dict[Variant, Row[Any]]:
    """Everything countable of a rollout, by variant."""
    rows = connection.execute(_SUMS, _received(connection, rollout, route))
    return {Variant(row.variant): row for row in rows}


def counted(
    connection: Connection, column: str, *, rollout: int, route: int, step: int | None = None
) -> dict[Variant, dict[str, int]]:
    """One of the tables of counts, such as `outcomes` or `latency`, summed by variant and key; of all steps or one."""
    assert column in summed.TABLES
    query = text(
        f"SELECT variant, key, sum(value::bigint)::bigint AS n FROM {summed.of_rollout(column)},"  # noqa: S608
        f" jsonb_each_text({column}) WHERE CAST(:step AS int) IS NULL OR step = :step"
        " GROUP BY variant, key ORDER BY variant, key"
    )
    found: dict[Variant, dict[str, int]] = {}
    for row in connection.execute(query, _received(connection, rollout, route) | {"step": step}):
        found.setdefault(Variant(row.variant), {})[row.key] = row.n
    return found


def _received(connection: Connection, rollout: int, route: int) -> dict[str, int]:
    """The values of `summed.of_rollout`."""
    place = {"rollout": rollout, "route": route}
    return place | {"summed": summed.end(connection, **place)}
