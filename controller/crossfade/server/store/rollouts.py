"""Rollouts: saved whole, claimed by a row lock, changed only at the version that was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from crossfade.core.phase import LIVE, Phase
from crossfade.core.plan import Plan, plan_to_dict, read_plan
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict, NotFound
from crossfade.server.store.schema import rollouts, routes

MOST_WAIT = 300
"""Seconds between two turns of a rollout whose evaluation breaks each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A rollout, and what is kept beside it: the last decision, when to look again, and what its evidence began with
    (see `server.history`)."""

    rollout: Rollout
    route_id: int
    plan_hash: str
    next_evaluation: datetime | None
    evaluated_at: datetime | None
    act: str | None
    reason: str | None
    worst: str | None
    sentence: str
    histories: Mapping[str, Mapping[str, float]]


def plan_hash(plan: Plan) -> str:
    """Twelve hex digits that tell one plan from another."""
    return hashlib.sha256(json.dumps(plan_to_dict(plan), sort_keys=True).encode()).hexdigest()[:12]


def add(
    connection: Connection,
    *,
    route_id: int,
    route: str,
    blue: str,
    green: str,
    plan: Plan,
    salt: str,
    actor: str,
    now: datetime,
    sentence: str,
) -> Rollout:
    """A new pending rollout."""
    rollout_id = connection.execute(
        insert(rollouts)
        .values(
            route_id=route_id,
            blue=blue,
            green=green,
            plan=plan_to_dict(plan),
            plan_hash=plan_hash(plan),
            salt=salt,
            phase=Phase.PENDING,
            step=0,
            accepted=[],
            version=1,
            created_by=actor,
            created_at=now,
            sentence=sentence,
        )
        .returning(rollouts.c.id)
    ).scalar_one()
    return Rollout(id=rollout_id, route=route, blue=blue, green=green, plan=plan, salt=salt, created_at=now)


def find(connection: Connection, rollout_id: int, *, lock: bool = False) -> Stored:
    """The rollout; `lock` waits for whoever holds it, then reads what they left. Raises `NotFound`."""
    query = _select().where(rollouts.c.id == rollout_id)
    row = connection.execute(query.with_for_update(of=rollouts) if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"there is no rollout {rollout_id}")
    return _to_stored(row)


def claim_due(connection: Connection, now: datetime) -> int | None:
    """Locks the rollout that has waited longest for its evaluation, passing over those that others hold."""
    query = (
        select(rollouts.c.id)
        .where(rollouts.c.next_evaluation <= now)
        .order_by(rollouts.c.next_evaluation, rollouts.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).scalar_one_or_none()


def live_on(connection: Connection, route_id: int) -> Stored | None:
    """The route's live rollout."""
    return _one(connection, _select().where(rollouts.c.route_id == route_id, rollouts.c.phase.in_(sorted(LIVE))))


def all_live(connection: Connection) -> list[Stored]:
    rows = connection.execute(_select().where(rollouts.c.phase.in_(sorted(LIVE))).order_by(rollouts.c.id))
    return [_to_stored(row) for row in rows]


def promoted_on(connection: Connection, route_id: int, *, lock: bool = False) -> Stored | None:
    """The rollout whose promotion made the route's blue, unless it was superseded or undone."""
    query = _select().where(rollouts.c.route_id == route_id, rollouts.c.phase == Phase.PROMOTED)
    query = query.order_by(rollouts.c.id.desc()).limit(1)
    return _one(connection, query.with_for_update(of=rollouts) if lock else query)


def undoable_on(connection: Connection, route_id: int) -> Rollout | None:
    """The rollout whose promotion an undo could take back: what it brought still serves the route."""
    query = _select().where(rollouts.c.route_id == route_id, rollouts.c.phase == Phase.PROMOTED)
    stored = _one(connection, query.where(rollouts.c.green == routes.c.blue).order_by(rollouts.c.id.desc()).limit(1))
    return stored.rollout if stored else None


