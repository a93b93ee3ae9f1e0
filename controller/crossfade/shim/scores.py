"""Scores: numbers given to calls later: accuracy, a judge's grade, a customer's thumb."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from crossfade.core.callid import PREFIX
from crossfade.shim import runtime

log = logging.getLogger("crossfade")


def score(call: Mapping[str, Any] | str, metric: str, value: float, grader: str = "default") -> bool:
    """Gives a call a score: `value` in [0, 1], 1 is best. `call` is the answer itself or its call id.

    Never raises and never waits. True if the score is on its way; False for an answer that Crossfade did not route,
    for a value that is no score, and where Crossfade is off.
    """
    shim = runtime.current()
    call_id = _call_id(call)
    if shim is None or call_id is None:
        return False
    good = isinstance(value, int | float) and 0 <= value <= 1  # not so for NaN
    if not good or not isinstance(metric, str) or not metric:
        log.warning("score %r=%r is not counted: it must be in [0, 1]", metric, value, extra={"action": "bad_score"})
        return False
    return shim.courier.score({"call_id": call_id, "metric": metric, "value": float(value), "grader": str(grader)})


def flush(timeout: float = 10.0) -> bool:
    """Delivers what has been recorded so far; for tests and short scripts. False if something is still waiting."""
    shim = runtime.current()
    return True if shim is None else shim.courier.flush(timeout)


def health() -> dict[str, Any]:
    """How the shim of this process is: snapshot version and age, what waits, what was dropped, open breakers."""
    shim = runtime.current()
    return {"active": False} if shim is None else shim.health()


def _call_id(call: Mapping[str, Any] | str) -> str | None:
    if isinstance(call, str):
        found: Any = call
    else:
        try:
            found = call["ResponseMetadata"]["Crossfade"]["call_id"]
        except (KeyError, TypeError):
            return None
    return found if isinstance(found, str) and found.startswith(PREFIX) else None
