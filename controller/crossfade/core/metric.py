"""Metric: what a check may look at, how it is said, and the loss in [0, 1] that each call counts as.

A loss of 1 is the worst. Binary losses are 0 or 1, so that a mean is a share of calls. A cost counts as its share
of a limit fixed beforehand, a score s as 1 - s. Durations and costs become bounded by their limit, so they need no
distribution: latency is the share of calls slower than it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from crossfade.core.amount import seconds
from crossfade.core.histogram import MOST_BINS, bin_dollars, duration_bin
from crossfade.core.stop import Stop

ERROR_RATE = "error_rate"
SCORE_PREFIX = "score."
SECONDS, DOLLARS = "seconds", "US dollars"
BAD_ANSWERS = "bad answers"
_POINTS_OF_CALLS = "percentage points of calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing to compare the variants by.

    `words` is its name as said aloud, `slower` the same with a limit in place of {}. `of` says which calls count,
    `unit` what its mean is, `margin` what a check's margin counts. A metric may rise by its margin, or fall by it
    where it `falls`. `harms` are losses of 1, as people call several. `limit_unit` is the unit of the limit it needs,
    None if it takes none; `most_limit` bounds it. `table` names the sums of a row that hold it, by key; None where it
    is counted otherwise.
    """

    name: str
    words: str
    of: str = "calls"
    unit: str = "share of calls"
    margin: str = _POINTS_OF_CALLS
    falls: bool = False
    binary: bool = True
    harms: str = BAD_ANSWERS
    limit_unit: str | None = None
    most_limit: float = 3600.0
    slower: str = ""
    table: str | None = None
    stops: frozenset[Stop] = frozenset()

    @property
    def is_money(self) -> bool:
        """Whether a loss is a share of a limit in dollars, and no answer that is right or wrong."""
        return self.limit_unit == DOLLARS

    def said(self, limit: float | None) -> str:
        """Its name: "error rate", "calls slower than 1.8 s"."""
        return self.slower.format(seconds(limit)) if self.slower and limit is not None else self.words

    def losses(self, limit: float | None) -> Mapping[str, float]:
        """The loss of a call by its key in `table`; raises `ValueError` without the limit it needs."""
        if self.stops:
            return {str(stop): float(stop in self.stops) for stop in Stop}
        if limit is None:
            raise ValueError(f"{self.name} has no limit to be judged by")
        if self.limit_unit == DOLLARS:
            return {str(index): min(1.0, bin_dollars(index) / limit) for index in range(MOST_BINS + 1)}
        slowest = duration_bin(limit)
        return {str(index): float(index > slowest) for index in range(MOST_BINS + 1)}


_FIXED = {
    metric.name: metric
    for metric in (
        Metric(name=ERROR_RATE, words="error rate"),
        Metric(
            name="latency",
            words="slow calls",
            slower="calls slower than {}",
            of="timed calls",
            harms="slow calls",
            limit_unit=SECONDS,
            table="latency",
        ),
        Metric(
            name="first_token",
            words="slow first tokens",
            slower="first tokens slower than {}",
            of="streamed calls",
            harms="slow first tokens",
            limit_unit=SECONDS,
            table="first_token",
        ),
        Metric(
            name="cost",
            words="cost a call",
            of="calls with a known cost",
            unit="US dollars a call",
            margin="points of its limit",
            binary=False,
            limit_unit=DOLLARS,
            most_limit=1000.0,
            table="costs",
        ),
        Metric(
            name="truncated_output",
            words="truncated output",
            of="calls with a stop reason",
            harms="truncated answers",
            table="stops",
            stops=frozenset({Stop.MAX_TOKENS, Stop.MODEL_CONTEXT_WINDOW_EXCEEDED}),
        ),
        Metric(
            name="refusal",
            words="refusals",
            of="calls with a stop reason",
            harms="refusals",
            table="stops",
            stops=frozenset({Stop.REFUSAL}),
        ),
        Metric(
            name="safety_stop",
            words="safety stops",
            of="calls with a stop reason",
            harms="safety stops",
            table="stops",
            stops=frozenset({Stop.GUARDRAIL_INTERVENED, Stop.CONTENT_FILTERED}),
        ),
    )
}
NAMES = tuple(_FIXED)
"""All metrics but the scores."""
SCORE_NAME = r"[a-z][a-z0-9_]{0,62}"
PATTERN = rf"{'|'.join(NAMES)}|{re.escape(SCORE_PREFIX)}{SCORE_NAME}"
ALLOWED = f"allowed: {', '.join(NAMES)}, or score.NAME with a name of a-z, 0-9 and _ such as score.accuracy"


def is_metric(name: str) -> bool:
    """Whether a check may name it."""
    return re.fullmatch(PATTERN, name) is not None


def metric_of(name: str) -> Metric:
    """The metric of this name; what is none of the fixed ones is read as a score's."""
    return _FIXED.get(name) or Metric(
        name=name,
        words=name.removeprefix(SCORE_PREFIX).replace("_", " "),
        of="scored calls",
        unit="mean score",
        margin="points of the score",
        falls=True,
        binary=False,
    )
