"""State: all that the evidence on one check comes to. It is carried forward bucket by bucket.

`state.after(columns)` in one go, in several, or one bucket at a time gives the same state. Of one rollout (S = ()) or
of many side by side (S = (R,)), whose buckets must all be binary, or all not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.stats.base_rate import BaseRate, start_base_rate
from crossfade.stats.block import Block, start_block
from crossfade.stats.columns import Columns, Floats, running
from crossfade.stats.degraded import recent_after
from crossfade.stats.estimate import Stratified, start_stratified
from crossfade.stats.gate import AlongGate, Gate, log_e_gate, start_gate
from crossfade.stats.interval import Bounds, start_bounds
from crossfade.stats.mixture import GATE_WEIGHTS
from crossfade.stats.overdispersion import Dispersion, start_dispersion
from crossfade.stats.paired import Discordance, start_discordance
from crossfade.stats.together import Together, scores_of, start_together
from crossfade.stats.worse import Along, Worse, log_e_worse, start_worse, tempered


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """After so many judged buckets. `step` and `gate_margin` are of the shape S.

    `margin` and `gate_margin` are loss differences. `blue`, `green`, `step_blue` and `step_green`, S + (3,), are sums
    of calls, losses and squared losses of all sealed buckets, judged or still being merged. Without `bounds` there is
    no interval: nothing is decided by it.
    """

    margin: float
    binary: bool
    """Every loss so far, blue's history included, was 0 or 1."""
    step: NDArray[np.int64]
    gate_margin: Floats
    base: BaseRate
    discordance: Discordance
    worse: Worse
    block: Block
    gate: Gate
    bounds: Bounds | None
    dispersion: Dispersion
    together: Together
    step_together: Together
    """`together` of the step's buckets alone, as its gate's evidence is."""
    stratified: Stratified
    recent: Floats
    """S + (3,), blue's decayed sums of late."""
    blue: Floats
    green: Floats
    step_blue: Floats
    step_green: Floats

    @property
    def buckets(self) -> Floats:
        """How many were judged. Shape S."""
        return self.worse.buckets

    @property
    def phi(self) -> Floats:
        """The overdispersion as known now, of what jumps and of what keys show. Shape S."""
        phi: Floats = np.maximum(self.dispersion.phi, self.together.phi)
        return phi

    def at(self, step: NDArray[np.int64] | int, gate_margin: Floats | float) -> State:
        """At this step: where it is another than before, the gate's evidence starts anew."""
        moved = np.asarray(step) != self.step
        if not moved.any():
            return self
        return replace(
            self,
            step=np.where(moved, step, self.step),
            gate_margin=np.where(moved, gate_margin, self.gate_margin),
            gate=self.gate.anew(moved),
            step_together=self.step_together.anew(moved),
            step_blue=np.where(moved[..., None], 0.0, self.step_blue),
            step_green=np.where(moved[..., None], 0.0, self.step_green),
        )

    def counted(self, columns: Columns) -> State:
        """With more sealed buckets counted, merged or not."""
        blue = np.stack((columns.n_b, columns.s_b, columns.q_b), axis=-1)
        green = np.stack((columns.n_g, columns.s_g, columns.q_g), axis=-1)
        here = (columns.step == self.step)[..., None]
        keyed = columns.groups is not None
        return replace(
            self,
            together=self.together.with_groups() if keyed else self.together,
            step_together=self.step_together.with_groups() if keyed else self.step_together,
            block=self.block.with_groups() if keyed else self.block,
            blue=running(self.blue, blue)[-1],
            green=running(self.green, green)[-1],
            step_blue=running(self.step_blue, np.where(here, blue, 0.0))[-1],
            step_green=running(self.step_green, np.where(here, green, 0.0))[-1],
        )

    def after(self, columns: Columns) -> State:
        """With more judged buckets, in time order; each variant has calls in every one."""
        state = self
        for part in self.worked(columns):
            state = part.after
        return state

    def worked(self, columns: Columns) -> Iterator[Worked]:
        """The same, with all that was computed on the way: part by part, as the formulas change."""
        state = self
        while len(columns):
            same = state._alike(columns)
            part = state._worked(columns.part(slice(0, same)))
            yield part
            state, columns = part.after, columns.part(slice(same, None))

    def _alike(self, columns: Columns) -> int:
        """How many buckets are judged by the same formulas: all, or up to and with the first that is not binary."""
        other = np.flatnonzero(~columns.is_binary.reshape(len(columns), -1).all(axis=1))
        return int(other[0]) + 1 if self.binary and len(other) else len(columns)

    def _worked(self, columns: Columns) -> Worked:
        a, variance, base = self.base.after(columns)
        differ, discordance = self.discordance.after(columns, a, variance)
        jumps, jumps_soon, dispersion = self.dispersion.after(columns)
        scores = scores_of(columns)
        keyed, keyed_soon, together = self.together.after(scores)
        phi, soon = np.maximum(jumps, keyed), np.maximum(jumps_soon, keyed_soon)
        bounds = self.bounds and self.bounds.after(columns, a, variance, phi, self.margin, self.binary, differ)
        log_e = log_e_worse(columns, a, variance, self.margin, self.binary, differ)
        along = self.worse.along(tempered(log_e, phi, keyed), phi, soon)
        late, block = self.block.after(scores, log_e, jumps, jumps_soon, along.log_before)
        if late is not None:
            along = along.beside(late, self.worse.peak)
        here = columns.step == self.step
        at_step, at_step_soon, step_together = self.step_together.after(scores.only(here))
        gate_phi, gate_soon = np.maximum(jumps, at_step), np.maximum(jumps_soon, at_step_soon)
        at_gate = self._log_e_gate(columns, a, variance, gate_phi, differ)
        gate = self.gate.along(at_gate, here, gate_phi, gate_soon)
        after = replace(
            self,
            binary=self.binary and bool(columns.is_binary.all()),
            base=base,
            discordance=discordance,
            worse=self.worse.ended(along),
            block=block,
            gate=gate.end,
            bounds=bounds,
            dispersion=dispersion,
            together=together,
            step_together=step_together,
            stratified=self.stratified.after(columns),
            recent=recent_after(self.recent, columns),
        )
        return Worked(
            before=self,
            columns=replace(columns, groups=None),  # a hundred times the rest
            a=a,
            variance=variance,
            discordance=differ,
            phi=phi,
            soon=soon,
            together=keyed,
            late=late,
            gate_phi=gate_phi,
            gate_soon=gate_soon,
            log_e_worse=log_e,
            worse=along,
            log_e_gate=at_gate,
            gate=gate,
            after=after,
        )

    def _log_e_gate(self, columns: Columns, a: Floats, variance: Floats, phi: Floats, differ: Floats | None) -> Floats:
        """Only buckets of the present step are evidence for its gate: 0 elsewhere."""
        here = columns.step == self.step
        asked = here.reshape(len(columns), -1).any(axis=1)
        log_e = np.zeros((*here.shape, len(GATE_WEIGHTS)))
        if asked.any():
            part = columns.part(asked)
            aim = None if differ is None else differ[asked]
            found = log_e_gate(part, a[asked], variance[asked], phi[asked], self.gate_margin, self.binary, aim)
            log_e[asked] = np.where(here[asked][..., None], found, 0.0)
        return log_e


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worked:
    """B buckets judged by the same formulas, without their groups, and what each came to on the way from `before` to
    `after`.

    `a`, `variance`, `phi` and what of it keys show (`together`), (B,) + S, are as known before each bucket, `soon` as
    known after it; `gate_phi` and `gate_soon` are the gate's. `log_e_worse` is before cap and phi, `log_e_gate` after
    all division and 0 in buckets of other steps. `discordance`, (B,) + S + (2,), aims the bets on pairs; None where no
    bucket has any.
    """

    before: State
    columns: Columns
    a: Floats
    variance: Floats
    discordance: Floats | None
    phi: Floats
    soon: Floats
    together: Floats
    late: Floats | None
    gate_phi: Floats
    gate_soon: Floats
    log_e_worse: Floats
    worse: Along
    log_e_gate: Floats
    gate: AlongGate
    after: State


def start_state(
    *,
    margin: float,
    gate_margin: float,
    step: int,
    history: Summary,
    overdispersion: float = 1.0,
    runs: tuple[int, ...] = (),
    bounds: bool = True,
) -> State:
    """Before the first bucket: every e-value is 1. `history` is blue's, before the rollout."""
    no_sums = np.zeros((*runs, 3))
    return State(
        margin=margin,
        binary=abs(history.q - history.s) <= 1e-9 * (1 + history.s),
        step=np.full(runs, step, dtype=np.int64),
        gate_margin=np.full(runs, gate_margin),
        base=start_base_rate(history, runs),
        discordance=start_discordance(runs),
        worse=start_worse(runs),
        block=start_block(runs),
        gate=start_gate(runs),
        bounds=start_bounds(margin, runs) if bounds else None,
        dispersion=start_dispersion(runs, overdispersion),
        together=start_together(runs),
        step_together=start_together(runs),
        stratified=start_stratified(runs),
        recent=no_sums,
        blue=no_sums,
        green=no_sums,
        step_blue=no_sums,
        step_green=no_sums,
    )
