"""Trouble: a line in the log for each kind of failure, now and then: callers see theirs, who runs this would not."""

from __future__ import annotations

import contextlib
import logging
import threading

from crossfade.core.outcome import Outcome
from crossfade.shim.classify import Failure

log = logging.getLogger("crossfade")

EVERY = 600.0
"""Seconds between two lines about the same."""
_TOLD_ELSEWHERE = frozenset({Outcome.REJECTED, Outcome.UNKNOWN})
"""The caller's own fault, whose text may quote the request; and what the course raises an alarm about."""
_LONGEST = 500
"""Characters of an error: a proxy may answer with a whole page."""


class Trouble:
    """One for a board. Nothing here raises. `now` is in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._told: dict[Outcome | int, float] = {}
        self._lock = threading.RLock()  # the handler of a signal may make a call in the middle of one

    def failed(self, failure: Failure, region: str, now: float) -> None:
        """Logs a failed attempt, unless one of its kind was logged a moment ago."""
        kind = failure.outcome
        if kind in _TOLD_ELSEWHERE or not self._is_due(kind, now):
            return
        with contextlib.suppress(Exception):  # a logger of the service's own, or an error without words
            log.warning(
                "Bedrock in %s was asked in vain (%s: %s); more of the kind in the next ten minutes are only counted",
                region,
                kind.value,
                " ".join(str(failure.error).split())[:_LONGEST] or type(failure.error).__name__,
                extra={"action": "asked_in_vain"},
            )

    def unanswered(self, route: int, name: str, ending: str, targets: int, tried: str, now: float) -> None:
        """Logs a call that no target answered, unless one of its route was logged a moment ago.

        `ending` is what the caller got instead of an answer, `tried` tells of its attempts at so many targets.
        """
        if not self._is_due(route, now):
            return
        with contextlib.suppress(Exception):
            log.warning(
                "no target answered a call of route %r, which ended with %s (targets asked: %d; %s); more of the route "
                "in the next ten minutes are only counted",
                name,
                ending,
                targets,
                tried,
                extra={"action": "call_unanswered"},
            )

    def _is_due(self, what: Outcome | int, now: float) -> bool:
        with self._lock:
            if now - self._told.get(what, -EVERY) < EVERY:
                return False
            self._told[what] = now
            return True
