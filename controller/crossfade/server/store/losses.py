"""Losses: any check's metric as sums of losses, read from what is stored. Reads only.

Every read of buckets takes a `Span` and gives rows (bucket, step, variant, n, s, q) in the order of bucket and step:
calls, the sum of their losses, the sum of the squared losses. What was received after a bucket's seal does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from crossfade.core.evidence import Summary
from crossfade.core.metric import metric_of
from crossfade.core.plan import Check
from crossfade.core.split import Variant
from crossfade.server.store import declared, journal, rollouts, summed
from crossfade.server.store.summed import Past

HISTORY = timedelta(days=1)
"""How far back before a rollout blue's own losses are read. They start the base rate and fix the limits, and are never
evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A rollout's buckets of `length` seconds that start in (`after`, `sealed`], in seconds since 1970; each is sealed
    `seal` seconds after its start."""

    rollout: int
    route: int
    after: int
    sealed: int
    seal: float
    length: int

    def parts(self, most: int) -> Iterator[Span]:
        """The same in parts of so many buckets at most."""
        for begin in range(self.after, self.sealed, most * self.length):
            yield replace(self, after=begin, sealed=min(self.sealed, begin + most * self.length))


def past(connection: Connection, route_id: int, until: datetime) -> Past:
    """The last day before `until`, of this blue only: what the Model before it did says nothing of it."""
    since = history_since(connection, route_id, until)
    return Past(
        rollouts=rollouts.ids_since(connection, route_id, since),
        route=route_id,
        since=int(since.timestamp()),
        until=int(until.timestamp()),
    )


def history_since(connection: Connection, route_id: int, until: datetime) -> datetime:
    """When the history that ends at `until` begins: the day before, or when the blue of then began to serve."""
    stored = declared.route_by_id(connection, route_id)
    since: datetime = stored.blue_since
    if since > until:  # that blue has been replaced since
        since = journal.blue_changed(connection, route_id, stored.route.name, by=until) or until
    return max(until - HISTORY, since)


def losses(
    connection: Connection, check: Check, span: Span, *, variants: Iterable[Variant] = Variant
) -> Sequence[Row[Any]]:
    """(bucket, step, variant, n, s, q). Raises `ValueError` for a check without the limit it needs."""
    place: dict[str, Any] = asdict(span) | {"variants": [str(variant) for variant in variants]}
    metric = metric_of(check.metric)
    if check.is_score:
        return connection.execute(_SCORES, place | {"metric": check.score_name}).all()
    if metric.table is None:
        return connection.execute(_ERRORS, place).all()
    by_key = metric.losses(check.limit)
    values = place | {"keys": list(by_key), "losses": list(by_key.values())}
    return connection.execute(_COUNTED[metric.table], values).all()


def history(connection: Connection, check: Check, past: Past) -> Summary:
    """Blue's losses by the check's metric. Raises `ValueError` as `losses` does."""
    metric = metric_of(check.metric)
    if check.is_score:
        row = connection.execute(_BLUE_SCORES, asdict(past) | {"metric": check.score_name}).one()
        return Summary(row.n, row.s, row.q)
    if metric.table is None:
        rows = [connection.execute(_BLUE_ERRORS, place).one() for place in summed.in_past(connection, past)]
        errors = sum(row.s for row in rows)
        return Summary(sum(row.n for row in rows), float(errors), float(errors))
    by_key = metric.losses(check.limit)
    counts = blue_counts(connection, metric.table, past)
    summary = Summary()
    for key, n in counts.items():
        summary += Summary(n, n * by_key[key], n * by_key[key] ** 2)
    return summary


def scores_of(connection: Connection, past: Past) -> list[str]:
    """The names of the scores that blue's calls carry."""
    return list(connection.execute(_SCORES_OF, asdict(past)).scalars())


def blue_counts(connection: Connection, table: str, past: Past) -> Mapping[str, int]:
    """Blue's calls by the keys of one of the tables of counts, such as `latency`."""
    found: Counter[str] = Counter()
    for place in summed.in_past(connection, past):
        found.update({row.key: row.n for row in connection.execute(_BLUE_COUNTED[table], place)})
    return dict(sorted(found.items()))


def group_sums(connection: Connection, check: Check, span: Span) -> Sequence[Row[Any]]:
    """(bucket, step, variant, grp, n, s, q): of what `losses` gives, the calls with a key, the last four a list each
    with one place for a group (0..127) that has any. Of the error rate and of scores; other metrics are not recorded
    by key.
    """
    if check.is_score:
        return connection.execute(_SCORE_GROUPS, asdict(span) | {"metric": check.score_name}).all()
    if metric_of(check.metric).table is None:
        return connection.execute(_GROUPS, asdict(span)).all()
    return ()


def chance_sums(connection: Connection, span: Span) -> Sequence[Row[Any]]:
    """(bucket, step, green, blue): calls that chance split, judged or not, by their assigned variant."""
    return connection.execute(_BY_CHANCE, asdict(span)).all()


SEALED = """
    WHERE rollout_id = :rollout AND route_id = :route
      AND bucket > :after AND bucket <= :sealed
      AND received_at <= to_timestamp(bucket + :seal)
"""
_OF_VARIANTS = "AND variant = ANY(:variants)"
BEFORE = """
    WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND variant = 'blue'
      AND bucket >= :since AND bucket < :until AND received_at <= to_timestamp(:until)
"""
"""Of a `Past`."""
COUNTED_TABLES = ("latency", "first_token", "costs", "stops")

