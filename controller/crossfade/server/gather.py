"""Gather: a rollout's sealed evidence and its circumstances, out of the store. Reads only.

A bucket is sealed for a check `maturity` seconds after its end. What was received later does not count, so the
evidence of any past moment is a function of the stored rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row

from crossfade.core.decision import Conditions
from crossfade.core.evidence import EMPTY, Bucket, Series, Summary
from crossfade.core.outcome import Outcome
from crossfade.core.plan import Check, Plan
from crossfade.core.sealing import bucket_of, last_sealed
from crossfade.core.split import Variant
from crossfade.core.verdict import Judgement
from crossfade.server.history import read_history
from crossfade.server.store import observations, snapshots
from crossfade.server.store.losses import Span, group_sums, losses
from crossfade.server.store.pairs import paired_buckets
from crossfade.server.store.rollouts import Stored
from crossfade.server.traffic import traffic

THROTTLED_LATELY = timedelta(minutes=1)
MISCONFIGURED_LATELY = timedelta(minutes=5)
AT_ONCE = 500
"""Buckets read at a time."""


def evidence(
    connection: Connection, stored: Stored, plan: Plan, now: datetime, *, length: int | None = None
) -> tuple[Series, ...]:
    """One Series for each check of `plan`, in its order: what was sealed by `now`, which may be any past moment, in
    buckets of `length` seconds, by default as long as they are now."""
    length = length or snapshots.state(connection)[1]
    return tuple(_series(connection, stored, check, length, now) for check in plan.checks)


def _series(connection: Connection, stored: Stored, check: Check, length: int, now: datetime) -> Series:
    after = first_bucket(stored, check, length) - length
    sealed = last_sealed(now.timestamp(), length=length, maturity=check.maturity)
    parts = buckets_between(connection, stored, check, after=after, sealed=sealed, length=length)
    return Series(
        check.metric, tuple(chain.from_iterable(parts)), read_history(connection, stored, check, began(stored, check))
    )


def began(stored: Stored, check: Check) -> datetime:
    """When the check's evidence begins, where blue's history for it ends: with the rollout, or an amendment."""
    return stored.rollout.began if check.since is None else datetime.fromtimestamp(check.since, UTC)


def first_bucket(stored: Stored, check: Check, length: int) -> int:
    """The start of the check's first bucket: that in which the rollout began, or the first after an amendment.

    Before the rollout there were no calls to green, so its own first bucket is whole; that of an amendment is not.
    """
    first = bucket_of(began(stored, check).timestamp(), length)
    return first if check.since in (None, first) else first + length


def buckets_between(
    connection: Connection, stored: Stored, check: Check, *, after: int, sealed: int, length: int
) -> Iterator[tuple[Bucket, ...]]:
    """The check's buckets that start in (`after`, `sealed`], in time order, so many at a time as memory should hold
    the rows of: a day of calls with keys has millions."""
    paired = stored.rollout.plan.paired
    for part in span_of(stored, check.maturity, after=after, sealed=sealed, length=length).parts(AT_ONCE):
        rows = losses(connection, check, part)
        found = _buckets(rows, group_sums(connection, check, part)) if rows else ()
        if paired:
            # There green has copies alone, and they are compared with the very calls they are copies of.
            apart = (bucket for bucket in found if bucket.step not in paired)
            pairs = paired_buckets(connection, check, part, steps=paired)
            found = tuple(sorted((*apart, *pairs), key=lambda bucket: (bucket.start, bucket.step)))
        if found:
            yield found


def span_of(stored: Stored, maturity: float, *, after: int, sealed: int, length: int) -> Span:
    """The rollout's buckets in (`after`, `sealed`], each sealed `maturity` seconds after its end."""
    return Span(
        rollout=stored.rollout.id,
        route=stored.route_id,
        after=after,
        sealed=sealed,
        seal=length + maturity,
        length=length,
    )


def _buckets(rows: Iterable[Row[Any]], by_group: Iterable[Row[Any]]) -> tuple[Bucket, ...]:
    """The rows of both variants side by side, in the order of (bucket, step), with those of their groups."""
    found: dict[tuple[int, int], dict[Variant, Summary]] = {}
    for row in rows:
        found.setdefault((row.bucket, row.step), {})[Variant(row.variant)] = _summary(row)
    groups = {
        (row.bucket, row.step, Variant(row.variant)): {
            group: Summary(n, float(s), float(q)) for group, n, s, q in zip(row.grp, row.n, row.s, row.q, strict=True)
        }
        for row in by_group
    }
    return tuple(
        Bucket(
            start,
            step,
            blue=sums.get(Variant.BLUE, EMPTY),
            green=sums.get(Variant.GREEN, EMPTY),
            blue_groups=groups.get((start, step, Variant.BLUE), {}),
            green_groups=groups.get((start, step, Variant.GREEN), {}),
        )
        for (start, step), sums in sorted(found.items())
    )


def _summary(row: Row[Any]) -> Summary:
    return Summary(int(row.n), float(row.s), float(row.q))


def circumstances(connection: Connection, stored: Stored, judgement: Judgement, now: datetime) -> Conditions:
    """What decide must know besides the judgement."""
    rollout = stored.rollout
    place = {"rollout": rollout.id, "route": stored.route_id}
    calls, green = observations.step_calls(connection, **place, step=rollout.step)
    lately, _ = observations.green_attempts(
        connection, **place, green=rollout.green, since=(now - THROTTLED_LATELY).timestamp()
    )
    since = max(now - MISCONFIGURED_LATELY, rollout.resumed_at or rollout.created_at)
    own, elsewhere = observations.green_attempts(connection, **place, green=rollout.green, since=since.timestamp())
    attempts = sum(lately.values())
    shadow = observations.copies(connection, **place) if rollout.plan.paired else None
    return Conditions(
        calls=calls,
        green_calls=green,
        traffic=traffic(connection, stored.route_id, rollout.id, now),
        throttled=(_of(lately, Outcome.THROTTLED, Outcome.QUOTA) / attempts) if attempts else 0.0,
        misconfigured=_of(own, Outcome.MISCONFIGURED, Outcome.DENIED),
        # A call that another Model answered brought one attempt that was not green's.
        attempts=max(0, sum(own.values()) - elsewhere),
        waiting=_waiting(connection, stored, judgement, now),
        copies=shadow.copies if shadow else 0,
        copies_cost=shadow.cost if shadow and (shadow.answered or shadow.priced) else 0.0,
    )


def _waiting(connection: Connection, stored: Stored, judgement: Judgement, now: datetime) -> dict[str, int]:
    """Green's calls or scores of the step that are in and not sealed yet, by metric; those with any.

    Only where nothing is judged, where it is said: a maturity may be days, and nothing of them is carried.
    """
    if not judgement.lacking:
        return {}
    _, length = snapshots.state(connection)
    found = {}
    for check in (verdict.check for verdict in judgement.lacking):
        sealed = last_sealed(now.timestamp(), length=length, maturity=check.maturity)
        after = max(sealed, first_bucket(stored, check, length) - length)
        span = span_of(stored, check.maturity, after=after, sealed=int(now.timestamp()), length=length)
        rows = losses(connection, check, span, variants=(Variant.GREEN,))
        found[check.metric] = sum(row.n for row in rows if row.step == stored.rollout.step)
    return {metric: n for metric, n in found.items() if n}


def _of(counts: dict[str, int], *outcomes: Outcome) -> int:
    return sum(counts.get(outcome, 0) for outcome in outcomes)
