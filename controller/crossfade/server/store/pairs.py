"""Pairs: at a shadow step, calls of blue with green's copies of them, as sums of how the losses differ. Reads only.

Sealed as in `store.losses`. Of a score both must be in before the seal; of other metrics a copy is recorded with the
pair it makes (`core.pair`), and both must have a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, text

from crossfade.core.evidence import Bucket, Pairs, Summary
from crossfade.core.pair import PairLosses
from crossfade.core.plan import Check
from crossfade.server.store.losses import SEALED, Span

Key = tuple[int, int]
"""Bucket and step."""


def paired_buckets(connection: Connection, check: Check, span: Span, *, steps: Iterable[int]) -> list[Bucket]:
    """The buckets of these shadow steps, in the order of bucket and step, with those calls of blue that have a copy.
    Raises `ValueError` for a check without the limit it needs."""
    place: dict[str, Any] = asdict(span) | {"steps": sorted(steps)}
    if check.is_score:
        rows = connection.execute(_SCORES, place | {"metric": check.score_name})
        losses = [((row.bucket, row.step), (row.blue, row.green), 1) for row in rows]
    else:
        of = PairLosses(check.metric, check.limit).of
        rows = connection.execute(_PAIRS, place)
        losses = [((row.bucket, row.step), pair, row.n) for row in rows if (pair := of(row.key)) is not None]
    return _buckets(losses)


def _buckets(losses: Iterable[tuple[Key, tuple[float, float], int]]) -> list[Bucket]:
    """Of ((bucket, step), (blue's loss, green's), how many) in the order of bucket and step."""
    found: dict[Key, Bucket] = {}
    for (start, step), (blue, green), n in losses:
        d = green - blue
        pair = Bucket(
            start,
            step,
            blue=Summary(n, n * blue, n * blue * blue),
            green=Summary(n, n * green, n * green * green),
            pairs=Pairs(n, n * max(0.0, d), n * max(0.0, -d), n * d * d),
        )
        before = found.get((start, step))
        found[start, step] = pair if before is None else before + pair
    return list(found.values())


# In the order of the key: the same rows always give the very same sums.
_PAIRS = text(
    f"""
    SELECT bucket, step, key, sum(value::bigint)::bigint AS n
    FROM observations, jsonb_each_text(pairs) {SEALED} AND variant = 'green' AND step = ANY(:steps)
    GROUP BY bucket, step, key
    ORDER BY bucket, step, key COLLATE "C"
    """  # noqa: S608
)
# A copy's call id differs from its call's in the last half byte of what tells calls apart (`core.callid.copied`).
_SCORES = text(
    """
    WITH calls AS (
        SELECT called_at, call, step, variant, avg(1 - value) AS loss
        FROM scores
        WHERE rollout_id = :rollout AND route_id = :route AND metric = :metric AND step = ANY(:steps)
          AND called_at >= :after + :length AND called_at < :sealed + :length
          AND received_at <= to_timestamp(called_at / :length * :length + :seal)
        GROUP BY called_at, call, step, variant
    )
    SELECT called_at / :length * :length AS bucket, step, blue.loss AS blue, green.loss AS green
    FROM calls AS blue JOIN calls AS green USING (called_at, step)
    WHERE blue.variant = 'blue' AND green.variant = 'green' AND left(blue.call, -1) = left(green.call, -1)
    ORDER BY called_at / :length * :length, step, blue.call COLLATE "C"
    """
)
