"""What is carried from tick to tick survives as JSON to the last bit, and the rest of a bucket waits with it."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate
from golden_cases import by_user
from golden_cases import rate as golden_rate

from crossfade.core.evidence import Bucket, Summary
from crossfade.core.plan import Check
from crossfade.stats.ahead import figures_ahead
from crossfade.stats.carried import Carried, as_document, from_document, start_carried
from crossfade.stats.figures import figures

CHECK = plan_of().checks[0]
ERRORS = drawn(np.random.default_rng(5), 30, blue=0.05, green=0.08, weight=0.3)
SCORES = [
    Bucket(
        k.start,
        0,
        Summary(k.blue.n, k.blue.n * 0.2, k.blue.n * 0.1),
        Summary(k.green.n, k.green.n * 0.3, k.green.n * 0.15),
    )
    for k in ERRORS
]
USERS = list(by_user(7, 130, golden_rate(0.05), golden_rate(0.2), weight=0.4, users=90, keyed=0.7))
KEYS_LATER = [*ERRORS, *by_user(8, 20, golden_rate(0.05), golden_rate(0.2), weight=0.4, users=90, start=30)]
LONELY = Bucket(300, 0, blue=Summary(40, 2.0, 1.5))
PARTNER = Bucket(310, 0, blue=Summary(10, 1.0, 1.0), green=Summary(5, 1.0, 0.5))

GREEN = Bucket(320, 0, green=Summary(6, 1.0, 1.0))


def fresh(check: Check = CHECK) -> Carried:
    return start_carried(check, 0.02, 0, rate(0.05))


def assert_same(one: Any, other: Any, place: str = "state") -> None:
    """To the last bit, NaN included, and of one kind."""
    assert type(one) is type(other), place
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{place}.{field.name}")
    elif isinstance(one, np.ndarray | np.generic):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), place
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), place
    else:
        assert one == other, place


@pytest.mark.parametrize("buckets", [[], ERRORS, SCORES, USERS, [*ERRORS, LONELY], [LONELY], [GREEN], USERS[:1]])
def test_what_is_carried_survives_as_json(buckets: list[Bucket]) -> None:
    carried = fresh().after(buckets)
    text = json.dumps(as_document(carried), allow_nan=False)
    found = from_document(json.loads(text), fresh())
    assert_same(found.state, from_document(as_document(carried), fresh()).state)
    assert_same(figures(found.state)[0], figures(carried.state)[0])
    assert found.pending == carried.pending
    assert_same(figures(found.after([PARTNER]).state)[0], figures(carried.after([PARTNER]).state)[0])
    assert json.dumps(as_document(found)) == text


def test_the_document_has_the_state_and_the_bucket_still_being_merged() -> None:
    document = as_document(fresh().after([LONELY]))
    assert set(document) == {"state", "pending"}
    assert document["pending"] == [
        {
            "start": 300,
            "step": 0,
            "blue": {"n": 40, "s": 2.0, "q": 1.5},
            "green": {"n": 0, "s": 0.0, "q": 0.0},
            "blue_groups": {},
            "green_groups": {},
            "pairs": None,
        }
    ]
    assert (document["state"]["margin"], document["state"]["binary"], document["state"]["step"]) == (0.005, True, 0)
    assert document["state"]["dispersion"]["last"] == [None] * 4, "NaN is no JSON"
    assert as_document(fresh())["pending"] == []


def test_without_new_buckets_what_is_carried_is_the_same_object() -> None:
    carried = fresh().after(ERRORS)
    assert carried.after([]) is carried


def test_a_bucket_of_one_variant_waits_for_the_other() -> None:
    waiting = fresh().after([LONELY])
    (found,) = figures(waiting.state)
    assert (found.buckets, found.blue.n, found.step_blue.n) == (0, 40, 40)
    assert waiting.pending == (LONELY,)
    both = waiting.after([PARTNER])
    assert both.pending == ()
    assert_same(figures(both.state)[0], figures(fresh().after([LONELY, PARTNER]).state)[0])
    judged, _, _ = waiting.worked([PARTNER])
    assert judged == [Bucket(300, 0, blue=Summary(50, 3.0, 2.5), green=PARTNER.green)]


def test_buckets_are_judged_by_new_formulas_from_the_first_that_is_not_binary_on() -> None:
    _, after, parts = fresh().worked([*ERRORS, *SCORES[:3], *ERRORS[:2]])
    assert [len(part.columns) for part in parts] == [31, 4]
    assert [part.before.binary for part in parts] == [True, False]
    assert after.state is parts[-1].after


@pytest.mark.parametrize(
    "more", [ERRORS[8:], [*ERRORS[8:12], *SCORES[12:20]], [LONELY, PARTNER, LONELY], [LONELY, GREEN, LONELY, GREEN]]
)
@pytest.mark.parametrize("step", [0, 1])
def test_what_decides_is_known_ahead_after_every_bucket(more: list[Bucket], step: int) -> None:
    moved = [Bucket(k.start, int(place >= 4), k.blue, k.green) for place, k in enumerate(more)]
    begun = fresh().after(ERRORS[:8]).at(step, 0.01)
    ahead = figures_ahead(begun, moved)
    assert len(ahead) == len(moved) + 1
    for place, found in enumerate(ahead):
        (exact,) = figures(begun.after(moved[:place]).state)
        for name in ("log_e_worse", "peak", "rises", "log_e_gate", "step_buckets"):
            assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-9, abs=1e-9), (place, name)
        for name in ("step_blue", "step_green"):
            sums, expected = getattr(found, name), getattr(exact, name)
            assert (sums.n, sums.s, sums.q) == pytest.approx((expected.n, expected.s, expected.q)), (place, name)


@pytest.mark.parametrize("buckets", [USERS, KEYS_LATER, [*USERS[:60], *SCORES]])
@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_with_keys_too_a_tick_at_a_time_comes_to_the_same(buckets: list[Bucket], at_once: int) -> None:
    """Blocks begin at the first call with a key, wherever the ticks fall."""
    whole = figures(fresh().after(buckets).state)[0]
    carried = fresh()
    for begin in range(0, len(buckets), at_once):
        document = json.loads(json.dumps(as_document(carried.after(buckets[begin : begin + at_once]))))
        carried = from_document(document, fresh())
    found = figures(carried.state)[0]
    for name in ("log_e_worse", "peak", "rises", "log_e_gate", "phi", "step_together", "trust"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-12), name


def test_a_long_record_is_worked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fresh().after(USERS)
    monkeypatch.setattr("crossfade.stats.carried.AT_ONCE", 50)
    found, expected = figures(fresh().after(USERS).state)[0], figures(whole.state)[0]
    assert (found.log_e_worse, found.log_e_gate) == pytest.approx((expected.log_e_worse, expected.log_e_gate))
    assert (found.blue, found.step_green, found.buckets) == (expected.blue, expected.step_green, expected.buckets)
