"""Recorder: takes in what calls did, without ever blocking or raising, and sums it up into rows."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.observation import Row
from crossfade.core.outcome import Outcome
from crossfade.core.split import Variant
from crossfade.core.stop import Stop
from crossfade.shim.account import Account
from crossfade.shim.telemetry import OFF, Telemetry

_Name = TypeVar("_Name", int, str)
Key = tuple[int, int, int, Variant, int, str, str]
"""Route, rollout, step, variant, bucket, Model that served, region that served."""

MOST_WAITING = 200_000
"""Calls that may wait to be summed up; only a stuck recorder thread gets there."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call did. Durations are in seconds, None where there is none to tell.

    `group` is that of the stickiness key, None for a call without one. `copy` is green's copy of a call of blue's;
    `pair` has what the two are compared by, None where one of them is not judged.
    """

    place: Key
    counted: Account
    tried: tuple[Outcome, ...]
    busy: bool
    raised: bool
    retries: int
    failovers: int
    latency: float | None
    first_token: float | None
    tokens: tuple[int, int]
    cost: float | None
    stop: Stop | None = None
    group: int | None = None
    copy: bool = False
    pair: str | None = None


@dataclass(slots=True)
class _Sums:
    calls: int = 0
    judged: int = 0
    errors: int = 0
    busy: int = 0
    raised: int = 0
    retries: int = 0
    failovers: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    latency: dict[int, int] = field(default_factory=dict)
    first_token: dict[int, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    cost_n: int = 0
    cost_sum: float = 0.0
    cost_sq: float = 0.0
    costs: dict[int, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    keyed: int = 0
    groups: dict[int, tuple[int, int]] = field(default_factory=dict)
    copies: int = 0
    pairs: dict[str, int] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        self.calls += 1
        self.judged += seen.counted.judged
        self.errors += seen.counted.error
        self.busy += seen.busy
        self.raised += seen.raised
        self.retries += seen.retries
        self.failovers += seen.failovers
        _count(self.outcomes, str(seen.counted.outcome))
        for outcome in seen.tried:
            _count(self.attempts, str(outcome))
        if seen.latency is not None:
            _count(self.latency, duration_bin(seen.latency))
        if seen.first_token is not None:
            _count(self.first_token, duration_bin(seen.first_token))
        self.tokens_in += seen.tokens[0]
        self.tokens_out += seen.tokens[1]
        if seen.cost is not None:
            self.cost_n += 1
            self.cost_sum += seen.cost
            self.cost_sq += seen.cost * seen.cost
            _count(self.costs, cost_bin(seen.cost))
        if seen.stop is not None:
            _count(self.stops, str(seen.stop))
        self.copies += seen.copy
        if seen.pair is not None:
            _count(self.pairs, seen.pair)
        if seen.group is not None:
            self.keyed += 1
            if seen.counted.judged:
                judged, errors = self.groups.get(seen.group, (0, 0))
                self.groups[seen.group] = (judged + 1, errors + seen.counted.error)

    def merge(self, row: Row) -> None:
        for name in self.__slots__:
            own, more = getattr(self, name), getattr(row, name)
            if not isinstance(own, dict):
                setattr(self, name, own + more)
            elif name == "groups":
                for group, (judged, errors) in more.items():
                    before = own.get(group, (0, 0))
                    own[group] = (before[0] + judged, before[1] + errors)
            else:
                for key, count in more.items():
                    own[key] = own.get(key, 0) + count


def _count(table: dict[_Name, int], key: _Name) -> None:
    table[key] = table.get(key, 0) + 1


class Recorder:
    """`record` is called by the calls' own threads, everything else by the courier's."""

    def __init__(self, telemetry: Telemetry = OFF) -> None:
        self.telemetry = telemetry
        """Shows each call besides, one by one."""
        self._inbox: deque[Seen] = deque()
        self._sums: dict[Key, _Sums] = {}
        self._lock = threading.Lock()
        self.dropped = 0
        """Calls that could not be recorded since the process began."""
        self.copies = Counter(sent=0, dropped=0, unfit=0, failed=0)
        """Copies for green since then: `dropped` had no room, `unfit` bodies are none that green takes, `failed` got no
        answer."""

    def record(self, seen: Seen) -> None:
        # A plain append: no lock, so that even a stream's __del__, run in the middle of anything, may call this.
        if len(self._inbox) < MOST_WAITING:
            self._inbox.append(seen)
        else:
            self.dropped += 1

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows that another process has summed up."""
        with self._lock:
            for row in rows:
                key = (row.route, row.rollout, row.step, row.variant, row.bucket, row.model, row.region)
                self._sums.setdefault(key, _Sums()).merge(row)

    def settle(self) -> int:
        """Adds what came in to the sums; returns the number of rows there are now."""
        with self._lock:
            self._settle()
            return len(self._sums)

    def waiting(self) -> int:
        """Calls not handed out yet."""
        with self._lock:
            return len(self._inbox) + sum(sums.calls for sums in self._sums.values())

    def take(self) -> list[Row]:
        """Hands out all rows and starts anew."""
        self.telemetry.settle()
        with self._lock:
            self._settle()
            sums, self._sums = self._sums, {}
        return [_row(key, value) for key, value in sums.items()]

    def _settle(self) -> None:
        while self._inbox:
            seen = self._inbox.popleft()
            sums = self._sums.get(seen.place)
            if sums is None:
                sums = self._sums[seen.place] = _Sums()
            sums.add(seen)


def _row(key: Key, sums: _Sums) -> Row:
    route, rollout, step, variant, bucket, model, region = key
    values: Mapping[str, object] = {name: getattr(sums, name) for name in _Sums.__slots__}
    return Row(
        route=route,
        rollout=rollout,
        step=step,
        variant=variant,
        bucket=bucket,
        model=model,
        region=region,
        **values,  # type: ignore[arg-type]
    )
