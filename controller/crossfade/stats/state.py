"""State: all that one check's evidence so far comes to. It is carried forward bucket by bucket.

`state.after(buckets)` in one go, in several, or one at a time gives the same state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossfade.core.evidence import EMPTY, Bucket, Summary
from crossfade.stats.base_rate import BaseRate, start_base_rate
from crossfade.stats.columns import Columns, merge, to_columns
from crossfade.stats.estimate import Stratified
from crossfade.stats.gate import Gate, log_e_gate, start_gate
from crossfade.stats.interval import Bounds, start_bounds
from crossfade.stats.overdispersion import Dispersion
from crossfade.stats.worse import Worse, log_e_worse, start_worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is fixed for a check at a step: its margin and its gate's, as loss differences, and the step."""

    margin: float
    gate_margin: float
    step: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """After `buckets` judged buckets, `step_buckets` of them at the setting's step."""

    setting: Setting
    binary: bool
    """Every loss so far, blue's history included, was 0 or 1."""
    base: BaseRate
    worse: Worse
    gate: Gate
    bounds: Bounds
    dispersion: Dispersion
    stratified: Stratified
    pending: Bucket | None = None
    blue: Summary = EMPTY
    green: Summary = EMPTY
    step_blue: Summary = EMPTY
    step_green: Summary = EMPTY
    buckets: int = 0
    step_buckets: int = 0

    def after(self, buckets: Sequence[Bucket]) -> State:
        """With more sealed buckets, in time order."""
        judged, pending = merge(self.pending, buckets)
        state = replace(self._counted(buckets), pending=pending)
        columns = to_columns(judged)
        while len(columns):
            same = state._alike(columns)
            state = state._judged(columns.part(slice(0, same)))
            columns = columns.part(slice(same, None))
        return state

    def _counted(self, buckets: Sequence[Bucket]) -> State:
        here = [bucket for bucket in buckets if bucket.step == self.setting.step]
        return replace(
            self,
            blue=_total([self.blue, *(k.blue for k in buckets)]),
            green=_total([self.green, *(k.green for k in buckets)]),
            step_blue=_total([self.step_blue, *(k.blue for k in here)]),
            step_green=_total([self.step_green, *(k.green for k in here)]),
        )

    def _alike(self, columns: Columns) -> int:
        """How many buckets are judged by the same formulas: all, or up to and with the first that is not binary."""
        other = np.flatnonzero(~columns.is_binary)
        return int(other[0]) + 1 if self.binary and len(other) else len(columns)

    def _judged(self, columns: Columns) -> State:
        a, variance, base = self.base.after(columns)
        phi, soon, dispersion = self.dispersion.after(columns)
        margin, d = self.setting.margin, self.setting.gate_margin
        here = columns.step == self.setting.step
        at_gate = (columns.part(here), a[here], variance[here], phi[here])
        return replace(
            self,
            binary=self.binary and bool(columns.is_binary.all()),
            base=base,
            worse=self.worse.after(log_e_worse(columns, a, variance, margin, self.binary), phi, soon),
            gate=self.gate.after(log_e_gate(*at_gate, d, self.binary)),
            bounds=self.bounds.after(columns, a, variance, phi, margin, self.binary),
            dispersion=dispersion,
            stratified=self.stratified.after(columns),
            buckets=self.buckets + len(columns),
            step_buckets=self.step_buckets + int(here.sum()),
        )


def start_state(setting: Setting, history: Summary) -> State:
    """Before the first bucket: every e-value is 1."""
    return State(
        setting=setting,
        binary=abs(history.q - history.s) <= 1e-9 * (1 + history.s),
        base=start_base_rate(history),
        worse=start_worse(),
        gate=start_gate(),
        bounds=start_bounds(setting.margin),
        dispersion=Dispersion(),
        stratified=Stratified(),
    )


def _total(parts: Sequence[Summary]) -> Summary:
    n, s, q = sum(p.n for p in parts), sum(p.s for p in parts), sum(p.q for p in parts)
    return Summary(n, s, q)
