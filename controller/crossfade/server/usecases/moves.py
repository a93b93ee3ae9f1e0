"""Moves: what a rollout's move changes besides itself. The same for a person's act and the controller's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from crossfade.core.phase import Phase, Verb
from crossfade.core.rollout import Rollout
from crossfade.core.route import not_taken
from crossfade.errors import Conflict
from crossfade.server.store import declared, journal, rollouts, snapshots
from crossfade.server.store.rollouts import Stored
from crossfade.server.usecases.snapshot import live_part


def save_move(
    connection: Connection, stored: Stored, after: Rollout, *, actor: str, kind: str, now: datetime, **beside: Any
) -> None:
    """Saves `after`; a promotion or its undoing changes the route's blue. Raises the snapshot's version if need be.

    `stored` is the rollout before, locked by this transaction. Locks are taken in the order rollouts, route, snapshot.
    """
    before = stored.rollout
    if after.phase is Phase.PROMOTED and before.phase is not Phase.PROMOTED:
        _supersede(connection, stored, actor, kind, now)
        _serve(connection, stored, after.green, now)
    elif before.phase is Phase.PROMOTED and after.phase is Phase.ABORTED:
        _check_undo(connection, stored)
        _serve(connection, stored, after.blue, now)
    rollouts.save(
        connection, after, was=before.version, next_evaluation=next_evaluation(after, now), failures=0, **beside
    )
    if live_part(before) != live_part(after):
        snapshots.bump(connection)


def next_evaluation(rollout: Rollout, now: datetime) -> datetime | None:
    """When to look again; None for one that is not running."""
    if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED):
        return None
    return now + timedelta(seconds=rollout.plan.evaluate_every)


def _supersede(connection: Connection, stored: Stored, actor: str, kind: str, now: datetime) -> None:
    """The promotion that made the blue which is now replaced has had its time."""
    earlier = rollouts.promoted_on(connection, stored.route_id, lock=True)
    if earlier is None:
        return
    after = earlier.rollout.moved(Verb.SUPERSEDE, now)
    sentence = f"Superseded: rollout {stored.rollout.id} promotes {stored.rollout.green}."
    rollouts.save(connection, after, was=earlier.rollout.version, sentence=sentence)
    journal.append(
        connection,
        at=now,
        subject=f"rollout {after.id}",
        actor=actor,
        kind=kind,
        act=Verb.SUPERSEDE,
        reason=f"rollout {stored.rollout.id}",
        sentence=sentence,
        rollout=after,
        plan_hash=earlier.plan_hash,
    )


def _serve(connection: Connection, stored: Stored, blue: str, now: datetime) -> None:
    name = stored.rollout.route
    if not declared.hold_models(connection, [blue]):
        raise Conflict(f"the Model {blue!r} is not there any more, so route {name!r} cannot return to it")
    route = declared.route_by_id(connection, stored.route_id, lock=True)
    if route.deleted:
        raise Conflict(f"route {name!r} was deleted")
    model = declared.find_model(connection, blue)
    if model is not None and (lacking := model.lacks(route.route.needs)):
        # While it did not serve the route, its declaration and the route's were free to part.
        raise Conflict(not_taken(blue, lacking, name))
    declared.set_blue(connection, stored.route_id, blue, now)
    if live_part(stored.rollout) is None:
        snapshots.bump(connection)


def _check_undo(connection: Connection, stored: Stored) -> None:
    rollout = stored.rollout
    live = rollouts.live_on(connection, stored.route_id)
    if live:
        raise Conflict(
            f"rollout {live.rollout.id} is {live.rollout.phase} on route {rollout.route!r}; abort it before undoing"
            f" rollout {rollout.id}"
        )
    route = declared.route_by_id(connection, stored.route_id, lock=True)
    if route.route.blue != rollout.green:
        raise Conflict(
            f"route {rollout.route!r} is served by {route.route.blue!r} by now, not by {rollout.green!r}:"
            f" there is nothing to undo"
        )
