from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.sealing import last_sealed, read_at


def test_a_bucket_is_read_two_seconds_after_the_maturity_of_its_end() -> None:
    assert read_at(1000, length=10, maturity=150.0) == 1162.0
    assert last_sealed(1162.0, length=10, maturity=150.0) == 1000
    assert last_sealed(1161.9, length=10, maturity=150.0) == 990


@given(
    now=st.floats(1e6, 2e9),
    length=st.integers(1, 3600),
    maturity=st.floats(0, 30 * 86_400).map(lambda seconds: round(seconds, 1)),
)
def test_the_last_sealed_bucket_can_be_read_and_the_next_cannot(now: float, length: int, maturity: float) -> None:
    last = last_sealed(now, length=length, maturity=maturity)
    assert last % length == 0
    assert read_at(last, length=length, maturity=maturity) <= now
    assert read_at(last + length, length=length, maturity=maturity) > now
