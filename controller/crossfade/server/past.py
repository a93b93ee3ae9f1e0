"""Past: what a rollout was at a past moment, out of what is kept of it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from crossfade.core.amendment import AMEND
from crossfade.core.decision import Conditions
from crossfade.core.phase import Verb
from crossfade.core.plan import Plan, read_plan
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict
from crossfade.server.gather import evidence
from crossfade.server.split import by_chance
from crossfade.server.store import journal, partitions, snapshots
from crossfade.server.store.journal import REBUCKET
from crossfade.server.store.losses import history_since
from crossfade.server.store.rollouts import Stored
from crossfade.simulation.replay import Amended, Look, Moved, Rebucketed, Recorded

BROKEN = "turn_broken"


def plan_in_force(stored: Stored, entries: Iterable[Row[Any]], at: datetime) -> Plan:
    """The plan by which a look at that time judged. `entries` are all of the rollout's journal, in their order.

    An amendment is never dated before a look that was before it, so a look at the very same time was still by the plan
    that it replaced.
    """
    amended = [entry for entry in entries if entry.act == AMEND]
    later = next((entry for entry in amended if entry.at >= at), None)
    return stored.rollout.plan if later is None else _plan(later, "before")


def registered(stored: Stored, entries: Iterable[Row[Any]]) -> Rollout:
    """The rollout as it was before its start. `entries` are all of its journal."""
    now = stored.rollout
    return Rollout(
        id=now.id,
        route=now.route,
        blue=now.blue,
        green=now.green,
        plan=plan_in_force(stored, entries, now.created_at),
        salt=now.salt,
        created_at=now.created_at,
    )


def after(rollout: Rollout, entries: Iterable[Row[Any]]) -> Rollout:
    """The rollout after these entries of its journal."""
    for entry in entries:
        if moved := _moved(entry):
            rollout = rollout.moved(moved.verb, moved.at, accepted=moved.accepted)
        elif entry.act == AMEND:
            rollout = rollout.amended(_plan(entry, "after"))
    return rollout


def conditions(row: Row[Any]) -> Conditions:
    """Of a look that is kept."""
    return Conditions(**row.conditions)


def recorded(
    connection: Connection,
    stored: Stored,
    *,
    entries: Sequence[Row[Any]],
    looks: Sequence[Row[Any]],
    plan: Plan | None,
    until: datetime,
) -> Recorded:
    """All that a replay needs of a rollout, with what was sealed by `until`. `entries` and `looks` are all there are,
    in time order; `plan` is the one that is replayed from the start, None for its own through all amendments.
    """
    rollout = stored.rollout
    begun = {0: rollout.started_at} if rollout.started_at else {}
    everything, entries = entries, _up_to_the_end(entries)
    first = registered(stored, entries)
    last = after(first, entries)
    length = length_then(connection, everything, rollout.created_at)

    def changed(entry: Row[Any]) -> Amended | Rebucketed:
        if entry.act == AMEND:
            return _amended(connection, stored, entry, until, length_then(connection, everything, entry.at))
        then = plan or (after(first, [other for other in entries if other.id < entry.id])).plan
        return _rebucketed(connection, stored, entry, until, then)

    return Recorded(
        registered=first,
        series=evidence(connection, stored, plan or first.plan, until, length=length),
        events=_events(entries, looks, [changed(entry) for entry in entries if entry.act in (AMEND, REBUCKET)]),
        begun=begun | journal.advances(connection, rollout.id),
        length=length,
        phase=last.phase,
        ended=last.ended_at,
        by_chance=by_chance(connection, stored, first.plan, until, length=length),
    )


def length_then(connection: Connection, entries: Iterable[Row[Any]], at: datetime) -> int:
    """The length of a bucket by which a look at that time judged. `entries` are all of the rollout's journal."""
    later = next((entry for entry in entries if entry.act == REBUCKET and entry.at >= at), None)
    return int(later.numbers["before"]) if later else snapshots.state(connection)[1]


