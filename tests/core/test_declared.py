"""What a declared Model, route, rule, policy and snapshot may hold: each bound, and the problem beyond it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crossfade.core.model import BODY_FAMILIES, Model, Price, Target, model_to_dict, read_model
from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Settings, describe_settings, read_settings, settings_to_dict
from crossfade.core.reading import Reader
from crossfade.core.route import BUSY_TEXT, Route, check_references, read_route, route_to_dict
from crossfade.core.rule import When, read_rule
from crossfade.core.snapshot import Entry, Live, read_snapshot
from crossfade.core.split import GROUPS, Variant, group
from crossfade.errors import Invalid

TARGET: dict[str, Any] = {"region": "us-east-1", "model_id": "a.b-v1:0"}
MODEL: dict[str, Any] = {"name": "m", "targets": [TARGET]}
ROUTE: dict[str, Any] = {"name": "r", "blue": "m"}
LIVE: dict[str, Any] = {"rollout": 1, "step": 0, "weight": 5, "salt": "x", "green": "m"}


def problems_of(reader: Reader) -> list[str]:
    return [str(problem) for problem in reader.problems]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a b"}, "model.name: 'a b' is not allowed; no spaces, ? or #"),
        ({"name": "x" * 201}, "model.name: is 201 characters long; at most 200"),
        ({"targets": []}, "model.targets: has 0 entries; must have at least 1 and at most 20"),
        ({"targets": [TARGET, TARGET]}, "model.targets[1]: a.b-v1:0 in us-east-1 stands twice; keep one"),
        (
            {"targets": [TARGET | {"region": "East"}]},
            "model.targets[0].region: 'East' is not allowed; an AWS region such as us-east-1",
        ),
        (
            {"targets": [TARGET | {"model_id": "a b"}]},
            "model.targets[0].model_id: 'a b' is not allowed; a model id, an inference-profile id or an ARN",
        ),
        (
            {"targets": [TARGET | {"endpoint_url": "ftp://a"}]},
            "model.targets[0].endpoint_url: 'ftp://a' is not allowed; an http(s) URL",
        ),
        (
            {"targets": [TARGET | {"color": 1}]},
            "model.targets[0].color: is not a known field; allowed: endpoint_url, model_id, region",
        ),
        ({"price": {"input_per_1k": -1}}, "model.price.input_per_1k: is -1; must be at least 0 US dollars"),
        ({"price": {"output_per_1k": -1}}, "model.price.output_per_1k: is -1; must be at least 0 US dollars"),
        (
            {"price": {"each": 1}},
            "model.price.each: is not a known field; allowed: input_per_1k, output_per_1k",
        ),
        ({"body_family": "bert"}, f"model.body_family: 'bert' is not known; allowed: {', '.join(BODY_FAMILIES)}"),
        ({"wheels": 4}, "model.wheels: is not a known field; allowed: body_family, name, price, takes, targets"),
    ],
)
def test_a_model_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    reader = Reader(MODEL | changes, "model")
    read_model(reader)
    assert problems_of(reader) == [problem]


def test_a_model_may_go_up_to_each_bound() -> None:
    arn = "arn:aws:bedrock:us-gov-west-1:123456789012:inference-profile/Us.Some_Model-v1:0"
    targets = [TARGET | {"model_id": f"{arn}{n}", "endpoint_url": "http://127.0.0.1:9000/x"} for n in range(20)]
    reader = Reader({"name": "x" * 200, "targets": targets}, "model")
    model = read_model(reader)
    assert problems_of(reader) == []
    assert (len(model.targets), model.price, model.body_family) == (20, None, None)
    assert model.targets[3] == Target(region="us-east-1", model_id=f"{arn}3", endpoint_url="http://127.0.0.1:9000/x")


def test_a_price_is_of_a_thousand_tokens_and_none_is_not_a_price_of_nothing() -> None:
    assert Price(input_per_1k=3, output_per_1k=15).of(2_000, 500) == pytest.approx(6 + 7.5)
    reader = Reader(MODEL | {"price": {"output_per_1k": 2}}, "model")
    assert read_model(reader).price == Price(input_per_1k=0.0, output_per_1k=2.0)
    reader = Reader(MODEL | {"price": {"input_per_1k": 2}}, "model")
    assert read_model(reader).price == Price(input_per_1k=2.0, output_per_1k=0.0)
    assert Price().of(1_000_000, 1_000_000) == 0
    assert read_model(Reader(MODEL, "model")).price is None
    assert read_model(Reader(MODEL | {"price": {}}, "model")).price == Price()


def test_a_model_is_written_with_the_names_it_is_read_by() -> None:
    target = Target(region="eu-west-1", model_id="x", endpoint_url="http://a")
    model = Model(name="m", targets=(target,), price=Price(input_per_1k=1, output_per_1k=2), body_family="nova")
    assert model_to_dict(model) == {
        "name": "m",
        "targets": [{"region": "eu-west-1", "model_id": "x", "endpoint_url": "http://a"}],
        "price": {"input_per_1k": 1, "output_per_1k": 2},
        "body_family": "nova",
    }
    bare = model_to_dict(Model(name="m", targets=(Target(region="eu-west-1", model_id="x"),)))
    assert bare == {"name": "m", "targets": [{"region": "eu-west-1", "model_id": "x"}], "body_family": None}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a#b"}, "route.name: 'a#b' is not allowed; no spaces, ? or #"),
        ({"name": "x" * 501}, "route.name: is 501 characters long; at most 500"),
        ({"blue": None}, "route.blue: is missing"),
        ({"fallbacks": ["m"] * 11}, "route.fallbacks: has 11 entries; must have at least 0 and at most 10"),
        ({"busy_text": "x" * 2001}, "route.busy_text: is 2001 characters long; at most 2000"),
        ({"busy_text": 5}, "route.busy_text: must be text, not 5"),
        (
            {"policy": {"deadline": 0}},
            "route.policy.deadline: is 0; must be at least 0.1 and at most 3600 seconds",
        ),
        (
            {"lane": 1},
            "route.lane: is not a known field; allowed: blue, busy_text, fallbacks, name, needs, policy, rules, shares,"
            " validator",
        ),
    ],
)
def test_a_route_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    reader = Reader(ROUTE | changes, "route")
    read_route(reader)
    assert problems_of(reader) == [problem]


def test_a_route_may_go_up_to_each_bound() -> None:
    rule = {"when": {"code": True}, "use": "s"}
    whole = {
        "name": "x" * 500, "blue": "m", "rules": [rule] * 50, "fallbacks": ["m"] * 10, "busy_text": "y" * 2000,
    }  # fmt: skip
    reader = Reader(whole, "route")
    route = read_route(reader)
    assert problems_of(reader) == []
    assert (len(route.rules), len(route.fallbacks), len(route.busy_text)) == (50, 10, 2000)
    reader = Reader(whole | {"rules": [rule] * 51}, "route")
    read_route(reader)
    assert problems_of(reader) == ["route.rules: has 51 entries; must have at least 0 and at most 50"]


def test_a_route_needs_no_more_than_a_name_and_a_model() -> None:
    reader = Reader(ROUTE, "route")
    assert read_route(reader) == Route(name="r", blue="m")
    assert Route(name="r", blue="m").busy_text == BUSY_TEXT
    assert problems_of(reader) == []
    assert route_to_dict(Route(name="r", blue="m")) == {
        "name": "r", "blue": "m", "rules": [], "fallbacks": [], "policy": {}, "busy_text": BUSY_TEXT,
    }  # fmt: skip


def test_a_route_without_any_model_declared_says_that_there_is_none_yet() -> None:
    reader = Reader({}, "route")
    check_references(Route(name="r", blue="m"), {}, {}, reader)
    assert problems_of(reader) == ["route.blue: no Model is named 'm'; known: none yet"]


def test_rules_that_circle_elsewhere_are_not_this_routes_fault() -> None:
    def to(name: str, *uses: str) -> Route:
        rules = tuple(read_rule(Reader({"when": {"code": True}, "use": use})) for use in uses)
        return Route(name=name, blue="m", rules=rules)

    routes = {"a": to("a", "b"), "b": to("b", "c", "gone"), "c": to("c", "b")}
    reader = Reader({}, "route")
    check_references(routes["a"], {"m": read_model(Reader(MODEL))}, routes, reader)
    assert problems_of(reader) == []


def test_a_rules_bounds_are_no_less_than_nothing() -> None:
    reader = Reader({"when": {"turns_least": -1, "tools": "some"}, "use": "s"}, "rules[0]")
    read_rule(reader)
    assert problems_of(reader) == [
        "rules[0].when.turns_least: is -1; must be at least 0",
        "rules[0].when.tools: must be true or false, not the text 'some'",
    ]
    assert read_rule(Reader({"when": {"turns_least": 0}, "use": "s"})).when == When(least={"turns": 0.0})


def test_a_rule_without_a_condition_says_what_it_would_do() -> None:
    reader = Reader({"when": {}, "use": "s"}, "rules[0]")
    read_rule(reader)
    assert problems_of(reader) == [
        "rules[0].when: has no condition; a rule that always holds would hide the route itself"
    ]


@pytest.mark.parametrize(
    ("setting", "least", "most", "unit"),
    [
        ("deadline", 0.1, 3600, "seconds"),
        ("stall", 0.05, 600, "seconds"),
        ("retry_share", 0, 1, "of calls"),
        ("most_targets", 1, 20, "targets"),
        ("breaker_least", 1, 10_000, "attempts"),
        ("slow_factor", 1, 100, "times the hour's p95"),
        ("outage_tries", 1, 10, "tries"),
    ],
)
def test_a_setting_lies_within_its_bounds(setting: str, least: float, most: float, unit: str) -> None:
    for value in (least, most):
        reader = Reader({setting: value}, "policy")
        assert getattr(read_settings(reader), setting) == value
        assert problems_of(reader) == []
    for value in (least - 1, most + 1):
        reader = Reader({setting: value}, "policy")
        read_settings(reader)
        assert problems_of(reader) == [
            f"policy.{setting}: is {value:g}; must be at least {least:g} and at most {most:g} {unit}"
        ]


def test_settings_left_out_keep_their_defaults_and_busy_is_a_flag() -> None:
    assert read_settings(Reader({})) == Settings()
    reader = Reader({"busy": 1}, "policy")
    assert read_settings(reader).busy is True
    assert problems_of(reader) == ["policy.busy: must be true or false, not 1"]
    everything = settings_to_dict(Settings(busy=False), changed_only=False)
    assert (everything["deadline"], everything["busy"], len(everything)) == (60.0, False, 53)


def test_every_number_of_the_policy_says_its_bounds_and_holds_to_them() -> None:
    for setting in describe_settings(Settings()):
        name = setting["name"]
        assert setting["says"], name
        if isinstance(setting["default"], bool):
            continue
        assert setting["least"] <= setting["value"] == setting["default"] <= setting["most"], name
        for value, is_good in ((setting["least"], True), (setting["most"], True), (setting["most"] * 2 + 1, False)):
            reader = Reader({name: value}, "policy")
            read_settings(reader)
            assert (problems_of(reader) == []) is is_good, (name, value)


def test_tries_are_whole_numbers_and_an_outcome_that_asking_again_cannot_help_has_none() -> None:
    reader = Reader({"throttled_tries": 2.5, "denied_tries": 2}, "policy")
    read_settings(reader)
    whole, unknown = problems_of(reader)
    assert whole == "policy.throttled_tries: must be a whole number (at least 1 and at most 10 tries), not 2.5"
    assert unknown.startswith("policy.denied_tries: is not a known field")


def test_the_tries_and_waits_in_force_are_the_tables_where_nothing_is_set() -> None:
    for outcome, row in POLICY.items():
        settings = Settings()
        assert (settings.tries(outcome, last=False), settings.tries(outcome, last=True)) == (row.tries, row.tries_last)
        assert settings.base(outcome) == row.base
    more = Settings(throttled_tries=4, unavailable_tries_last=3, outage_base=0.5)
    assert (more.tries(Outcome.THROTTLED, last=False), more.tries(Outcome.THROTTLED, last=True)) == (4, 4)
    assert (more.tries(Outcome.UNAVAILABLE, last=False), more.tries(Outcome.UNAVAILABLE, last=True)) == (1, 3)
    assert more.base(Outcome.OUTAGE) == 0.5


def snapshot(**changes: Any) -> dict[str, Any]:
    whole = {
        "format": 1,
        "version": 0,
        "issued_at": 1.0,
        "bucket_seconds": 10,
        "signing_key": "6b" * 16,
        "models": [MODEL],
        "routes": [{"id": 1, "route": ROUTE, "live": LIVE}],
    }
    return whole | changes


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 2}, "snapshot.format: this version of Crossfade reads format 1"),
        ({"version": -1}, "snapshot.version: is -1; must be at least 0"),
        ({"issued_at": "now"}, "snapshot.issued_at: must be a number, not the text 'now'"),
        ({"bucket_seconds": 0}, "snapshot.bucket_seconds: is 0; must be at least 1 and at most 3600"),
        ({"bucket_seconds": 3601}, "snapshot.bucket_seconds: is 3601; must be at least 1 and at most 3600"),
        (
            {"signing_key": "6b" * 15},
            f"snapshot.signing_key: {'6b' * 15!r} is not allowed; 16 bytes or more in hex",
        ),
        ({"signing_key": "zz" * 16}, f"snapshot.signing_key: {'zz' * 16!r} is not allowed; 16 bytes or more in hex"),
        (
            {"lives": 9},
            "snapshot.lives: is not a known field; allowed:"
            " bucket_seconds, format, issued_at, models, routes, signing_key, version",
        ),
    ],
)
def test_a_snapshot_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_snapshot(json.dumps(snapshot(**changes)).encode())
    assert [str(each) for each in caught.value.problems] == [problem]


def test_a_snapshot_lacks_no_model_of_its_routes() -> None:
    route = ROUTE | {"fallbacks": ["spare"]}
    with pytest.raises(Invalid) as caught:
        read_snapshot(json.dumps(snapshot(models=[], routes=[{"id": 1, "route": route, "live": LIVE}])).encode())
    assert [str(each) for each in caught.value.problems] == [
        f"snapshot.models: route 'r' needs {name!r}, which is not there" for name in ("m", "spare", "m")
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rollout": 0}, "rollout: is 0; must be at least 1 and at most 4.29497e+09"),
        ({"rollout": 2**32}, "rollout: is 4294967296; must be at least 1 and at most 4.29497e+09"),
        ({"step": -1}, "step: is -1; must be at least 0 and at most 255"),
        ({"step": 256}, "step: is 256; must be at least 0 and at most 255"),
        ({"weight": -0.5}, "weight: is -0.5; must be at least 0 and at most 100"),
        ({"weight": 100.5}, "weight: is 100.5; must be at least 0 and at most 100"),
        ({"salt": ""}, "salt: must not be empty"),
        ({"tint": 1}, "tint: is not a known field; allowed: green, rollout, salt, shadow, step, weight"),
    ],
)
def test_a_live_rollout_in_a_snapshot_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    routes = [{"id": 1, "route": ROUTE, "live": LIVE | changes}]
    with pytest.raises(Invalid) as caught:
        read_snapshot(json.dumps(snapshot(routes=routes)).encode())
    assert [str(each) for each in caught.value.problems] == [f"snapshot.routes[0].live.{problem}"]


@pytest.mark.parametrize(
    ("id_", "problem"),
    [
        (0, "snapshot.routes[0].id: is 0; must be at least 1 and at most 4.29497e+09"),
        (2**32, "snapshot.routes[0].id: is 4294967296; must be at least 1 and at most 4.29497e+09"),
    ],
)
def test_a_routes_number_fits_into_a_call_id(id_: int, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_snapshot(json.dumps(snapshot(routes=[{"id": id_, "route": ROUTE, "live": None}])).encode())
    assert [str(each) for each in caught.value.problems] == [problem]


def test_a_snapshot_may_go_up_to_each_bound() -> None:
    live = {"rollout": 2**32 - 1, "step": 255, "weight": 100, "salt": "x", "green": "m"}
    read = read_snapshot(
        json.dumps(
            snapshot(
                bucket_seconds=3600,
                signing_key="6b" * 64,
                routes=[{"id": 2**32 - 1, "route": ROUTE, "live": live}],
            )
        ).encode()
    )
    assert read.entries["r"] == Entry(id=2**32 - 1, route=Route(name="r", blue="m"), live=Live(**live))
    assert (read.version, read.bucket_seconds, read.signing_key) == (0, 3600, b"k" * 64)
    least = read_snapshot(json.dumps(snapshot(bucket_seconds=1)).encode())
    assert least.entries["r"].live == Live(rollout=1, step=0, weight=5, salt="x", green="m")
    assert (least.bucket_seconds, least.issued_at, least.signing_key) == (1, 1.0, b"k" * 16)


def test_a_key_is_assigned_by_the_salt_and_weight_of_the_live_rollout() -> None:
    route = Route(name="r", blue="old")
    keys = [f"user-{number}" for number in range(200)]

    def greens(salt: str, weight: float) -> set[str]:
        entry = Entry(id=1, route=route, live=Live(rollout=1, step=0, weight=weight, salt=salt, green="new"))
        return {key for key in keys if entry.assign(key) is Variant.GREEN}

    assert greens("x", 50) == greens("x", 50) != greens("y", 50)
    assert greens("x", 0) == set()
    assert greens("x", 20) < greens("x", 80) < greens("x", 100) == set(keys)


def test_the_group_of_a_key_is_of_the_live_rollout_or_else_of_the_route() -> None:
    quiet = Entry(id=1, route=Route(name="r", blue="old"))
    live = Entry(id=1, route=quiet.route, live=Live(rollout=1, step=0, weight=5, salt="x", green="new"))
    assert (quiet.group(None), live.group(None)) == (None, None)
    keys = [f"user-{number}" for number in range(50)]
    assert [live.group(key) for key in keys] == [group("x", key) for key in keys]
    assert [quiet.group(key) for key in keys] == [group("r", key) for key in keys]
    assert {live.group(key) for key in keys} <= set(range(GROUPS))
