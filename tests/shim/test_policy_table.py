"""The policy table over class x operation x place, over sockets: the sandbox's log against what the shim says it did.

Green is assigned in two regions, blue stands behind it in both. Every fault meets green everywhere.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, EventStreamError

import crossfade
from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
TEXT = "one two three four five six seven eight nine ten"
STREAMS = ("ConverseStream", "InvokeModelWithResponseStream")
OPERATIONS = ("Converse", "InvokeModel", *STREAMS, "CountTokens")


class Row(NamedTuple):
    """What the table says of a class: tries in green's first region and in its last (0: none), whether blue is then
    asked, and how the call counts: its class, judged, error."""

    first: int
    last: int
    blue: bool
    counts: tuple[str, int, int]


TABLE = {
    Outcome.THROTTLED: Row(2, 3, True, ("throttled", 0, 0)),
    Outcome.QUOTA: Row(1, 1, True, ("quota", 0, 0)),
    Outcome.UNAVAILABLE: Row(1, 2, True, ("unavailable", 1, 1)),
    Outcome.OUTAGE: Row(2, 2, True, ("outage", 1, 1)),
    Outcome.TIMED_OUT: Row(1, 1, True, ("timed_out", 1, 1)),
    Outcome.NOT_READY: Row(1, 3, True, ("not_ready", 1, 1)),
    Outcome.MODEL_ERROR: Row(2, 0, True, ("model_error", 1, 1)),
    Outcome.TRUNCATED: Row(2, 2, True, ("truncated", 1, 1)),
    Outcome.MALFORMED: Row(1, 0, False, ("malformed", 1, 1)),
    Outcome.MISCONFIGURED: Row(1, 1, True, ("misconfigured", 0, 0)),
    Outcome.DENIED: Row(1, 0, True, ("denied", 0, 0)),
    Outcome.CREDENTIALS: Row(1, 0, False, ("credentials", 0, 0)),
    Outcome.REJECTED: Row(1, 0, True, ("incompatible", 1, 1)),
    Outcome.UNKNOWN: Row(1, 1, True, ("unknown", 1, 1)),
}
"""Written by hand, not read from the code."""

BEFORE = [
    (Outcome.THROTTLED, "throttle", {}),
    (Outcome.THROTTLED, "throttle", {"retry_after": 0.05}),
    (Outcome.THROTTLED, "bare_429", {"retry_after_ms": 50}),
    (Outcome.QUOTA, "quota", {}),
    (Outcome.UNAVAILABLE, "unavailable", {}),
    (Outcome.UNAVAILABLE, "html_502", {"status": 503}),
    (Outcome.OUTAGE, "internal", {}),
    (Outcome.OUTAGE, "html_502", {}),
    (Outcome.OUTAGE, "html_502", {"status": 504}),
    (Outcome.OUTAGE, "reset", {}),
    (Outcome.TIMED_OUT, "model_timeout", {}),
    (Outcome.TIMED_OUT, "hang", {}),
    (Outcome.NOT_READY, "not_ready", {}),
    (Outcome.MODEL_ERROR, "model_error", {}),
    (Outcome.TRUNCATED, "missing_members", {}),
    (Outcome.TRUNCATED, "malformed_body", {}),
    (Outcome.MISCONFIGURED, "not_found", {}),
    (Outcome.MISCONFIGURED, "validation", {"message": "The provided model identifier is invalid."}),
    (Outcome.MISCONFIGURED, "validation", {"message": "Invocation with on-demand throughput isn't supported."}),
    (Outcome.DENIED, "access_denied", {}),
    (Outcome.CREDENTIALS, "expired_token", {}),
    (Outcome.CREDENTIALS, "bad_signature", {}),
    (Outcome.REJECTED, "validation", {}),
    (Outcome.UNKNOWN, "html_502", {"status": 599}),
    *(
        (outcome, "html_502", {"status": status})
        for outcome, statuses in {
            Outcome.OUTAGE: (500,),
            Outcome.TIMED_OUT: (408,),
            Outcome.MODEL_ERROR: (424,),
            Outcome.MISCONFIGURED: (404,),
            Outcome.DENIED: (403,),
            Outcome.CREDENTIALS: (401,),
            Outcome.REJECTED: (400, 413),
        }.items()
        for status in statuses
    ),
]
WHOLE_ONLY = [(Outcome.TRUNCATED, "truncated_body", {}), (Outcome.TIMED_OUT, "drip", {"seconds": 0.2, "parts": 40})]
STOPS = [(Outcome.MALFORMED, "malformed_output", {"stop_reason": f"malformed_{what}"}) for what in
         ("model_output", "tool_use")]  # fmt: skip
EVENTS = {
    "throttlingException": Outcome.THROTTLED,
    "serviceUnavailableException": Outcome.UNAVAILABLE,
    "internalServerException": Outcome.OUTAGE,
    "modelStreamErrorException": Outcome.MODEL_ERROR,
    "validationException": Outcome.REJECTED,
}
NAMELESS = "modelTimeoutException"
"""Modelled for InvokeModel's stream only: of an exception that its model lacks botocore drops even the name."""
IN = [
    *((outcome, "exception_event", {"exception": code, "after_events": 0}) for code, outcome in EVENTS.items()),
    (Outcome.OUTAGE, "reset", {"after_events": 1}),
    (Outcome.OUTAGE, "bad_checksum", {"after_events": 0}),
    (Outcome.TRUNCATED, "half_frame", {"after_events": 0}),
    (Outcome.TRUNCATED, "half_frame", {"after_events": 1, "clean": False}),
    (Outcome.TIMED_OUT, "slow_first_token", {"seconds": 30}),
]
AFTER = [
    *((outcome, "exception_event", {"exception": code}, code) for code, outcome in EVENTS.items()),
    (Outcome.TRUNCATED, "no_message_stop", {}, "modelStreamErrorException"),
    (Outcome.TRUNCATED, "no_message_stop", {"clean": False}, "modelStreamErrorException"),
    (Outcome.TRUNCATED, "half_frame", {}, "modelStreamErrorException"),
    (Outcome.TRUNCATED, "half_frame", {"clean": False}, "modelStreamErrorException"),
    (Outcome.TRUNCATED, "truncated_body", {}, "modelStreamErrorException"),
    (Outcome.OUTAGE, "bad_checksum", {}, "serviceUnavailableException"),
    (Outcome.OUTAGE, "reset", {"after_events": 4}, "serviceUnavailableException"),
    (Outcome.TIMED_OUT, "stall", {}, "modelTimeoutException"),
]
CASES = [
    *((operation, *case) for case in BEFORE for operation in OPERATIONS),
    *((operation, *case) for case in WHOLE_ONLY for operation in ("Converse", "InvokeModel", "CountTokens")),
    *((operation, *case) for case in STOPS for operation in ("Converse", "ConverseStream")),
    *((operation, *case) for case in IN for operation in STREAMS),
    (STREAMS[0], Outcome.UNKNOWN, "exception_event", {"exception": NAMELESS, "after_events": 0}),
    (STREAMS[1], Outcome.TIMED_OUT, "exception_event", {"exception": NAMELESS, "after_events": 0}),
]
BROKEN = [
    *((operation, *case) for case in AFTER for operation in STREAMS),
    (STREAMS[0], Outcome.UNKNOWN, "exception_event", {"exception": NAMELESS}, ""),
    (STREAMS[1], Outcome.TIMED_OUT, "exception_event", {"exception": NAMELESS}, NAMELESS),
]


