from __future__ import annotations

import pytest

from crossfade.core.amount import dollars, seconds


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "$0"),
        (0.1, "$0.100"),
        (0.0992, "$0.0992"),
        (0.00925, "$0.00925"),
        (0.999, "$0.999"),
        (1, "$1.00"),
        (1.5, "$1.50"),
        (1234.5, "$1,234.50"),
        (3.2e-10, "$0.000000000320"),
        (4e-11, "$0.000000000040"),
    ],
)
def test_money_has_three_digits_and_from_a_dollar_on_two_places(amount: float, said: str) -> None:
    assert dollars(amount) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0.0004, "0.4 ms"),
        (0.999, "999 ms"),
        (0.9997, "1 s"),
        (1, "1 s"),
        (99.94, "99.9 s"),
        (100.4, "100 s"),
        (3600, "3,600 s"),
    ],
)
def test_a_time_is_in_milliseconds_below_a_second_and_whole_from_a_hundred_on(amount: float, said: str) -> None:
    assert seconds(amount) == said
