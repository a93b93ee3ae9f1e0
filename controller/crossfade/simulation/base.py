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
            found[check.metric] = _loss(reader, check)
        reader.raw(check.metric)
    reader.close()
    return found


def _loss(reader: Reader, check: Check) -> float:
    """A blue whose every call is bad leaves nothing to plan: 1 is then likely meant as a hundredth."""
    if check.is_score:
        return 1 - reader.number(check.metric, least=0, most=1, unit="(a mean score)")
    return reader.number(check.metric, least=0, below=1, unit="(a fraction: 1 % is 0.01)")


def like(loss: float, history: Summary = EMPTY) -> Summary:
    """Losses of this mean, spread out as in `history`; without one each is 0 or 1, which takes the longest."""
    return Summary(CALLS, CALLS * loss, CALLS * Alike(loss_size(history)).square(loss))
