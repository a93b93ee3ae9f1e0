"""Register: a candidate for a route, with its plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.core.rollout import Rollout
from crossfade.server.lookup import Lookup, TargetLookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The new rollout, what to expect at today's traffic ({"traffic", "text", "steps"}), and the targets' lookups."""

    rollout: Rollout
    expect: dict[str, Any]
    lookups: tuple[Lookup, ...]

    def to_dict(self) -> dict[str, Any]:
        """Only `expect` and `lookups`; the rollout's own view is `views.rollout`."""
        return {"expect": self.expect, "lookups": [lookup.to_dict() for lookup in self.lookups]}


def register_rollout(
    engine: Engine, route: str, body: object, *, actor: str, now: datetime, lookup: TargetLookup
) -> Registered:
    """Registers `body` ({"green": Model, "plan": {..}, "start": true, "reason": ""}), and starts it if asked.

    Raises `NotFound` for the route, `Invalid` with every problem of the body (`green`, `plan.steps[1].weight`,
    `models.NAME.targets[0]` for a target that does not exist), `Conflict` naming a live rollout that is there.
    Bedrock is asked outside of any transaction.
    """
    raise NotImplementedError
