from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.split import GROUPS, Variant, assign, group, position

keys = st.text(max_size=50)
weights = st.floats(0, 100, allow_nan=False)


@given(salt=keys, key=keys, low=weights, high=weights)
def test_raising_the_weight_never_moves_a_key_back_to_blue(salt: str, key: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if assign(salt, key, low) is Variant.GREEN:
        assert assign(salt, key, high) is Variant.GREEN


@given(salt=keys, key=keys, weight=weights)
def test_assignment_depends_only_on_salt_and_key(salt: str, key: str, weight: float) -> None:
    assert assign(salt, key, weight) is assign(salt, key, weight)
    assert 0 <= position(salt, key) < 1


@given(key=st.none() | keys)
def test_weight_0_is_all_blue_and_100_all_green(key: str | None) -> None:
    assert assign("salt", key, 0) is Variant.BLUE
    assert assign("salt", key, 100) is Variant.GREEN


def test_the_position_is_the_documented_hash() -> None:
    # blake2b with 8 bytes of "salt|user-1", from an independent tool: b2sum -l 64
    assert position("salt", "user-1") == int("3eda5751251cae0a", 16) / 2**64


def test_keys_spread_evenly_and_salts_are_independent() -> None:
    keys = [f"user-{n}" for n in range(20_000)]
    green = {key for key in keys if assign("one", key, 10) is Variant.GREEN}
    both = {key for key in green if assign("two", key, 10) is Variant.GREEN}
    assert 1_850 < len(green) < 2_150  # 2,000 expected, 3.5 standard deviations
    assert 150 < len(both) < 250  # 200 expected


def test_calls_without_a_key_are_drawn_by_weight() -> None:
    green = sum(assign("salt", None, 25) is Variant.GREEN for _ in range(10_000))
    assert 2_330 < green < 2_670


def test_a_service_that_seeds_pythons_random_numbers_before_each_call_does_not_steer_the_split() -> None:
    seen = set()
    for _ in range(100):
        random.seed(1)
        seen.add(assign("salt", None, 50))
    assert seen == {Variant.BLUE, Variant.GREEN}


def test_where_a_key_lies_is_the_same_in_every_version() -> None:
    # As `printf 'salt|user-1' | b2sum -l 64` has it, and of 'salt|group|user-1' the last seven bits.
    assert position("salt", "user-1") == 0x3EDA5751251CAE0A / 2**64
    assert group("salt", "user-1") == 0x393F5975330F3CC0 % 128 == 64


def test_at_weight_0_not_even_the_lowest_draw_is_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.SystemRandom.random", lambda _: 0.0)
    assert assign("salt", None, 0) is Variant.BLUE
    assert assign("salt", None, 1e-9) is Variant.GREEN


def test_a_key_that_is_no_valid_text_has_its_place_too() -> None:
    broken = json.loads('"user \\ud800"')
    assert 0 <= position("salt", broken) < 1
    assert group("salt", broken) in range(GROUPS)