def undoable_to(connection: Connection) -> dict[str, list[int]]:
    """By Model, the rollouts whose undo would return a route to it."""
    query = _select().with_only_columns(rollouts.c.blue, rollouts.c.id).where(rollouts.c.phase == Phase.PROMOTED)
    query = query.where(rollouts.c.green == routes.c.blue, routes.c.deleted_at.is_(None)).order_by(rollouts.c.id)
    found: dict[str, list[int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.blue, []).append(row.id)
    return found


def listed(
    connection: Connection, *, route_id: int | None = None, phases: list[str] | None = None, most: int
) -> list[Stored]:
    """Newest first."""
    query = _select().order_by(rollouts.c.id.desc()).limit(most)
    if route_id is not None:
        query = query.where(rollouts.c.route_id == route_id)
    if phases is not None:
        query = query.where(rollouts.c.phase.in_(phases))
    return [_to_stored(row) for row in connection.execute(query)]


def latest_per_route(connection: Connection) -> dict[int, Stored]:
    """Each route's newest rollout, by the route's number."""
    query = _select().ext(distinct_on(rollouts.c.route_id)).order_by(rollouts.c.route_id, rollouts.c.id.desc())
    return {row.route_id: _to_stored(row) for row in connection.execute(query)}


def ids_since(connection: Connection, route_id: int, since: datetime) -> list[int]:
    """Under which rollouts the route's calls since then may be recorded: 0 for none, and those not ended before."""
    rows = connection.execute(
        select(rollouts.c.id).where(
            rollouts.c.route_id == route_id, rollouts.c.ended_at.is_(None) | (rollouts.c.ended_at >= since)
        )
    )
    return [0, *(row.id for row in rows)]


def places_since(connection: Connection, since: datetime) -> list[tuple[int, int]]:
    """(rollout, route) under which calls since then may be recorded, of every route: 0 for none, and those not ended
    before."""
    ended = select(rollouts.c.id, rollouts.c.route_id).where(
        rollouts.c.ended_at.is_(None) | (rollouts.c.ended_at >= since)
    )
    none = select(routes.c.id).where(routes.c.deleted_at.is_(None) | (routes.c.deleted_at >= since))
    places = [(0, row.id) for row in connection.execute(none)]
    return sorted([*places, *((row.id, row.route_id) for row in connection.execute(ended))])


def save(connection: Connection, rollout: Rollout, *, was: int, **beside: Any) -> None:
    """Saves the rollout if its version is still `was`, else raises `Conflict`. `beside` sets further columns."""
    result = connection.execute(
        update(rollouts)
        .where(rollouts.c.id == rollout.id, rollouts.c.version == was)
        .values(
            phase=rollout.phase,
            step=rollout.step,
            accepted=list(rollout.accepted),
            version=rollout.version,
            started_at=rollout.started_at,
            step_started_at=rollout.step_started_at,
            resumed_at=rollout.resumed_at,
            ended_at=rollout.ended_at,
            **beside,
        )
    )
    if result.rowcount != 1:
        raise Conflict(f"rollout {rollout.id} is no longer at version {was}: look again")


def keep_history(connection: Connection, rollout_id: int, key: str, sums: Mapping[str, float]) -> None:
    """Adds what a check's evidence began with. A saving beside the version: nobody else writes it."""
    kept = rollouts.c.histories.concat({key: dict(sums)})
    connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(histories=kept))


def postpone(connection: Connection, rollout_id: int, *, now: datetime) -> int | None:
    """Counts a broken turn, doubles the wait until the next one, and returns how many broke in a row."""
    query = select(rollouts.c.failures).where(rollouts.c.id == rollout_id, rollouts.c.next_evaluation <= now)
    failures: int | None = connection.execute(query.with_for_update()).scalar_one_or_none()
    if failures is None:
        return None
    wait = timedelta(seconds=min(MOST_WAIT, 5 * 2 ** min(failures, 10)))
    connection.execute(
        update(rollouts).where(rollouts.c.id == rollout_id).values(failures=failures + 1, next_evaluation=now + wait)
    )
    return failures + 1


def _select() -> Select[Any]:
    return select(rollouts, routes.c.name.label("route")).join(routes, routes.c.id == rollouts.c.route_id)


def _one(connection: Connection, query: Select[Any]) -> Stored | None:
    row = connection.execute(query).one_or_none()
    return _to_stored(row) if row else None


def _to_stored(row: Row[Any]) -> Stored:
    reader = Reader(row.plan, "plan")
    plan = read_plan(reader, kept=True)
    reader.check()
    rollout = Rollout(
        id=row.id,
        route=row.route,
        blue=row.blue,
        green=row.green,
        plan=plan,
        salt=row.salt,
        created_at=row.created_at,
        phase=Phase(row.phase),
        step=row.step,
        started_at=row.started_at,
        step_started_at=row.step_started_at,
        resumed_at=row.resumed_at,
        ended_at=row.ended_at,
        accepted=tuple(row.accepted),
        version=row.version,
    )
    return Stored(
        rollout=rollout,
        route_id=row.route_id,
        plan_hash=row.plan_hash,
        next_evaluation=row.next_evaluation,
        evaluated_at=row.evaluated_at,
        act=row.act,
        reason=row.reason,
        worst=row.worst,
        sentence=row.sentence,
        histories=row.histories,
    )
