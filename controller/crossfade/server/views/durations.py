"""Durations: how long the calls of the step under way took, at three quantiles, each with its interval.

Of one step only: while it lasts both variants see the same hours in the same proportions. Over steps of different
weights green's calls would be of later hours than blue's, and a slow morning would pass for a difference of Models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from crossfade.core.amount import seconds
from crossfade.core.histogram import quantile
from crossfade.core.split import Variant
from crossfade.server.store import observations
from crossfade.stats.quantile import Between, between, difference

ALPHA = 0.05
"""Each interval is wrong at any look with at most this chance, taken by itself."""
SHARES = (0.5, 0.95, 0.99)
NAMES = {"latency": "whole call", "first_token": "first token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Seconds. `value` is read off the histogram, an end is None while nothing bounds it; all None without calls."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationView:
    """One quantile of both variants in the step under way, and green's less blue's.

    `of` is latency or first_token, `share` the share of calls that took no longer. `phi` is the overdispersion
    that a check of the same metric found, None without one: the calls are then taken as independent.
    """

    of: str
    share: float
    name: str
    phi: float | None
    blue_n: int
    green_n: int
    blue: Reading
    green: Reading
    difference: Reading
    sentence: str


def durations(
    connection: Connection, tiles: Iterable[Mapping[str, Any]], *, rollout: int, route: int, step: int
) -> tuple[DurationView, ...]:
    """Whole calls, then first tokens, where the step has any. `tiles`: the checks as last judged, for their phi."""
    phi = {tile["metric"]: tile["overdispersion"] for tile in tiles}
    found = []
    for of in NAMES:
        counts = observations.counted(connection, of, rollout=rollout, route=route, step=step)
        bins = {variant: {int(key): n for key, n in counts.get(variant, {}).items()} for variant in Variant}
        if counts:
            found += [_duration(of, share, bins, phi.get(of)) for share in SHARES]
    return tuple(found)


def _duration(of: str, share: float, bins: Mapping[Variant, Mapping[int, int]], phi: float | None) -> DurationView:
    alone, halved = (
        {variant: between(bins[variant], share, alpha=alpha, phi=phi or 1.0) for variant in Variant}
        for alpha in (ALPHA, ALPHA / 2)
    )
    b, g = (quantile(bins[variant], share) for variant in (Variant.BLUE, Variant.GREEN))
    blue, green = _reading(b, alone[Variant.BLUE]), _reading(g, alone[Variant.GREEN])
    apart = difference(halved[Variant.GREEN], halved[Variant.BLUE])
    less = _reading(None if b is None or g is None else g - b, apart)
    return DurationView(
        of=of,
        share=share,
        name=f"{NAMES[of]}, p{100 * share:.0f}",
        phi=phi,
        blue_n=sum(bins[Variant.BLUE].values()),
        green_n=sum(bins[Variant.GREEN].values()),
        blue=blue,
        green=green,
        difference=less,
        sentence=f"blue {value(blue)}{_within(blue)}, green {value(green)}{_within(green)}; "
        f"green - blue {signed(less)}{_within(less, signs=True)}",
    )


def value(reading: Reading) -> str:
    return "–" if reading.value is None else seconds(reading.value)


def signed(reading: Reading) -> str:
    return "–" if reading.value is None else _said(reading.value, signs=True)


def ends(reading: Reading, *, signs: bool = False) -> str:
    """The interval in words: "790 to 841 ms", "at least 790 ms", "not bounded yet"; nothing without calls."""
    if reading.value is None:
        return ""
    low, high = (None if end is None else _said(end, signs=signs) for end in (reading.low, reading.high))
    if low is None:
        return "not bounded yet" if high is None else f"at most {high}"
    if high is None:
        return f"at least {low}"
    number, _, unit = low.partition(" ")
    return f"{number if unit == high.partition(' ')[2] else low} to {high}"


def _within(reading: Reading, *, signs: bool = False) -> str:
    said = ends(reading, signs=signs)
    return f" ({said})" if said else ""


def _said(amount: float, *, signs: bool) -> str:
    if not amount:
        return "0 ms"
    return f"{'-' if amount < 0 else '+' if signs else ''}{seconds(abs(amount))}"


def _reading(value: float | None, interval: Between) -> Reading:
    """Without calls on one side the other side alone bounds nothing worth saying."""
    known = Between() if value is None else interval
    return Reading(value=value, low=known.low, high=known.high)
