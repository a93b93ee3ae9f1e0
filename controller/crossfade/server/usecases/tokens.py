"""Tokens: who may do what. Shown once, stored hashed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine


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
    raise NotImplementedError


def revoke_token(engine: Engine, token_id: int, *, actor: str, now: datetime) -> Token:
    """From now on the token is refused. Revoking twice changes nothing. Raises `NotFound`."""
    raise NotImplementedError


def list_tokens(engine: Engine) -> list[Token]:
    """All tokens, revoked ones too, oldest first."""
    raise NotImplementedError


def authenticate(engine: Engine, text: str, *, now: datetime, secret: str) -> Token | None:
    """The token whose text this is, or None if there is none or it is revoked. Notes its use once a minute."""
    raise NotImplementedError
