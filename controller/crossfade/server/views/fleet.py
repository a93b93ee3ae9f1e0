"""Fleet: one row a route."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """A route, and its live rollout or the last one that ended (all rollout fields None without any).

    `weight` and `observed_weight` are percent of the live rollout's step under way; `traffic` is the route's calls a
    second over the last five minutes; `verdict` the worst ruling; `needs_person` that it waits for somebody.
    """

    route: str
    blue: str
    traffic: float
    rollout: int | None = None
    live: bool = False
    green: str | None = None
    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    weight: float | None = None
    observed_weight: float | None = None
    verdict: str | None = None
    reason: str | None = None
    sentence: str | None = None
    green_calls: int | None = None
    left_seconds: float | None = None
    """Of the step's bake time."""
    needs_person: bool = False
    since: datetime | None = None
    """When the rollout's phase or step began."""

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def fleet(engine: Engine, *, now: datetime) -> list[FleetRow]:
    """Every route, those that need a person first, then live ones, then by name."""
    raise NotImplementedError
