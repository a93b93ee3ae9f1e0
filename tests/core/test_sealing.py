from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.sealing import last_sealed, read_at


def test_a_bucket_is_read_two_seconds_after_the_maturity_of_its_end() -> None:
    assert read_at(1000, length=10, maturity=150.0) == 1162.0
    assert last_sealed(1162.0, length=10, maturity=150.0) == 1000
    assert last_sealed(1161.9, length=10, maturity=150.0) == 990


eighths = st.integers(0, 30 * 86_400 * 8).map(lambda eighth: eighth / 8)
"""Of a second: sums of them are exact."""


@given(now=eighths.map(lambda late: 1e9 + late), length=st.integers(1, 3600), maturity=eighths)
def test_the_last_sealed_bucket_can_be_read_and_the_next_cannot(now: float, length: int, maturity: float) -> None:
    last = last_sealed(now, length=length, maturity=maturity)
    assert last % length == 0
    assert read_at(last, length=length, maturity=maturity) <= now
    assert read_at(last + length, length=length, maturity=maturity) > now
