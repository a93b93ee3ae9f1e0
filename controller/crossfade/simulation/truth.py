"""Truth: what is really the case in a simulation, as mean losses over the calls made so far."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, pi, sin


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Of one check: blue's mean loss and green's, as fractions. `at` says both after so many calls of both variants.

    `drift` is what blue's rate becomes, linearly, over the first `drift_calls`, or how far it swings as a sine with
    that period where `swing`; green keeps its distance. From `turns_at` on green is worse by `turn` besides. Between
    `outage[0]` and `outage[1]` calls, `outage_loss` of all calls of either variant are lost.
    """

    blue: float
    green: float
    drift: float | None = None
    drift_calls: float = 50_000.0
    swing: bool = False
    turns_at: float = inf
    turn: float = 0.0
    outage: tuple[float, float] = (inf, inf)
    outage_loss: float = 0.5

    @property
    def moves(self) -> bool:
        """Whether the rates are other ones at some time than at the first call."""
        return self.drift is not None or self.turns_at < inf or self.outage[0] < inf

    def at(self, calls: float) -> tuple[float, float]:
        """(blue's, green's) mean loss."""
        blue = self.blue
        if self.drift is not None:
            share = calls / self.drift_calls
            part = sin(2 * pi * share) / 2 + 0.5 if self.swing else min(1.0, share)
            blue += (self.drift - self.blue) * part
        green = blue + (self.green - self.blue) + (self.turn if calls >= self.turns_at else 0.0)
        if self.outage[0] <= calls < self.outage[1]:
            blue, green = (p + self.outage_loss * (1 - p) for p in (blue, green))
        return min(1.0, max(0.0, blue)), min(1.0, max(0.0, green))
