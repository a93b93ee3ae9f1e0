"""Split: whether green gets the share of calls that its weight says, as far as the calls are sealed.

Counted are the calls that chance split, judged or not, by the variant they were *assigned*: a fallback from green to
blue is green's. A bucket is sealed as for the error rate, so what is tested are the very calls that are judged.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from crossfade.core.evidence import ByChance, Shares
from crossfade.core.plan import Plan
from crossfade.core.sealing import bucket_of, last_sealed
from crossfade.core.verdict import SAMPLE_RATIO, Split
from crossfade.server.gather import span_of
from crossfade.server.store import carried as store
from crossfade.server.store import snapshots
from crossfade.server.store.losses import chance_sums
from crossfade.server.store.rollouts import Stored
from crossfade.stats.sample_ratio import FORMAT, as_document, from_document, start_sample_ratio


def carry_split(connection: Connection, stored: Stored, now: datetime) -> Split:
    """What all that is sealed by `now` says of the split: what the last tick left, and the buckets sealed since."""
    _, length = snapshots.state(connection)
    plan = stored.rollout.plan
    weights = [step.weight for step in plan.steps]
    fingerprint = f"{FORMAT} weights={weights!r} maturity={plan.split_maturity!r} bucket={length}"
    row = store.one(connection, stored.rollout.id, SAMPLE_RATIO)
    if row is not None and row.fingerprint == fingerprint:
        before, after = from_document(row.document), row.sealed
    else:
        row = None
        before, after = start_sample_ratio(), bucket_of(stored.rollout.began.timestamp(), length) - length
    sealed = max(after, last_sealed(now.timestamp(), length=length, maturity=plan.split_maturity))
    buckets = _between(connection, stored, plan, after=after, sealed=sealed, length=length)
    ratio = before.after((each.weight, each.green, each.blue) for each in buckets)
    if row is None or sealed > after:
        store.put(
            connection,
            rollout_id=stored.rollout.id,
            metric=SAMPLE_RATIO,
            fingerprint=fingerprint,
            sealed=sealed,
            document=as_document(ratio),
        )
    return ratio.split


def by_chance(
    connection: Connection, stored: Stored, plan: Plan, now: datetime, *, length: int | None = None
) -> ByChance:
    """All of it that was sealed by `now`, which may be any past moment, in buckets of `length` seconds, by default as
    long as they are now."""
    length = length or snapshots.state(connection)[1]
    sealed = last_sealed(now.timestamp(), length=length, maturity=plan.split_maturity)
    after = bucket_of(stored.rollout.began.timestamp(), length) - length
    return ByChance(plan.split_maturity, _between(connection, stored, plan, after=after, sealed=sealed, length=length))


def _between(
    connection: Connection, stored: Stored, plan: Plan, *, after: int, sealed: int, length: int
) -> tuple[Shares, ...]:
    if sealed <= after:
        return ()
    span = span_of(stored, plan.split_maturity, after=after, sealed=sealed, length=length)
    rows = chance_sums(connection, span)
    return tuple(
        Shares(row.bucket, plan.steps[row.step].weight / 100, row.green, row.blue)
        for row in rows
        if row.step not in plan.paired  # there green gets copies: nothing is split
    )
