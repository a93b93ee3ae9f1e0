from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.callid import BadCallId, copied, mint, read
from crossfade.core.split import Variant

KEY = b"k" * 32
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


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


@pytest.mark.parametrize("group", [None, 0, 127])
def test_a_call_id_carries_the_group_of_the_key(group: int | None) -> None:
    assert read(KEY, made(group=group)).group == group


def test_the_id_of_a_copy_is_greens_and_finds_its_call() -> None:
    text = made(variant=Variant.BLUE, group=5)
    call, copy = read(KEY, text), read(KEY, copied(KEY, text))
    assert (copy.rollout, copy.route, copy.step, copy.called_at) == (
        call.rollout,
        call.route,
        call.step,
        call.called_at,
    )
    assert (copy.variant, copy.group) == (Variant.GREEN, None)
    assert copy.call[:-1] == call.call[:-1]
    assert copy.call != call.call
    with pytest.raises(BadCallId):
        copied(b"x" * 32, text)


def test_a_call_id_of_version_1_is_still_read_without_a_group() -> None:
    body = struct.pack(">BIIBBQ8s", 1, 7, 3, 1, 1, 1_790_000_000_125, b"nonce..8")
    mac = hmac.new(KEY, body, hashlib.sha256).digest()[:12]
    call = read(KEY, "cf1." + base64.urlsafe_b64encode(body + mac).decode().rstrip("="))
    assert (call.rollout, call.variant, call.called_at, call.group) == (7, Variant.GREEN, 1_790_000_000.125, None)
    for version in (0, 2, 3):  # signed, but of another version or of another one's length
        other = bytes([version]) + body[1:]
        mac = hmac.new(KEY, other, hashlib.sha256).digest()[:12]
        with pytest.raises(BadCallId, match="of a version"):
            read(KEY, "cf1." + base64.urlsafe_b64encode(other + mac).decode().rstrip("="))


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


def test_a_blue_calls_id_reads_back_as_blue() -> None:
    assert read(KEY, made(variant=Variant.BLUE)).variant is Variant.BLUE


def test_a_call_id_is_58_letters_without_padding_and_a_nonce_is_8_bytes() -> None:
    text = made()
    assert len(text) == len("cf1.") + 54
    assert set(text.removeprefix("cf1.")) <= set(LETTERS)
    assert len(read(KEY, text).nonce) == 8


@pytest.mark.parametrize("foreign", ["!", " ", "\n", "!!!!", "\n\n\n\n", "====", "="])
def test_a_call_id_with_something_foreign_in_it_is_refused(foreign: str) -> None:
    text = made()
    with pytest.raises(BadCallId):
        read(KEY, text[:20] + foreign + text[20:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cf2.AAAA", "is not a call id; one starts with 'cf1.'"),
        ("cf1.A", "is not a whole call id: cannot be decoded"),
        ("cf1.AAA", "is not a whole call id: wrong length"),
        ("cf1." + "A" * 54, "is altered, or signed by another controller"),
    ],
)
def test_a_refusal_follows_the_words_call_id(text: str, said: str) -> None:
    with pytest.raises(BadCallId) as caught:
        read(KEY, text)
    assert str(caught.value) == said


def test_a_signed_id_of_an_unknown_version_says_so() -> None:
    body = struct.pack(">BIIBBQ8sB", 3, 7, 3, 1, 1, 1_790_000_000_125, b"nonce..8", 255)
    mac = hmac.new(KEY, body, hashlib.sha256).digest()[:12]
    with pytest.raises(BadCallId) as caught:
        read(KEY, "cf1." + base64.urlsafe_b64encode(body + mac).decode().rstrip("="))
    assert str(caught.value) == "is of a version this controller does not know"
