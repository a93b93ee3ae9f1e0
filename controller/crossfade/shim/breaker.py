"""Breaker: leaves a place that fails and probes it again. A pure state machine: `now` and chance are arguments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from crossfade.core.policy import Settings


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True)
class Breaker:
    """Of one (region, model id), or of one region.

    Opens after `breaker_in_a_row` failures in a row, or when `breaker_share` of at least `breaker_least` attempts
    within `breaker_window` seconds failed. Stays open `breaker_open` seconds, doubling to `breaker_open_most` with
    each failed probe, spread by `breaker_spread`. Then one probe at a time; `breaker_close` successes close it.
    All times are seconds of one monotonic clock.
    """

    state: State = State.CLOSED
    opened_until: float = 0.0
    _in_a_row: int = 0
    _opened_for: float = 0.0
    _probing_since: float | None = None
    _successes: int = 0
    _recent: deque[tuple[float, bool]] = field(default_factory=deque)
    _recent_failures: int = 0

    def allows(self, now: float, settings: Settings) -> bool:
        """Whether an attempt may be made now. Changes nothing."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN:
            return now >= self.opened_until
        return self._probing_since is None or now - self._probing_since > settings.deadline

    def take(self, now: float, settings: Settings) -> bool:
        """As `allows`, and takes the one probe if the breaker was open."""
        if self.state is State.CLOSED:
            return True
        if not self.allows(now, settings):
            return False
        self.state = State.HALF_OPEN
        self._probing_since = now
        return True

    def succeed(self, now: float, settings: Settings) -> None:
        """An attempt was answered as it should be."""
        self._in_a_row = 0
        if self.state is State.CLOSED:
            self._note(now, False, settings)
            return
        self._probing_since = None
        if self.state is State.HALF_OPEN:
            self._successes += 1
            if self._successes >= settings.breaker_close:
                self._reset()

    def fail(self, now: float, settings: Settings, chance: float = 0.5) -> None:
        """An attempt failed by this place's doing. `chance` in [0, 1) spreads the open time."""
        self._in_a_row += 1
        if self.state is State.HALF_OPEN:
            self._open(now, min(settings.breaker_open_most, self._opened_for * 2), settings, chance)
            return
        if self.state is State.OPEN:  # a last way out, used although open: no news
            return
        self._note(now, True, settings)
        many = len(self._recent) >= settings.breaker_least
        share = self._recent_failures / len(self._recent)
        if self._in_a_row >= settings.breaker_in_a_row or (many and share >= settings.breaker_share):
            self._open(now, settings.breaker_open, settings, chance)

    def release(self) -> None:
        """An attempt ended without telling anything about this place (throttled, refused): the probe is free again."""
        self._probing_since = None

    def _open(self, now: float, seconds: float, settings: Settings, chance: float) -> None:
        self.state = State.OPEN
        self._opened_for = seconds
        self.opened_until = now + seconds * (1 + settings.breaker_spread * (2 * chance - 1))
        self._probing_since = None
        self._successes = 0

    def _reset(self) -> None:
        self.state = State.CLOSED
        self._successes = self._in_a_row = self._recent_failures = 0
        self._recent.clear()

    def _note(self, now: float, failed: bool, settings: Settings) -> None:
        self._recent.append((now, failed))
        self._recent_failures += failed
        while self._recent and (self._recent[0][0] < now - settings.breaker_window or len(self._recent) > _MOST_RECENT):
            self._recent_failures -= self._recent.popleft()[1]


_MOST_RECENT = 2000
"""Attempts remembered at most: at a high rate the last 2,000 tell enough, and memory stays flat."""
