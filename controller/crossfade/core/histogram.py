"""Histogram: logarithmic bins of what is summed up: durations in seconds, costs in US dollars."""

from __future__ import annotations

import math
from collections.abc import Mapping

SMALLEST = 1e-4
"""Seconds; durations below fall into bin 0."""
SMALLEST_COST = 1e-7
"""US dollars; costs up to this fall into bin 0 and read back as nothing."""
GROWTH = 1.02
MOST_BINS = 1000


def duration_bin(seconds: float) -> int:
    """The histogram bin of a duration: bins grow by 2 %, so a quantile read back is within 1 %."""
    return _bin(seconds, SMALLEST)


def bin_seconds(index: int) -> float:
    """The middle of a bin, in seconds."""
    return SMALLEST if index <= 0 else SMALLEST * GROWTH ** (index - 0.5)


def bin_edges(index: int) -> tuple[float, float]:
    """The shortest and the longest duration of a bin, in seconds; the last bin has no longest."""
    low = 0.0 if index <= 0 else SMALLEST * GROWTH ** (index - 1)
    return low, math.inf if index >= MOST_BINS else SMALLEST * GROWTH ** max(index, 0)


def cost_bin(dollars: float) -> int:
    """The histogram bin of one call's cost: up to 39 dollars, read back within 1 %."""
    return _bin(dollars, SMALLEST_COST)


def bin_dollars(index: int) -> float:
    """The middle of a bin, in US dollars; 0 for bin 0."""
    return 0.0 if index <= 0 else SMALLEST_COST * GROWTH ** (index - 0.5)


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds below which `share` of the calls lie, or None without calls."""
    total = sum(bins.values())
    if not total:
        return None
    reached = 0
    for index in sorted(bins):
        reached += bins[index]
        if reached >= share * total:
            return bin_seconds(index)
    return bin_seconds(max(bins))


def mean_dollars(bins: Mapping[int, int]) -> float | None:
    """The mean cost of the calls in US dollars, or None without calls."""
    total = sum(bins.values())
    return sum(bin_dollars(index) * bins[index] for index in sorted(bins)) / total if total else None


def _bin(value: float, smallest: float) -> int:
    if value <= smallest:
        return 0
    return min(MOST_BINS, int(math.log(value / smallest) / math.log(GROWTH)) + 1)
