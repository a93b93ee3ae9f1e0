"""Counted: what a service of the demo is told, and what it says it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the demo tells a service. `rate` is calls a second; `report` the file for what it counted."""

    model_id: str
    seed: int
    rate: float
    report: str


@dataclass(kw_only=True)
class Counted:
    """What the service itself saw. `busy_at` are the seconds since 1970 of each polite answer;
    `served` counts answers by the variant assigned and the Model that answered: "green by py3langid".
    """

    calls: int = 0
    scores: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    busy_at: list[float] = field(default_factory=list)