_ERRORS = text(
    f"""
    SELECT bucket, step, variant,
           sum(judged)::bigint AS n, sum(errors)::bigint AS s, sum(errors)::bigint AS q
    FROM observations {SEALED} {_OF_VARIANTS}
    GROUP BY bucket, step, variant
    HAVING sum(judged) > 0
    ORDER BY bucket, step
    """  # noqa: S608
)
_BLUE_ERRORS = text(
    f"""
    SELECT coalesce(sum(judged), 0)::bigint AS n, coalesce(sum(errors), 0)::bigint AS s
    FROM {summed.of_past("judged, errors")}
    """  # noqa: S608
)

# Whole counts first, then the losses in the order of their keys: the same rows always give the very same sums.
_COUNTED = {
    table: text(
        f"""
        SELECT bucket, step, variant, sum(n)::bigint AS n,
               sum(n::float8 * loss ORDER BY key COLLATE "C") AS s,
               sum(n::float8 * loss * loss ORDER BY key COLLATE "C") AS q
        FROM (
            SELECT bucket, step, variant, key, sum(value::bigint) AS n
            FROM observations, jsonb_each_text({table}) {SEALED} {_OF_VARIANTS}
            GROUP BY bucket, step, variant, key
        ) AS counts
        JOIN unnest(CAST(:keys AS text[]), CAST(:losses AS float8[])) AS known (key, loss) USING (key)
        GROUP BY bucket, step, variant
        HAVING sum(n) > 0
        ORDER BY bucket, step
        """  # noqa: S608
    )
    for table in COUNTED_TABLES
}
_BLUE_COUNTED = {
    table: text(
        f"""
        SELECT key, sum(value::bigint)::bigint AS n
        FROM {summed.of_past(table)}, jsonb_each_text({table})
        GROUP BY key
        """  # noqa: S608
    )
    for table in COUNTED_TABLES
}


def _by_group(each: str) -> TextClause:
    """The rows of `each` as one for a bucket, step and variant: hundreds of times fewer to send and to take in."""
    lists = ", ".join(f"array_agg({name} ORDER BY grp) AS {name}" for name in ("grp", "n", "s", "q"))
    return text(f"""
        SELECT bucket, step, variant, {lists} FROM ({each}) AS each
        GROUP BY bucket, step, variant
        ORDER BY bucket, step, variant
    """)  # noqa: S608


# A loss is 1 - score, averaged over a call's graders.
_SCORES = text(
    """
    SELECT bucket, step, variant, count(*) AS n, sum(loss) AS s, sum(loss * loss) AS q
    FROM (
        SELECT called_at / :length * :length AS bucket, step, variant, avg(1 - value) AS loss
        FROM scores
        WHERE rollout_id = :rollout AND route_id = :route AND metric = :metric
          AND called_at >= :after + :length AND called_at < :sealed + :length
          AND received_at <= to_timestamp(called_at / :length * :length + :seal)
          AND variant = ANY(:variants)
        GROUP BY called_at, step, variant, call
    ) AS calls
    GROUP BY bucket, step, variant
    ORDER BY bucket, step
    """
)
_SCORE_GROUPS = _by_group(
    """
    SELECT bucket, step, variant, grp, count(*) AS n, sum(loss) AS s, sum(loss * loss) AS q
    FROM (
        SELECT called_at / :length * :length AS bucket, step, variant, grp, avg(1 - value) AS loss
        FROM scores
        WHERE rollout_id = :rollout AND route_id = :route AND metric = :metric AND grp IS NOT NULL
          AND called_at >= :after + :length AND called_at < :sealed + :length
          AND received_at <= to_timestamp(called_at / :length * :length + :seal)
        GROUP BY called_at, step, variant, call, grp
    ) AS calls
    GROUP BY bucket, step, variant, grp
    """
)
_BLUE_SCORES = text(
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
_SCORES_OF = text(
    """
    SELECT DISTINCT metric FROM scores
    WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND variant = 'blue'
      AND called_at >= :since AND called_at < :until AND received_at <= to_timestamp(:until)
    ORDER BY metric
    """
)

_GROUPS = _by_group(
    f"""
    SELECT bucket, step, variant, key::smallint AS grp,
           sum((value ->> 0)::bigint)::bigint AS n, sum((value ->> 1)::bigint)::bigint AS s,
           sum((value ->> 1)::bigint)::bigint AS q
    FROM observations, jsonb_each(groups) {SEALED}
    GROUP BY bucket, step, variant, key
    HAVING sum((value ->> 0)::bigint) > 0
    """  # noqa: S608
)

# What a key assigned goes together and is no trial of its own; a copy is none at all.
_BY_CHANCE = text(
    f"""
    SELECT bucket, step,
           coalesce(sum(calls - keyed - copies) FILTER (WHERE variant = 'green'), 0)::bigint AS green,
           coalesce(sum(calls - keyed) FILTER (WHERE variant = 'blue'), 0)::bigint AS blue
    FROM observations {SEALED}
    GROUP BY bucket, step
    HAVING sum(calls - keyed - copies) > 0
    ORDER BY bucket, step
    """  # noqa: S608
)
