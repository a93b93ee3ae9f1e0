"""Streams: failover until the first content, never after it, and an error for an end that is missing."""

from __future__ import annotations

import gc
import json
import time
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
BEFORE = [
    ("throttle", {}, "throttled", 1),
    ("unavailable", {}, "unavailable", 1),
    ("reset", {}, "outage", 2),
    ("hang", {}, "timed_out", 1),
    ("slow_first_token", {"seconds": 5}, "timed_out", 1),
    ("malformed_body", {}, "truncated", 2),
    ("missing_members", {}, "truncated", 2),
    ("exception_event", {"after_events": 0, "exception": "serviceUnavailableException"}, "unavailable", 1),
    ("exception_event", {"after_events": 0, "exception": "throttlingException"}, "throttled", 1),
    ("exception_event", {"after_events": 0, "exception": "internalServerException"}, "outage", 2),
    ("reset", {"after_events": 1}, "outage", 2),
    ("half_frame", {"after_events": 0}, "truncated", 2),
    ("bad_checksum", {"after_events": 0}, "outage", 2),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("kind", "params", "outcome", "tries"), BEFORE, ids=lambda v: str(v) if v else "-")
def test_until_the_first_content_a_stream_fails_over(
    routed, snapshot, model, sandbox, controller, fast, operation, kind, params, outcome, tries
) -> None:
    client = routed(snapshot(model("blue"), policy=replace(fast, first_token=0.3)))
    sandbox.fault(kind, region=EAST, **params)
    response = open_stream(client, operation)
    assert response["ResponseMetadata"]["Crossfade"]["region"] == WEST
    assert text_of(list(events_of(response))) == TEXT
    assert crossfade.flush()
    assert controller.total("attempts") == {outcome: tries, "ok": 1}
    assert controller.total("outcomes") == {"ok": 1}


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


AFTER = [
    ("exception_event", {}, "model_error", "modelStreamErrorException"),
    ("exception_event", {"exception": "serviceUnavailableException"}, "unavailable", "serviceUnavailableException"),
    ("no_message_stop", {}, "truncated", "modelStreamErrorException"),
    ("no_message_stop", {"clean": False}, "truncated", "modelStreamErrorException"),
    ("half_frame", {}, "truncated", "modelStreamErrorException"),
    ("half_frame", {"clean": False}, "truncated", "modelStreamErrorException"),
    ("truncated_body", {}, "truncated", "modelStreamErrorException"),
    ("bad_checksum", {}, "outage", "serviceUnavailableException"),
    ("stall", {}, "timed_out", "modelTimeoutException"),
    ("reset", {"after_events": 4}, "outage", "serviceUnavailableException"),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("kind", "params", "outcome", "code"), AFTER, ids=lambda v: str(v) if v else "-")
def test_after_the_first_content_a_broken_stream_raises_and_is_never_spliced(
    routed, snapshot, model, sandbox, controller, calls, fast, operation, kind, params, outcome, code
) -> None:
    client = routed(snapshot(model("blue"), policy=replace(fast, stall=0.3)))
    sandbox.fault(kind, **params)
    got: list[Any] = []
    with pytest.raises(EventStreamError) as raised:  # noqa: PT012 (it is in reading on that it breaks)
        for event in events_of(open_stream(client, operation)):
            got.append(event)
    if code == "modelTimeoutException" and operation == "ConverseStream":
        code = "modelStreamErrorException"  # ConverseStream has no timeout among its exceptions
    assert raised.value.response["Error"]["Code"] == code
    assert TEXT.startswith(text_of(got))
    assert text_of(got)
    assert len(calls()) == 1
    assert crossfade.flush()
    assert controller.total("attempts") == {outcome: 1}
    assert (controller.total("outcomes"), controller.total("errors"), controller.total("raised")) == (
        {outcome: 1},
        1,
        1,
    )


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
