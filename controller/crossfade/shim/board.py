"""Board: what this process knows of every target right now. Shared by both variants and by all routes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from crossfade.core.model import Target
from crossfade.core.outcome import Charge, Outcome
from crossfade.core.policy import POLICY, Settings
from crossfade.core.split import CHANCE
from crossfade.shim.breaker import Breaker, State
from crossfade.shim.latency import Latency
from crossfade.shim.throttle import Budget, Tally, Throttle
from crossfade.shim.trouble import Trouble

UNKNOWN_WINDOW = 600.0
"""Seconds over which attempts that failed in an unknown way are compared with all."""


@dataclass(slots=True)
class Place:
    """One (region, model id)."""

    breaker: Breaker = field(default_factory=Breaker)
    throttle: Throttle = field(default_factory=Throttle)
    whole: Latency = field(default_factory=Latency)
    first_token: Latency = field(default_factory=Latency)
    quarantined_until: float = 0.0


class Board:
    """Breakers, throttles, latencies and retry budgets. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.trouble = Trouble()
        """Says in the log what fails."""
        self._lock = threading.RLock()  # the handler of a signal may make a call in the middle of one
        self._places: dict[tuple[str, str], Place] = {}
        self._regions: dict[str, Breaker] = {}
        self._budgets: dict[int, Budget] = {}
        self._attempts = Tally()
        self._alarmed_at = -UNKNOWN_WINDOW

    def open(self, targets: Sequence[Target], now: float, settings: Settings) -> list[bool]:
        """For each target, whether its breaker, its region's, or a quarantine says to leave it alone."""
        with self._lock:
            return [not self._allows(target, now, settings) for target in targets]

    def quarantined(self, target: Target, now: float) -> bool:
        with self._lock:
            return now < self._place(target).quarantined_until

    def take(self, target: Target, now: float, settings: Settings) -> bool:
        """Whether an attempt may start; takes the probe if one is due."""
        with self._lock:
            place = self._place(target)
            if now < place.quarantined_until or not self._region(target.region).allows(now, settings):
                return False
            if not place.breaker.take(now, settings):
                return False
            return self._region(target.region).take(now, settings)

    def release(self, target: Target) -> None:
        """An attempt ended by the caller's own doing: it says nothing of the place."""
        with self._lock:
            self._release(self._place(target), target.region)

    def rank(
        self, targets: Sequence[Target], now: float, settings: Settings, *, streaming: bool, probe: bool
    ) -> list[Target]:
        """The targets as they are preferred, but those far slower than the quickest one last.

        With `probe` one call at a time goes to such a target first, to see whether it has recovered; and now and then
        one to a target that no call has asked, where the preferred one takes long enough for it to matter.
        """
        if len(targets) < 2:
            return list(targets)
        with self._lock:
            known = [self._latency(self._place(target), streaming) for target in targets]
            measured = [each.average for each in known if each.average is not None]
            bound = max(settings.slow_least, settings.prefer_factor * min(measured, default=0.0))
            if max(measured, default=0.0) <= bound:
                slow: list[Target] = []
                if not (probe and known[0].is_settled(settings)):
                    return list(targets)
                due = (t for t, each in zip(targets[1:], known[1:], strict=True) if each.take_look(now, settings))
            else:
                found = [(t, each) for t, each in zip(targets, known, strict=True) if (each.average or 0.0) > bound]
                slow = [target for target, _ in found]
                due = (target for target, each in found if each.take_probe(now, bound, settings))
            probed = next(due, None) if probe else None
        return sorted(targets, key=lambda target: 0 if target == probed else 2 if target in slow else 1)

    def skip_probability(self, target: Target, now: float, settings: Settings) -> float:
        with self._lock:
            return self._place(target).throttle.skip_probability(now, settings)

    def note_skipped(self, target: Target, now: float, settings: Settings) -> None:
        with self._lock:
            self._place(target).throttle.note(now, settings, accepted=False)

    def note_call(self, route: int, now: float, settings: Settings) -> None:
        with self._lock:
            self._budget(route).note_call(now, settings)

    def take_retry(self, route: int, now: float, settings: Settings) -> bool:
        with self._lock:
            return self._budget(route).take(now, settings)

    def late(self, target: Target, now: float, settings: Settings, *, streaming: bool) -> float | None:
        """Seconds after which an answer is late enough for a hedge; None with too little to go by."""
        with self._lock:
            return self._latency(self._place(target), streaming).usual(now, settings.hedge_quantile, settings)

    def take_hedge(self, route: int, now: float, settings: Settings) -> bool:
        with self._lock:
            return self._budget(route).take_hedge(now, settings)

    def outrun(self, target: Target, seconds: float, now: float, settings: Settings, *, streaming: bool) -> None:
        """An attempt was given up after so many seconds, because another one had answered: it was slow, at least."""
        with self._lock:
            place = self._place(target)
            latency = self._latency(place, streaming)
            if latency.is_slow(now, seconds, settings):
                place.breaker.fail(now, settings, CHANCE.random())
            latency.note(now, seconds, usual=False)
            self._release(place, target.region)

    def note_unknown(self, now: float, settings: Settings) -> float | None:
        """An attempt failed in an unknown way: the share of such attempts, where it is time to raise the alarm."""
        with self._lock:
            self._attempts.add(now, UNKNOWN_WINDOW, 0, 1)
            share = self._attempts.second / max(1, self._attempts.first)
            if share <= settings.unknown_share or now - self._alarmed_at < UNKNOWN_WINDOW:
                return None
            self._alarmed_at = now
            return share

    def average(self, target: Target, now: float, *, streaming: bool) -> float | None:
        """The moving average of the first token (streams) or of whole answers, in seconds."""
        with self._lock:
            return self._latency(self._place(target), streaming).current(now)

    def report(
        self,
        target: Target,
        outcome: Outcome,
        seconds: float | None,
        now: float,
        settings: Settings,
        *,
        streaming: bool,
    ) -> None:
        """What became of an attempt. `seconds` is the time to the first token (streams) or to the whole answer, None
        for an operation that tells nothing of how long an answer takes, nor of whether there is one to be had."""
        with self._lock:
            place, region = self._place(target), self._region(target.region)
            self._attempts.add(now, UNKNOWN_WINDOW, 1, 0)
            charge = Charge.NOBODY if outcome is Outcome.OK else POLICY[outcome].charge
            place.throttle.note(now, settings, accepted=charge is not Charge.QUOTA)
            latency = self._latency(place, streaming)
            if outcome is Outcome.OK:
                region.succeed(now, settings)
                slow = seconds is not None and latency.is_slow(now, seconds, settings)
                if seconds is not None:
                    latency.note(now, seconds, usual=place.breaker.state is State.CLOSED)
                if slow:
                    place.breaker.fail(now, settings, CHANCE.random())
                else:
                    place.breaker.succeed(now, settings)
                return
            match charge:
                case Charge.TARGET:
                    place.breaker.fail(now, settings, CHANCE.random())
                    region.release()
                case Charge.LATENCY:
                    place.breaker.fail(now, settings, CHANCE.random())
                    if seconds is not None:
                        latency.note(now, seconds, usual=False)
                    region.release()
                case Charge.REGION:
                    region.fail(now, settings, CHANCE.random())
                    place.breaker.release()
                case _:
                    if outcome is Outcome.MISCONFIGURED and seconds is not None:
                        place.quarantined_until = now + settings.quarantine
                    self._release(place, target.region)
            latency.release()

    def describe(self, now: float) -> dict[str, str]:
        """The breakers that are not closed, and the quarantined targets: name -> state."""
        with self._lock:
            found = {region: str(b.state) for region, b in self._regions.items() if b.state is not State.CLOSED}
            for (region, model_id), place in self._places.items():
                if now < place.quarantined_until:
                    found[f"{region} {model_id}"] = "quarantined"
                elif place.breaker.state is not State.CLOSED:
                    found[f"{region} {model_id}"] = str(place.breaker.state)
            return found

    def _allows(self, target: Target, now: float, settings: Settings) -> bool:
        place = self._place(target)
        return (
            now >= place.quarantined_until
            and place.breaker.allows(now, settings)
            and self._region(target.region).allows(now, settings)
        )

    @staticmethod
    def _latency(place: Place, streaming: bool) -> Latency:
        return place.first_token if streaming else place.whole

    def _release(self, place: Place, region: str) -> None:
        place.breaker.release()
        place.whole.release()
        place.first_token.release()
        self._region(region).release()

    def _place(self, target: Target) -> Place:
        key = (target.region, target.model_id)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place()
        return place

    def _region(self, region: str) -> Breaker:
        breaker = self._regions.get(region)
        if breaker is None:
            breaker = self._regions[region] = Breaker()
        return breaker

    def _budget(self, route: int) -> Budget:
        budget = self._budgets.get(route)
        if budget is None:
            budget = self._budgets[route] = Budget()
        return budget
