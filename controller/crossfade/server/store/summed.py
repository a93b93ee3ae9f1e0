"""Summed: the observations of one rollout as one row for ten minutes, step and variant, whatever shims they came from.

A row holds what was *received* in its ten minutes, of any bucket, so it never changes: what comes late is in a later
one. It is made once nothing more should be committed with a time of reception in it. A batch that takes longer than
`SETTLED`, or is stamped by a clock so far behind, is missing from histories and from counts of calls; not from what is
judged, which is read from the observations. Only a saving of work: what is not summed yet, or lies only partly in what
is asked for, is read from them too, and adds up to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from crossfade.server.store import partitions

SPAN = 600
"""Seconds of one row."""
SETTLED = 120
"""Seconds after its end until it is made: many times what a batch takes to be committed after its time was taken."""
AT_ONCE = 36 * SPAN
"""Seconds that are summed in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Where a blue's history lies: calls of the route since `since` and before `until` (whole seconds since 1970),
    under any of the rollouts, as known at `until`."""

    rollouts: list[int]
    route: int
    since: int
    until: int


def add(connection: Connection, *, rollout: int, route: int, until: int) -> bool:
    """Sums some hours of what was received before `until`, a multiple of `SPAN`; False if there is nothing more.

    Who does it at the same time does the same.
    """
    values = {"rollout": rollout, "route": route, "until": until}
    after = {"after": end(connection, rollout=rollout, route=route)}
    first = connection.execute(_FIRST, values | after).scalar_one()
    if first is None:
        return False
    start = int(first.timestamp()) // SPAN * SPAN
    stop = min(until, start + AT_ONCE)
    partitions.create(connection, {partitions.day_of(start), partitions.day_of(stop)})
    connection.execute(_ADD, values | {"after": start, "until": stop})
    return True


def end(connection: Connection, *, rollout: int, route: int) -> int:
    """All that was received before then is summed, in seconds since 1970; 0 where nothing is."""
    found: int = connection.execute(_END, {"rollout": rollout, "route": route}).scalar_one()
    return found


def of_rollout(columns: str, rollout: str = ":rollout", route: str = ":route", end: str = ":summed") -> str:
    """SQL of all that was received of a rollout, to select from: `step`, `variant` and these columns. Its values are
    `rollout`, `route` and `summed`, which is the `end`; or what else is named for them."""
    return f"""
        (SELECT step, variant, {columns} FROM summed
         WHERE rollout_id = {rollout} AND route_id = {route} AND received < {end}
         UNION ALL
         SELECT step, variant, {columns} FROM observations
         WHERE rollout_id = {rollout} AND route_id = {route} AND received_at >= to_timestamp({end})) AS received
    """  # noqa: S608


def of_past(columns: str) -> str:
    """SQL of a `Past` under one of its rollouts, to select from. Its values are those of `in_past`."""
    return f"""
        (SELECT {columns} FROM summed
         WHERE rollout_id = :rollout AND route_id = :route AND variant = 'blue'
           AND received > :since - {SPAN} AND received < :summed AND first >= :since
           AND received <> ALL(CAST(:partly AS bigint[]))
         UNION ALL
         SELECT {columns} FROM observations
         WHERE rollout_id = :rollout AND route_id = :route AND variant = 'blue' AND bucket >= :since AND bucket < :until
           AND received_at >= to_timestamp(:summed) AND received_at <= to_timestamp(:until)
         UNION ALL
         SELECT {columns}
         FROM unnest(CAST(:partly AS bigint[])) AS partly (start) JOIN observations
           ON received_at >= to_timestamp(start) AND received_at < to_timestamp(start + {SPAN})
         WHERE rollout_id = :rollout AND route_id = :route AND variant = 'blue' AND bucket >= :since AND bucket < :until
        ) AS past
    """  # noqa: S608


def in_past(connection: Connection, past: Past) -> list[dict[str, Any]]:
    """The values of `of_past`, for each of its rollouts: all of these sums together are the past.

    `summed` is where the rows that are used end, `partly` are the starts of the ten minutes in which some
    of it was received and some of what was before it: these are read from the observations.
    """
    # A plan made once for any values takes the wrong index: it cannot know how little is left to read of a day.
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    found = []
    for rollout in past.rollouts:
        place = {"rollout": rollout, "route": past.route}
        values = place | {"since": past.since, "until": past.until}
        values["summed"] = min(end(connection, **place), past.until // SPAN * SPAN)
        partly = [row.received for row in connection.execute(_PARTLY, values)]
        found.append(values | {"partly": partly})
    return found


END_OF_PLACE = f"""
    SELECT coalesce(max(received) + {SPAN}, 0) AS summed FROM summed AS s
    WHERE s.rollout_id = place.rollout_id AND s.route_id = place.route_id
