"""Apply: Models and routes as declared in a document become what is stored. Idempotent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying does to one Model or route. `fields` maps each changed field to (old, new)."""

    kind: str
    name: str
    change: str
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "fields": {name: list(pair) for name, pair in self.fields.items()},
        }


def apply_declarations(
    engine: Engine, document: object, *, actor: str, now: datetime, dry_run: bool = False
) -> list[Change]:
    """Creates and updates what `document` ({"models": [..], "routes": [..]}) declares; removes nothing.

    Returns one Change for each declared thing, `change` being create, update or unchanged. Raises `Invalid` with all
    problems (paths such as `routes[0].fallbacks[1]`), `Conflict` when blue would change under a live rollout.
    """
    raise NotImplementedError


def put_model(engine: Engine, name: str, body: object, *, actor: str, now: datetime) -> Change:
    """One Model; `body` may leave `name` out, and must not give another."""
    raise NotImplementedError


def put_route(engine: Engine, name: str, body: object, *, actor: str, now: datetime) -> Change:
    """One route; `body` may leave `name` out, and must not give another."""
    raise NotImplementedError
