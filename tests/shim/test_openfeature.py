"""OpenFeature: the provider says of a key what the call path does with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

import crossfade
from crossfade.shim import runtime
from crossfade.shim.openfeature import OpenFeatureProvider

ROUTE = "support-chat"


@pytest.fixture
def flags() -> Iterator[Any]:
    api.set_provider(OpenFeatureProvider(), domain="models")
    yield api.get_client("models")
    api.clear_providers()
    runtime.end(0.5)


def test_a_key_gets_the_variant_its_calls_get(routed, snapshot, model, flags, ask) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50))
    answered = {}
    for n in range(40):
        with crossfade.context(key=f"user-{n}"):
            answered[n] = ask(client)["ResponseMetadata"]["Crossfade"]["variant"]
    assert set(answered.values()) == {"blue", "green"}
    asked = {n: flags.get_string_value(ROUTE, "none", EvaluationContext(f"user-{n}")) for n in answered}
    assert asked == answered


def test_details_tell_rollout_step_and_model(routed, snapshot, model, flags, ran) -> None:
    routed(snapshot(model("blue"), model("green"), weight=100))
    found = flags.get_string_details(ROUTE, "none", EvaluationContext("someone"))
    assert (found.value, found.variant, found.reason) == ("green", "green", Reason.SPLIT)
    assert found.flag_metadata == {"model": "green", "snapshot": 1, "rollout": 12, "step": 1}
    assert found.error_code is None
    assert ran(flags.get_string_value_async(ROUTE, "none", EvaluationContext("someone"))) == "green"


def test_the_key_of_the_context_holds_where_none_is_given(routed, snapshot, model, flags) -> None:
    routed(snapshot(model("blue"), model("green"), weight=50))
    for n in range(20):
        given = flags.get_string_value(ROUTE, "none", EvaluationContext(f"user-{n}"))
        with crossfade.context(key=f"user-{n}"):
            assert flags.get_string_value(ROUTE, "none") == given
        with crossfade.context(conversation=f"user-{n}"):
            assert flags.get_string_value(ROUTE, "none") == given


def test_a_route_without_a_rollout_is_blue_for_all(routed, snapshot, model, flags) -> None:
    routed(snapshot(model("blue")))
    found = flags.get_string_details(ROUTE, "none")
    assert (found.value, found.reason) == ("blue", Reason.STATIC)
    assert found.flag_metadata == {"model": "blue", "snapshot": 1}


def test_a_new_snapshot_holds_at_once(routed, renew, snapshot, model, flags) -> None:
    blue, green = model("blue"), model("green")
    routed(snapshot(blue, green, weight=100))
    assert flags.get_string_value(ROUTE, "none", EvaluationContext("someone")) == "green"
    renew(snapshot(blue, green, weight=0))
    assert flags.get_string_value(ROUTE, "none", EvaluationContext("someone")) == "blue"


def test_what_cannot_be_answered_is_the_default_with_the_reason(routed, snapshot, model, flags) -> None:
    before = flags.get_string_details(ROUTE, "none", EvaluationContext("someone"))
    assert (before.value, before.error_code) == ("none", ErrorCode.PROVIDER_NOT_READY)
    routed(snapshot(model("blue"), model("green"), weight=50))
    keyless = flags.get_string_details(ROUTE, "none")
    assert (keyless.value, keyless.error_code) == ("none", ErrorCode.TARGETING_KEY_MISSING)
    unknown = flags.get_string_details("no-route", "none", EvaluationContext("someone"))
    assert (unknown.value, unknown.error_code) == ("none", ErrorCode.FLAG_NOT_FOUND)


@pytest.mark.parametrize(("kind", "default"), [("boolean", True), ("integer", 1), ("float", 1.0), ("object", {"a": 1})])
def test_a_flag_is_a_text_and_nothing_else(routed, snapshot, model, flags, kind, default) -> None:
    routed(snapshot(model("blue")))
    found = getattr(flags, f"get_{kind}_details")(ROUTE, default, EvaluationContext("someone"))
    assert (found.value, found.error_code) == (default, ErrorCode.TYPE_MISMATCH)
