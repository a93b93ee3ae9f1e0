"""Play: many rollouts of one plan side by side, bucket by bucket, judged and decided by the code the scheduler runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import log

import numpy as np
from numpy.typing import NDArray

from crossfade.core.decision import Act, Conditions, apply, decide
from crossfade.core.evidence import Summary
from crossfade.core.phase import Phase
from crossfade.core.plan import Check, Plan
from crossfade.core.rollout import Rollout
from crossfade.simulation.traffic import Made, Traffic
from crossfade.simulation.truth import Truth
from crossfade.stats.columns import LEAST_CALLS, Columns, Floats
from crossfade.stats.figures import figures
from crossfade.stats.judge import judge_figures
from crossfade.stats.parts import placed, taken
from crossfade.stats.state import State, start_state

BEGIN = datetime(2000, 1, 1, tzinfo=UTC)
"""Any moment: only differences of time count."""
LONGEST = 1e11
"""Seconds, some three thousand years: beyond that a date has no name, and no bake time is left to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one rollout went. `calls` of both variants until its end, or until the simulation's.

    `harm` is how many bad answers more than blue would have given are to be expected of its green calls, by the first
    check; `steps` is how many calls each step took, as far as it got, `phi` each check's overdispersion at the end.
    """

    act: Act | None
    """What ended it; None where nothing did, `Act.PAUSE` where it waits for a person."""
    calls: int
    green_calls: int
    harm: float
    steps: tuple[int, ...]
    phi: tuple[float, ...]


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
    field = Field(plan, before, runs=runs, traffic=calls / bucket_seconds)
    for position in range(most_calls // calls):
        if not len(field.live):
            break
        rates = [truth.at(position * calls) for truth in truths]
        made = traffic.draw(rng, field.live, field.weights(), calls, rates)
        elapsed = min((position + 1) * bucket_seconds, LONGEST)
        field.look(made, rates[0], BEGIN + timedelta(seconds=elapsed))
    return field.ended()


class Field:
    """The rollouts under way and what each has come to."""

    def __init__(self, plan: Plan, before: Sequence[Summary], *, runs: int, traffic: float) -> None:
        self._plan = plan
        self._traffic = traffic
        self._states = [_start(plan, check, sums, runs) for check, sums in zip(plan.checks, before, strict=True)]
        self._filling = [Filling(runs) for _ in plan.checks]
        first = Rollout(id=1, route="", blue="blue", green="green", plan=plan, salt="", created_at=BEGIN)
        started = replace(first, phase=Phase.PROGRESSING, started_at=BEGIN, step_started_at=BEGIN, resumed_at=BEGIN)
        self._rollouts = [started] * runs
        self._steps = np.zeros(runs, dtype=np.int64)
        self._baked = np.full(runs, plan.steps[0].bake)
        """When each rollout's step has lasted as long as it must, in seconds since BEGIN."""
        self._acts: list[Act | None] = [None] * runs
        self._calls, self._green = np.zeros((2, runs, len(plan.steps)))
        self._harm = np.zeros(runs)
        self._phi = np.ones((runs, len(plan.checks)))
        self.live: NDArray[np.int64] = np.arange(runs)

    def weights(self) -> NDArray[np.float64]:
        """Green's share in each rollout under way, in 0..1."""
        return np.array([step.weight / 100 for step in self._plan.steps])[self._steps[self.live]]

    def look(self, made: Sequence[Made], rates: tuple[float, float], now: datetime) -> None:
        """One more bucket of every check, judged and decided on."""
        steps = self._steps[self.live]
        self._calls[self.live, steps] += made[0].n_g + made[0].n_b
        self._green[self.live, steps] += made[0].n_g
        self._harm[self.live] += made[0].n_g * (rates[1] - rates[0])
        for check, each in enumerate(made):
            self._states[check] = self._folded(check, steps, each)
            self._phi[self.live, check] = self._states[check].phi
        asked = self._asked(now)
        if len(asked):
            self._decide(asked, now)

    def _asked(self, now: datetime) -> NDArray[np.int64]:
        """The places of the rollouts that are not sure to hold: some check may have failed, or every gate is open and
        the step has lasted. It spares the others their look, which would come to nothing."""
        if self._plan.time_limit is not None:
            return np.arange(len(self.live))
        failing, opened = (
            np.zeros(len(self.live), dtype=np.bool_),
            self._baked[self.live] <= (now - BEGIN).total_seconds(),
        )
        for check, state in zip(self._plan.checks, self._states, strict=True):
            failing |= np.maximum(state.worse.peak, state.worse.log_e) >= log(1 / self._plan.alpha)
            opened &= (state.gate.log_e >= log(1 / self._plan.beta)) | (not check.gating)
        return np.flatnonzero(failing | opened)

    def _decide(self, asked: NDArray[np.int64], now: datetime) -> None:
        found = [figures(taken(state, asked)) for state in self._states]
        ended, moved = [], []
        for place, position in enumerate(asked.tolist()):
            run = int(self.live[position])
            rollout = self._rollouts[run]
            step = rollout.step
            judgement = judge_figures(self._plan, [each[place] for each in found], step=step, forecast=False)
            conditions = Conditions(
                calls=int(self._calls[run, step]), green_calls=int(self._green[run, step]), traffic=self._traffic
            )
            decision = decide(rollout, judgement, conditions, now)
            self._rollouts[run] = apply(decision)
            if decision.act is Act.ADVANCE:
                moved.append(run)
            elif decision.act is not Act.HOLD:
                self._acts[run] = decision.act
                ended.append(position)
        self._move(moved, ended, now)

    def _folded(self, check: int, steps: NDArray[np.int64], made: Made) -> State:
        state = self._states[check].counted(columns(steps, made))
        filled, full = self._filling[check].after(self.live, steps, made)
        ready = np.flatnonzero(full)
        if len(ready) == len(full):
            return state.after(columns(steps, filled))
        if not len(ready):
            return state
        judged = filled.part(ready)
        return placed(state, ready, taken(state, ready).after(columns(steps[ready], judged)))

    def _move(self, moved: list[int], ended: list[int], now: datetime) -> None:
        """Takes those that advance to their next step, and leaves out what has ended."""
        self._steps[moved] += 1
        begun = (now - BEGIN).total_seconds()
        self._baked[moved] = [begun + self._plan.steps[step].bake for step in self._steps[moved].tolist()]
        if ended:
            keep = np.delete(np.arange(len(self.live)), ended)
            self.live = self.live[keep]
            self._states = [taken(state, keep) for state in self._states]
        steps = self._steps[self.live]
        weights = [self._plan.gate_weight(step) for step in range(len(self._plan.steps))]
        for position, check in enumerate(self._plan.checks):
            margins = np.array([check.gate_margin(weight) for weight in weights])
            self._states[position] = self._states[position].at(steps, margins[steps])

    def ended(self) -> list[Ended]:
        calls, green = self._calls.sum(axis=1), self._green.sum(axis=1)
        return [
            Ended(
                act=self._acts[run],
                calls=int(calls[run]),
                green_calls=int(green[run]),
                harm=float(self._harm[run]),
                steps=tuple(int(k) for k in self._calls[run, : rollout.step + 1]),
                phi=tuple(self._phi[run].tolist()),
            )
            for run, rollout in enumerate(self._rollouts)
        ]


