"""Journal: every decision and every act of a person, as shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.server.database import begin
from crossfade.server.store import journal as store
from crossfade.server.store import rollouts
from crossfade.server.views.plain import plain_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`actor_kind` is controller or person; `act` the verb; `reason` a code of the controller's or a person's words.

    `numbers` holds the verdicts and conditions a decision rested on. `subject` names what it is about:
    "rollout 12", "route chat", "model haiku", "token ann".
    """

    id: int
    at: datetime
    rollout: int | None
    subject: str
    actor: str
    actor_kind: str
    act: str
    reason: str
    sentence: str
    numbers: dict[str, Any]
    plan_hash: str | None
    step: int | None
    weight: float | None

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


COLUMNS = (
    "id",
    "at",
    "rollout",
    "subject",
    "actor",
    "actor_kind",
    "act",
    "reason",
    "sentence",
    "plan_hash",
    "step",
    "weight",
)
"""In the order of the CSV; `numbers` is in the JSON only."""


def journal(engine: Engine, rollout_id: int | None = None, *, after: int = 0, most: int = 1000) -> list[Entry]:
    """Newest first: one rollout's (raises `NotFound`), or everything without one. Only ids above `after`."""
    with begin(engine, snapshot=True) as connection:
        if rollout_id is not None:
            rollouts.find(connection, rollout_id)
        return entries(connection, rollout_id, after=after, most=most)


def entries(connection: Connection, rollout_id: int | None, *, after: int = 0, most: int) -> list[Entry]:
    """The same within a read that is under way."""
    return [
        Entry(
            id=row.id,
            at=row.at,
            rollout=row.rollout_id,
            subject=row.subject,
            actor=row.actor,
            actor_kind=row.actor_kind,
            act=row.act,
            reason=row.reason,
            sentence=row.sentence,
            numbers=row.numbers,
            plan_hash=row.plan_hash,
            step=row.step,
            weight=row.weight,
        )
        for row in store.listed(connection, rollout_id=rollout_id, after=after, most=most)
    ]
