"""Throttle: adaptive skip of a target whose quota is used up, and the retry budget. Both count sliding seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.core.policy import Settings

WINDOW = 30
"""Seconds over which requests and acceptances of a target are compared."""
BUDGET_WINDOW = 10
"""Seconds over which retries are compared with calls."""
_SLACK = 1.2


@dataclass(slots=True)
class Tally:
    """Two sliding counts over the last `seconds` whole seconds of one monotonic clock."""

    seconds: int
    first: int = 0
    second: int = 0
    _bins: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, now: float, first: int, second: int) -> None:
        self.slide(now)
        at = int(now)
        if self._bins and self._bins[-1][0] == at:
            _, one, two = self._bins[-1]
            self._bins[-1] = (at, one + first, two + second)
        else:
            self._bins.append((at, first, second))
        self.first += first
        self.second += second

    def slide(self, now: float) -> None:
        """Forgets what is too old."""
        while self._bins and self._bins[0][0] <= now - self.seconds:
            _, one, two = self._bins.pop(0)
            self.first -= one
            self.second -= two


@dataclass(slots=True)
class Throttle:
    """Of one target: how much of what was asked was not throttled (Google SRE, "Handling Overload", eq. 1)."""

    _tally: Tally = field(default_factory=lambda: Tally(WINDOW))

    def note(self, now: float, *, accepted: bool) -> None:
        """An attempt was made, or skipped because of this very throttle (not accepted)."""
        self._tally.add(now, 1, accepted)

    def skip_probability(self, now: float) -> float:
        """max(0, (requests - 1.2 accepted) / (requests + 1)) over the last 30 s."""
        self._tally.slide(now)
        requests, accepted = self._tally.first, self._tally.second
        return max(0.0, (requests - _SLACK * accepted) / (requests + 1))


@dataclass(slots=True)
class Budget:
    """Of one route: retries at most `retry_share` of the calls of the last 10 s, plus `retry_per_second`."""

    _tally: Tally = field(default_factory=lambda: Tally(BUDGET_WINDOW))

    def note_call(self, now: float) -> None:
        self._tally.add(now, 1, 0)

    def take(self, now: float, settings: Settings) -> bool:
        """Takes one retry from the budget, if there is one left."""
        self._tally.slide(now)
        allowed = settings.retry_share * self._tally.first + settings.retry_per_second * BUDGET_WINDOW
        if self._tally.second + 1 > allowed:
            return False
        self._tally.add(now, 0, 1)
        return True
