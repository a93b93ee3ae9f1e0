"""Play: many rollouts of one plan side by side, bucket by bucket, judged and decided by the code the scheduler runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from crossfade.core.decision import Act, Conditions, apply, decide
from crossfade.core.evidence import Bucket, Summary
from crossfade.core.phase import Phase
from crossfade.core.plan import Check, Plan
from crossfade.core.rollout import Rollout
from crossfade.simulation.traffic import Made, Traffic
from crossfade.simulation.truth import Truth
from crossfade.stats.columns import merge, to_columns
from crossfade.stats.figures import Figures, figures
from crossfade.stats.judge import judge_figures
from crossfade.stats.parts import placed, taken
from crossfade.stats.state import State, start_state

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""Any moment: only differences of time count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one rollout went. `calls` of both variants until its end, or until the simulation's.

    `harm` is how many bad answers more than blue would have given are to be expected of its green calls, by the first
    check; `steps` is how many calls each step took, as far as it got.
    """

    act: Act | None
    """What ended it; None where nothing did, `Act.PAUSE` where it waits for a person."""
    calls: int
    green_calls: int
    harm: float
    steps: tuple[int, ...]


def play(
    plan: Plan,
    truths: Sequence[Truth],
    traffic: Traffic,
    *,
    rng: np.random.Generator,
    runs: int,
    calls: int,
    most_calls: int,
    bucket_seconds: float = 10.0,
    history: int = 10_000,
) -> list[Ended]:
    """`runs` rollouts of `plan`, each until it ends or `most_calls` were made, `calls` a bucket.

    One truth for each check of the plan. `history` is how many of blue's calls were recorded beforehand. Buckets are
    judged as soon as they are over: maturity only shifts every look by as much.
    """
    before = [_history(truth.at(0)[0], traffic, history) for truth in truths]
    field = _Field(plan, before, runs=runs, traffic=calls / bucket_seconds)
    for position in range(most_calls // calls):
        if not len(field.live):
            break
        rates = [truth.at(position * calls) for truth in truths]
        made = traffic.draw(rng, field.live, field.weights(), calls, rates)
        field.look(made, rates[0], BEGIN + timedelta(seconds=(position + 1) * bucket_seconds))
    return field.ended()


class _Field:
    """The rollouts under way and what each has come to."""

    def __init__(self, plan: Plan, before: Sequence[Summary], *, runs: int, traffic: float) -> None:
        self._plan = plan
        self._traffic = traffic
        self._states = [_start(plan, check, sums, runs) for check, sums in zip(plan.checks, before, strict=True)]
        self._pending: list[list[tuple[Bucket, ...]]] = [[()] * runs for _ in plan.checks]
        first = Rollout(id=1, route="", blue="blue", green="green", plan=plan, salt="", created_at=BEGIN)
        started = replace(first, phase=Phase.PROGRESSING, started_at=BEGIN, step_started_at=BEGIN, resumed_at=BEGIN)
        self._rollouts = [started] * runs
        self._acts: list[Act | None] = [None] * runs
        self._calls, self._green = np.zeros((2, runs, len(plan.steps)))
        self._harm = np.zeros(runs)
        self.live: NDArray[np.int64] = np.arange(runs)

    def weights(self) -> NDArray[np.float64]:
        """Green's share in each rollout under way, in 0..1."""
        return np.array([self._rollouts[run].weight / 100 for run in self.live])

    def look(self, made: Sequence[Made], rates: tuple[float, float], now: datetime) -> None:
        """One more bucket of every check, judged and decided on."""
        steps = np.array([self._rollouts[run].step for run in self.live])
        self._calls[self.live, steps] += made[0].n_g + made[0].n_b
        self._green[self.live, steps] += made[0].n_g
        self._harm[self.live] += made[0].n_g * (rates[1] - rates[0])
        found = [self._fold(check, steps, each) for check, each in enumerate(made)]
        left = []
        for position, run in enumerate(self.live.tolist()):
            rollout = self._rollouts[run]
            step = rollout.step
            judgement = judge_figures(self._plan, [each[position] for each in found], step=step, forecast=False)
            conditions = Conditions(
                calls=int(self._calls[run, step]), green_calls=int(self._green[run, step]), traffic=self._traffic
            )
            decision = decide(rollout, judgement, conditions, now)
            self._rollouts[run] = apply(decision)
            if decision.act in (Act.HOLD, Act.ADVANCE):
                left.append(run)
            else:
                self._acts[run] = decision.act
        self._move(left)

    def _fold(self, check: int, steps: NDArray[np.int64], made: Made) -> list[Figures]:
        buckets = [_bucket(*row) for row in zip(*(column.tolist() for column in (steps, *made)), strict=True)]
        state = self._states[check].counted(to_columns(buckets).side_by_side())
        ready, judged = self._merged(check, buckets)
        if len(ready):
            state = placed(state, ready, taken(state, ready).after(to_columns(judged).side_by_side()))
        self._states[check] = state
        return figures(state)

    def _merged(self, check: int, buckets: Sequence[Bucket]) -> tuple[NDArray[np.int64], list[Bucket]]:
        """The places of the rollouts whose bucket is full enough to be judged, and those buckets."""
        ready, judged = [], []
        pending = self._pending[check]
        for position, (run, bucket) in enumerate(zip(self.live.tolist(), buckets, strict=True)):
            full, pending[run] = merge(pending[run], [bucket])
            if full:
                ready.append(position)
                judged.append(full[0])
        return np.array(ready, dtype=np.int64), judged

    def _move(self, left: list[int]) -> None:
        """Leaves out what has ended, and takes the others to their step."""
        keep = np.searchsorted(self.live, left)
        self.live = np.array(left, dtype=np.int64)
        steps = np.array([self._rollouts[run].step for run in left], dtype=np.int64)
        weights = [self._plan.gate_weight(step) for step in steps.tolist()]
        for position, check in enumerate(self._plan.checks):
            margins = np.array([check.gate_margin(weight) for weight in weights])
            self._states[position] = taken(self._states[position], keep).at(steps, margins)

    def ended(self) -> list[Ended]:
        calls, green = self._calls.sum(axis=1), self._green.sum(axis=1)
        return [
            Ended(
                act=self._acts[run],
                calls=int(calls[run]),
                green_calls=int(green[run]),
                harm=float(self._harm[run]),
                steps=tuple(int(k) for k in self._calls[run, : rollout.step + 1]),
            )
            for run, rollout in enumerate(self._rollouts)
        ]


def _bucket(step: int, n_g: float, s_g: float, q_g: float, n_b: float, s_b: float, q_b: float) -> Bucket:
    return Bucket(0, step, blue=Summary(round(n_b), s_b, q_b), green=Summary(round(n_g), s_g, q_g))


def _history(rate: float, traffic: Traffic, calls: int) -> Summary:
    return Summary(calls, calls * rate, calls * traffic.square(rate))


def _start(plan: Plan, check: Check, history: Summary, runs: int) -> State:
    return start_state(
        margin=check.loss_margin,
        gate_margin=check.gate_margin(plan.gate_weight(0)),
        step=0,
        history=history,
        runs=(runs,),
        bounds=False,
    )
