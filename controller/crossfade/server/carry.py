"""Carry: a rollout's evidence, brought up to date: what the last tick left, and the buckets sealed since.

So a tick costs what is new and not what is old. What it gives is what `gather.evidence` and `judge` give from all that
is stored: whenever what was kept does not fit (another format, margin, limit, maturity, overdispersion, beginning or
bucket length) it is computed anew.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from crossfade.core.evidence import EMPTY
from crossfade.core.plan import Check
from crossfade.core.sealing import last_sealed
from crossfade.server.gather import began, buckets_between, first_bucket
from crossfade.server.history import keep_history
from crossfade.server.store import carried as store
from crossfade.server.store import snapshots
from crossfade.server.store.rollouts import Stored
from crossfade.stats.carried import FORMAT, Carried, as_document, from_document, start_carried


def carry(connection: Connection, stored: Stored, now: datetime) -> list[Carried]:
    """The evidence on each check of the plan, in its order: all that is sealed by `now`. Kept for the next tick."""
    _, length = snapshots.state(connection)
    kept = store.found(connection, stored.rollout.id)
    found = []
    for check in stored.rollout.plan.checks:
        fingerprint = _fingerprint(check, length)
        row = kept.get(check.metric)
        old = row if row is not None and row.fingerprint == fingerprint else None
        if old is None:
            before, after = _begun(connection, stored, check), first_bucket(stored, check, length) - length
        else:
            before, after = from_document(old.document, _fresh(stored, check)), old.sealed
        sealed = last_sealed(now.timestamp(), length=length, maturity=check.maturity)
        state = before.at(stored.rollout.step, _gate_margin(stored, check))
        for buckets in buckets_between(connection, stored, check, after=after, sealed=sealed, length=length):
            state = state.after(buckets)
        # What was sealed and has nothing of this check is not read again either.
        if old is None or sealed > after or state.state is not before.state:
            store.put(
                connection,
                rollout_id=stored.rollout.id,
                metric=check.metric,
                fingerprint=fingerprint,
                sealed=max(after, sealed),
                document=as_document(state),
            )
        found.append(state)
    return found


def _fingerprint(check: Check, length: int) -> str:
    """What must not have changed for the evidence to be carried on."""
    return (
        f"{FORMAT} margin={check.margin!r} limit={check.limit!r} maturity={check.maturity!r}"
        f" overdispersion={check.overdispersion!r} since={check.since!r} bucket={length}"
    )


def _begun(connection: Connection, stored: Stored, check: Check) -> Carried:
    before = keep_history(connection, stored, check, began(stored, check))
    return start_carried(check, _gate_margin(stored, check), stored.rollout.step, before)


def _fresh(stored: Stored, check: Check) -> Carried:
    """One of the same build: it says the shape and kind of each number kept."""
    return start_carried(check, _gate_margin(stored, check), stored.rollout.step, EMPTY)


def _gate_margin(stored: Stored, check: Check) -> float:
    plan = stored.rollout.plan
    return check.gate_margin(plan.gate_weight(stored.rollout.step))
