"""The conditional e-value where it decides nothing, in batches, and of millions of calls; its mean is in test_exact."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of

from crossfade.stats import conditional
from crossfade.stats.conditional import log_e_conditional, log_odds_ratio


def test_a_total_that_decides_alone_is_no_evidence_at_all() -> None:
    columns = columns_of(
        bucket((90, 0), (10, 0)), bucket((9, 9), (3, 3)), bucket((0, 0), (10, 4)), bucket((10, 4), (0, 0))
    )
    assert (log_e_conditional(columns, np.full((4, 2), 3.0)) == 0).all()


def test_many_buckets_at_once_are_what_each_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    buckets = [bucket((90, int(rng.integers(40))), (30, int(rng.integers(25)))) for _ in range(60)]
    psi = np.tile(np.log([1.5, 4.0, 40.0]), (60, 1))
    together = log_e_conditional(columns_of(*buckets), psi)
    alone = np.vstack([log_e_conditional(columns_of(one), psi[:1]) for one in buckets])
    monkeypatch.setattr(conditional, "MOST_TERMS", 50)
    assert together == pytest.approx(alone, abs=1e-12)
    assert log_e_conditional(columns_of(*buckets), psi) == pytest.approx(alone, abs=1e-12)


def test_nothing_overflows_with_millions_of_calls_and_extreme_alternatives() -> None:
    columns = columns_of(bucket((1_000_000, 20_000), (1_000_000, 30_000)), bucket((10**6, 0), (10**6, 9000)))
    log_e = log_e_conditional(columns, log_odds_ratio(np.array([1e-6, 1e-6]), np.array([[0.0003, 0.98]] * 2)))
    assert np.isfinite(log_e).all()
    assert log_e[1, 1] == pytest.approx(9000 * log(2), rel=0.01)
