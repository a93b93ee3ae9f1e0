"""Forecast: what a plan comes to before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LEAST_POINTS, MOST_POINTS = 0.001, 50.0
"""Margins between which the smallest is sought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of many rollouts of the plan: half need no more than the `median`, nine of ten no more than `p90`."""

    median: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForecast:
    """Of one step, if green is blue's equal. Calls are of both variants; None stands where nothing can be said. Of a
    step at which green gets copies alone, `shadow` percent of the calls, no more than `least_seconds` is foreseen.

    `slowest` is what it waits for longest: a check's metric, or "bake"; `least_seconds` is the shortest it can last,
    whatever the checks find.
    """

    weight: float
    shadow: float = 0.0
    least_seconds: float | None = None
    slowest: str | None = None
    seconds: Spread | None = None
    calls: Spread | None = None
    green_calls: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """Of a green that is worse by `points` on `metric`: the share of rollouts `caught`, which is rolled back (or
    paused) before promotion, `promoted`, and `undecided`: neither in four times what an equal green takes; green's
    calls until the end, at the median; the time until it was caught, at the median in seconds, None where it never
    was; and `harm`, the bad answers beyond blue's to be expected until the end, of a cost in calls at its `limit`.
    """

    metric: str
    points: float
    caught: float
    promoted: float
    undecided: float
    green_calls: float
    seconds: float | None
    harm: float
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of a whole plan at `traffic` calls a second and blue's rates of `base` (mean scores as such, a cost as a share of
    its limit; by metric, where any call is known), if green is blue's equal; `better_seconds` is how long it takes if
    green makes half as many bad answers. `smallest` has for each check the smallest margin in points that it
    can decide within `within` seconds, None where even the largest cannot; `sentences` say what to expect, what to
    change, and what is assumed. Where `seconds` is None they say why. `chances` are left out of a quick forecast.
    """

    traffic: float
    base: dict[str, float]
    within: float
    steps: tuple[StepForecast, ...]
    seconds: Spread | None
    better_seconds: Spread | None
    calls: Spread | None
    green_calls: Spread | None
    smallest: dict[str, float | None]
    chances: tuple[Chance, ...]
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
