"""A route's validator, over sockets: an answer it refuses is handed on, never tried again, and the arm's fault."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import crossfade
from crossfade.core.route import Route
from crossfade.core.validator import Validator
from crossfade.shim.answer import invoked_text
from crossfade.shim.events import reading_of

ROUTE = "support-chat"
OPERATIONS = ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"]


@pytest.fixture
def client(routed, snapshot, model, fast) -> Any:
    route = Route(name=ROUTE, blue="blue", policy=fast, validator=Validator(members=("label",)))
    return routed(snapshot(model("blue"), model("green"), route=route))


def echo(client: Any, operation: str, text: str) -> None:
    """The sandbox's model says what it was told."""
    messages = [{"role": "user", "content": [{"text": text}]}]
    body = json.dumps({"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
    match operation:
        case "Converse":
            client.converse(modelId=ROUTE, messages=messages)
        case "ConverseStream":
            list(client.converse_stream(modelId=ROUTE, messages=messages)["stream"])
        case "InvokeModel":
            client.invoke_model(modelId=ROUTE, body=body)
        case _:
            list(client.invoke_model_with_response_stream(modelId=ROUTE, body=body)["body"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_that_is_not_as_the_route_says_counts_against_the_arm(client, calls, controller, operation) -> None:
    echo(client, operation, '{"label": "fr"}')
    echo(client, operation, "I think it is French.")
    assert len(calls()) == 2
    assert crossfade.flush()
    assert controller.total("outcomes") == {"ok": 1, "malformed": 1}
    assert controller.total("attempts") == {"ok": 1, "malformed": 1}
    assert (controller.total("judged"), controller.total("errors"), controller.total("raised")) == (2, 1, 0)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("reason", ["max_tokens", "guardrail_intervened", "tool_use"])
def test_an_answer_that_did_not_end_by_itself_is_not_held_to_it(client, sandbox, controller, operation, reason) -> None:
    sandbox.fault("stop_reason", stop_reason=reason)
    echo(client, operation, "no JSON")
    assert crossfade.flush()
    assert (controller.total("outcomes"), controller.total("errors")) == ({"ok": 1}, 0)


def test_a_stream_that_is_left_after_its_end_is_held_to_it_too(client, controller) -> None:
    stream = client.converse_stream(modelId=ROUTE, messages=[{"role": "user", "content": [{"text": "x y"}]}])["stream"]
    for event in stream:
        if "messageStop" in event:
            break
    stream.close()
    assert crossfade.flush()
    assert controller.total("outcomes") == {"malformed": 1}


@pytest.mark.parametrize(
    ("family", "whole", "parts"),
    [
        (
            "nova",
            {"output": {"message": {"content": [{"text": "a"}, {"image": {}}, {"text": "b"}]}}},
            [
                {"contentBlockDelta": {"delta": {"text": "a"}}},
                {"contentBlockDelta": {"delta": {"text": "b"}}},
                {"messageStop": {"stopReason": "end_turn"}},
            ],
        ),
        (
            "llama",
            {"generation": "ab"},
            [
                {"generation": "a", "stop_reason": None},
                {"generation": "b", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": {}},
            ],
        ),
        ("mistral", {"outputs": [{"text": "zz", "stop_reason": "stop"}]}, [{"amazon-bedrock-invocationMetrics": {}}]),
    ],
)
def test_the_text_of_the_vendors_bodies_is_told_where_it_is_known(
    family: str, whole: dict[str, Any], parts: list[dict[str, Any]]
) -> None:
    assert invoked_text(whole, family) == (None if family == "mistral" else "ab")
    for wanted, malformed in (("ab", False), ("a", family != "mistral")):
        reading = reading_of("InvokeModelWithResponseStream", family, replace(Validator(), one_of=(wanted,)))
        for part in parts:
            reading.see({"chunk": {"bytes": json.dumps(part).encode()}})
        assert (reading.ended, reading.malformed) == (True, malformed)
