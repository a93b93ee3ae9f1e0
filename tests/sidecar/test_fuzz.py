"""Whatever callers or Bedrock send, the sidecar answers in time, in a shape that can be read, and goes on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.core.model import Model, Target
from crossfade.sandbox import eventstream

from .conftest import CONVERSE, EAST, FAST, ROUTE, Caller

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=12,
)
NAMES = [
    "messages",
    "model",
    "stream",
    "tools",
    "tool_choice",
    "stop",
    "system",
    "toolConfig",
    "requestMetadata",
    "input",
]
documents = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), values, max_size=6)
VERBS = ["converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens", "x"]


@pytest.fixture
def caller(beside: Any, snapshot: Any, model: Any, sandbox: Any) -> Caller:
    return beside(snapshot(model("blue"), model("green"), weight=50), upstream=sandbox.endpoint(EAST))


@few
@given(
    st.sampled_from([f"/model/{ROUTE}/{verb}" for verb in VERBS] + ["/v1/chat/completions"]),
    documents.map(json.dumps).map(str.encode) | st.binary(max_size=60) | st.just(b"[" * 20_000),
)
def test_no_body_whatever_is_a_fault_of_ours(caller: Caller, path: str, body: bytes) -> None:
    reply = caller.ask("POST", path, body)
    assert reply.status in (200, 400, 404, 503), reply
    assert b"see its log" not in reply.body
    if reply.status != 200:
        assert isinstance(reply.json, dict)


@few
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=60))
def test_no_path_whatever_is_a_fault_of_ours(caller: Caller, path: str) -> None:
    for method in ("GET", "POST"):
        assert caller.ask(method, f"/{path}", None if method == "GET" else {}).status in (200, 400, 404, 503)


class Upstream:
    """A Bedrock that sends these bytes as a stream, and then its end."""

    def __init__(self) -> None:
        self.body = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with closing(connection):
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                head = (
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(head + self.body)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


GOOD = [
    eventstream.event("messageStart", {"role": "assistant"}),
    eventstream.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
    eventstream.event("messageStop", {"stopReason": "end_turn"}),
    eventstream.event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
]
ODD = {
    "no tool": ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": None}}),
    "no start": ("contentBlockStart", {"contentBlockIndex": 0, "start": 5}),
    "no input": ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": "x"}}),
    "no index": ("contentBlockStart", {"contentBlockIndex": [], "start": {"toolUse": {}}}),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_event_that_no_translation_is_known_of_is_no_silent_end(
    beside: Any, snapshot: Any, upstream: Upstream, odd: str
) -> None:
    upstream.body = b"".join([*GOOD[:2], eventstream.event(*ODD[odd]), *GOOD[2:]])
    target = Target(region=EAST, model_id="m", endpoint_url=upstream.url)
    caller = beside(snapshot(Model(name="blue", targets=(target,)), policy=replace(FAST, deadline=20)))
    body = {"model": ROUTE, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    reply = caller.ask("POST", "/v1/chat/completions", body)
    events = [json.loads(line.removeprefix(b"data: ")) for line in reply.body.split(b"\n\n") if line]
    assert (reply.status, events[-1]["error"]["type"]) == (200, "server_error")
    assert b"[DONE]" not in reply.body


EVENTS = ["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "chunk", "x"]
pieces = (
    st.sampled_from(GOOD)
    | st.builds(
        lambda name, value: eventstream.raw_event(name, json.dumps(value).encode()), st.sampled_from(EVENTS), values
    )
    | st.builds(eventstream.exception, st.sampled_from(["throttlingException", "x"]), st.text(max_size=10))
    | st.sampled_from(GOOD).map(lambda raw: raw[: len(raw) // 2])
    | st.binary(max_size=30)
)


@few
@given(st.lists(pieces, max_size=6), st.sampled_from(["converse-stream", "invoke-with-response-stream"]))
def test_no_stream_whatever_hangs_it_or_goes_out_in_broken_frames(
    beside: Any, snapshot: Any, upstream: Upstream, made: list[bytes], operation: str
) -> None:
    upstream.body = b"".join(made)
    if not hasattr(upstream, "caller"):
        target = Target(region=EAST, model_id="m", endpoint_url=upstream.url)
        policy = replace(FAST, deadline=20)
        upstream.caller = beside(snapshot(Model(name="blue", targets=(target,), body_family="nova"), policy=policy))
    body = CONVERSE if operation == "converse-stream" else {"messages": []}
    reply = upstream.caller.ask("POST", f"/model/{ROUTE}/{operation}", body)
    assert reply.status in (200, 400, 403, 404, 503)
    if reply.status == 200:
        buffer = EventStreamBuffer()
        buffer.add_data(reply.body)
        messages = list(buffer)
        assert sum(message.prelude.total_length for message in messages) == len(reply.body), "whole frames only"
        ends = [m.headers.get(":message-type") != "event" for m in messages]
        assert not any(ends[:-1]), "nothing comes after an exception"
