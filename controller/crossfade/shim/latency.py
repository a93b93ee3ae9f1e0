"""Latency: how long one target takes, as moving averages and as the last hour's p95. `now` is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.core.histogram import duration_bin, quantile
from crossfade.core.policy import Settings

_SLICE = 300.0
_SLICES = 12
_WEIGHT = 0.2
_LEAST = 20
"""Durations needed before any is called slow."""
_STALE = 60.0
"""Seconds after which an average says nothing any more about now."""


@dataclass(slots=True)
class Latency:
    """Of one target and one kind of duration: first token, or whole answers. Durations are in seconds."""

    average: float | None = None
    _seen_at: float = 0.0
    _slices: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    _count: int = 0
    _p95: float | None = None
    _p95_at: float = -1e9

    def note(self, now: float, seconds: float, *, usual: bool) -> None:
        """One duration. Those measured while the target was being probed are not `usual`: they move the average,
        but never what the next ones are held against."""
        stale = self.average is None or now - self._seen_at > _STALE
        self.average = seconds if stale else (1 - _WEIGHT) * (self.average or 0.0) + _WEIGHT * seconds
        self._seen_at = now
        if not usual:
            return
        if not self._slices or now >= self._slices[-1][0] + _SLICE:
            self._slices.append((now, {}))
            if len(self._slices) > _SLICES:
                self._count -= sum(self._slices.pop(0)[1].values())
        bins = self._slices[-1][1]
        index = duration_bin(seconds)
        bins[index] = bins.get(index, 0) + 1
        self._count += 1

    def current(self, now: float) -> float | None:
        """The moving average, or None if nothing was measured lately."""
        return None if self.average is None or now - self._seen_at > _STALE else self.average

    def p95(self, now: float) -> float | None:
        """The last hour's p95, computed at most once a second, or None with too little to go by."""
        if self._count < _LEAST:
            return None
        if now - self._p95_at >= 1.0:
            total: dict[int, int] = {}
            for _, bins in self._slices:
                for index, count in bins.items():
                    total[index] = total.get(index, 0) + count
            self._p95, self._p95_at = quantile(total, 0.95), now
        return self._p95

    def is_slow(self, now: float, seconds: float, settings: Settings) -> bool:
        """Whether this duration counts as a failure of the target."""
        if seconds < settings.slow_least:
            return False
        usual = self.p95(now)
        return usual is not None and seconds > settings.slow_factor * usual