def ident(value: Any) -> str:
    return "-".join(map(str, value.values())).replace(" ", "_")[:40] or "-" if isinstance(value, dict) else str(value)


def ask_by(client: Any, operation: str) -> tuple[dict[str, Any], str]:
    """One call, read to its end: the response and the text."""
    messages = [{"role": "user", "content": [{"text": TEXT}]}]
    if operation == "Converse":
        found = client.converse(modelId=ROUTE, messages=messages)
        return found, found["output"]["message"]["content"][0]["text"]
    if operation == "ConverseStream":
        found = client.converse_stream(modelId=ROUTE, messages=messages)
        events = list(found["stream"])
        assert any("messageStop" in event for event in events)
        deltas = (event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
        return found, "".join(deltas)
    if operation == "CountTokens":
        found = client.count_tokens(modelId=ROUTE, input={"converse": {"messages": messages}})
        assert found["inputTokens"] > 0
        return found, TEXT
    body = json.dumps({"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": TEXT}]})
    if operation == "InvokeModel":
        found = client.invoke_model(modelId=ROUTE, body=body)
        return found, json.loads(found["body"].read())["content"][0]["text"]
    found = client.invoke_model_with_response_stream(modelId=ROUTE, body=body)
    parts = [json.loads(event["chunk"]["bytes"]) for event in found["body"]]
    return found, "".join(part["delta"]["text"] for part in parts if part["type"] == "content_block_delta")


