"""Trouble: a line in the log for each kind of failure, now and then: callers see theirs, who runs this would not."""

from __future__ import annotations

import logging

from crossfade.core.outcome import Outcome
from crossfade.shim.classify import Failure

log = logging.getLogger("crossfade")

EVERY = 600.0
"""Seconds between two lines about one kind of failure."""
_TOLD_ELSEWHERE = frozenset({Outcome.REJECTED, Outcome.UNKNOWN})
"""The caller's own fault, whose text may quote the request; and what the course raises an alarm about."""


class Trouble:
    """One for a process."""

    def __init__(self) -> None:
        self._told: dict[Outcome, float] = {}

    def tell(self, failure: Failure, region: str, now: float) -> None:
        """Logs a failure unless one of its kind was logged a moment ago. `now` in seconds of a monotonic clock."""
        kind = failure.outcome
        if kind in _TOLD_ELSEWHERE or now - self._told.get(kind, -EVERY) < EVERY:
            return
        self._told[kind] = now
        log.warning(
            "Bedrock in %s was asked in vain (%s: %s); more of the kind in the next ten minutes are only counted",
            region,
            kind.value,
            failure.error,
            extra={"action": "asked_in_vain"},
        )
