"""What a call is counted as: why its answer ended, what it cost, and the group of its key."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

import crossfade
from crossfade.core import callid
from crossfade.core.histogram import bin_dollars, cost_bin
from crossfade.core.model import Price
from crossfade.core.split import Variant, assign, group
from crossfade.core.stop import Stop
from crossfade.shim.answer import read_answer
from crossfade.shim.events import reading_of

ROUTE = "support-chat"
KEY = bytes(range(32))
TEXT = "one two three four five six seven eight nine ten"
MESSAGES = [{"role": "user", "content": [{"text": TEXT}]}]


def ask_by(client: Any, operation: str) -> dict[str, Any]:
    """Asks, reads the answer to its end, and returns it."""
    body = json.dumps({"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": TEXT}]})
    match operation:
        case "Converse":
            return client.converse(modelId=ROUTE, messages=MESSAGES)
        case "ConverseStream":
            answer = client.converse_stream(modelId=ROUTE, messages=MESSAGES)
            list(answer["stream"])
        case "InvokeModel":
            answer = client.invoke_model(modelId=ROUTE, body=body)
        case _:
            answer = client.invoke_model_with_response_stream(modelId=ROUTE, body=body)
            list(answer["body"])
    return answer


def table(controller: Any, name: str) -> dict[str, int]:
    crossfade.flush()
    found: Counter[str] = Counter()
    for row in controller.rows():
        found.update(row.get(name, {}))
    return dict(found)


OPERATIONS = ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_stop_reason_of_every_operation_is_counted(routed, snapshot, model, sandbox, controller, operation) -> None:
    client = routed(snapshot(model("blue")))
    ask_by(client, operation)
    for reason in ("max_tokens", "guardrail_intervened", "refusal"):
        sandbox.fault("stop_reason", stop_reason=reason, count=1)
        ask_by(client, operation)
    assert table(controller, "stops") == {"end_turn": 1, "max_tokens": 1, "guardrail_intervened": 1, "refusal": 1}
    assert controller.total("calls") == 4


def test_a_malformed_answer_says_why_it_ended_and_a_busy_one_is_no_models(
    routed, snapshot, model, ask, sandbox, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("malformed_output", count=1)
    ask(client)
    sandbox.fault("unavailable")
    assert ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
    assert table(controller, "stops") == {"malformed_model_output": 1}
    assert controller.total("calls") == 2


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_cost_of_a_call_falls_into_its_bin(routed, snapshot, model, controller, operation) -> None:
    ask_by(routed(snapshot(model("blue"))), operation)
    costs = table(controller, "costs")
    [row] = controller.rows()
    assert costs == {str(cost_bin(row["cost_sum"])): 1}
    assert bin_dollars(int(next(iter(costs)))) == pytest.approx(row["cost_sum"], rel=0.0101)
    assert row["cost_sum"] == pytest.approx((row["tokens_in"] * 1.0 + row["tokens_out"] * 2.0) / 1000)


def test_a_model_without_a_price_has_calls_of_unknown_cost(routed, snapshot, model, ask, controller) -> None:
    ask(routed(snapshot(replace(model("blue"), price=None))))
    assert table(controller, "costs") == {}
    [row] = controller.rows()
    assert (row.get("cost_n", 0), row["tokens_in"] > 0) == (0, True)


def test_a_price_of_0_is_a_known_cost(routed, snapshot, model, ask, controller) -> None:
    ask(routed(snapshot(replace(model("blue"), price=Price()))))
    assert table(controller, "costs") == {"0": 1}


def test_keyed_calls_are_counted_by_the_group_of_their_key(routed, snapshot, model, ask, sandbox, controller) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50))
    ask(client)
    for name in ("ann", "bob"):
        with crossfade.context(key=name):
            ask(client)
            answer = ask(client)
        call = callid.read(KEY, answer["ResponseMetadata"]["Crossfade"]["call_id"])
        assert call.group == group("s", name)
        assert call.variant is assign("s", name, 50)
    crossfade.flush()
    assert controller.total("keyed") == 4
    counted = {
        (row["variant"], number): counts
        for row in controller.rows()
        for number, counts in row.get("groups", {}).items()
    }
    assert counted == {(str(assign("s", name, 50)), str(group("s", name))): [2, 0] for name in ("ann", "bob")}


def test_a_call_that_chance_assigned_counts_there_whoever_answered(
    routed, snapshot, model, ask, sandbox, controller
) -> None:
    blue, green = model("blue"), model("green")
    client = routed(snapshot(blue, green, weight=50))
    sandbox.fault("model_error", model=green.targets[0].model_id)
    assigned: Counter[str] = Counter()
    for _ in range(24):
        told = ask(client)["ResponseMetadata"]["Crossfade"]
        assert told["model"] == "blue"
        assigned[told["variant"]] += 1
    crossfade.flush()
    counted: Counter[str] = Counter()
    for row in controller.rows():
        counted[row["variant"]] += row["calls"]
    assert counted == assigned
    assert controller.total("keyed") == 0


def test_an_error_is_counted_with_its_group(routed, snapshot, model, ask, sandbox, controller) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("malformed_output", count=1)
    with crossfade.context(key="ann"):
        ask(client)
        ask(client)
    sandbox.fault("throttle")
    with crossfade.context(key="ann"):
        ask(client)  # nobody's fault: keyed, and not judged
    crossfade.flush()
    groups: Counter[str] = Counter()
    for row in controller.rows():
        for number, (judged, errors) in row.get("groups", {}).items():
            groups[number, "judged"] += judged
            groups[number, "errors"] += errors
    own = str(group("s", "ann"))
    assert dict(groups) == {(own, "judged"): 2, (own, "errors"): 1}
    assert controller.total("keyed") == 3


def test_without_a_rollout_the_group_comes_from_the_routes_name(routed, snapshot, model, ask, controller) -> None:
    client = routed(snapshot(model("blue")))
    with crossfade.context(key="ann"):
        ask(client)
    answer = ask(client)
    crossfade.flush()
    assert {number for row in controller.rows() for number in row.get("groups", {})} == {str(group(ROUTE, "ann"))}
    call = callid.read(KEY, answer["ResponseMetadata"]["Crossfade"]["call_id"])
    assert (call.group, call.variant) == (None, Variant.BLUE)


class Body:
    def __init__(self, document: Any) -> None:
        self.data = json.dumps(document).encode()

    def read(self) -> bytes:
        return self.data

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("family", "document", "stop"),
    [
        ("anthropic", {"content": [], "stop_reason": "refusal"}, Stop.REFUSAL),
        ("nova", {"output": {}, "stopReason": "content_filtered"}, Stop.CONTENT_FILTERED),
        ("llama", {"generation": "", "stop_reason": "length"}, Stop.MAX_TOKENS),
        ("llama", {"generation": "", "stop_reason": "stop"}, Stop.END_TURN),
        ("anthropic", {"content": [], "stop_reason": "pause_turn"}, Stop.OTHER),
        ("anthropic", {"content": [], "stop_reason": ["odd"]}, None),
        ("mistral", {"outputs": []}, None),
        (
            "anthropic",
            {"content": [], "stop_reason": "end_turn", "amazon-bedrock-guardrailAction": "INTERVENED"},
            Stop.GUARDRAIL_INTERVENED,
        ),
    ],
)
def test_a_vendors_own_body_says_why_it_ended(family: str, document: Any, stop: Stop | None) -> None:
    response = {"body": Body(document), "contentType": "application/json"}
    assert read_answer("InvokeModel", response, family).stop is stop


@pytest.mark.parametrize(
    ("family", "parts", "stop"),
    [
        ("anthropic", [{"type": "message_delta", "delta": {"stop_reason": "refusal"}}], Stop.REFUSAL),
        ("anthropic", [{"type": "message_start", "message": {"stop_reason": None}}], None),
        ("nova", [{"messageStop": {"stopReason": "max_tokens"}}], Stop.MAX_TOKENS),
        ("nova", [{"messageStop": None}], None),
        (
            "llama",
            [{"generation": "a", "stop_reason": None}, {"generation": "", "stop_reason": "length"}],
            Stop.MAX_TOKENS,
        ),
        (
            "anthropic",
            [
                {"amazon-bedrock-guardrailAction": "INTERVENED"},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            ],
            Stop.GUARDRAIL_INTERVENED,
        ),
    ],
)
def test_a_vendors_own_stream_says_why_it_ended(family: str, parts: list[Any], stop: Stop | None) -> None:
    reading = reading_of("InvokeModelWithResponseStream", family)
    for part in parts:
        reading.see({"chunk": {"bytes": json.dumps(part).encode()}})
    assert reading.stop is stop