@pytest.fixture
def setting(routed, snapshot, model, fast):
    """Makes a client whose calls are assigned to green, and gives green's model id. Deadlines are short only where
    they are what is tested: this machine may be busy."""

    def make(outcome: Outcome) -> tuple[Any, str]:
        short = replace(fast, deadline=6, stream_deadline=6, attempt_share=0.3, first_token=1.0, stall=0.5)
        green = model("green")
        policy = short if outcome is Outcome.TIMED_OUT else fast
        return routed(snapshot(model("blue"), green, policy=policy)), green.targets[0].model_id

    return make


def seen_by(face: str, operation: str, outcome: Outcome, params: dict[str, Any]) -> Outcome:
    """Of an exception that ConverseStream's model lacks: on the wire, which the sidecar reads, it is named."""
    nameless = operation == "ConverseStream" and params.get("exception") == NAMELESS
    return Outcome.TIMED_OUT if face == "sidecar" and nameless else outcome


def warm_up(client: Any, sandbox: Any, controller: Any) -> None:
    """So many good calls that one throttled answer does not switch adaptive skip on; then forgotten."""
    for _ in range(10):
        ask_by(client, "Converse")
    crossfade.flush()
    controller.batches.clear()
    sandbox.clear_log()


def test_every_class_of_the_table_stands_here() -> None:
    assert set(TABLE) == set(POLICY)
    assert {case[1] for case in CASES} == set(POLICY)


@pytest.mark.parametrize(("operation", "outcome", "kind", "params"), CASES, ids=ident)
def test_until_the_first_content_a_call_goes_where_the_table_says(
    face, setting, sandbox, calls, controller, operation, outcome, kind, params
) -> None:
    outcome = seen_by(face, operation, outcome, params)
    client, green = setting(outcome)
    row = TABLE[outcome]
    if outcome is Outcome.THROTTLED:
        warm_up(client, sandbox, controller)
    sandbox.fault(kind, model=green, **params)
    expected = [(EAST, "green")] * row.first + [(WEST, "green")] * row.last + [(EAST, "blue")] * row.blue
    told = None
    if outcome is Outcome.CREDENTIALS:
        with pytest.raises(ClientError) as raised:
            ask_by(client, operation)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == params.get("status", 403)
    else:
        response, text = ask_by(client, operation)
        assert text == TEXT, "whole, and of one Model only"
        told = response["ResponseMetadata"]["Crossfade"]
    log = calls()
    assert [(region, name) for region, name, _ in log] == expected
    if told is not None:
        assert (told["region"], told["model"]) == expected[-1]
        assert (told["attempts"], told["busy"], told["variant"]) == (len(expected), False, "green")
    assert crossfade.flush()
    if operation == "CountTokens":
        assert controller.rows() == []
        return
    served = Counter("ok" if name == "blue" else str(outcome) for _, name, _ in log)
    assert controller.total("attempts") == served
    targets = len(dict.fromkeys(expected))
    assert (controller.total("failovers"), controller.total("retries")) == (targets - 1, len(expected) - targets)
    name, judged, errors = row.counts
    assert controller.total("outcomes") == {name: 1}
    assert (controller.total("judged"), controller.total("errors")) == (judged, errors)
    assert (controller.total("busy"), controller.total("raised")) == (0, int(told is None))
    [recorded] = controller.rows()
    assert (recorded["variant"], recorded.get("model", "")) == ("green", told["model"] if told else "")


