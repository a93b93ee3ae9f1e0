"""Evaluations: every look at a rollout is kept, for charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text

from crossfade.server.store.schema import evaluations


def add(connection: Connection, **values: Any) -> None:
    connection.execute(insert(evaluations).values(**values))


def latest(connection: Connection, rollout_id: int) -> Row[Any] | None:
    query = select(evaluations).where(evaluations.c.rollout_id == rollout_id)
    return connection.execute(query.order_by(evaluations.c.at.desc()).limit(1)).one_or_none()


def at(connection: Connection, rollout_id: int, moment: datetime) -> Row[Any] | None:
    """The look at exactly this moment."""
    query = select(evaluations).where(evaluations.c.rollout_id == rollout_id, evaluations.c.at == moment)
    return connection.execute(query).one_or_none()


def every(connection: Connection, rollout_id: int) -> list[Row[Any]]:
    """All looks in time order, as (at, step, conditions)."""
    query = select(evaluations.c.at, evaluations.c.step, evaluations.c.conditions)
    return list(connection.execute(query.where(evaluations.c.rollout_id == rollout_id).order_by(evaluations.c.at)))


_THINNED = text(
    """
    SELECT * FROM (
        SELECT *, row_number() OVER (ORDER BY at) AS place, count(*) OVER () AS total
        FROM evaluations WHERE rollout_id = :rollout AND at > :since
    ) AS looks
    WHERE place % greatest(1, CAST(ceil(total / :most) AS bigint)) = 0 OR place = total OR act <> 'hold'
    ORDER BY at
    """
)


def since(connection: Connection, rollout_id: int, *, at: datetime, most: int) -> Sequence[Row[Any]]:
    """Those after `at` in time order: about `most`, evenly chosen, with the last and every act but hold."""
    values = {"rollout": rollout_id, "since": at, "most": float(most)}
    return connection.execute(_THINNED, values).all()
