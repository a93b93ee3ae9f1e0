"""Splits: what a record says of the split of the calls, read as far as it was sealed at each look."""

from __future__ import annotations

from datetime import datetime

from crossfade.core.evidence import ByChance
from crossfade.core.sealing import last_sealed
from crossfade.core.verdict import Split
from crossfade.stats.sample_ratio import start_sample_ratio


class Splits:
    """None is a record that has no word on it: then there is no verdict either."""

    def __init__(self, by_chance: ByChance | None) -> None:
        self._by_chance = by_chance
        self._ratio = start_sample_ratio()
        self._read = 0

    def read(self, now: datetime, length: int) -> None:
        """Reads the buckets that are sealed by now."""
        if self._by_chance is None:
            return
        last = last_sealed(now.timestamp(), length=length, maturity=self._by_chance.maturity)
        buckets, begin = self._by_chance.buckets, self._read
        while self._read < len(buckets) and buckets[self._read].start <= last:
            self._read += 1
        self._ratio = self._ratio.after((each.weight, each.green, each.blue) for each in buckets[begin : self._read])

    @property
    def split(self) -> Split | None:
        return None if self._by_chance is None else self._ratio.split
