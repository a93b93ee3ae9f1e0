"""Callers who say little, slowly, or far too much, over HTTP/1.1 and HTTP/2: what each gets, and that others do not
feel it. docs/sidecar.md states each outcome."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import hpack
import httpx
import pytest

import crossfade
from crossfade.sidecar.app import Limits
from crossfade.sidecar.serve import MOST_HEAD

from .conftest import CONVERSE, ROUTE, Process
from .test_process import ready, until

PATH = f"/model/{ROUTE}/converse"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS = 1, 4
REFUSED, CALM = 7, 11
"""HTTP/2's codes for a stream that is one too many, and for a caller that is."""


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def packed(*headers: tuple[str, str]) -> bytes:
    return bytes(hpack.Encoder().encode(headers, huffman=False))


def asked(path: str) -> bytes:
    """A head of HTTP/2."""
    return packed((":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x"))


ASKED = asked(PATH)
BEGUN = PREFACE + frame(SETTINGS, 0, 0)


class Frame(NamedTuple):
    kind: int
    stream: int
    content: bytes

    @property
    def code(self) -> int:
        """Why a stream was reset."""
        return int.from_bytes(self.content, "big")

    @property
    def why(self) -> int:
        """Why the connection was ended."""
        return int.from_bytes(self.content[4:8], "big")


@dataclass
class Heard:
    """What came back on a connection; `closed` where the sidecar ended it."""

    data: bytes = b""
    closed: bool = False
    frames: list[Frame] = field(default_factory=list)

    def of(self, kind: int) -> list[Frame]:
        return [one for one in self.frames if one.kind == kind]


def split(data: bytes) -> Iterator[Frame]:
    while len(data) >= 9:
        end = 9 + int.from_bytes(data[:3], "big")
        yield Frame(data[3], int.from_bytes(data[5:9], "big"), data[9:end])
        data = data[end:]


def flood(port: int, data: bytes, quiet: float = 1.0) -> Heard:
    """Sends all of it while it reads, until the sidecar closes, or says nothing more for `quiet` seconds."""
    heard = Heard()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(quiet)

        def send() -> None:
            with contextlib.suppress(OSError):
                connection.sendall(data)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            while more := connection.recv(65536):
                heard.data += more
            heard.closed = True
        except TimeoutError:
            pass
        except OSError:
            heard.closed = True
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sending.join(10)
    heard.frames = list(split(heard.data)) if data.startswith(PREFACE) else []
    return heard


@pytest.fixture
def caller(beside, snapshot, model):
    return beside(snapshot(model("blue")))


@pytest.mark.parametrize("flags", [END_HEADERS, END_HEADERS | END_STREAM])
def test_streams_opened_and_reset_at_once_end_the_connection(caller, calls, flags) -> None:
    rapid = (frame(HEADERS, flags, i, ASKED) + frame(RESET, 0, i, bytes(4)) for i in range(1, 4001, 2))
    heard = flood(caller.port, BEGUN + b"".join(rapid))
    assert heard.closed
    assert [one.why for one in heard.of(GOAWAY)] == [CALM]
    assert caller.converse().status == 200


@pytest.mark.parametrize("content", [b"", packed(("x-a", "b" * 255))], ids=["empty", "full"])
def test_a_head_of_ever_more_frames_ends_the_connection(caller, calls, content) -> None:
    heard = flood(caller.port, BEGUN + frame(HEADERS, 0, 1, ASKED) + frame(CONTINUATION, 0, 1, content) * 20_000)
    assert heard.closed
    assert not heard.of(HEADERS)
    assert caller.converse().status == 200
    assert len(calls()) == 1


def test_a_head_that_is_small_on_the_wire_and_huge_unpacked_ends_the_connection(caller, calls) -> None:
    once = packed(("x-b", "b" * 4000))  # kept in the table; each further byte repeats it
    bomb = frame(HEADERS, 0, 1, ASKED + once) + frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16_000)
    heard = flood(caller.port, BEGUN + bomb)
    assert heard.closed
    assert [one.why for one in heard.of(GOAWAY)] == [CALM]
    assert caller.converse().status == 200
    assert len(calls()) == 1


def test_streams_beyond_two_hundred_at_a_time_are_refused_one_by_one(caller, calls) -> None:
    many = (frame(HEADERS, END_HEADERS, i, ASKED) for i in range(1, 601, 2))
    heard = flood(caller.port, BEGUN + b"".join(many))
    assert not heard.closed
    assert [one.code for one in heard.of(RESET)] == [REFUSED] * 100
    assert caller.converse().status == 200
    assert len(calls()) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"X-A: " + b"a" * 4 * MOST_HEAD + b"\r\n\r\n", b"431"),
        (HEAD + b"X-A: a\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
    ],
    ids=["bytes", "lines", "path"],
)
def test_a_head_that_is_too_big_is_refused(caller, calls, sent, status) -> None:
    heard = flood(caller.port, sent)
    assert heard.data.startswith(b"HTTP/1.1 " + status)
    assert heard.closed
    assert calls() == []


