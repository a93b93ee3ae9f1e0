"""Totals: everything recorded, summed in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Of one route, rollout (0: none was live), step and assigned variant."""

    route: str
    rollout: int
    step: int
    variant: str
    calls: int
    judged: int
    errors: int
    busy: int
    scores: int

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def totals(engine: Engine, *, rollout_id: int | None = None) -> list[Total]:
    """One row a (route, rollout, step, variant) with calls or scores, in that order; `calls` sums to all recorded."""
    raise NotImplementedError
