"""How many calls a gate should still take, also where users return and each further call tells less."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from crossfade.stats.needed import MOST_CALLS, calls_needed, growth_of, score_information
from crossfade.stats.paired import paired_bets, paired_growth

LEVEL = log(20)
INFORMATION = score_information(-0.02, 0.1, 0.5)


def needed(**changes: float | bool) -> int | None:
    """Of scores of equal Models at a gate of 2 points and an even split."""
    asked = {
        "p_b": 0.1, "difference": 0.0, "variance": 0.1, "d": 0.02, "weight": 0.5, "log_e": 0.0, "level": LEVEL,
        "phi": 1.0, "binary": False,
    }  # fmt: skip
    return calls_needed(**(asked | changes))  # type: ignore[arg-type]


def evidence(calls: float, growth: float) -> float:
    """After so many calls of a step in which phi is 1 + growth x calls."""
    return calls * INFORMATION / (1 + growth * calls)


def test_independent_calls_add_up() -> None:
    assert needed() == pytest.approx(LEVEL / INFORMATION, abs=1)
    assert needed(log_e=1.0, phi=2.0) == pytest.approx(2 * (LEVEL - 1) / INFORMATION, abs=1)
    assert needed(log_e=LEVEL) == 0
    assert needed(difference=0.02) is None


@pytest.mark.parametrize("before", [0.0, 500.0, 3_000.0])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_where_phi_grows_with_the_calls_the_gate_opens_when_the_evidence_reaches_its_level(
    before: float, share: float
) -> None:
    """`share` of the growth at which it never would."""
    growth = share * INFORMATION / LEVEL
    more = needed(log_e=evidence(before, growth), growth=growth)
    assert more is not None
    assert evidence(before + more, growth) == pytest.approx(LEVEL, rel=1e-3)


def test_a_phi_above_what_growth_says_counts() -> None:
    growth = 0.1 * INFORMATION / LEVEL
    assert needed(growth=growth, phi=50.0) == needed(phi=50.0)


def test_users_who_can_never_say_enough() -> None:
    assert needed(growth=1.001 * INFORMATION / LEVEL) is None
    assert needed(growth=0.999 * INFORMATION / LEVEL) is not None
    assert needed(growth=INFORMATION / LEVEL) is None


def test_what_groups_waver_by_is_no_growth() -> None:
    assert growth_of(1.25, 1_000) == 0
    assert growth_of(3.25, 1_000) == pytest.approx(0.002)
    assert growth_of(3.25, 0) == 0


def test_no_information_takes_longer_than_can_be_said() -> None:
    assert needed(difference=0.0199999999999, d=0.02) == MOST_CALLS


@pytest.mark.parametrize(
    ("differ", "delta", "d"),
    [(0.04, 0.0, 0.02), (0.04, -0.01, 0.02), (0.04, 0.01, 0.03), (0.9, 0.3, 0.5), (0.9, -0.4, 0.1)],
)
def test_the_growth_of_pairs_is_the_mean_of_their_log_e(differ: float, delta: float, d: float) -> None:
    """Over pairs in which green alone was bad, blue alone, or neither differs from the other."""
    up, down = differ / 2 + max(0.0, delta), differ / 2 + max(0.0, -delta)
    up, down = up / max(1, up + down), down / max(1, up + down)
    bet = float(paired_bets(np.array([differ, differ]), np.array([delta]), d, -1, True)[0])
    pays = {1.0: up, -1.0: down, 0.0: 1 - up - down}
    mean = sum(chance * log(1 + bet * (difference - d)) for difference, chance in pays.items())
    assert paired_growth(differ, delta, d) == pytest.approx(max(0.0, mean))


def test_pairs_that_hardly_differ_grow_faster() -> None:
    assert paired_growth(0.01, 0.0, 0.02) > paired_growth(0.05, 0.0, 0.02) > paired_growth(0.2, 0.0, 0.02) > 0
    assert paired_growth(0.04, 0.02, 0.02) == pytest.approx(0, abs=1e-12)