def test_a_head_that_is_too_big_is_refused_over_http2_and_the_connection_goes_on(caller, calls) -> None:
    lines = [packed((f"x-{i}", "a" * 16_000)) for i in range(MOST_HEAD // 16_000 + 2)]
    more = [frame(CONTINUATION, 0, 1, line) for line in lines[:-1]]
    big = frame(HEADERS, END_STREAM, 1, ASKED) + b"".join(more) + frame(CONTINUATION, END_HEADERS, 1, lines[-1])
    heard = flood(caller.port, BEGUN + big)
    [answer] = heard.of(HEADERS)
    assert dict(hpack.Decoder().decode(answer.content))[":status"] == "431"
    assert not heard.closed
    assert calls() == []


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_body_that_drips_is_408_however_steadily(beside, snapshot, model, calls, version) -> None:
    caller = beside(snapshot(model("blue")), limits=Limits(body_seconds=0.5))
    with socket.create_connection(("127.0.0.1", caller.port)) as connection:
        connection.settimeout(10)
        if version == "1.1":
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        else:
            connection.sendall(BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED))
        answered = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not answered.wait(0.05):
                    connection.sendall(b"1\r\nx\r\n" if version == "1.1" else frame(DATA, 0, 1, b"x"))

        dripping = threading.Thread(target=drip)
        dripping.start()
        heard = b""
        while b"408" not in heard and not any(one.kind == HEADERS for one in split(heard)):
            heard += connection.recv(65536)
        answered.set()
        dripping.join()
    if version == "2":
        [answer] = [one for one in split(heard) if one.kind == HEADERS]
        assert dict(hpack.Decoder().decode(answer.content))[":status"] == "408"
    assert calls() == []


def test_a_stream_that_nobody_reads_harms_nobody_and_is_there_when_it_is_read(
    beside, snapshot, model, controller, sandbox
) -> None:
    caller = beside(snapshot(model("blue")))
    text = "word " * 2_000_000
    request = {"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 10**8}}
    body = json.dumps(request).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", caller.port))
        head = f"POST {PATH}-stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

        def recorded() -> bool:
            crossfade.flush()
            return bool(controller.total("calls"))

        until(recorded)  # Bedrock has been heard to the end: its connection is not held up
        assert controller.total("outcomes") == {"ok": 1}
        assert caller.converse().status == 200
        answer = bytearray()
        while more := connection.recv(2**20):
            answer += more
    assert len(answer) > len(text)
    assert b"messageStop" in answer


UNREAD = (
    PREFACE
    + frame(SETTINGS, 0, 0, bytes([0, 4, 0, 0, 0, 0]))  # not a byte of any answer may be sent
    + frame(HEADERS, END_HEADERS, 1, asked(f"{PATH}-stream"))
    + frame(DATA, END_STREAM, 1, json.dumps(CONVERSE).encode())
)
SLOW = {
    "half a head": (HEAD, b""),
    "a head that drips": (HEAD, b"X-A: a\r\n"),
    "idle after an answer": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "HTTP/2, idle": (BEGUN, b""),
    "HTTP/2, half a frame": (BEGUN + frame(HEADERS, END_HEADERS, 1, ASKED)[:12], b""),
    "HTTP/2, half a head": (BEGUN + frame(HEADERS, 0, 1, ASKED), b""),
    "HTTP/2, a stream that nobody reads": (UNREAD, b""),
}
NEVER_BEGUN = (b"", b"PRI * HTTP/2.0")
"""granian keeps such connections."""


def test_who_sends_a_head_slowly_or_is_silent_is_cut_off(snapshot, model, controller, environment, calls) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(CROSSFADE_SIDECAR_HEAD_SECONDS="1", **environment) as process, contextlib.ExitStack() as stack:
        caller = ready(process)
        for sent in NEVER_BEGUN:
            stack.enter_context(socket.create_connection(("127.0.0.1", process.port))).sendall(sent)
        began = time.monotonic()
        connections = {}
        for name, (sent, _) in SLOW.items():
            connections[name] = stack.enter_context(socket.create_connection(("127.0.0.1", process.port)))
            connections[name].settimeout(0.1)
            connections[name].sendall(sent)
        left = dict(connections)
        while left and time.monotonic() < began + 20:
            for name, connection in list(left.items()):
                try:
                    connection.sendall(SLOW[name][1])
                    if connection.recv(65536):
                        continue
                except TimeoutError:
                    continue
                except OSError:
                    pass
                del left[name]
        assert not left
        assert caller.converse().status == 200
    assert len(calls()) == 2


def test_who_waits_for_a_slow_answer_over_http2_gives_its_sign_of_life_and_is_answered(
    snapshot, model, sandbox, controller, environment
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    sandbox.fault("latency", seconds=4.0)
    with Process(CROSSFADE_SIDECAR_HEAD_SECONDS="1", **environment) as process:
        ready(process)
        with httpx.Client(http1=False, http2=True, timeout=20, trust_env=False) as client:
            answer = client.post(f"http://127.0.0.1:{process.port}{PATH}", json=CONVERSE)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
