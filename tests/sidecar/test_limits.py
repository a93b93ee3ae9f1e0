"""Bodies too long, callers too slow, heads that say two things: each has its answer, and none reaches Bedrock."""

from __future__ import annotations

import json
import socket
import time

import hpack
import pytest

import crossfade
from crossfade.sidecar.app import Limits

from .conftest import CONVERSE, EAST, ROUTE, Caller
from .test_floods import ASKED, BEGUN, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, RESET, flood, frame, packed
from .test_process import until

PATH = f"/model/{ROUTE}/converse"
ASKING = json.dumps(CONVERSE).encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = packed(("content-length", "4000"))


def raw(caller: Caller, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back on a connection on which these bytes are sent."""
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        connection.settimeout(10)
        for index, part in enumerate(parts):
            time.sleep(pause if index else 0.0)
            connection.sendall(part)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
            answer += more
        return answer


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413_and_goes_no_further(beside, snapshot, model, calls, chunked) -> None:
    caller = beside(snapshot(model("blue")), limits=Limits(body=2000))
    body = b"x" * 2001
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 2001"
    sent = b"7d1\r\n" + body + b"\r\n0\r\n\r\n" if chunked else body
    answer = raw(caller, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + sent)
    assert answer.startswith(b"HTTP/1.1 413")
    assert calls() == []
    assert caller.converse().status == 200


def test_a_body_that_comes_too_slowly_is_408(beside, snapshot, model, calls) -> None:
    caller = beside(snapshot(model("blue")), limits=Limits(body_seconds=0.3))
    head = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert raw(caller, head, b"{").startswith(b"HTTP/1.1 408")
    assert calls() == []


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Transfer-Encoding: xchunked",
        b"Content-Length : 2",
        b"Content-Length: 2\r\nX-A: a\r\n b",
        b"Content-Length: 2\r\nX-A: a\x00b",
        b"Content-Length: +2",
        b"Content-Length: 2\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b",
        b"Content-Length: 2\r\nX-Crossfade-Token: a\r\nX-Crossfade-Token: b",
    ],
    ids=["lengths", "encoding", "blank", "folded", "zero", "sign", "authorizations", "tokens"],
)
def test_a_head_that_may_be_read_two_ways_is_refused(beside, snapshot, model, calls, head) -> None:
    caller = beside(snapshot(model("blue")))
    answer = raw(caller, b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400")
    assert calls() == []


def test_what_hides_behind_a_length_beside_chunks_is_never_a_request(beside, snapshot, model, sandbox, calls) -> None:
    caller = beside(snapshot(model("blue")))
    hidden = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        connection.settimeout(10)
        head = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked"
        connection.sendall(head + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + hidden)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert len(calls()) == 1


def test_a_client_that_hangs_up_in_its_body_or_before_its_answer_harms_nobody(
    beside, snapshot, model, sandbox, calls
) -> None:
    caller = beside(snapshot(model("blue")))
    for sent in (b"", b"{", b"0" * 5000):
        with socket.create_connection(("127.0.0.1", caller.port)) as connection:
            head = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n"
            connection.sendall(head + sent)
    sandbox.fault("latency", seconds=0.3, count=1)
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        body = str(CONVERSE).replace("'", '"').encode()
        connection.sendall(
            b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        while not sandbox.counts()["in_flight"]:
            time.sleep(0.01)
    assert caller.converse().status == 200
    assert len(calls()) == 2, "a call under way is finished: Bedrock has begun to answer and to charge"


BROKEN = {
    "chunked": (CHUNKED, b"%x\r\n%b\r\n" % (len(ASKING), ASKING)),
    "in a chunk": (CHUNKED, b"fff\r\n" + ASKING),
    "length": (HEAD + b"Content-Length: 4000\r\n\r\n", ASKING),
    "HTTP/2": (BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED), frame(DATA, 0, 1, ASKING)),
    "HTTP/2 with length": (BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED + LONG), frame(DATA, 0, 1, ASKING)),
    "HTTP/2, reset": (
        BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED),
        frame(DATA, 0, 1, ASKING) + frame(RESET, 0, 1, bytes([0, 0, 0, 8])),
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_body_that_breaks_off_is_no_request_and_is_forgotten_at_once(
    beside, snapshot, model, controller, calls, port, how
) -> None:
    caller = beside(snapshot(model("blue")))
    head, body = BROKEN[how]
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        connection.sendall(head)
        until(lambda: port.under_way)
        connection.sendall(body)
    until(lambda: not port.under_way, 5)
    assert calls() == []
    crossfade.flush()
    assert controller.rows() == []


@pytest.mark.parametrize("path", ["*", ".localhost/", "@localhost/", ":1/", "a/b", "localhost:1"])
def test_a_path_that_does_not_begin_with_a_slash_leads_nowhere(beside, snapshot, model, sandbox, calls, path) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST))
    head = packed((":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x"))
    heard = flood(caller.port, BEGUN + frame(HEADERS, END_HEADERS | END_STREAM, 1, head))
    statuses = [dict(hpack.Decoder().decode(one.content))[":status"] for one in heard.of(HEADERS)]
    assert statuses in ([], ["400"])
    for method in ("OPTIONS", "CONNECT"):
        first = raw(caller, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert first.startswith(b"HTTP/1.1 400")
    sandbox.settle()
    assert sandbox.log() == []


@pytest.mark.parametrize("order", [0, 1])
def test_a_length_beside_chunks_lifts_no_limit(beside, snapshot, model, calls, order) -> None:
    caller = beside(snapshot(model("blue")), limits=Limits(body=2000))
    framing = [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"]
    head = HEAD + framing[order] + framing[1 - order] + b"\r\n"
    assert raw(caller, head + b"7d1\r\n" + b"x" * 2001 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert calls() == []


def test_bad_chunks_are_400(beside, snapshot, model, calls) -> None:
    caller = beside(snapshot(model("blue")))
    answer = raw(caller, CHUNKED, b"%x\r\n%b\r\nzz\r\n" % (len(ASKING), ASKING))
    assert answer.startswith(b"HTTP/1.1 400")
    assert calls() == []


@pytest.mark.parametrize(("ends"), [True, False])
def test_a_body_over_http2_without_a_length_is_whole_where_its_stream_ends(
    beside, snapshot, model, calls, ends
) -> None:
    caller = beside(snapshot(model("blue")))
    last = b"" if ends else frame(DATA, END_STREAM, 1)  # many clients end with a frame of its own
    sent = frame(DATA, END_STREAM if ends else 0, 1, ASKING) + last
    heard = flood(caller.port, BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED) + sent)
    [answer] = heard.of(HEADERS)
    assert dict(hpack.Decoder().decode(answer.content))[":status"] == "200"
    assert len(calls()) == 1


def test_a_body_of_twenty_megabytes_goes_through_and_comes_back_whole(beside, snapshot, model, calls) -> None:
    text = "mot " * 5_000_000
    body = {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 10**8}}
    reply = beside(snapshot(model("blue"))).ask("POST", PATH, body)
    assert reply.status == 200
    assert len(reply.json["output"]["message"]["content"][0]["text"]) > 19_000_000
    assert len(calls()) == 1


def test_who_expects_to_be_told_to_go_on_is_told_so_or_refused_before_the_body(beside, snapshot, model, calls) -> None:
    caller = beside(snapshot(model("blue")), limits=Limits(body=2000))
    body = json.dumps(CONVERSE).encode()
    for length, answer in ((len(body), b"HTTP/1.1 100 Continue\r\n"), (2001, b"HTTP/1.1 413 ")):
        with socket.create_connection(("127.0.0.1", caller.port)) as connection:
            connection.settimeout(10)
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(answer)
            if length == len(body):
                connection.sendall(body)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert len(calls()) == 1


@pytest.mark.parametrize("seconds", ["soon", "-1", "0", "1e9", "nan"])
def test_a_deadline_that_cannot_be_meant_is_400(beside, snapshot, model, calls, seconds) -> None:
    reply = beside(snapshot(model("blue"))).converse(x_crossfade_deadline=seconds)
    assert (reply.status, calls()) == (400, [])
    assert "x-crossfade-deadline" in reply.json["message"]
