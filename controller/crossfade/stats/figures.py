"""Figures: what a state comes to for one rollout, in plain numbers, as a judgement reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Floats
from crossfade.stats.degraded import log_e_degraded
from crossfade.stats.interval import Bounds
from crossfade.stats.state import State


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """Of one check of one rollout; the fields are those of `State` and its parts, `trust` that of `interval`."""

    margin: float
    gate_margin: float
    binary: bool
    log_e_worse: float
    peak: float
    rises: int
    log_e_gate: float
    phi: float
    trust: float
    step_together: float
    base_mean: float
    base_variance: float
    base_known: bool
    discordance: float
    stratified: tuple[float, float, float, float]
    log_e_degraded: float
    blue: Summary
    green: Summary
    step_blue: Summary
    step_green: Summary
    buckets: int
    step_buckets: int
    bounds: Bounds | None


def figures(state: State) -> list[Figures]:
    """Of every rollout in the state, in its order; one where S = ()."""
    columns: dict[str, Sequence[Any]] = {
        "gate_margin": _list(state.gate_margin),
        "log_e_worse": _list(state.worse.log_e),
        "peak": _list(state.worse.peak),
        "rises": _list(state.worse.rises.astype(np.int64)),
        "log_e_gate": _list(state.gate.log_e),
        "phi": _list(state.phi),
        "trust": _list(_trust(state)),
        "step_together": _list(state.step_together.phi),
        "base_mean": _list(state.base.mean),
        "base_variance": _list(state.base.variance),
        "base_known": _list(state.base.known),
        "discordance": _list(state.discordance.mean(state.base.mean)),
        "stratified": [tuple(each) for each in _rows(state.stratified.sums)],
        "log_e_degraded": _list(log_e_degraded(state.recent, state.base.sums, state.margin, state.binary)),
        "blue": _summaries(state.blue),
        "green": _summaries(state.green),
        "step_blue": _summaries(state.step_blue),
        "step_green": _summaries(state.step_green),
        "buckets": _list(state.buckets.astype(np.int64)),
        "step_buckets": _list(state.gate.buckets.astype(np.int64)),
    }
    shared: dict[str, Any] = {"margin": state.margin, "binary": state.binary, "bounds": state.bounds}
    return [Figures(**shared, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _trust(state: State) -> Floats:
    """How far the interval's evidence counts: as that of `worse`, as far as groups of keys would have it today."""
    begun = state.buckets > 0
    used = np.where(begun, state.buckets, 1.0) / np.where(begun, state.worse.tempering, 1.0)
    trust: Floats = np.minimum(1.0, used / state.together.phi)
    return trust


def _list(values: NDArray[Any]) -> list[Any]:
    found: list[Any] = np.atleast_1d(values).tolist()
    return found


def _rows(sums: Floats) -> list[list[float]]:
    found: list[list[float]] = sums.reshape(-1, sums.shape[-1]).tolist()
    return found


def _summaries(sums: Floats) -> list[Summary]:
    return [Summary(round(n), s, q) for n, s, q in _rows(sums)]
