"""Streams: their deadlines, their ends, and what is left of botocore's. How they fail over: test_policy_table."""

from __future__ import annotations

import gc
import json
import time
import weakref
from dataclasses import replace
from typing import Any

import pytest
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError

import crossfade

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
TEXT = "one two three four five six seven eight nine ten"


def open_stream(client: Any, operation: str = "ConverseStream") -> Any:
    if operation == "ConverseStream":
        return client.converse_stream(modelId=ROUTE, messages=[{"role": "user", "content": [{"text": TEXT}]}])
    body = {"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": TEXT}]}
    return client.invoke_model_with_response_stream(modelId=ROUTE, body=json.dumps(body))


def events_of(response: Any) -> EventStream:
    return response["stream"] if "stream" in response else response["body"]


def text_of(events: list[Any]) -> str:
    parts = []
    for event in events:
        if "contentBlockDelta" in event:
            parts.append(event["contentBlockDelta"]["delta"]["text"])
        if "chunk" in event:
            part = json.loads(event["chunk"]["bytes"])
            if part["type"] == "content_block_delta":
                parts.append(part["delta"]["text"])
    return "".join(parts)


OPERATIONS = ["ConverseStream", "InvokeModelWithResponseStream"]


def test_a_stream_error_before_the_first_content_is_the_models_fault(
    routed, snapshot, model, sandbox, controller
) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    green = model_id("green")
    sandbox.fault("exception_event", model=green, after_events=0)
    response = open_stream(client)
    assert response["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    list(response["stream"])
    crossfade.flush()
    assert controller.total("attempts") == {"model_error": 2, "ok": 1}
    assert (controller.total("outcomes"), controller.total("errors")) == ({"model_error": 1}, 1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_whole_call_deadline_ends_a_stream_that_drips(
    routed, snapshot, model, sandbox, controller, operation
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.2, parts=50)
    began = time.monotonic()
    with crossfade.context(deadline=1.0), pytest.raises(EventStreamError, match="timed_out"):
        list(events_of(open_stream(client, operation)))
    assert 0.9 < time.monotonic() - began < 5
    crossfade.flush()
    assert controller.total("outcomes") == {"timed_out": 1}


def test_a_stalled_stream_is_told_from_a_slow_reader(routed, snapshot, model, sandbox, controller, fast) -> None:
    client = routed(snapshot(model("blue"), policy=replace(fast, stall=0.2)))
    for _ in open_stream(client)["stream"]:
        time.sleep(0.05)
    crossfade.flush()
    assert controller.total("outcomes") == {"ok": 1}


@pytest.mark.parametrize("how", ["break", "close", "forget"])
def test_a_stream_the_caller_leaves_is_abandoned_and_nobodys_fault(
    routed, snapshot, model, sandbox, controller, how
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.05)
    response = open_stream(client)
    if how == "break":
        for _ in response["stream"]:
            break
    if how == "close":
        response["stream"].close()
    del response
    gc.collect()
    for _ in range(100):  # beside the client it is noticed with the next event
        crossfade.flush()
        if controller.total("calls"):
            break
        time.sleep(0.05)
    assert controller.total("outcomes") == {"abandoned": 1}
    assert (controller.total("judged"), controller.total("raised")) == (0, 0)


def test_a_stream_left_after_its_message_stop_is_answered(routed, snapshot, model, sandbox, controller) -> None:
    client = routed(snapshot(model("blue")))
    response = open_stream(client)
    for event in response["stream"]:
        if "messageStop" in event:
            break
    response["stream"].close()
    crossfade.flush()
    assert controller.total("outcomes") == {"ok": 1}


def test_a_malformed_stop_reason_is_charged_to_the_arm(routed, snapshot, model, sandbox, controller) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("malformed_output")
    list(open_stream(client)["stream"])
    crossfade.flush()
    assert (controller.total("outcomes"), controller.total("errors")) == ({"malformed": 1}, 1)


@pytest.mark.parametrize("face", ["shim"], indirect=True)
def test_a_stream_that_is_over_holds_its_request_no_longer(routed, snapshot, model) -> None:
    class Body(bytearray):
        """One that can be watched."""

    client = routed(snapshot(model("blue")))
    request = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    body = Body(json.dumps(request).encode())
    watched = weakref.ref(body)
    response = client.invoke_model_with_response_stream(modelId=ROUTE, body=body)
    del body
    assert list(response["body"])
    gc.collect()
    assert watched() is None


def test_a_routed_stream_is_still_an_event_stream(routed, snapshot, model) -> None:
    client = routed(snapshot(model("blue")))
    stream = open_stream(client)["stream"]
    assert isinstance(stream, EventStream)
    first = next(iter(stream))
    rest = list(stream)
    assert "messageStart" in first
    assert "metadata" in rest[-1]
    assert list(stream) == []


def model_id(name: str) -> str:
    from crossfade.shim import runtime

    return str(runtime.current().feed.snapshot.models[name].targets[0].model_id)
