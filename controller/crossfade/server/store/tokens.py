"""Tokens: found by their hash."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from crossfade.server.store.schema import tokens

NOTED_EVERY = timedelta(minutes=1)


def name_in_use(connection: Connection, name: str) -> bool:
    query = select(tokens.c.id).where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
    return connection.execute(query).one_or_none() is not None


def add(connection: Connection, *, name: str, role: str, token_hash: bytes, actor: str, now: datetime) -> Row[Any]:
    query = insert(tokens).values(name=name, role=role, hash=token_hash, created_by=actor, created_at=now)
    return connection.execute(query.returning(*tokens.c)).one()


def revoke(connection: Connection, token_id: int, now: datetime) -> Row[Any] | None:
    """The token as it was before; None without one."""
    query = select(tokens).where(tokens.c.id == token_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row and row.revoked_at is None:
        connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=now))
    return row


def listed(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(select(tokens).order_by(tokens.c.id)))


def find(connection: Connection, token_hash: bytes) -> Row[Any] | None:
    """The token that is in use with this hash."""
    query = select(tokens).where(tokens.c.hash == token_hash, tokens.c.revoked_at.is_(None))
    return connection.execute(query).one_or_none()


def by_id(connection: Connection, token_id: int) -> Row[Any] | None:
    """The token that is in use with this id."""
    query = select(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
    return connection.execute(query).one_or_none()


def note_use(connection: Connection, token_id: int, now: datetime) -> None:
    """Once a minute at most, so that a busy token is not a busy row."""
    last = tokens.c.last_used_at
    connection.execute(
        update(tokens)
        .where(tokens.c.id == token_id, or_(last.is_(None), last <= now - NOTED_EVERY))
        .values(last_used_at=now)
    )
