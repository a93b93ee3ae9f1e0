"""Pair: a call of blue and green's copy of it, as each is compared: what every metric needs of the two, in one key.

Pairs are counted by their key, as calls are by bins: whatever limit a check has, now or in a replay, its losses can be
read from it. A key is both halves, `blue|green`, each `error,latency bin,first token bin,cost bin,stop`; what there is
none of is empty: `0,153,,412,end_turn|1,,,,`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crossfade.core.histogram import MOST_BINS, cost_bin, duration_bin
from crossfade.core.metric import metric_of
from crossfade.core.stop import Stop

_STOPS = "|".join(re.escape(str(stop)) for stop in Stop)
_BIN = r"(?:[0-9]{1,4})?"
_HALF = rf"([01]),({_BIN}),({_BIN}),({_BIN}),((?:{_STOPS})?)"
_KEY = re.compile(rf"{_HALF}\|{_HALF}")
_PLACES = {"latency": 1, "first_token": 2, "costs": 3, "stops": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One of the two calls: whether it was an error of its variant, its durations in seconds, cost in US dollars and
    stop reason; None where there is none."""

    error: bool
    latency: float | None = None
    first_token: float | None = None
    cost: float | None = None
    stop: Stop | None = None

    @property
    def key(self) -> str:
        bins = (
            "" if self.latency is None else str(duration_bin(self.latency)),
            "" if self.first_token is None else str(duration_bin(self.first_token)),
            "" if self.cost is None else str(cost_bin(self.cost)),
        )
        return ",".join((str(int(self.error)), *bins, "" if self.stop is None else str(self.stop)))


def pair_key(blue: Half, green: Half) -> str:
    return f"{blue.key}|{green.key}"


def is_pair_key(text: str) -> bool:
    found = _KEY.fullmatch(text)
    return found is not None and all(int(group or 0) <= MOST_BINS for group in found.group(2, 3, 4, 7, 8, 9))


class PairLosses:
    """The losses of pairs by one metric. Raises `ValueError` for a metric without the limit it needs."""

    def __init__(self, metric: str, limit: float | None) -> None:
        known = metric_of(metric)
        self._place = 0 if known.table is None else _PLACES[known.table]
        self._losses: Mapping[str, float] = {"0": 0.0, "1": 1.0} if known.table is None else known.losses(limit)

    def of(self, key: str) -> tuple[float, float] | None:
        """(blue's loss, green's), None where one of the two has no value for this metric."""
        blue, green = (half.split(",")[self._place] for half in key.split("|"))
        return (self._losses[blue], self._losses[green]) if blue and green else None
