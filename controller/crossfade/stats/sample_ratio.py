"""Sample ratio: does green get the share of calls that its weight says?

Of N calls in a bucket at weight w, green's are binomial(N, w) if the split does what it should and every call is
recorded. For an odds ratio e^t, E = e^(t n_g) / (1 - w + w e^t)^N has mean exactly 1; over buckets and averaged over a
fixed set of t it is a test martingale (Ville 1939; sequential multinomial test: Lindon and Malek 2022), so it may be
looked at at any time. Only calls that were split by chance count: calls of one key go together, and are not binomial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import Any

import numpy as np

from crossfade.core.evidence import ByChance
from crossfade.core.verdict import Split
from crossfade.stats.columns import Floats
from crossfade.stats.mixture import log_sum

FORMAT = 1
"""Raised whenever a formula or a field changes: what was carried in another format is computed anew."""
ALARM = 0.001
"""The chance that a split that is right ever raises the alarm."""
_SIZES = np.array([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
LOG_ODDS_RATIOS = np.concatenate((-_SIZES[::-1], _SIZES))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleRatio:
    """`log_mass`: (14,), log of weight x e-value of each odds ratio; `peak` the highest the mixture has been.

    `calls`, of them `green`, and how many were `expected` to be.
    """

    log_mass: Floats
    peak: float = 0.0
    calls: int = 0
    green: int = 0
    expected: float = 0.0

    def after(self, buckets: Iterable[tuple[float, int, int]]) -> SampleRatio:
        """With more buckets, each (green's weight in 0..1, green's calls, blue's calls)."""
        log_mass, peak, calls, green, expected = self.log_mass, self.peak, self.calls, self.green, self.expected
        for weight, n_g, n_b in buckets:
            n = n_g + n_b
            log_mass = log_mass + n_g * LOG_ODDS_RATIOS - n * np.log1p(weight * np.expm1(LOG_ODDS_RATIOS))
            peak = max(peak, float(log_sum(log_mass)))
            calls, green, expected = calls + n, green + n_g, expected + weight * n
        return SampleRatio(log_mass=log_mass, peak=peak, calls=calls, green=green, expected=expected)

    @property
    def split(self) -> Split:
        return Split(
            calls=self.calls, green=self.green, expected=self.expected, log_e=self.peak, log_e_needed=log(1 / ALARM)
        )


def start_sample_ratio() -> SampleRatio:
    """Before the first bucket: E = 1."""
    return SampleRatio(log_mass=np.full(len(LOG_ODDS_RATIOS), -log(len(LOG_ODDS_RATIOS))))


def judge_split(by_chance: ByChance) -> Split:
    """What all of it says."""
    return start_sample_ratio().after((each.weight, each.green, each.blue) for each in by_chance.buckets).split


def as_document(ratio: SampleRatio) -> dict[str, Any]:
    """As JSON can hold it, to the last bit of every number."""
    return asdict(ratio) | {"log_mass": ratio.log_mass.tolist()}


def from_document(document: Mapping[str, Any]) -> SampleRatio:
    """What `as_document` gave."""
    return SampleRatio(**{**document, "log_mass": np.array(document["log_mass"], dtype=float)})
