from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.model import Model, Price, Target, model_to_dict, read_model
from crossfade.core.policy import Settings
from crossfade.core.reading import Reader
from crossfade.core.route import BUSY_TEXT, Route, check_references, read_route, route_to_dict
from crossfade.core.rule import Rule, When
from crossfade.core.snapshot import Entry, Live, Snapshot, is_signed, read_snapshot, sign, snapshot_to_bytes
from crossfade.core.split import Variant
from crossfade.errors import Invalid

OLD = Model(
    name="old",
    targets=(
        Target(region="us-east-1", model_id="anthropic.old-v1:0"),
        Target(region="eu-west-1", model_id="eu.anthropic.old-v1:0", endpoint_url="http://127.0.0.1:9001"),
    ),
    price=Price(input_per_1k=0.003, output_per_1k=0.015),
    body_family="anthropic",
)
NEW = Model(name="new", targets=(Target(region="us-east-1", model_id="anthropic.new-v1:0"),))
SHORT = Rule(when=When(below={"characters": 100}, tiers=("free",), has={"tools": False}, labels={"team": "a"}), use="s")
CHAT = Route(
    name="anthropic.old-v1:0", blue="old", rules=(SHORT,), fallbacks=("new",), policy=Settings(deadline=6, busy=False)
)
SNAPSHOT = Snapshot(
    version=3,
    issued_at=1_790_000_000.0,
    bucket_seconds=10,
    signing_key=b"k" * 32,
    entries={
        CHAT.name: Entry(id=1, route=CHAT, live=Live(rollout=9, step=1, weight=25, salt="x", green="new")),
        "s": Entry(id=2, route=Route(name="s", blue="new")),
    },
    models={"old": OLD, "new": NEW},
)


def document() -> dict[str, Any]:
    return json.loads(snapshot_to_bytes(SNAPSHOT))  # type: ignore[no-any-return]


def problems_of(body: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read_snapshot(body)
    return [str(problem) for problem in caught.value.problems]


def test_a_snapshot_survives_the_wire() -> None:
    assert read_snapshot(snapshot_to_bytes(SNAPSHOT)) == SNAPSHOT


def test_models_and_routes_read_back_as_declared() -> None:
    for model in (OLD, NEW):
        reader = Reader(model_to_dict(model))
        assert read_model(reader) == model
        reader.check()
    reader = Reader(route_to_dict(CHAT))
    assert read_route(reader) == CHAT
    reader.check()


@given(cut=st.integers(0, len(snapshot_to_bytes(SNAPSHOT)) - 1))
def test_a_snapshot_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(Invalid):
        read_snapshot(snapshot_to_bytes(SNAPSHOT)[:cut])


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"<html>busy</html>", b"\xff\xfe"])
def test_what_is_no_snapshot_is_refused(body: bytes) -> None:
    assert problems_of(body)


def test_an_empty_snapshot_is_refused() -> None:
    lines = problems_of(json.dumps(document() | {"routes": []}).encode())
    assert lines == ["snapshot.routes: has 0 entries; must have at least 1 and at most 100000"]


def test_a_snapshot_that_lacks_a_model_is_refused() -> None:
    broken = document()
    broken["models"] = broken["models"][:1]
    assert any("needs 'new', which is not there" in line for line in problems_of(json.dumps(broken).encode()))


def test_the_signature_is_of_token_and_body() -> None:
    body = snapshot_to_bytes(SNAPSHOT)
    signature = sign("cft_token", body)
    assert is_signed("cft_token", body, signature)
    assert not is_signed("cft_other", body, signature)
    assert not is_signed("cft_token", body + b" ", signature)
    assert not is_signed("cft_token", body, "é")


def test_without_a_live_rollout_every_call_is_blue() -> None:
    entry = SNAPSHOT.entries["s"]
    assert entry.assign("anyone") is Variant.BLUE
    assert entry.model(Variant.BLUE) == "new"


def test_green_is_the_candidate_while_a_rollout_is_live() -> None:
    entry = SNAPSHOT.entries[CHAT.name]
    assert {entry.assign(f"user-{n}") for n in range(100)} == {Variant.BLUE, Variant.GREEN}
    assert entry.model(Variant.GREEN) == "new"
    assert entry.model(Variant.BLUE) == "old"


def references(route: Route, routes: dict[str, Route]) -> list[str]:
    reader = Reader({}, "route")
    check_references(route, {"old": OLD, "new": NEW}, routes | {route.name: route}, reader)
    return [str(problem) for problem in reader.problems]


def test_names_that_stand_for_nothing_are_reported() -> None:
    route = Route(name="a", blue="gone", fallbacks=("new", "lost"), rules=(Rule(when=SHORT.when, use="nowhere"),))
    assert references(route, {}) == [
        "route.blue: no Model is named 'gone'; known: new, old",
        "route.fallbacks[1]: no Model is named 'lost'; known: new, old",
        "route.rules[0].use: no route is named 'nowhere'",
    ]


def test_rules_that_circle_are_refused() -> None:
    def to(name: str, use: str) -> Route:
        return Route(name=name, blue="old", rules=(Rule(when=SHORT.when, use=use),))

    others = {"b": to("b", "c"), "c": to("c", "a"), "d": Route(name="d", blue="old")}
    assert references(to("a", "b"), others) == ["route.rules[0].use: 'b' leads back to 'a'; routes must not circle"]
    assert references(to("a", "a"), others) == ["route.rules[0].use: 'a' leads back to 'a'; routes must not circle"]
    assert references(to("a", "d"), others) == []


def test_a_snapshot_goes_over_the_wire_without_spaces() -> None:
    assert b" " not in snapshot_to_bytes(replace(SNAPSHOT, entries={"s": SNAPSHOT.entries["s"]})).replace(
        BUSY_TEXT.encode(), b""
    )