def refuse_dropped(connection: Connection, stored: Stored, *, now: datetime, retention: timedelta) -> None:
    """Raises `Conflict` when some of what the rollout was judged by has been dropped: no wrong answer instead."""
    since = history_since(connection, stored.route_id, stored.rollout.began)
    if since.date() >= (now - retention).date():
        return
    oldest = min((day for day in partitions.days(connection)), default=None)
    if oldest is None or oldest > since.date():
        raise Conflict(
            f"rollout {stored.rollout.id} was judged by evidence from {since:%Y-%m-%d} on, and evidence is kept for"
            f" {retention.days} days: it has been dropped. The journal keeps what was decided, and on which numbers"
        )


def is_decision(entry: Row[Any]) -> bool:
    """Whether an entry of the journal is the controller's decision, with the numbers it rests on."""
    return bool(entry.actor_kind == journal.CONTROLLER and "verdicts" in entry.numbers)


def _up_to_the_end(entries: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Until green's share became 0 or all: that a promotion was undone or superseded later is not part of it."""
    ends = (Verb.PROMOTE, Verb.ROLL_BACK, Verb.ABORT)
    place = next((place for place, entry in enumerate(entries) if entry.act in ends), len(entries))
    return entries[: place + 1]


def _events(
    entries: Iterable[Row[Any]], looks: Sequence[Row[Any]], changed: Sequence[Amended | Rebucketed]
) -> list[Look | Moved | Amended | Rebucketed]:
    """Looks and people's acts in the order they happened: the journal's, which is that in which they were committed. A
    look of the same moment as an entry came before it (`usecases.act.after_last_look`). `changed` are the amendments
    and changes of the length of a bucket among the entries, in their order.
    """
    events: list[Look | Moved | Amended | Rebucketed] = []
    waiting = [Look(at=row.at, step=row.step, conditions=conditions(row)) for row in reversed(looks)]
    changes = iter(changed)
    for entry in entries:
        moved = _moved(entry)
        while waiting and waiting[-1].at <= entry.at:
            events.append(waiting.pop())
        if entry.act in (AMEND, REBUCKET):
            events.append(next(changes))
        elif moved and entry.actor_kind != journal.CONTROLLER:
            events.append(moved)
    return events + waiting[::-1]


def _rebucketed(connection: Connection, stored: Stored, entry: Row[Any], until: datetime, plan: Plan) -> Rebucketed:
    """The change of the length of a bucket that an entry tells of, with all evidence on the plan read by it."""
    length = int(entry.numbers["after"])
    return Rebucketed(
        at=entry.at,
        length=length,
        series=evidence(connection, stored, plan, until, length=length),
        by_chance=by_chance(connection, stored, plan, until, length=length),
    )


def _amended(connection: Connection, stored: Stored, entry: Row[Any], until: datetime, length: int) -> Amended:
    """The amendment that an entry tells of, with the evidence on each check that began with it."""
    before = {check.identity for check in _plan(entry, "before").checks}
    plan = _plan(entry, "after")
    begun = tuple(check for check in plan.checks if check.identity not in before)
    return Amended(
        at=entry.at,
        plan=plan,
        series=evidence(connection, stored, replace(plan, checks=begun), until, length=length),
        by_chance=by_chance(connection, stored, plan, until, length=length),
    )


def _plan(entry: Row[Any], which: str) -> Plan:
    """The plan `before` or `after` an amendment."""
    reader = Reader(entry.numbers[which], f"numbers.{which}")
    plan = read_plan(reader, kept=True)
    reader.check()
    return plan


def _moved(entry: Row[Any]) -> Moved | None:
    """The move that an entry tells of, if it does."""
    if entry.act not in list(Verb):
        return None
    return Moved(at=entry.at, verb=Verb(entry.act), accepted=tuple(entry.numbers.get("accepted", ())))
