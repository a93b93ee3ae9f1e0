"""Bedrock's wire protocol at the port: what is routed, what is passed on, what goes over HTTP/2."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

import crossfade
from crossfade.core.model import Model, Target
from crossfade.core.route import Route
from crossfade.core.rule import Rule, When
from crossfade.core.snapshot import Entry
from crossfade.shim import runtime
from crossfade.sidecar.callers import Callers

from .conftest import CONVERSE, EAST, ROUTE, WEST, Caller

ECHO = "crossfade.echo-v1:0"
INVOKE = {"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": "one two three four"}]}


def frames(body: bytes) -> list[tuple[str, Any]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return [(m.headers.get(":exception-type") or m.headers[":event-type"], json.loads(m.payload)) for m in buffer]


def test_what_boto3_hears_of_a_call_stands_in_headers(beside, snapshot, model, controller) -> None:
    caller = beside(snapshot(model("blue"), model("green")))
    reply = caller.converse(x_crossfade_key="ann")
    told = {k: v for k, v in reply.headers.items() if k.startswith("x-crossfade-")}
    assert told.pop("x-crossfade-call-id").startswith("cf1.")
    assert told == {
        "x-crossfade-route": ROUTE,
        "x-crossfade-variant": "green",
        "x-crossfade-model": "green",
        "x-crossfade-region": EAST,
        "x-crossfade-attempts": "1",
        "x-crossfade-busy": "false",
        "x-crossfade-hedged": "false",
        "x-crossfade-rollout": "12",
        "x-crossfade-step": "1",
    }
    assert reply.json["output"]["message"]["content"] == [{"text": "bonjour tout le monde"}]
    crossfade.flush()
    assert (controller.total("keyed"), controller.total("calls")) == (1, 1)


def test_tier_and_labels_come_in_headers_and_lead_by_the_rules(beside, snapshot, model) -> None:
    rules = (
        Rule(when=When(tiers=("gold",)), use="vip-route"),
        Rule(when=When(labels={"team": "a"}), use="vip-route"),
    )
    vip = Entry(id=5, route=Route(name="vip-route", blue="vip"))
    named = Route(name=ROUTE, blue="blue", rules=rules)
    caller = beside(snapshot(model("blue"), route=named, more=(vip,), fallbacks=(model("vip"),)))
    assert caller.converse().headers["x-crossfade-route"] == ROUTE
    assert caller.converse(x_crossfade_tier="gold").headers["x-crossfade-model"] == "vip"
    assert caller.converse(x_crossfade_label_team="a").headers["x-crossfade-route"] == "vip-route"
    body = CONVERSE | {"requestMetadata": {"crossfade-tier": "gold"}}
    assert caller.ask("POST", f"/model/{ROUTE}/converse", body).headers["x-crossfade-route"] == "vip-route"


@pytest.mark.parametrize("operation", ["converse-stream", "invoke-with-response-stream"])
def test_a_stream_is_relayed_in_whole_frames_to_its_end(beside, snapshot, model, sandbox, operation) -> None:
    caller = beside(snapshot(model("blue")))
    body = CONVERSE if operation == "converse-stream" else INVOKE
    reply = caller.ask("POST", f"/model/{ROUTE}/{operation}", body)
    assert reply.headers["content-type"] == "application/vnd.amazon.eventstream"
    plain = Caller(int(sandbox.endpoint(EAST).rpartition(":")[2]))
    straight = plain.ask("POST", f"/model/{ECHO}/{operation}", body)
    assert [name for name, _ in frames(reply.body)] == [name for name, _ in frames(straight.body)]


@pytest.mark.parametrize("operation", ["converse-stream", "invoke-with-response-stream"])
def test_a_stream_that_breaks_ends_in_a_whole_exception_frame(beside, snapshot, model, sandbox, operation) -> None:
    caller = beside(snapshot(model("blue")))
    sandbox.fault("half_frame")
    body = CONVERSE if operation == "converse-stream" else INVOKE
    found = frames(caller.ask("POST", f"/model/{ROUTE}/{operation}", body).body)
    name, told = found[-1]
    assert name == "modelStreamErrorException"
    assert "what came before is incomplete" in told["message"]
    assert len(found) > 1


def test_a_busy_answer_comes_in_each_operations_shape_flagged(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue", EAST), route=Route(name=ROUTE, blue="blue", busy_text="One moment.")))
    sandbox.fault("unavailable")
    whole = caller.converse()
    assert (whole.status, whole.headers["x-crossfade-busy"]) == (200, "true")
    assert whole.json["output"]["message"]["content"] == [{"text": "One moment."}]
    invoked = caller.ask("POST", f"/model/{ROUTE}/invoke", INVOKE).json
    assert invoked["content"] == [{"type": "text", "text": "One moment."}]
    streamed = caller.ask("POST", f"/model/{ROUTE}/converse-stream", CONVERSE)
    assert [name for name, _ in frames(streamed.body)][-2:] == ["messageStop", "metadata"]
    chunks = frames(caller.ask("POST", f"/model/{ROUTE}/invoke-with-response-stream", INVOKE).body)
    assert {name for name, _ in chunks} == {"chunk"}
    tools = CONVERSE | {"toolConfig": {"tools": []}, "outputConfig": {"x": 1}}
    refused = caller.ask("POST", f"/model/{ROUTE}/converse", tools)
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
    assert "found no Model" in refused.json["message"]


def test_an_error_that_settles_a_call_comes_as_bedrock_put_it(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue")))
    sandbox.fault("validation", message="no such thing")
    reply = caller.converse()
    assert (reply.status, reply.json["message"]) == (400, "no such thing")
    assert reply.headers["x-amzn-errortype"].startswith("ValidationException")
    assert reply.headers["x-crossfade-attempts"] == "1"


def test_what_is_no_routes_goes_to_bedrock_as_it_is_in_the_callers_region(
    beside, snapshot, model, sandbox, controller, caplog
) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST))
    reply = caller.converse(ECHO.replace(":", "%3A"))
    assert reply.status == 200
    assert not any(name.startswith("x-crossfade-") for name in reply.headers)
    streamed = caller.ask("POST", f"/model/{ECHO}/converse-stream", CONVERSE)
    assert [name for name, _ in frames(streamed.body)][-1] == "metadata"
    sandbox.fault("half_frame", operation="ConverseStream")
    broken = caller.ask("POST", f"/model/{ECHO}/converse-stream", CONVERSE)
    assert frames(broken.body)[-1][0] == "serviceUnavailableException"
    sandbox.fault("throttle", operation="Converse")
    throttled = caller.converse(ECHO)
    assert throttled.status == 429
    assert throttled.headers["x-amzn-errortype"].startswith("ThrottlingException")
    assert f"Bedrock in {EAST} was asked in vain (throttled: " in caplog.text
    listed = caller.ask("GET", "/async-invoke?maxResults=1")
    assert (listed.status, list(listed.json)) == (200, ["asyncInvokeSummaries"])
    assert caller.ask("GET", "/nothing-of-bedrocks").status == 404, "the sandbox does not know it, and was asked"
    crossfade.flush()
    assert controller.rows() == []
    sandbox.settle()
    assert {entry["signed_region"] for entry in sandbox.log()} == {EAST}


def test_without_a_snapshot_it_is_alive_not_ready_and_passes_everything_on(beside, sandbox, controller) -> None:
    controller.snapshot_status = 500
    caller = beside(upstream=sandbox.endpoint(EAST))
    assert caller.ask("GET", "/healthz").status == 200
    assert caller.ask("GET", "/readyz").status == 503
    assert caller.converse(ECHO).status == 200


def test_who_opens_it_in_a_browser_is_told_what_it_is(beside, snapshot, model, calls) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(tokens=("a secret of sixteen",)))
    reply = caller.ask("GET", "/")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain")
    for word in (b"Crossfade", b"/healthz", b"/readyz", b"/metrics", b"/v1/models", b"docs/sidecar.md"):
        assert word in reply.body
    assert caller.ask("GET", "/v1/models").status == 401
    assert calls() == []


@contextmanager
def answers(raw: bytes) -> Iterator[str]:
    """A Bedrock that answers every request with these bytes: where it listens."""

    class Answers(BaseRequestHandler):
        def handle(self) -> None:
            while b"}" not in self.request.recv(65536):
                pass
            self.request.sendall(raw)

    with ThreadingTCPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("model_id", [ROUTE, ECHO])
def test_an_answers_odd_headers_do_not_cost_the_caller_the_answer(beside, snapshot, controller, model_id) -> None:
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    told = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn"}
    body = json.dumps(told | {"usage": usage}).encode()
    odd = b"X-Amzn-A: caf\xe9\r\nX-Amzn-B: caf\xc3\xa9\r\nX-Amzn-C: plain\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    with answers(head + odd + b"\r\n" + body) as url:
        odd_model = Model(name="blue", targets=(Target(region=EAST, model_id=ECHO, endpoint_url=url),))
        reply = beside(snapshot(odd_model), upstream=url).converse(model_id)
    assert (reply.status, reply.json["stopReason"]) == (200, "end_turn")
    assert reply.headers["x-amzn-c"] == "plain"
    crossfade.flush()
    assert controller.total("calls") == (model_id == ROUTE)


def test_bedrock_that_cannot_be_reached_is_503_in_words(beside, snapshot, model) -> None:
    dead = Model(name="blue", targets=(Target(region=EAST, model_id=ECHO, endpoint_url="http://127.0.0.1:9"),))
    caller = beside(
        snapshot(dead, policy=replace(Route(name="r", blue="b").policy, busy=False)), upstream="http://127.0.0.1:9"
    )
    routed, passed = caller.converse(), caller.converse(ECHO)
    assert (routed.status, passed.status) == (503, 503)
    assert "outage" in routed.json["message"]
    assert "cannot be reached" in passed.json["message"]


def test_http2_without_tls_is_spoken_on_the_same_port(beside, snapshot, model) -> None:
    caller = beside(snapshot(model("blue")))
    assert caller.converse().status == 200
    url = f"http://127.0.0.1:{caller.port}/model/{ROUTE}"
    with httpx.Client(http1=False, http2=True, timeout=10, trust_env=False) as client:
        whole = client.post(f"{url}/converse", json=CONVERSE)
        assert (whole.http_version, whole.status_code) == ("HTTP/2", 200)
        assert whole.headers["x-crossfade-model"] == "blue"
        with client.stream("POST", f"{url}/converse-stream", json=CONVERSE) as streamed:
            body = streamed.read()
        assert frames(body)[-1][0] == "metadata"


def test_a_fault_of_ours_before_the_first_attempt_leaves_the_call_to_bedrock(
    beside, snapshot, model, sandbox, monkeypatch
) -> None:
    found = snapshot(model("blue"))
    named = replace(found.entries[ROUTE], route=replace(found.entries[ROUTE].route, name=ECHO))
    caller = beside(replace(found, entries={ECHO: named}), upstream=sandbox.endpoint(WEST))
    shim = runtime.current()
    assert shim is not None

    def breaks(*_: Any) -> None:
        raise ZeroDivisionError("a fault nobody thought of")

    monkeypatch.setattr(shim.board, "note_call", breaks)
    reply = caller.converse(ECHO)
    assert reply.status == 200
    assert "x-crossfade-call-id" not in reply.headers
    assert shim.recorder.dropped == 1


def test_a_caller_that_leaves_before_the_first_content_is_abandoned_and_leaves_nothing_open(
    beside, snapshot, model, sandbox, controller
) -> None:
    caller = beside(snapshot(model("blue")))
    sandbox.fault("slow_first_token", seconds=0.5, count=1)
    body = json.dumps(CONVERSE | {"messages": [{"role": "user", "content": [{"text": "word " * 3000}]}]}).encode()
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        head = f"POST /model/{ROUTE}/converse-stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        while not sandbox.counts()["in_flight"]:
            time.sleep(0.01)
    for _ in range(200):
        crossfade.flush()
        if controller.total("calls"):
            break
        time.sleep(0.05)
    assert controller.total("outcomes") == {"abandoned": 1}
    sandbox.settle()
    assert caller.converse().status == 200


def test_reasoning_that_another_model_signed_is_left_out_and_nothing_else(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue", EAST)))
    signed = {"reasoningContent": {"reasoningText": {"text": "so", "signature": "another's"}}}
    asked = {"role": "user", "content": [{"text": "hello"}]}
    answered = {"role": "assistant", "content": [signed, {"text": "hello"}]}
    for operation in ("converse", "converse-stream"):
        body = {"messages": [asked, answered, {"role": "user", "content": [{"text": "and?"}]}]}
        reply = caller.ask("POST", f"/model/{ROUTE}/{operation}", body)
        assert (reply.status, reply.headers["x-crossfade-stripped"]) == (200, "reasoning")
        assert reply.headers["x-crossfade-attempts"] == "2"
