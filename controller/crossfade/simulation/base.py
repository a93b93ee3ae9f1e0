"""Base: blue's rates as a person gives them, in place of what was recorded."""

from __future__ import annotations

from collections.abc import Iterable

from crossfade.core.evidence import EMPTY, Summary
from crossfade.core.plan import Check
from crossfade.core.reading import Reader
from crossfade.simulation.alike import Alike, loss_size

CALLS = 10_000
"""What a person says counts as well known."""


def read_base(reader: Reader, checks: Iterable[Check]) -> dict[str, float]:
    """Blue's mean loss by metric, out of {"error_rate": 0.01, "score.accuracy": 0.93}; problems go to the reader."""
    found = {}
    for check in checks:
        if reader.has(check.metric):
            rate = reader.number(check.metric, least=0, most=1, unit="(a fraction: 1 % is 0.01)")
            found[check.metric] = 1 - rate if check.is_score else rate
        reader.raw(check.metric)
    reader.close()
    return found


def like(loss: float, history: Summary = EMPTY) -> Summary:
    """Losses of this mean, spread out as in `history`; without one each is 0 or 1, which takes the longest."""
    return Summary(CALLS, CALLS * loss, CALLS * Alike(loss_size(history)).square(loss))
