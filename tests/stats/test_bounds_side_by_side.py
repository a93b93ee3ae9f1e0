"""The interval's processes of many rollouts side by side are those of each alone."""

from __future__ import annotations

import numpy as np
from drawn_evidence import drawn, rate

from crossfade.stats.columns import Columns, to_columns
from crossfade.stats.state import State, start_state


def started(runs: tuple[int, ...]) -> State:
    return start_state(margin=0.005, gate_margin=0.005, step=0, history=rate(0.01), runs=runs)


def test_bounds_of_rollouts_side_by_side_are_those_of_each_alone() -> None:
    each = [
        to_columns(drawn(np.random.default_rng(seed), 12, blue=0.02, green=green, weight=0.5))
        for seed, green in enumerate((0.02, 0.1, 0.3))
    ]
    sums = [name for name in Columns.__slots__ if name not in ("groups", "pairs")]
    together = Columns(**{name: np.stack([getattr(one, name) for one in each], axis=1) for name in sums})
    found = started((3,)).after(together).bounds
    assert found is not None
    for run, columns in enumerate(each):
        alone = started(()).after(columns).bounds
        assert alone is not None
        np.testing.assert_allclose(found.over[run], alone.over, atol=1e-9)
        np.testing.assert_allclose(found.under[run], alone.under, atol=1e-9)
