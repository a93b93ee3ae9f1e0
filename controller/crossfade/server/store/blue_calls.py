"""Blue's calls: one by one, and by the group of their key, out of blue's own past. Reads only.

Times are put into buckets of `width` seconds, which may be several of those recorded. What was received after the past
ends does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, text

from crossfade.core.metric import metric_of
from crossfade.core.plan import Check
from crossfade.server.store.losses import BEFORE, COUNTED_TABLES
from crossfade.server.store.summed import Past


def by_loss(connection: Connection, check: Check, past: Past, width: int) -> Sequence[Row[Any]]:
    """(bucket, loss, n) of the calls whose key is not known for this metric. Raises `ValueError` as `losses` does."""
    metric = metric_of(check.metric)
    place = asdict(past) | {"width": width}
    if check.is_score:
        return connection.execute(_SCORES, place | {"metric": check.score_name}).all()
    if metric.table is None:
        return connection.execute(_ERRORS, place).all()
    losses = metric.losses(check.limit)
    if not metric.binary:
        return connection.execute(_COSTS, place | {"losses": list(losses.values())}).all()
    bad = [key for key, loss in losses.items() if loss]
    return connection.execute(_BINARY[metric.table], place | {"bad": bad}).all()


def by_group(connection: Connection, check: Check, past: Past, width: int) -> Sequence[Row[Any]] | None:
    """(bucket, family, grp, n, s, q) of the calls with a key; the family is the rollout, which sorts keys anew. None
    for a metric that is not recorded by key."""
    place = asdict(past) | {"width": width}
    if check.is_score:
        return connection.execute(_SCORE_GROUPS, place | {"metric": check.score_name}).all()
    if metric_of(check.metric).table is None:
        return connection.execute(_ERROR_GROUPS, place).all()
    return None


def keyed_share(connection: Connection, past: Past) -> float:
    """Of blue's calls, those with a key."""
    return float(connection.execute(_KEYED, asdict(past)).scalar_one())


_BUCKET = "bucket / :width * :width"

# A row's groups hold some of its judged calls; the others have no key.
_ERRORS = text(
    f"""
    SELECT bucket, loss, n FROM (
        SELECT {_BUCKET} AS bucket, sum(errors - bad)::bigint AS bad,
               sum(judged - errors - (known - bad))::bigint AS good
        FROM observations, LATERAL (
            SELECT coalesce(sum((value ->> 0)::bigint), 0) AS known, coalesce(sum((value ->> 1)::bigint), 0) AS bad
            FROM jsonb_each(groups)
        ) AS keyed {BEFORE}
        GROUP BY 1
    ) AS counts, LATERAL (VALUES (0.0::float8, good), (1.0::float8, bad)) AS each (loss, n)
    WHERE n > 0
    ORDER BY bucket, loss
    """  # noqa: S608
)
_ERROR_GROUPS = text(
    f"""
    SELECT {_BUCKET} AS bucket, rollout_id AS family, key::smallint AS grp, sum((value ->> 0)::bigint)::bigint AS n,
           sum((value ->> 1)::bigint)::float8 AS s, sum((value ->> 1)::bigint)::float8 AS q
    FROM observations, jsonb_each(groups) {BEFORE}
    GROUP BY 1, 2, 3
    HAVING sum((value ->> 0)::bigint) > 0
    ORDER BY 1, 2, 3
    """  # noqa: S608
)
# A table's keys are many, its losses few: told apart row by row, there is nothing to sort and nothing to look up.
_BINARY = {
    table: text(
        f"""
        SELECT bucket, loss, n FROM (
            SELECT {_BUCKET} AS bucket, coalesce(sum(value::bigint) FILTER (WHERE key = ANY(:bad)), 0)::bigint AS bad,
                   sum(value::bigint)::bigint AS counted
            FROM observations, jsonb_each_text({table}) {BEFORE}
            GROUP BY 1
        ) AS counts, LATERAL (VALUES (0.0::float8, counted - bad), (1.0::float8, bad)) AS each (loss, n)
        WHERE n > 0
        ORDER BY bucket, loss
        """  # noqa: S608
    )
    for table in COUNTED_TABLES
    if table != "costs"
}
_COSTS = text(
    f"""
    SELECT {_BUCKET} AS bucket, (CAST(:losses AS float8[]))[key::int + 1] AS loss, sum(value::bigint)::bigint AS n
    FROM observations, jsonb_each_text(costs) {BEFORE}
    GROUP BY 1, 2
    ORDER BY 1, 2
    """  # noqa: S608
)
_KEYED = text(
    f"""
    SELECT coalesce(sum(keyed)::float8 / nullif(sum(calls), 0), 0) FROM observations {BEFORE}
    """  # noqa: S608
)

# A loss is 1 - score, averaged over a call's graders.
_CALLS = """
    SELECT called_at / :width * :width AS bucket, rollout_id AS family, grp, avg(1 - value) AS loss
    FROM scores
    WHERE rollout_id = ANY(:rollouts) AND route_id = :route AND metric = :metric AND variant = 'blue'
      AND called_at >= :since AND called_at < :until AND received_at <= to_timestamp(:until)
    GROUP BY rollout_id, called_at, call, grp
"""
_SCORES = text(
    f"""
    SELECT bucket, loss, count(*) AS n FROM ({_CALLS}) AS calls
    WHERE grp IS NULL GROUP BY bucket, loss ORDER BY bucket, loss
    """  # noqa: S608
)
_SCORE_GROUPS = text(
    f"""
    SELECT bucket, family, grp, count(*) AS n, sum(loss) AS s, sum(loss * loss) AS q FROM ({_CALLS}) AS calls
    WHERE grp IS NOT NULL GROUP BY bucket, family, grp ORDER BY bucket, family, grp
    """  # noqa: S608
)
