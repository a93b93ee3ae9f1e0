"""Tokens: who may do what. Shown once, stored hashed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row

from crossfade.core.reading import Reader
from crossfade.errors import Conflict, NotFound
from crossfade.server.database import begin
from crossfade.server.keys import token_hash
from crossfade.server.store import journal
from crossfade.server.store import tokens as store

PREFIX = "cft_"


class Role(StrEnum):
    """viewer < operator < admin; shim is apart: snapshot, observations and scores only."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    SHIM = "shim"

    def may(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        if needed is Role.SHIM:
            return self in (Role.SHIM, Role.ADMIN)
        order = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
        return self is not Role.SHIM and order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; never the token itself."""

    id: int
    name: str
    role: Role
    created_at: datetime
    created_by: str
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "role": str(self.role),
            "created_at": self.created_at.isoformat(),
            "created_by": self.created_by,
            "last_used_at": self.last_used_at.isoformat() if self.last_used_at else None,
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
        }


def create_token(engine: Engine, body: object, *, actor: str, now: datetime, secret: str) -> tuple[Token, str]:
    """Makes a token from `body` ({"name", "role"}); the text in the second place is never to be had again.

    Raises `Invalid`, or `Conflict` if a token of this name is in use.
    """
    reader = Reader(body)
    name = reader.text("name", most=200, pattern=r"[^\s\x00-\x1f]([^\x00-\x1f]*[^\s\x00-\x1f])?", like="plain text")
    role = Role(reader.choice("role", list(Role)))
    reader.finish()
    text = PREFIX + secrets.token_urlsafe(32)
    with begin(engine) as connection:
        if store.name_in_use(connection, name):
            raise Conflict(f"a token named {name!r} is in use; revoke it first or choose another name")
        row = store.add(connection, name=name, role=role, token_hash=token_hash(secret, text), actor=actor, now=now)
        _tell(connection, row, "create", f"Token {name} created, role {role}.", actor, now)
    return _token(row), text


def revoke_token(engine: Engine, token_id: int, *, actor: str, now: datetime) -> Token:
    """From now on the token is refused. Revoking twice changes nothing. Raises `NotFound`."""
    with begin(engine) as connection:
        row = store.revoke(connection, token_id, now)
        if row is None:
            raise NotFound(f"there is no token {token_id}")
        if row.revoked_at is None:
            _tell(connection, row, "revoke", f"Token {row.name} revoked.", actor, now)
    token = _token(row)
    return token if token.revoked_at else replace(token, revoked_at=now)


def list_tokens(engine: Engine) -> list[Token]:
    """All tokens, revoked ones too, oldest first."""
    with begin(engine) as connection:
        return [_token(row) for row in store.listed(connection)]


def live_token(engine: Engine, token_id: int) -> Token | None:
    """The token of this id, or None if there is none or it is revoked."""
    with begin(engine) as connection:
        row = store.by_id(connection, token_id)
        return _token(row) if row else None


def authenticate(engine: Engine, text: str, *, now: datetime, secret: str) -> Token | None:
    """The token whose text this is, or None if there is none or it is revoked. Notes its use once a minute."""
    if not text.startswith(PREFIX):
        return None
    with begin(engine) as connection:
        row = store.find(connection, token_hash(secret, text))
        if row is None:
            return None
        if row.last_used_at is None or now - row.last_used_at >= store.NOTED_EVERY:
            store.note_use(connection, row.id, now)
        return _token(row)


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        created_by=row.created_by,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _tell(connection: Connection, row: Row[Any], act: str, sentence: str, actor: str, now: datetime) -> None:
    journal.append(
        connection,
        at=now,
        subject=f"token {row.name}",
        actor=actor,
        kind=journal.PERSON,
        act=act,
        reason="",
        sentence=sentence,
    )