class Filling:
    """What each of many rollouts still merges: `stats.columns.merge`, side by side. Here every call of a rollout is of
    its present step, so one bucket fills at a time.
    """

    def __init__(self, runs: int) -> None:
        self._step = np.zeros(runs, dtype=np.int64)
        self._sums = np.zeros((6, runs))
        self._groups: Floats | None = None

    def after(self, live: NDArray[np.int64], steps: NDArray[np.int64], made: Made) -> tuple[Made, NDArray[np.bool_]]:
        """With one more bucket of the rollouts in `live`: what is merged now, and where it is full and so is judged."""
        goes_on = self._step[live] == steps
        sums = np.stack(made[:6]) + np.where(goes_on, self._sums[:, live], 0.0)
        n_g, _, _, n_b, _, _ = sums
        full = (n_g > 0) & (n_b > 0) & (n_g + n_b >= LEAST_CALLS)
        self._step[live], self._sums[:, live] = steps, np.where(full, 0.0, sums)
        return Made(*sums)._replace(groups=self._grouped(live, goes_on, full, made.groups)), full

    def _grouped(
        self, live: NDArray[np.int64], goes_on: NDArray[np.bool_], full: NDArray[np.bool_], made: Floats | None
    ) -> Floats | None:
        if made is None:  # a kind of traffic has keys from the first bucket on, or none
            return None
        if self._groups is None:
            self._groups = np.zeros((len(self._step), *made.shape[1:]))
        wide = (..., None, None, None)
        sums: Floats = made + np.where(goes_on[wide], self._groups[live], 0.0)
        self._groups[live] = np.where(full[wide], 0.0, sums)
        return sums


def columns(steps: NDArray[np.int64], made: Made) -> Columns:
    """The bucket of each of R rollouts as the judge takes it, (1, R)."""
    return Columns(
        step=steps[None],
        n_g=made.n_g[None],
        s_g=made.s_g[None],
        q_g=made.q_g[None],
        n_b=made.n_b[None],
        s_b=made.s_b[None],
        q_b=made.q_b[None],
        groups=None if made.groups is None else made.groups[None],
    )


def _history(rate: float, traffic: Traffic, calls: int) -> Summary:
    return Summary(calls, calls * rate, calls * traffic.square(rate))


def _start(plan: Plan, check: Check, history: Summary, runs: int) -> State:
    return start_state(
        margin=check.loss_margin,
        gate_margin=check.gate_margin(plan.gate_weight(0)),
        step=0,
        history=history,
        overdispersion=check.overdispersion,
        runs=(runs,),
        bounds=False,
    )
