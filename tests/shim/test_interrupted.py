"""Calls that the service itself ends, or that began on a client already in use: what is theirs stays theirs."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

import crossfade
from crossfade.core.histogram import bin_seconds

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
ECHO = "crossfade.echo-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "one two three four five six seven eight nine ten"}]}]
LONG = 20.0
"""Seconds that no call here may take."""


class OutOfTime(Exception):  # noqa: N818
    """As Celery's SoftTimeLimitExceeded and rq's JobTimeoutException: raised by a handler of SIGALRM."""


class Stop(BaseException):
    """As gevent's Timeout and KeyboardInterrupt."""


@contextmanager
def raised_after(seconds: float, error: type[BaseException]) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise error("the service's own")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_deadline_holds_on_connections_made_before_the_first_routed_call(
    routed, snapshot, model, sandbox, session, controller
) -> None:
    routed(snapshot(model("blue", EAST)))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    assert "Crossfade" not in client.converse(modelId=ECHO, messages=MESSAGES)["ResponseMetadata"]
    sandbox.fault("drip", seconds=0.2, parts=100)
    began = time.monotonic()
    with crossfade.context(deadline=1.0):
        assert client.converse(modelId=ROUTE, messages=MESSAGES)["ResponseMetadata"]["Crossfade"]["busy"]
    assert time.monotonic() - began < LONG / 2
    client.close()
    crossfade.flush()
    assert controller.total("attempts") == {"timed_out": 1}


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_what_the_service_raises_in_a_call_is_no_outage_and_no_reason_to_ask_elsewhere(
    routed, snapshot, model, sandbox, controller, calls, operation
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("latency", seconds=LONG, region=EAST)
    began = time.monotonic()
    with pytest.raises(Exception, match="the service's own"), raised_after(0.5, OutOfTime):
        getattr(client, operation)(modelId=ROUTE, messages=MESSAGES)
    assert time.monotonic() - began < LONG / 2
    assert [region for region, *_ in calls()] == [EAST]
    crossfade.flush()
    assert (controller.total("calls"), controller.total("judged")) == (1, 0)


@pytest.mark.parametrize("error", [OutOfTime, Stop])
def test_what_the_service_raises_in_a_stream_is_its_own_and_the_stream_abandoned(
    routed, snapshot, model, sandbox, controller, error
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.3, parts=50)
    response = client.converse_stream(modelId=ROUTE, messages=MESSAGES)
    with pytest.raises(error), raised_after(0.5, error):
        list(response["stream"])
    del response
    crossfade.flush()
    assert controller.total("outcomes") == {"abandoned": 1}


def test_a_call_that_the_service_stops_is_abandoned_and_frees_the_probe(
    routed, snapshot, model, sandbox, controller, ask, fast
) -> None:
    policy = replace(fast, breaker_in_a_row=1, breaker_open=0.1, breaker_spread=0, deadline=60)
    client = routed(snapshot(model("blue", EAST), model("green", EAST), policy=policy))
    sandbox.fault("unavailable", count=1)
    ask(client)  # green's breaker opens, blue serves
    crossfade.flush()
    controller.batches.clear()
    time.sleep(0.2)
    sandbox.fault("latency", seconds=LONG)
    with pytest.raises(Stop), raised_after(0.5, Stop):
        ask(client)
    sandbox.clear()
    crossfade.flush()
    assert controller.total("outcomes") == {"abandoned": 1}
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "green", "the next call is the probe"


@pytest.mark.parametrize("fault", [{"kind": "drip", "seconds": 0.1, "parts": 100}, {"kind": "stall", "seconds": LONG}])
def test_a_stream_may_be_closed_while_another_thread_reads_it(
    routed, snapshot, model, sandbox, controller, fault
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault(**fault)
    stream = client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"]

    def read() -> None:
        with contextlib.suppress(EventStreamError):
            list(stream)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.5)
    began = time.monotonic()
    stream.close()
    reader.join(LONG)
    assert time.monotonic() - began < LONG / 2
    crossfade.flush()
    assert controller.total("outcomes") == {"abandoned": 1}
    assert controller.total("raised") == 0


def test_a_stream_left_at_its_message_stop_took_until_then(routed, snapshot, model, controller) -> None:
    client = routed(snapshot(model("blue")))
    response: Any = client.converse_stream(modelId=ROUTE, messages=MESSAGES)
    for event in response["stream"]:
        if "messageStop" in event:
            break
    time.sleep(3)
    response["stream"].close()
    crossfade.flush()
    [(found, _)] = [item for row in controller.rows() for item in row["latency"].items()]
    assert bin_seconds(int(found)) < 2
