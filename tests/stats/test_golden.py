"""The judge against a slow and independent computation: fixed evidence in golden.json, and small evidence as it comes.

They agree to 1e-13 or so, although `u`, which aims the bets of gate and interval, is found by Newton's method here and
by halving there. `python tests/stats/slow_judge.py` writes golden.json anew, in a minute.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from drawn_evidence import ERRORS
from golden_cases import CASES, SMALL_BINARY, SMALL_BOUNDED, Case, bad, case_from_dict, case_to_dict, summed
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_judge import GOLDEN, answer_to_dict, as_text, asked_of, golden, judge_slowly

from crossfade.core.evidence import Bucket, Series
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.verdict import Verdict
from crossfade.stats.judge import judge

HELD = json.loads(GOLDEN.read_text())
NUMBERS = ("log_e_worse", "log_e_gate", "phi", "estimate", "lower", "upper")
COUNTS = ("calls_needed", "worth", "buckets", "step_buckets")


def verdict_on(case: Case) -> Verdict:
    """The product's."""
    steps = tuple(Step(weight=float(Fraction(w))) for w in case.weights)
    check = Check(
        metric=ERRORS, margin=float(Fraction(case.margin)), overdispersion=float(Fraction(case.overdispersion))
    )
    plan = Plan(steps=steps, checks=(check,))
    return judge(plan, [Series(ERRORS, case.buckets, case.history)], step=case.step).verdicts[0]


def assert_same(found: Verdict, answer: dict[str, Any]) -> None:
    """`answer` as `answer_to_dict` gives it."""
    assert found.ruling == answer["ruling"]
    assert {name: getattr(found, name) for name in COUNTS} == {name: answer[name] for name in COUNTS}
    for name in NUMBERS:
        number = getattr(found, "overdispersion" if name == "phi" else name)
        if number is None or answer[name] is None:
            assert number is answer[name], name
        else:
            assert number == pytest.approx(float(answer[name]), rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("name", HELD)
def test_the_judge_agrees_with_the_golden_numbers(name: str) -> None:
    assert_same(verdict_on(case_from_dict(name, HELD[name])), HELD[name]["answer"])


def test_the_golden_evidence_is_that_of_the_cases() -> None:
    """Else: run slow_judge.py."""
    assert {name: {key: held[key] for key in held if key != "answer"} for name, held in HELD.items()} == {
        case.name: case_to_dict(case) for case in CASES
    }
    assert GOLDEN.read_text() == as_text(HELD)


@pytest.mark.parametrize("case", [SMALL_BINARY, SMALL_BOUNDED], ids=lambda case: case.name)
def test_the_golden_numbers_are_what_the_slow_judge_finds_today(case: Case) -> None:
    assert golden(case) == HELD[case.name]


eighths = st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]), max_size=9).map(summed)
counts = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda n: bad(max(n), min(n)))


@st.composite
def small(draw: st.DrawFn) -> Case:
    """A few buckets over one or two steps; more of them when scores, which are quick to judge slowly."""
    sums, most = draw(st.sampled_from([(counts, 2), (eighths, 5)]))
    moves = draw(st.integers(0, most))
    return Case(
        name="small",
        buckets=tuple(
            Bucket(10 * t, int(t >= moves), draw(sums), draw(sums)) for t in range(draw(st.integers(0, most)))
        ),
        history=draw(sums),
        margin=draw(st.sampled_from(["0.1", "1", "7", "50"])),
        weights=("20", "50"),
        step=draw(st.integers(0, 1)),
        overdispersion=draw(st.sampled_from(["1", "2.5"])),
    )


@given(case=small())
@settings(max_examples=30, deadline=None)
def test_any_small_evidence_is_judged_as_the_slow_judge_does(case: Case) -> None:
    assert_same(verdict_on(case), answer_to_dict(judge_slowly(case.buckets, case.history, asked_of(case))))
