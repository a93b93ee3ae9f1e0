"""Migrate: brings a database to the schema this version needs."""

from __future__ import annotations


def upgrade(url: str, revision: str = "head") -> None:
    """Applies what is missing; one at a time, however many processes call it. Raises `SetupError`."""
    raise NotImplementedError


def downgrade(url: str, revision: str) -> None:
    """Goes back to `revision` (`base`: nothing left)."""
    raise NotImplementedError
