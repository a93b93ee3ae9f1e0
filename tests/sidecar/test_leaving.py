"""A caller that leaves before it is answered: nothing more is asked for it, and it is nobody's fault."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import h2.config
import h2.connection
import h2.settings
import pytest

import crossfade

from .conftest import CONVERSE, EAST, FAST, ROUTE, Caller
from .test_process import until

BODY = json.dumps(CONVERSE).encode()


class Http1:
    """Asks, and closes its connection."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), 10)

    def ask(self, path: str) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
        self.connection.sendall(head.encode() + BODY)

    def leave(self) -> None:
        self.connection.close()

    close = leave


class Http2(Http1):
    """Asks twice on one connection, and closes it."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.state.initiate_connection()
        self.send()

    def ask(self, path: str) -> None:
        self.stream = self.state.get_next_available_stream_id()
        head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x")]
        self.state.send_headers(self.stream, [*head, ("content-length", str(len(BODY)))])
        self.state.send_data(self.stream, BODY, end_stream=True)
        self.send()

    def send(self) -> None:
        self.connection.sendall(self.state.data_to_send())


class Http2Stream(Http2):
    """Ends its stream; the connection stays."""

    def leave(self) -> None:
        self.state.reset_stream(self.stream, 8)
        self.send()


@pytest.fixture(params=[Http1, Http2, Http2Stream])
def leaving(request: pytest.FixtureRequest) -> Iterator[Callable[[Caller], Http1]]:
    made: list[Http1] = []

    def make(caller: Caller) -> Http1:
        made.append(request.param(caller.port))
        return made[-1]

    yield make
    for one in made:
        one.close()


def recorded(controller: Any) -> bool:
    crossfade.flush()
    return bool(controller.total("calls"))


@pytest.mark.parametrize("verb", ["converse", "converse-stream", "invoke"])
def test_nothing_more_is_waited_or_asked_for_a_caller_that_left_in_a_backoff(
    beside, snapshot, model, sandbox, controller, calls, leaving, verb
) -> None:
    caller = beside(snapshot(model("blue", EAST), policy=replace(FAST, backoff_cap=60, deadline=100)))
    sandbox.fault("throttle", retry_after=30)
    client = leaving(caller)
    client.ask(f"/model/{ROUTE}/{verb}")
    until(lambda: len(sandbox.log()) == 1)
    client.leave()
    until(lambda: recorded(controller))
    assert controller.total("outcomes") == {"abandoned": 1}
    assert (controller.total("judged"), controller.total("raised"), controller.total("retries")) == (0, 0, 0)
    assert [asked[:2] for asked in calls()] == [(EAST, "blue")]


def test_an_attempt_under_way_is_finished_and_no_other_is_made(
    beside, snapshot, model, sandbox, controller, calls, leaving
) -> None:
    caller = beside(snapshot(model("blue"), fallbacks=(model("small"),)))
    sandbox.fault("latency", seconds=0.5)
    sandbox.fault("unavailable")
    client = leaving(caller)
    client.ask(f"/model/{ROUTE}/converse")
    until(lambda: sandbox.counts()["in_flight"])
    client.leave()
    until(lambda: recorded(controller))
    assert controller.total("outcomes") == {"abandoned": 1}
    assert controller.total("attempts") == {"unavailable": 1}
    assert (controller.total("judged"), controller.total("raised"), controller.total("failovers")) == (0, 0, 0)
    assert [asked[:2] for asked in calls()] == [(EAST, "blue")]


def test_a_call_that_is_answered_all_the_same_is_counted_as_answered(
    beside, snapshot, model, sandbox, controller, calls, leaving
) -> None:
    caller = beside(snapshot(model("blue")))
    sandbox.fault("latency", seconds=0.5)
    client = leaving(caller)
    client.ask(f"/model/{ROUTE}/converse")
    until(lambda: sandbox.counts()["in_flight"])
    client.leave()
    until(lambda: recorded(controller))
    assert controller.total("outcomes") == {"ok": 1}
    assert [asked[:2] for asked in calls()] == [(EAST, "blue")]


def test_no_second_region_is_hedged_on_for_a_caller_that_left(
    beside, snapshot, model, sandbox, controller, calls
) -> None:
    hedging = replace(
        FAST, deadline=60, hedge=True, hedge_share=1.0, slow_samples=5, slow_factor=100, prefer_factor=100
    )
    caller = beside(snapshot(model("blue"), policy=hedging))
    sandbox.fault("latency", seconds=0.3)
    for _ in range(6):
        assert caller.converse().status == 200
    sandbox.clear()
    sandbox.clear_log()
    sandbox.fault("latency", seconds=1.5, region=EAST)
    client = Http1(caller.port)
    client.ask(f"/model/{ROUTE}/converse")
    until(lambda: sandbox.counts()["in_flight"])
    client.leave()
    until(lambda: recorded(controller) and controller.total("calls") == 7)
    assert [asked[0] for asked in calls()] == [EAST]
