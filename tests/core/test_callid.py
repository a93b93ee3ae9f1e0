from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.callid import BadCallId, mint, read
from crossfade.core.split import Variant

KEY = b"k" * 32


def made(**changes: object) -> str:
    fields: dict[str, object] = {
        "rollout": 7,
        "route": 3,
        "step": 1,
        "variant": Variant.GREEN,
        "called_at": 1_790_000_000.125,
    }
    return mint(KEY, **(fields | changes))  # type: ignore[arg-type]


def test_a_call_id_reads_back_what_was_minted() -> None:
    call = read(KEY, made())
    assert (call.rollout, call.route, call.step, call.variant, call.called_at) == (
        7, 3, 1, Variant.GREEN, 1_790_000_000.125,
    )  # fmt: skip
    assert len(call.call) == 16


def test_two_calls_never_share_an_id() -> None:
    assert made() != made()


@given(position=st.integers(0, 51), letter=st.sampled_from("ABCxyz019-_"))
def test_an_altered_call_id_is_refused(position: int, letter: str) -> None:
    text = made()
    start = len("cf1.") + position
    if text[start] == letter:
        return
    altered = text[:start] + letter + text[start + 1 :]
    try:
        call = read(KEY, altered)
    except BadCallId:
        return
    # The last letter of base64 carries spare bits: another spelling of the very same bytes is the same id.
    assert call == read(KEY, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a call id"),
        ("cf2.AAAA", "is not a call id"),
        ("cf1.", "wrong length"),
        ("cf1.AAAA", "wrong length"),
        ("cf1.é", "cannot be decoded"),
        ("cf1." + "A" * 52, "is altered"),
    ],
)
def test_what_is_no_call_id_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadCallId, match=why):
        read(KEY, text)


def test_an_id_of_another_controller_is_refused() -> None:
    with pytest.raises(BadCallId, match="signed by another controller"):
        read(b"o" * 32, made())
