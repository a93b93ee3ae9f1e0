"""Past: what a rollout was at a past moment, out of what is kept of it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from crossfade.core.decision import Conditions
from crossfade.core.evidence import ByChance, Series
from crossfade.core.phase import Verb
from crossfade.core.plan import Plan
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict
from crossfade.server.store import journal, partitions, snapshots
from crossfade.server.store.losses import history_since
from crossfade.server.store.rollouts import Stored
from crossfade.simulation.replay import Look, Moved, Recorded

BROKEN = "turn_broken"


def plan_in_force(stored: Stored, at: datetime) -> Plan:  # noqa: ARG001
    """The plan by which the rollout was judged at that time."""
    return stored.rollout.plan


def registered(stored: Stored) -> Rollout:
    """The rollout as it was before its start."""
    now = stored.rollout
    return Rollout(
        id=now.id,
        route=now.route,
        blue=now.blue,
        green=now.green,
        plan=plan_in_force(stored, now.created_at),
        salt=now.salt,
        created_at=now.created_at,
    )


def after(stored: Stored, entries: Iterable[Row[Any]]) -> Rollout:
    """The rollout after these entries of its journal, which are its first."""
    rollout = registered(stored)
    for entry in entries:
        if moved := _moved(entry):
            rollout = rollout.moved(moved.verb, moved.at, accepted=moved.accepted)
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
    series: tuple[Series, ...],
    by_chance: ByChance,
) -> Recorded:
    """All that a replay needs of a rollout. `entries` and `looks` are all there are, in time order."""
    rollout = stored.rollout
    begun = {0: rollout.started_at} if rollout.started_at else {}
    _, length = snapshots.state(connection)
    last = after(stored, entries := _up_to_the_end(entries))
    return Recorded(
        registered=registered(stored),
        series=series,
        events=_events(entries, looks),
        begun=begun | journal.advances(connection, rollout.id),
        length=length,
        phase=last.phase,
        ended=last.ended_at,
        by_chance=by_chance,
    )


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


def _events(entries: Iterable[Row[Any]], looks: Sequence[Row[Any]]) -> list[Look | Moved]:
    """Looks and people's acts in the order they happened. The journal's order is that in which they were committed:
    an act that waited for a look that was under way comes after it, though it was asked for before.
    """
    events: list[Look | Moved] = []
    waiting = [Look(at=row.at, step=row.step, conditions=conditions(row)) for row in reversed(looks)]
    for entry in entries:
        moved = _moved(entry)
        by_controller = entry.actor_kind == journal.CONTROLLER
        while waiting and (waiting[-1].at < entry.at or (by_controller and waiting[-1].at == entry.at)):
            events.append(waiting.pop())
        if moved and not by_controller:
            events.append(moved)
    return events + waiting[::-1]


def _moved(entry: Row[Any]) -> Moved | None:
    """The move that an entry tells of, if it does."""
    if entry.act not in list(Verb):
        return None
    return Moved(at=entry.at, verb=Verb(entry.act), accepted=tuple(entry.numbers.get("accepted", ())))
