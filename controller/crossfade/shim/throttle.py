"""Throttle: adaptive skip of a target whose quota is used up, and the retry budget. Both count sliding seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.core.policy import Settings


@dataclass(slots=True)
class Tally:
    """Two sliding counts over the last so many whole seconds of one monotonic clock."""

    first: int = 0
    second: int = 0
    _bins: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, now: float, seconds: float, first: int, second: int) -> None:
        self.slide(now, seconds)
        at = int(now)
        if self._bins and self._bins[-1][0] == at:
            _, one, two = self._bins[-1]
            self._bins[-1] = (at, one + first, two + second)
        else:
            self._bins.append((at, first, second))
        self.first += first
        self.second += second

    def slide(self, now: float, seconds: float) -> None:
        """Forgets what is too old."""
        while self._bins and self._bins[0][0] <= now - seconds:
            _, one, two = self._bins.pop(0)
            self.first -= one
            self.second -= two


@dataclass(slots=True)
class Throttle:
    """Of one target: how much of what was asked was not throttled (Google SRE, "Handling Overload", eq. 1)."""

    _tally: Tally = field(default_factory=Tally)

    def note(self, now: float, settings: Settings, *, accepted: bool) -> None:
        """An attempt was made, or skipped because of this very throttle (not accepted)."""
        self._tally.add(now, settings.skip_window, 1, accepted)

    def requests(self, now: float, settings: Settings) -> int:
        """Attempts made or skipped within `skip_window`."""
        self._tally.slide(now, settings.skip_window)
        return self._tally.first

    def skip_probability(self, now: float, settings: Settings) -> float:
        """max(0, (requests - skip_slack * accepted) / (requests + 1)) over `skip_window`."""
        requests = self.requests(now, settings)
        return max(0.0, (requests - settings.skip_slack * self._tally.second) / (requests + 1))


@dataclass(slots=True)
class Budget:
    """Of one route: retries at most `retry_share` of the calls within `retry_window`, plus `retry_per_second`; and
    hedged calls at most `hedge_share` of those within `hedge_window`."""

    _tally: Tally = field(default_factory=Tally)
    _hedges: Tally = field(default_factory=Tally)

    def note_call(self, now: float, settings: Settings) -> None:
        self._tally.add(now, settings.retry_window, 1, 0)
        if settings.hedge:
            self._hedges.add(now, settings.hedge_window, 1, 0)

    def take_hedge(self, now: float, settings: Settings) -> bool:
        """Takes one hedged call from the budget, if there is one left."""
        self._hedges.slide(now, settings.hedge_window)
        if self._hedges.second + 1 > settings.hedge_share * self._hedges.first:
            return False
        self._hedges.add(now, settings.hedge_window, 0, 1)
        return True

    def take(self, now: float, settings: Settings) -> bool:
        """Takes one retry from the budget, if there is one left."""
        self._tally.slide(now, settings.retry_window)
        allowed = settings.retry_share * self._tally.first + settings.retry_per_second * settings.retry_window
        if self._tally.second + 1 > allowed:
            return False
        self._tally.add(now, settings.retry_window, 0, 1)
        return True
