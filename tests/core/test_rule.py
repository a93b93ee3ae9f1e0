from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Settings, read_settings, settings_to_dict
from crossfade.core.reading import Reader
from crossfade.core.request import Request
from crossfade.core.route import Route
from crossfade.core.rule import Rule, When, read_rule, rule_to_dict


def rule(when: dict[str, object], use: str = "small") -> Rule:
    reader = Reader({"when": when, "use": use}, "rules[0]")
    found = read_rule(reader)
    reader.check()
    return found


@pytest.mark.parametrize(
    ("when", "request_", "holds"),
    [
        ({"characters_below": 100}, Request(characters=99), True),
        ({"characters_below": 100}, Request(characters=100), False),
        ({"characters_least": 100}, Request(characters=100), True),
        ({"complexity_least": 0.5}, Request(characters=4000), True),
        ({"complexity_least": 0.5}, Request(characters=400), False),
        ({"turns_least": 2, "turns_below": 3}, Request(turns=2), True),
        ({"tools": True}, Request(tools=3), True),
        ({"tools": False}, Request(tools=3), False),
        ({"code": True, "images": False}, Request(code=True), True),
        ({"tiers": ["free", "trial"]}, Request(tier="trial"), True),
        ({"tiers": ["free"]}, Request(), False),
        ({"labels": {"team": "a"}}, Request(labels={"team": "a", "x": "y"}), True),
        ({"labels": {"team": "a"}}, Request(labels={"team": "b"}), False),
        ({"tiers": ["free"], "characters_below": 10}, Request(tier="free", characters=50), False),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(when: dict[str, object], request_: Request, holds: bool) -> None:
    assert rule(when).when.holds(request_) is holds


def test_the_first_rule_that_holds_is_followed() -> None:
    route = Route(
        name="r", blue="m", rules=(rule({"tiers": ["free"]}, "cheap"), rule({"characters_below": 100}, "small"))
    )
    assert route.rule_for(Request(tier="free", characters=5)) == 0
    assert route.rule_for(Request(characters=5)) == 1
    assert route.rule_for(Request(characters=500)) is None


def test_a_rule_reads_back_as_declared() -> None:
    declared = rule({"tokens_least": 10, "tools": True, "tiers": ["a"], "labels": {"k": "v"}})
    assert rule(rule_to_dict(declared)["when"]) == declared


def test_a_rule_without_a_condition_or_with_an_unknown_one_is_refused() -> None:
    reader = Reader({"when": {}, "use": "x"}, "rules[0]")
    read_rule(reader)
    assert str(reader.problems[0]).startswith("rules[0].when: has no condition")
    reader = Reader({"when": {"caracters_below": 1}, "use": "x"}, "rules[0]")
    read_rule(reader)
    assert "did you mean 'characters_below'" in str(reader.problems[0])
    for written, meant in (("characters_under", "characters_below"), ("tokens_min", "tokens_least")):
        reader = Reader({"when": {written: 100}, "use": "x"})
        read_rule(reader)
        assert f"{written}: is not a known field (did you mean '{meant}'?)" in str(reader.problems[0])
    assert When().holds(Request())


sizes = st.integers(0, 10**6)


@given(characters=sizes, more=sizes, turns=st.integers(1, 100), tools=st.integers(0, 50), images=st.integers(0, 20))
def test_complexity_lies_in_0_to_1_and_never_falls_with_more_of_anything(
    characters: int, more: int, turns: int, tools: int, images: int
) -> None:
    less = Request(characters=characters, turns=turns, tools=tools, images=images)
    longer = Request(characters=characters + more, turns=turns + 1, tools=tools + 1, images=images + 1, code=True)
    assert 0 <= less.complexity <= longer.complexity <= 1


def test_complexity_is_the_documented_formula() -> None:
    assert Request(characters=100).complexity == pytest.approx(0.0247, abs=1e-4)
    assert Request(characters=4000).complexity == pytest.approx(0.6321, abs=1e-4)


def test_the_policy_has_a_row_for_every_outcome_of_an_attempt_that_failed() -> None:
    of_calls = {Outcome.OK, Outcome.INCOMPATIBLE, Outcome.ABANDONED}
    assert set(POLICY) == set(Outcome) - of_calls
    assert all(row.tries_last >= row.tries >= 1 for row in POLICY.values())


def test_settings_are_read_within_bounds_and_only_changes_are_written() -> None:
    reader = Reader({"deadline": 6, "busy": False, "retry_share": 1.5, "dead_line": 1}, "policy")
    settings = read_settings(reader)
    assert [str(p).split(";")[0] for p in reader.problems] == [
        "policy.retry_share: is 1.5",
        "policy.dead_line: is not a known field (did you mean 'deadline'?)",
    ]
    assert settings_to_dict(settings) == {"deadline": 6.0, "busy": False}
    assert settings_to_dict(Settings()) == {}