"""  # noqa: S608
"""SQL of the `end` of each (rollout_id, route_id) of `place`."""
_END = text(
    f"""
    SELECT coalesce(max(received) + {SPAN}, 0) FROM summed WHERE rollout_id = :rollout AND route_id = :route
    """  # noqa: S608
)
_FIRST = text(
    """
    SELECT min(received_at) FROM observations
    WHERE rollout_id = :rollout AND route_id = :route
      AND received_at >= to_timestamp(:after) AND received_at < to_timestamp(:until)
    """
)
_PARTLY = text(
    f"""
    SELECT DISTINCT received FROM summed
    WHERE rollout_id = :rollout AND route_id = :route AND variant = 'blue'
      AND received > :since - {SPAN} AND received < :summed AND first < :since AND last >= :since
    """  # noqa: S608
)

_COUNTS = (
    "calls",
    "judged",
    "errors",
    "busy",
    "raised",
    "retries",
    "failovers",
    "tokens_in",
    "tokens_out",
    "cost_n",
    "copies",
)
TABLES = ("outcomes", "attempts", "latency", "first_token", "costs", "stops")
"""Of counts by key, as observations have them."""

# In the order of the key, so that two who do it never wait for each other in a circle.
_ADD = text(
    f"""
    WITH received AS MATERIALIZED (
        SELECT floor(extract(epoch FROM received_at) / {SPAN})::bigint * {SPAN} AS start, *
        FROM observations
        WHERE rollout_id = :rollout AND route_id = :route
          AND received_at >= to_timestamp(:after) AND received_at < to_timestamp(:until)
    ), counts AS (
        SELECT start, step, variant, name, key, sum(value::bigint)::bigint AS n
        FROM received, LATERAL (VALUES {", ".join(f"('{name}', {name})" for name in TABLES)}) AS kept (name, counted),
             jsonb_each_text(counted)
        GROUP BY start, step, variant, name, key
    ), whole AS (
        SELECT start, step, variant, name, jsonb_object_agg(key, n) AS counted
        FROM counts GROUP BY start, step, variant, name
    ), tables AS (
        SELECT start, step, variant, jsonb_object_agg(name, counted) AS counted FROM whole GROUP BY start, step, variant
    ), sums AS (
        SELECT start, step, variant, min(bucket) AS first, max(bucket) AS last, sum(cost_sum) AS cost_sum,
               {", ".join(f"sum({name})::bigint AS {name}" for name in _COUNTS)}
        FROM received GROUP BY start, step, variant
    )
    INSERT INTO summed (rollout_id, route_id, received, step, variant, first, last, {", ".join(_COUNTS)}, cost_sum,
                        {", ".join(TABLES)})
    SELECT :rollout, :route, start, step, variant, first, last, {", ".join(_COUNTS)}, cost_sum,
           {", ".join(f"coalesce(counted -> '{name}', '{{}}')" for name in TABLES)}
    FROM sums LEFT JOIN tables USING (start, step, variant)
    ORDER BY start, step, variant
    ON CONFLICT DO NOTHING
    """  # noqa: S608
)
