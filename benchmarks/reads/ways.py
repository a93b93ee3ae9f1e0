"""Ways: the reads that are timed, on both days in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.reads.day import Day
from crossfade.core.plan import Check
from crossfade.server.database import begin
from crossfade.server.store import observations
from crossfade.server.store.losses import history, past
from crossfade.server.views.rollout import rollout

ERRORS = Check(metric="error_rate", margin=1)
LATENCY = Check(metric="latency", margin=1, limit=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The medians of one read, in milliseconds."""

    read: str
    rows: float
    summed: float


def step_calls(day: Day) -> Any:
    with begin(day.engine, snapshot=True) as connection:
        return observations.step_calls(connection, rollout=day.rollout, route=day.split, step=0)


def _history(check: Check) -> Callable[[Day], Any]:
    def read(day: Day) -> Any:
        with begin(day.engine, snapshot=True) as connection:
            return history(connection, check, past(connection, day.alone, day.now))

    return read


READS: dict[str, Callable[[Day], Any]] = {
    "a step's calls, at every tick": step_calls,
    "a rollout's page": lambda day: rollout(day.engine, day.rollout, now=day.now),
    "blue's history: error rate": _history(ERRORS),
    "blue's history: latency": _history(LATENCY),
}


def measure(rows: Day, summed: Day, *, rounds: int) -> list[Timed]:
    """Every read; wall time, as Postgres does the work. Both days in turn, so that what else runs counts for both."""
    times: dict[tuple[str, bool], list[float]] = {}
    for _ in range(rounds):
        for name, read in READS.items():
            for is_summed, day in enumerate((rows, summed)):
                begun = perf_counter()
                read(day)
                times.setdefault((name, bool(is_summed)), []).append((perf_counter() - begun) * 1e3)
    return [Timed(read=name, rows=median(times[name, False]), summed=median(times[name, True])) for name in READS]