@pytest.mark.parametrize(("operation", "outcome", "kind", "params", "code"), BROKEN, ids=ident)
def test_after_the_first_content_a_stream_that_breaks_raises_and_nothing_is_spliced(
    face, setting, sandbox, calls, controller, operation, outcome, kind, params, code
) -> None:
    outcome = seen_by(face, operation, outcome, params)
    client, green = setting(outcome)
    sandbox.fault(kind, model=green, **params)
    with pytest.raises(EventStreamError) as raised:
        ask_by(client, operation)
    if operation == "ConverseStream" and kind == "stall":
        code = "modelStreamErrorException"  # this stream's model has no timeout
    assert raised.value.response["Error"]["Code"] == code
    assert [(region, name) for region, name, _ in calls()] == [(EAST, "green")]
    assert crossfade.flush()
    assert controller.total("attempts") == {outcome: 1}
    assert controller.total("outcomes") == {outcome: 1}
    judged = outcome not in (Outcome.THROTTLED, Outcome.REJECTED)
    assert (controller.total("judged"), controller.total("errors")) == (judged, judged)
    assert (controller.total("raised"), controller.total("failovers"), controller.total("retries")) == (1, 0, 0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_region_that_takes_no_connection_is_asked_once(setting, sandbox, calls, controller, operation) -> None:
    client, _ = setting(Outcome.OUTAGE)
    sandbox.fault("refuse", region=EAST)
    response, _ = ask_by(client, operation)
    assert [(region, name) for region, name, _ in calls()] == [(WEST, "green")]
    told = response["ResponseMetadata"]["Crossfade"]
    assert (told["region"], told["model"], told["attempts"]) == (WEST, "green", 2)
    assert crossfade.flush()
    if operation != "CountTokens":
        assert controller.total("attempts") == {"outage": 1, "ok": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("busy", [True, False])
def test_when_everything_fails_the_answer_is_busy_where_it_may_be_and_never_a_throttling_error(
    routed, snapshot, model, fast, sandbox, calls, controller, operation, busy
) -> None:
    client = routed(snapshot(model("blue", EAST), model("green", EAST), policy=replace(fast, busy=busy)))
    sandbox.fault("throttle")
    if busy and operation != "CountTokens":
        response, text = ask_by(client, operation)
        told = response["ResponseMetadata"]["Crossfade"]
        assert (told["busy"], told["model"], text) == (True, "", snapshot_text())
    else:
        with pytest.raises(client.exceptions.ServiceUnavailableException) as raised:
            ask_by(client, operation)
        told = raised.value.response["ResponseMetadata"]["Crossfade"]
    assert told["attempts"] == len(calls()) == 6
    assert crossfade.flush()
    if operation != "CountTokens":
        assert controller.total("attempts") == {"throttled": 6}
        assert (controller.total("outcomes"), controller.total("judged")) == ({"throttled": 1}, 0)
        assert (controller.total("busy"), controller.total("raised")) == (int(busy), int(not busy))


def snapshot_text() -> str:
    from crossfade.shim import runtime

    return str(runtime.current().feed.snapshot.entries[ROUTE].route.busy_text)
