"""Calibrate: blue against blue, on its own recorded traffic, split anew many times, by the judge and decide that act.

Whatever is rolled back here is rolled back wrongly. It says whether alpha holds on this very traffic, and what
overdispersion to start with: what the judge would have learnt had it watched the recording.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil, inf, isfinite

import numpy as np

from crossfade.core.decision import Act
from crossfade.core.evidence import Summary
from crossfade.core.plan import MOST_OVERDISPERSION, Breach, Check, Plan, Step
from crossfade.simulation.advice import obstacles
from crossfade.simulation.calibration import Calibration, Measured
from crossfade.simulation.play import BEGIN, Ended, Field, Filling, columns
from crossfade.simulation.recording import Recording
from crossfade.simulation.resplit import Resplit
from crossfade.simulation.timing import Circumstances, step_times
from crossfade.stats.overdispersion import SOON_BUCKETS, Dispersion, start_dispersion
from crossfade.stats.parts import placed, taken

REPLAYS, LOOKS = 400, 600
"""What takes two or three seconds: replays side by side, and buckets looked at, shared among the checks."""
MOST_REPLAYS = 5_000
SPLITS = 50
WORTHWHILE = 1.1
"""A smaller overdispersion is not told apart from none."""
AMPLE = 1.5
"""Replays are given so many times what nine of ten rollouts take."""


def measure(plan: Plan, recording: Recording, *, seed: int = 1, looks: int = LOOKS) -> dict[str, float]:
    """The overdispersion to start with, by metric, of those with recorded calls.

    It is what the judge's quick phi (`soon`) would be at the end of the recording, at the last step's weight: of the
    mean over many splits, which leaves the noise of the traffic and not that of a split.
    """
    metrics = [check.metric for check in plan.checks if _is_recorded(recording, check)]
    if not metrics:
        return {}
    window = min(recording.buckets, max(1, looks // len(metrics)))
    split = Resplit(recording, metrics, rng=np.random.default_rng(seed), runs=SPLITS, window=window)
    runs, step = np.arange(SPLITS), np.zeros(SPLITS, dtype=np.int64)
    weights = np.full(SPLITS, plan.steps[-1].weight / 100)
    filling = [Filling(SPLITS) for _ in metrics]
    found = [start_dispersion((SPLITS,)) for _ in metrics]
    for position in range(window):
        for check, made in enumerate(split.draw(position, runs, weights)):
            filled, full = filling[check].after(runs, step, made)
            ready = np.flatnonzero(full)
            if len(ready):
                bucket = columns(step, filled).part((slice(None), ready))
                after = taken(found[check], ready).after(bucket)[-1]
                found[check] = placed(found[check], ready, after)
    return {metric: _started(dispersion) for metric, dispersion in zip(metrics, found, strict=True)}


def started_with(plan: Plan, found: Mapping[str, float], given: Collection[str] = ()) -> Plan:
    """`plan` with the overdispersion `found` of each metric, but of those in `given`, which a person has set."""
    return replace(
        plan,
        checks=tuple(
            check if check.metric in given else replace(check, overdispersion=found.get(check.metric, 1.0))
            for check in plan.checks
        ),
    )


def calibrate(
    plan: Plan,
    recording: Recording,
    found: Mapping[str, float],
    *,
    replays: int = REPLAYS,
    seed: int = 1,
    looks: int = LOOKS,
) -> Calibration:
    """A/A replays of `plan`, its checks starting with the overdispersion they have; `found` is what was measured.

    At most `looks` buckets are looked at, of all checks together: where more would be needed adjacent ones are merged.
    The same arguments always give the same calibration.
    """
    plan = plan.unshadowed  # blue's past holds no copies: what is replayed is the steps that split calls
    played, needed, constant = _played(plan, recording, found)
    result = _unplayed(plan, played, recording, found, needed, constant)
    if not any(check.gating for check in played.checks) or recording.buckets < plan.least_buckets:
        return result
    wanted = recording.buckets
    if isfinite(needed):
        wanted = min(wanted, max(plan.least_buckets, ceil(AMPLE * needed / recording.length)))
    each = ceil(wanted / max(1, looks // len(played.checks)))
    merged = recording.merged(each)
    ended = _replayed(played, merged, min(merged.buckets, ceil(wanted / each)), replays, seed)
    return _counted(result, ended, each)


def _is_recorded(recording: Recording, check: Check) -> bool:
    tape = recording.tapes.get(check.metric)
    return tape is not None and tape.history.n > 0


def _started(dispersion: Dispersion) -> float:
    seen, nominal = float(dispersion.seen.mean()), float(dispersion.nominal.mean())
    phi = float(f"{(SOON_BUCKETS + seen) / (SOON_BUCKETS + nominal):.2g}")
    return min(MOST_OVERDISPERSION, phi) if phi >= WORTHWHILE else 1.0


def _played(plan: Plan, recording: Recording, found: Mapping[str, float]) -> tuple[Plan, float, bool]:
    """(the plan as it is replayed, the seconds nine of ten rollouts of it take, whether at a constant weight).

    Without what has no calls, and without waiting for a person; a pause for a breach counts as a roll-back.
    """
    checks = tuple(
        replace(check, on_breach=Breach.ROLL_BACK if check.on_breach is Breach.PAUSE else check.on_breach)
        for check in plan.checks
        if check.metric in found
    )
    ramp = replace(
        plan, checks=checks, steps=tuple(replace(step, approve=False) for step in plan.steps), time_limit=None
    )
    needed = _needed(ramp, recording, found)
    if needed <= recording.seconds:
        return ramp, needed, False
    constant = replace(ramp, steps=(Step(weight=plan.steps[-1].weight, bake=0.0),))
    return constant, _needed(constant, recording, found), len(plan.steps) > 1 or plan.steps[0].bake > 0


def _needed(plan: Plan, recording: Recording, found: Mapping[str, float]) -> float:
    """What it takes at the overdispersion that was measured, where a check starts with less: it will be learnt."""
    learnt = (replace(c, overdispersion=max(c.overdispersion, found[c.metric])) for c in plan.checks)
    plan = replace(plan, checks=tuple(learnt))
    histories = {metric: tape.history for metric, tape in recording.tapes.items()}
    calls = max((history.n for history in histories.values()), default=0)
    traffic = calls / recording.seconds if calls else 0.0
    return needed_seconds(plan, histories, traffic=traffic, bucket_seconds=recording.length)


def needed_seconds(plan: Plan, history: Mapping[str, Summary], *, traffic: float, bucket_seconds: float) -> float:
    """How long nine of ten rollouts of the plan take at most at `traffic` calls a second, maturity left out: infinite
    where a gate would never open, or nothing is known of it."""
    calls = max((sums.n for sums in history.values()), default=0)
    circumstances = Circumstances(
        traffic=traffic,
        history=history,
        scored={metric: sums.n / calls for metric, sums in history.items()} if calls else {},
        bucket_seconds=bucket_seconds,
    )
    at_once = replace(plan.unshadowed, checks=tuple(replace(check, maturity=0.0) for check in plan.checks))
    if not any(check.gating for check in plan.checks) or obstacles(at_once, circumstances):
        return inf
    seconds = np.sum([each.seconds for each in step_times(at_once, circumstances)], axis=0)
    return float(np.quantile(seconds, 0.9, method="higher"))


def _unplayed(
    plan: Plan, played: Plan, recording: Recording, found: Mapping[str, float], needed: float, constant: bool
) -> Calibration:
    calls = max((tape.history.n for tape in recording.tapes.values()), default=0)
    return Calibration(
        replays=0,
        alpha=plan.alpha,
        calls=calls,
        seconds=recording.seconds,
        merged=1,
        weights=tuple(step.weight for step in played.steps),
        constant=constant,
        stopped=0,
        promoted=0,
        undecided=0,
        median_calls=None,
        needed=round(needed * calls / recording.seconds) if calls and isfinite(needed) else None,
        keyed=recording.keyed,
        checks=tuple(
            Measured(
                metric=check.metric,
                start=found[check.metric],
                given=check.overdispersion,
                by_key=recording.tapes[check.metric].by_key,
                lost=recording.tapes[check.metric].history.s,
            )
            for check in plan.checks
            if check.metric in found
        ),
        unknown=tuple(check.metric for check in plan.checks if check.metric not in found),
    )


def _replayed(plan: Plan, recording: Recording, window: int, replays: int, seed: int) -> list[Ended]:
    metrics = [check.metric for check in plan.checks]
    histories = [recording.tapes[metric].history for metric in metrics]
    split = Resplit(recording, metrics, rng=np.random.default_rng((seed, 1)), runs=replays, window=window)
    field = Field(plan, histories, runs=replays, traffic=histories[0].n / recording.seconds)
    for position in range(window):
        if not len(field.live):
            break
        made = split.draw(position, field.live, field.weights())
        field.look(made, (0.0, 0.0), BEGIN + timedelta(seconds=(position + 1) * recording.length))
    return field.ended()


def _counted(result: Calibration, ended: Sequence[Ended], merged: int) -> Calibration:
    stopped = sum(one.act is Act.ROLL_BACK for one in ended)
    promoted = sum(one.act is Act.PROMOTE for one in ended)
    decided = [one.calls for one in ended if one.act is not None]
    phi = np.array([one.phi for one in ended])
    return replace(
        result,
        replays=len(ended),
        merged=merged,
        stopped=stopped,
        promoted=promoted,
        undecided=len(ended) - stopped - promoted,
        median_calls=round(float(np.median(decided))) if decided else None,
        checks=tuple(
            replace(check, median=float(np.median(found)), p90=float(np.quantile(found, 0.9)))
            for check, found in zip(result.checks, phi.T, strict=True)
        ),
    )
