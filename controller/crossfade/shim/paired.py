"""Paired: how green's copy of a call goes its way, and how it counts: as a pair with blue's call."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from crossfade.core.outcome import Charge, Outcome
from crossfade.core.pair import Half, pair_key
from crossfade.core.policy import POLICY, Settings
from crossfade.core.snapshot import Entry
from crossfade.shim.account import Account
from crossfade.shim.recorder import Recorder, Seen

MOST_WAIT = 0.5
"""Seconds a copy may wait between two attempts."""
CHEAP = 0.05
"""Seconds: the longest base of a backoff after which a copy is tried again. Nobody waits for one; quota is for those
who do."""


class Paired(Recorder):
    """Records a copy as green's, paired with blue's call."""

    def __init__(self, recorder: Recorder, blue: Seen, policy: Settings) -> None:
        super().__init__()
        self._recorder = recorder
        self._blue = blue
        self._policy = policy

    def record(self, seen: Seen) -> None:
        counted = seen.counted
        if counted.outcome in POLICY and _is_asked_once(counted.outcome, self._policy):
            # A call would have been tried again, and blue's was: no word on green.
            counted = replace(counted, judged=False, error=False)
        if counted.outcome is Outcome.REJECTED and self._blue.counted.outcome is Outcome.OK:
            # As a second opinion of blue would have it: blue took the very same request.
            counted = Account(outcome=Outcome.INCOMPATIBLE, judged=True, error=True)
        pair = pair_key(_half(self._blue), _half(replace(seen, counted=counted))) if counted.judged else None
        self._recorder.record(replace(seen, counted=counted, copy=True, pair=pair))


def _half(seen: Seen) -> Half:
    return Half(
        error=seen.counted.error,
        latency=seen.latency,
        first_token=seen.first_token,
        cost=seen.cost,
        stop=seen.stop,
    )


def for_copies(entry: Entry) -> Entry:
    """The route as a copy goes through it: green alone, no fallback, busy answer, second request or long wait."""
    assert entry.live is not None
    policy = entry.route.policy
    names = {spec.name for spec in fields(Settings)}
    dear = [outcome for outcome in POLICY if _is_asked_once(outcome, policy)]
    once = {name: 1 for outcome in dear for name in (f"{outcome}_tries", f"{outcome}_tries_last") if name in names}
    changed: dict[str, Any] = {"busy": False, "hedge": False, "backoff_cap": min(MOST_WAIT, policy.backoff_cap)} | once
    route = replace(entry.route, blue=entry.live.green, fallbacks=(), policy=replace(policy, **changed))
    return replace(entry, route=route)


def _is_asked_once(outcome: Outcome, policy: Settings) -> bool:
    return POLICY[outcome].charge is Charge.QUOTA or policy.base(outcome) > CHEAP
