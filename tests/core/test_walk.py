"""Walk: which route serves a request, which Models it asks there, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.model import Model, Target
from crossfade.core.reading import Reader
from crossfade.core.request import Request
from crossfade.core.route import Route, check_references, read_route, route_to_dict
from crossfade.core.rule import Rule, When, read_rule
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.core.split import Variant, position
from crossfade.core.walk import Leg, order, walk

SHORT = Rule(when=When(below={"characters": 100}), use="short")
FREE = Rule(when=When(tiers=("free",)), use="cheap")


def model(name: str, *, family: str | None = None) -> Model:
    return Model(name=name, targets=(Target(region="us-east-1", model_id=name),), body_family=family)


def snapshot(*routes: Route, live: Mapping[str, Live] | None = None, models: tuple[Model, ...] = ()) -> Snapshot:
    return Snapshot(
        version=1,
        issued_at=0,
        bucket_seconds=10,
        signing_key=b"k" * 32,
        entries={r.name: Entry(id=n, route=r, live=(live or {}).get(r.name)) for n, r in enumerate(routes, 1)},
        models={each.name: each for each in models},
    )


def way(found: Snapshot, name: str, request: Request) -> list[Leg]:
    return walk(found, found.entries[name], request.key, lambda: request)


def names(legs: list[Leg]) -> list[str]:
    return [leg.entry.route.name for leg in legs]


def test_a_request_goes_from_rule_to_rule_until_none_holds() -> None:
    found = snapshot(
        Route(name="chat", blue="m", rules=(SHORT, FREE)),
        Route(name="short", blue="m", rules=(FREE,)),
        Route(name="cheap", blue="m"),
    )
    legs = way(found, "chat", Request(characters=5, tier="free"))
    assert [(leg.entry.route.name, leg.rule, leg.to) for leg in legs] == [
        ("chat", 0, "short"), ("short", 0, "cheap"), ("cheap", None, None),
    ]  # fmt: skip
    assert names(way(found, "chat", Request(characters=500, tier="free"))) == ["chat", "cheap"]
    assert names(way(found, "chat", Request(characters=500))) == ["chat"]


def test_a_circle_or_a_route_that_is_gone_ends_the_way_where_it_is() -> None:
    circle = snapshot(Route(name="chat", blue="m", rules=(SHORT,)), Route(name="short", blue="m", shares={"chat": 99}))
    key = next(f"user-{n}" for n in range(50) if circle.entries["short"].route.place(f"user-{n}") < 0.99)
    assert names(way(circle, "chat", Request(characters=5, key=key))) == ["chat", "short"]
    gone = snapshot(Route(name="chat", blue="m", rules=(SHORT,)))
    assert [(leg.rule, leg.to) for leg in way(gone, "chat", Request())] == [(0, None)]


def test_a_request_is_looked_at_only_where_there_are_rules() -> None:
    def never() -> Request:
        raise AssertionError("looked at")

    found = snapshot(Route(name="chat", blue="m", shares={"short": 50}), Route(name="short", blue="m"))
    assert {len(walk(found, found.entries["chat"], f"user-{n}", never)) for n in range(20)} == {1, 2}


def test_shares_are_those_declared_and_a_key_has_always_the_same() -> None:
    route = Route(name="chat", blue="m", shares={"b": 20, "a": 30})
    keys = [f"user-{n}" for n in range(10_000)]
    taken = {key: route.share_at(route.place(key)) for key in keys}
    counts = {use: list(taken.values()).count(use) for use in ("a", "b", None)}
    assert abs(counts["a"] - 3000) < 160
    assert abs(counts["b"] - 2000) < 140  # 3.5 standard deviations
    assert {key: route.share_at(route.place(key)) for key in keys} == taken
    assert [route.share_at(place) for place in (0, 0.2999, 0.3, 0.4999, 0.5, 0.9999)] == [
        "a", "a", "b", "b", None, None,
    ]  # fmt: skip


def test_where_a_key_lies_among_the_shares_is_of_the_route_and_told_by_its_leg() -> None:
    found = snapshot(
        Route(name="chat", blue="m", shares={"s": 50}), Route(name="s", blue="m"), Route(name="t", blue="m")
    )
    assert found.entries["chat"].route.place("ann") == position("shares|chat", "ann")
    assert found.entries["t"].route.place("ann") == position("shares|t", "ann")
    for key in ("ann", "bob", "eve", "dan"):
        first, *rest = way(found, "chat", Request(key=key))
        assert first.place == position("shares|chat", key)
        assert names(rest) == (["s"] if first.place < 0.5 else [])
        assert all(leg.place is None for leg in rest)


def test_without_a_key_chance_shares_the_calls() -> None:
    route = Route(name="chat", blue="m", shares={"a": 30})
    taken = sum(route.share_at(route.place(None)) == "a" for _ in range(10_000))
    assert abs(taken - 3000) < 160


def test_who_is_in_a_share_says_nothing_of_who_is_green() -> None:
    route = Route(name="chat", blue="m", shares={"a": 50})
    stay = [key for key in (f"user-{n}" for n in range(20_000)) if route.share_at(route.place(key)) is None]
    green = sum(position("salt", key) < 0.1 for key in stay)
    assert abs(green / len(stay) - 0.1) < 0.011


@given(key=st.text(max_size=30), low=st.floats(0.1, 99), high=st.floats(0.1, 99))
def test_raising_a_share_only_adds_keys_to_it(key: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    small, large = (Route(name="r", blue="m", shares={"a": share}) for share in (low, high))
    if small.share_at(small.place(key)) == "a":
        assert large.share_at(large.place(key)) == "a"


def test_the_models_of_a_call_are_the_assigned_one_then_blue_then_the_fallbacks() -> None:
    models = (model("old", family="nova"), model("new", family="nova"), model("spare", family="anthropic"))
    route = Route(name="chat", blue="old", fallbacks=("spare", "old"))
    live = {"chat": Live(rollout=1, step=0, weight=50, salt="s", green="new")}
    found = snapshot(route, live=live, models=models)

    def asked(variant: Variant, operation: str = "Converse") -> list[str]:
        return [each.name for each in order(found, found.entries["chat"], variant, operation)]

    assert asked(Variant.GREEN) == ["new", "old", "spare"]
    assert asked(Variant.BLUE) == ["old", "spare"]
    assert asked(Variant.GREEN, "CountTokens") == ["new", "old"]
    assert asked(Variant.GREEN, "InvokeModel") == ["new", "old"]  # spare reads another vendor's body
    assert asked(Variant.BLUE, "InvokeModelWithResponseStream") == ["old"]


whens = st.builds(
    When,
    least=st.dictionaries(st.sampled_from(["complexity", "characters", "turns", "tools"]), st.floats(0, 3), max_size=2),
    below=st.dictionaries(st.sampled_from(["tokens", "images", "documents"]), st.floats(0, 3), max_size=2),
    has=st.dictionaries(st.sampled_from(["tools", "images", "documents", "code"]), st.booleans(), max_size=2),
    tiers=st.sampled_from([(), ("free",), ("free", "gold")]),
    labels=st.dictionaries(st.sampled_from(["team", "x"]), st.sampled_from(["a", "b"]), max_size=2),
)
requests = st.builds(
    Request,
    characters=st.integers(0, 12),
    turns=st.integers(1, 4),
    tools=st.integers(0, 3),
    images=st.integers(0, 3),
    documents=st.integers(0, 3),
    code=st.booleans(),
    tier=st.sampled_from([None, "free", "gold"]),
    labels=st.dictionaries(st.sampled_from(["team", "x"]), st.sampled_from(["a", "b"]), max_size=2),
)


@given(when=whens, request_=requests)
def test_a_rule_holds_exactly_where_nothing_speaks_against_it(when: When, request_: Request) -> None:
    expected = (
        all(getattr(request_, name) >= bound for name, bound in when.least.items())
        and all(getattr(request_, name) < bound for name, bound in when.below.items())
        and all(bool(getattr(request_, name)) is wanted for name, wanted in when.has.items())
        and (not when.tiers or request_.tier in when.tiers)
        and all(request_.labels.get(name) == value for name, value in when.labels.items())
    )
    assert when.holds(request_) is expected is (list(when.unmet(request_)) == [])


def test_what_speaks_against_a_rule_is_said_with_the_value_that_is_there() -> None:
    when = When(
        least={"complexity": 0.5, "tools": 2},
        below={"characters": 100},
        has={"code": True, "images": False},
        tiers=("free", "trial"),
        labels={"team": "a", "region": "eu"},
    )
    request = Request(characters=1_234_567, tools=1, images=3, tier="gold", labels={"team": "b"}, turns=1)
    assert list(When(least={"complexity": 0.5}).unmet(Request(characters=400))) == ["complexity is 0.0952, below 0.5"]
    assert list(when.unmet(request)) == [
        "tools is 1, below 2",
        "characters is 1234567, not below 100",
        "has no code",
        "has images",
        "tier is 'gold', not 'free' or 'trial'",
        "label team is 'b', not 'a'",
        "no label region is given, 'eu' is wanted",
    ]
    assert str(when) == (
        "complexity at least 0.5, tools at least 2, characters below 100, has code, no images, tier 'free' or 'trial',"
        " label team 'a', label region 'eu'"
    )


def test_a_large_bound_is_said_to_the_last_digit() -> None:
    when = When(least={"tokens": 1_234_567.0})
    assert str(when) == "tokens at least 1,234,567"
    assert list(when.unmet(Request(characters=40))) == ["tokens is 10, below 1,234,567"]


def problems(document: dict[str, Any], *others: Route) -> list[str]:
    reader = Reader(document, "route")
    route = read_route(reader)
    takes_little = Model(name="little", targets=(), takes=("tools", "images"))
    models = {"m": model("m"), "little": takes_little}
    check_references(route, models, {each.name: each for each in (*others, route)}, reader)
    return [str(problem) for problem in reader.problems]


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ({"turns_least": 3, "turns_below": 3}, "turns_below: is 3, and turns_least is 3: the rule would never hold"),
        (
            {"complexity_least": 1.1},
            "complexity_least: is 1.1, and complexity is at most 1: the rule would never hold",
        ),
        ({"tokens_below": 0}, "tokens_below: is 0, and tokens never is below 0: the rule would never hold"),
    ],
)
def test_a_rule_that_can_never_hold_is_refused_at_registration(when: dict[str, Any], problem: str) -> None:
    document = {"name": "r", "blue": "m", "rules": [{"when": when, "use": "s"}]}
    assert problems(document, Route(name="s", blue="m")) == [f"route.rules[0].when.{problem}"]


@pytest.mark.parametrize(
    "when", [{"turns_least": 3}, {"complexity_least": 1}, {"turns_least": 3, "turns_below": 4}, {"tools_below": 1}]
)
def test_a_rule_that_can_hold_is_not(when: dict[str, Any]) -> None:
    document = {"name": "r", "blue": "m", "rules": [{"when": when, "use": "s"}]}
    assert problems(document, Route(name="s", blue="m")) == []


def test_a_rule_that_asks_what_an_earlier_one_asks_is_refused_at_registration() -> None:
    rule = {"when": {"tiers": ["free"]}, "use": "s"}
    assert problems({"name": "r", "blue": "m", "rules": [rule, rule]}, Route(name="s", blue="m")) == [
        "route.rules[1].when: asks what rules[0] asks, which comes first: keep one"
    ]


def test_of_misspelt_conditions_nothing_is_said_but_that_they_are() -> None:
    first, second = {"character_below": 5}, {"tool": True}
    rules = [
        {"when": when, "use": "s"} for when in (first, second, {"tiers": ["free"]}, {"tiers": ["free"], "tool": 1})
    ]
    found = problems({"name": "r", "blue": "m", "rules": rules}, Route(name="s", blue="m"))
    assert [problem.partition(" (did")[0] for problem in found] == [
        "route.rules[0].when.character_below: is not a known field",
        "route.rules[1].when.tool: is not a known field",
        "route.rules[3].when.tool: is not a known field",
    ]


def test_shares_leave_something_to_blue_and_lead_to_routes_that_do_not_lead_back() -> None:
    back = Route(name="s", blue="m", rules=(Rule(when=SHORT.when, use="r"),))
    document = {"name": "r", "blue": "m", "shares": {"s": 60, "t": 40, "u": 0}}
    assert problems(document, back, Route(name="u", blue="m")) == [
        "route.shares.u: is 0; must be above 0 and below 100 percent",
        "route.shares: sum to 100 %, which leaves nothing to blue; name a rule's route instead",
        "route.shares.s: 's' leads back to 'r'; routes must not circle",
        "route.shares.t: no route is named 't'",
    ]
    looped = Route(name="s", blue="m", shares={"r": 5})
    assert problems({"name": "r", "blue": "m", "rules": [{"when": {"code": True}, "use": "s"}]}, looped) == [
        "route.rules[0].use: 's' leads back to 'r'; routes must not circle"
    ]


def test_every_model_of_a_route_must_take_what_its_requests_hold() -> None:
    document = {"name": "r", "blue": "m", "fallbacks": ["little"], "needs": ["cache_points", "tools"]}
    said = (
        "'little' is declared not to take cache points, which route 'r' needs: choose another Model, or add it to the"
    )
    assert problems(document) == [f"route.fallbacks[0]: {said} Model's takes, or take it out of the route's needs"]
    assert (
        "not to take cache points and reasoning, which"
        in problems(document | {"needs": ["reasoning", "cache_points"]})[0]
    )
    assert problems(document | {"needs": ["tools"]}) == []
    assert problems(document | {"needs": ["tool"]})[0].startswith(
        "route.needs[0]: 'tool' is not known (did you mean 'tools'?); allowed: tools, cache_points, images"
    )


def test_shares_and_needs_are_written_only_where_there_are_any() -> None:
    route = Route(name="r", blue="m", shares={"b": 5, "a": 10}, needs=("tools",))
    document = route_to_dict(route)
    assert (list(document["shares"].items()), document["needs"]) == ([("a", 10), ("b", 5)], ["tools"])
    assert read_route(Reader(document)) == route
    assert {"shares", "needs"} & route_to_dict(Route(name="r", blue="m")).keys() == set()


def test_a_rule_may_bound_how_many_tools_images_and_documents_there_are() -> None:
    rule = read_rule(Reader({"when": {"tools_least": 2, "images_below": 1, "documents_below": 3}, "use": "s"}))
    assert rule.when.holds(Request(tools=2, documents=2))
    assert not rule.when.holds(Request(tools=1))
    assert not rule.when.holds(Request(tools=2, images=1))
