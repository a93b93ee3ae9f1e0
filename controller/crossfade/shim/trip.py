"""Trip: the order in which a call goes through targets, and where an outcome lets it go next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from crossfade.core.model import Model, Target, region_of
from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Next, Region
from crossfade.core.split import CHANCE
from crossfade.core.walk import order
from crossfade.shim.call import PINNED, Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One target on the way. `last_resort`: it is asked whatever its breaker says. `put_off`: it was left out for its
    breaker or for its throttling, and is asked only after all others have failed.
    """

    model: Model
    target: Target
    last_resort: bool = False
    put_off: bool = False


class Trip:
    """One pass over at most `most_targets` targets: the assigned Model's, then blue's, then the fallbacks'."""

    def __init__(self, call: Call, now: float) -> None:
        self._call = call
        self._stops = deque(_itinerary(call, now))
        self._made = 0

    def next(self, now: float) -> Stop | None:
        """The next target to try, or None when the call is exhausted."""
        call = self._call
        while self._stops and self._made < call.settings.most_targets:
            stop = self._stops.popleft()
            if self._made and not self.in_time(stop, now):
                continue
            if not stop.put_off and self._is_barred(stop, now) and self._stops:
                self._stops.append(replace(stop, last_resort=True, put_off=True))
                continue
            self._made += 1
            if self._made > 1:
                call.failovers += 1
            return stop
        return None

    def _is_barred(self, stop: Stop, now: float) -> bool:
        """Whether a throttled target is skipped, or a breaker's probe has been taken by another call."""
        board, settings = self._call.board, self._call.settings
        skip = board.skip_probability(stop.target, now, settings) if self.has_more_regions(stop) else 0.0
        if skip and CHANCE.random() < skip:
            board.note_skipped(stop.target, now, settings)
            return True
        return not stop.last_resort and not board.take(stop.target, now, settings)

    def has_more_regions(self, stop: Stop) -> bool:
        """Whether another target of the same Model is left, one that was put off not counted."""
        left = int(self._call.settings.most_targets) - self._made
        return any(other.model is stop.model and not other.put_off for other in list(self._stops)[: max(0, left)])

    def other_region(self, stop: Stop) -> Stop | None:
        """The next target of the same Model, if its breaker is closed and the call may go there."""
        if self._made >= self._call.settings.most_targets:
            return None
        return next((other for other in self._stops if other.model is stop.model and not other.last_resort), None)

    def strike(self, stop: Stop) -> None:
        """A target was asked out of turn: the call has been there."""
        self._keep(lambda other: other is not stop)
        self._made += 1

    def has_more(self) -> bool:
        return bool(self._stops) and self._made < self._call.settings.most_targets

    def leave(self, stop: Stop, outcome: Outcome) -> None:
        """Strikes out what the policy table forbids after `outcome` at `stop`."""
        row = POLICY[outcome]
        if row.region is Region.NO:
            self._keep(lambda other: other.model is not stop.model)
        match row.model:
            case Next.YES:
                pass
            case Next.NO:
                self._keep(lambda other: other.model is stop.model)
            case Next.BLUE_HERE:
                region, blue = stop.target.region, self._call.blue
                self._keep(lambda other: other.model.name == blue and other.target.region == region)
            case Next.SECOND_OPINION:
                if stop.model.name == self._call.blue:
                    self._stops.clear()
            case _:
                assert_never(row.model)

    def _keep(self, wanted: Callable[[Stop], bool]) -> None:
        self._stops = deque(stop for stop in self._stops if wanted(stop))

    def in_time(self, stop: Stop, now: float) -> bool:
        """Whether an attempt that begins now can be expected to end before the call's deadline."""
        call = self._call
        usual = call.board.average(stop.target, now, streaming=call.streaming) if call.answers else None
        return call.left(now) > max(_LEAST_TIME, usual or 0.0)


_LEAST_TIME = 0.02


def _itinerary(call: Call, now: float) -> list[Stop]:
    if call.operation == PINNED:
        return [_pin(call)]
    models = order(call.snapshot, call.entry, call.variant, call.operation)
    region = _bound_to(call)
    places = [_within(model, region) if region else model.targets for model in models]
    opened = [call.board.open(targets, now, call.settings) for targets in places]
    any_closed = [not all(flags) for flags in opened]
    stops: list[Stop] = []
    closed_off: list[Stop] = []
    for position, (model, targets, flags) in enumerate(zip(models, places, opened, strict=True)):
        if not any(flags):
            ranked = _ranked(call, targets, now, probe=position == 0)
            stops += [Stop(model=model, target=target) for target in ranked]
            continue
        is_open = dict(zip(targets, flags, strict=True))
        if all(flags) and any(any_closed[position + 1 :]):
            # This Model is down everywhere; a later one is not, and is asked first.
            if position == 0:
                call.skipped = _why(call, targets, now)
            closed_off += [_put_off(model, target) for target in targets]
        elif sum(flags) * 2 > len(flags):  # over half open: the breakers themselves are not to be believed
            ranked = _ranked(call, targets, now, probe=position == 0)
            stops += [Stop(model=model, target=target, last_resort=is_open[target]) for target in ranked]
        else:
            ranked = _ranked(call, [t for t in targets if not is_open[t]], now, probe=position == 0)
            stops += [Stop(model=model, target=target) for target in ranked]
            closed_off += [_put_off(model, target) for target in targets if is_open[target]]
    if models[0].name != call.assigned:
        call.skipped = Outcome.REJECTED  # it takes no such body: that is the caller's doing, not this Model's
    return stops + closed_off


def _bound_to(call: Call) -> str | None:
    """The region of the guardrail that the request names, which is known nowhere else; None without one.

    One that is not named by its ARN is in the client's own region.
    """
    config = call.params.get("guardrailConfig", call.params)
    named = config.get("guardrailIdentifier") if isinstance(config, dict) else None
    return (region_of(named) or call.home) if named else None


def _within(model: Model, region: str) -> tuple[Target, ...]:
    """The Model's targets in this region; all of them where none is there."""
    return tuple(target for target in model.targets if target.region == region) or model.targets


def _put_off(model: Model, target: Target) -> Stop:
    return Stop(model=model, target=target, last_resort=True, put_off=True)


def _pin(call: Call) -> Stop:
    """The assigned Model's target in the client's own region, where its List looks; else the first one."""
    model = call.snapshot.models[call.assigned]
    at_home = (target for target in model.targets if target.region == call.home)
    return Stop(model=model, target=next(at_home, model.targets[0]), last_resort=True)


def _ranked(call: Call, targets: Sequence[Target], now: float, *, probe: bool) -> list[Target]:
    return call.board.rank(targets, now, call.settings, streaming=call.streaming, probe=probe and call.answers)


def _why(call: Call, targets: Sequence[Target], now: float) -> Outcome:
    quarantined = all(call.board.quarantined(target, now) for target in targets)
    return Outcome.MISCONFIGURED if quarantined else Outcome.UNAVAILABLE
