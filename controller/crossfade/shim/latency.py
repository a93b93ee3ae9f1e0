"""Latency: how long one target takes, as moving averages and as the last hour's quantiles. `now` is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.core.histogram import duration_bin, quantile
from crossfade.core.policy import Settings

_SLICE = 300.0
_SLICES = 12
_WEIGHT = 0.2
_PROBE_WEIGHT = 0.5
"""Of an answer to a probe: few are made, and a target that has recovered should be back after a few."""
_P95 = 0.95
_STALE = 60.0
"""Seconds after which an average says nothing any more about now."""


@dataclass(slots=True)
class Latency:
    """Of one target and one kind of duration: first token, or whole answers. Durations are in seconds.

    `average` is the last one known, however old.
    """

    average: float | None = None
    _last: float = 0.0
    _seen_at: float = 0.0
    _probing_since: float | None = None
    _slices: list[tuple[float, dict[int, int]]] = field(default_factory=list)
    _count: int = 0
    _cached: dict[float, tuple[float, float | None]] = field(default_factory=dict)

    def note(self, now: float, seconds: float, *, usual: bool) -> None:
        """One duration. Those measured while the target was being probed are not `usual`: they move the average,
        but never what the next ones are held against."""
        weight = _WEIGHT if self._probing_since is None else _PROBE_WEIGHT
        fresh = self._probing_since is not None or now - self._seen_at <= _STALE
        known = self.average if fresh else None
        self.average = seconds if known is None else (1 - weight) * known + weight * seconds
        self._last, self._seen_at, self._probing_since = seconds, now, None
        if not usual:
            return
        self._forget(now)
        if not self._slices or now >= self._slices[-1][0] + _SLICE:
            self._slices.append((now, {}))
        bins = self._slices[-1][1]
        index = duration_bin(seconds)
        bins[index] = bins.get(index, 0) + 1
        self._count += 1

    def current(self, now: float) -> float | None:
        """The moving average, or None if nothing was measured lately."""
        return None if self.average is None or now - self._seen_at > _STALE else self.average

    def take_probe(self, now: float, bound: float, settings: Settings) -> bool:
        """Whether one call may ask a target that was left as slower than `bound`; takes the probe.

        A while after the last answer, and at once after one that was quick; one call at a time.
        """
        if self._probing_since is not None and now - self._probing_since <= settings.deadline:
            return False
        if self._last > bound and now - self._seen_at < settings.prefer_again:
            return False
        self._probing_since = now
        return True

    def take_look(self, now: float, settings: Settings) -> bool:
        """Whether one call may ask a target of whose time nothing is known of late; takes the probe."""
        if self.average is not None and now - self._seen_at < settings.compare_again:
            return False
        if self._probing_since is not None and now - self._probing_since < settings.compare_again:
            return False
        self._probing_since = now
        return True

    def is_settled(self, settings: Settings) -> bool:
        """Whether enough is known to say that a quicker target would be worth finding."""
        average = self.average
        return average is not None and average > settings.slow_least and self._count >= settings.slow_samples

    def release(self) -> None:
        """The attempt ended without an answer to measure: the probe is free again."""
        self._probing_since = None

    def usual(self, now: float, share: float, settings: Settings) -> float | None:
        """The last hour's quantile, computed at most once a second, or None with too little to go by."""
        self._forget(now)
        if self._count < settings.slow_samples:
            return None
        at, found = self._cached.get(share, (-1e9, None))
        if now - at >= 1.0:
            total: dict[int, int] = {}
            for _, bins in self._slices:
                for index, count in bins.items():
                    total[index] = total.get(index, 0) + count
            found = quantile(total, share)
            self._cached[share] = (now, found)
        return found

    def _forget(self, now: float) -> None:
        while self._slices and now - self._slices[0][0] >= _SLICE * _SLICES:
            self._count -= sum(self._slices.pop(0)[1].values())

    def is_slow(self, now: float, seconds: float, settings: Settings) -> bool:
        """Whether this duration counts as a failure of the target."""
        if seconds < settings.slow_least:
            return False
        usual = self.usual(now, _P95, settings)
        return usual is not None and seconds > settings.slow_factor * usual
