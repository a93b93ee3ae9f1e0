"""Journal: appended, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from crossfade.core.amendment import AMEND
from crossfade.core.phase import Verb
from crossfade.core.rollout import Rollout
from crossfade.server.store.schema import journal

CONTROLLER = "controller"
PERSON = "person"
REBUCKET = "rebucket"
"""The act of a controller that was started with another length of a time bucket."""


def append(
    connection: Connection,
    *,
    at: datetime,
    subject: str,
    actor: str,
    kind: str,
    act: str,
    reason: str,
    sentence: str,
    numbers: dict[str, Any] | None = None,
    rollout: Rollout | None = None,
    plan_hash: str | None = None,
    rollout_id: int | None = None,
) -> None:
    """One entry. `rollout` is the one after the act; where only its number is known, that is `rollout_id`."""
    connection.execute(
        insert(journal).values(
            at=at,
            rollout_id=rollout.id if rollout else rollout_id,
            subject=subject,
            actor=actor,
            actor_kind=kind,
            act=act,
            reason=reason,
            sentence=sentence,
            numbers=numbers or {},
            plan_hash=plan_hash,
            step=rollout.step if rollout else None,
            weight=rollout.weight if rollout else None,
        )
    )


def advances(connection: Connection, rollout_id: int) -> dict[int, datetime]:
    """When each step was advanced to, by a person or the controller."""
    query = select(journal.c.step, journal.c.at).where(
        journal.c.rollout_id == rollout_id, journal.c.act == Verb.ADVANCE, journal.c.step.is_not(None)
    )
    return {row.step: row.at for row in connection.execute(query.order_by(journal.c.id.desc()))}


def plans_replaced(connection: Connection, rollout_ids: Iterable[int]) -> dict[int, list[tuple[float, dict[str, Any]]]]:
    """By rollout, the plans that an amendment replaced, in their order, and when, in seconds since 1970."""
    query = select(journal.c.rollout_id, journal.c.at, journal.c.numbers["before"].label("plan")).where(
        journal.c.rollout_id.in_(sorted(rollout_ids)), journal.c.act == AMEND
    )
    found: dict[int, list[tuple[float, dict[str, Any]]]] = {}
    for row in connection.execute(query.order_by(journal.c.id)):
        found.setdefault(row.rollout_id, []).append((row.at.timestamp(), row.plan))
    return found


def calibration(connection: Connection, rollout_id: int) -> dict[str, Any] | None:
    """What A/A replays came to when the rollout was registered; None in an entry from before there were any."""
    query = select(journal.c.numbers["calibration"]).where(
        journal.c.rollout_id == rollout_id, journal.c.act == "register"
    )
    found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
    return found


_CHANGES_OF_BLUE = """
    FROM journal LEFT JOIN rollouts ON rollouts.id = journal.rollout_id
    WHERE (
        rollouts.route_id = :route AND journal.act IN ('promote', 'undo')
        OR journal.subject = 'route ' || :name AND (journal.act = 'create' OR journal.numbers ? 'blue')
    )
"""
_BLUE_CHANGED = text(f"SELECT max(journal.at) {_CHANGES_OF_BLUE} AND journal.at <= :by")
_BLUE_CHANGED_BY = text(f"SELECT journal.act, journal.rollout_id {_CHANGES_OF_BLUE} ORDER BY journal.id DESC LIMIT 1")


def blue_changed(connection: Connection, route_id: int, name: str, *, by: datetime) -> datetime | None:
    """When the route's blue last changed up to then: by a declaration, a promotion, or the undoing of one."""
    found: datetime | None = connection.execute(
        _BLUE_CHANGED, {"route": route_id, "name": name, "by": by}
    ).scalar_one_or_none()
    return found


def undone_last(connection: Connection, route_id: int, name: str) -> int | None:
    """The rollout whose promotion was undone, if that is the last that changed the route's blue."""
    row = connection.execute(_BLUE_CHANGED_BY, {"route": route_id, "name": name}).one_or_none()
    return row.rollout_id if row and row.act == Verb.UNDO else None


def listed(connection: Connection, *, rollout_id: int | None, after: int, most: int) -> list[Row[Any]]:
    """Newest first."""
    query = select(journal).where(journal.c.id > after).order_by(journal.c.id.desc()).limit(most)
    if rollout_id is not None:
        query = query.where(journal.c.rollout_id == rollout_id)
    return list(connection.execute(query))


def of_rollout(connection: Connection, rollout_id: int) -> list[Row[Any]]:
    """All of one rollout, in the order it happened."""
    return list(connection.execute(select(journal).where(journal.c.rollout_id == rollout_id).order_by(journal.c.id)))
