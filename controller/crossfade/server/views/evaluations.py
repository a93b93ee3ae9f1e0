"""Evaluations: every look at a rollout, for charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One look. `verdicts` holds one `server.figures.verdict_figures` dict a check."""

    at: datetime
    step: int
    weight: float
    act: str
    reason: str
    sentence: str
    log_e_worse: float
    log_e_worse_needed: float
    verdicts: tuple[dict[str, Any], ...]
    conditions: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def evaluations(engine: Engine, rollout_id: int, *, since: datetime | None = None, most: int = 500) -> list[Evaluation]:
    """In time order, after `since`; thinned evenly to `most`, the last and every act but hold always kept.

    Raises `NotFound`.
    """
    raise NotImplementedError
