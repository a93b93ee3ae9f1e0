"""A fault of Crossfade, or an odd answer, must neither become a fault of the caller's nor lose what was counted."""

from __future__ import annotations

import io
import json
import os
import random
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import EventStreamError
from botocore.response import StreamingBody

import crossfade
from crossfade.core.outcome import Outcome
from crossfade.core.validator import Validator
from crossfade.shim import adoption, runtime
from crossfade.shim import feed as feed_module
from crossfade.shim.answer import read_answer
from crossfade.shim.attempt import HERE
from crossfade.shim.classify import Incomplete, is_malformed
from crossfade.shim.dispatch import WATCHDOG
from crossfade.shim.events import reading_of
from crossfade.shim.stream import Stream
from crossfade.shim.watchdog import Watch

MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]


@pytest.fixture(autouse=True)
def ended():
    yield
    runtime.end(0.5)


def current() -> runtime.Shim:
    shim = runtime.current()
    assert shim is not None
    return shim


def test_the_feed_outlives_thousands_of_failures_and_faults_of_any_kind(routed, snapshot, model, monkeypatch) -> None:
    routed(snapshot(model("blue")))
    feed = current().feed
    failures = 0

    def breaks(*, wait: float) -> None:
        nonlocal failures
        failures += 1
        if failures > 3000:
            feed.stop()
        raise ZeroDivisionError("a fault nobody thought of")

    feed.stop()
    feed._stopped = threading.Event()
    monkeypatch.setattr(feed, "poll", breaks)
    monkeypatch.setattr(feed_module, "_RETRY_MOST", 0.0)
    feed.run()
    assert failures == 3001


def test_the_feed_does_not_spin_on_a_controller_that_answers_at_once(routed, snapshot, model, monkeypatch) -> None:
    routed(snapshot(model("blue")))
    feed = current().feed
    feed.stop()
    feed._stopped = threading.Event()
    polls: list[float] = []
    monkeypatch.setattr(feed, "poll", lambda *, wait: polls.append(wait))
    runner = threading.Thread(target=feed.run)
    runner.start()
    time.sleep(0.5)
    feed.stop()
    runner.join(5)
    assert len(polls) <= 2


def test_without_a_thread_for_the_watchdog_the_call_is_answered_and_nothing_leaks(
    routed, snapshot, model, ask, monkeypatch
) -> None:
    client = routed(snapshot(model("blue")))
    monkeypatch.setattr(WATCHDOG, "_pid", 0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _no_thread)
        assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "blue"
    assert HERE.attempt is None
    ask(client)
    assert WATCHDOG._pid != 0  # tried again, with the next call


def test_the_random_numbers_of_the_service_are_its_own(routed, snapshot, model, ask, sandbox) -> None:
    client = routed(snapshot(model("blue")))
    random.seed(7)
    before = random.getstate()
    sandbox.fault("throttle", region="us-east-1")
    for _ in range(3):
        ask(client)
    assert random.getstate() == before


def test_an_odd_socket_does_not_end_the_watch_over_the_others() -> None:
    watch = Watch()
    watch.connection = SimpleNamespace(sock="no socket at all", crossfade_watch=watch)
    watch.cut()
    assert watch.expired


def test_an_attempt_that_is_over_does_not_end_the_next_one_on_its_connection() -> None:
    ours, theirs = socket.socketpair()
    before, now = Watch(), Watch()
    connection = SimpleNamespace(sock=ours, crossfade_watch=before)
    before.connection = connection
    connection.crossfade_watch = now  # taken from the pool by another call
    now.connection = connection
    before.cut()
    ours.send(b"still open")
    assert theirs.recv(100) == b"still open"
    now.cut()
    assert theirs.recv(100) == b""
    ours.close()
    theirs.close()


def test_a_child_forked_unknown_to_python_does_not_watch_over_its_parents_attempts(monkeypatch) -> None:
    pid, parents = os.getpid(), Watch(time.monotonic() + 0.3)
    WATCHDOG.add(parents)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: pid + 1)
        own = Watch(time.monotonic() + 0.6)
        WATCHDOG.add(own)
        until = time.monotonic() + 10
        while not own.expired and time.monotonic() < until:
            time.sleep(0.02)
    assert (own.expired, parents.expired) == (True, False)
    WATCHDOG.remove(own)


def test_a_fault_before_the_first_attempt_leaves_the_call_to_plain_boto3(
    routed, snapshot, model, monkeypatch, sandbox, session
) -> None:
    routed(snapshot(model("blue")))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint("us-east-1"))
    monkeypatch.setattr(current().board, "note_call", _raise)
    with pytest.raises(client.exceptions.ClientError) as raised:  # it asks for the route's name, which is no model id
        client.converse(modelId="support-chat", messages=[{"role": "user", "content": [{"text": "hi"}]}])
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404)
    assert current().recorder.dropped == 1
    client.close()


@pytest.mark.parametrize("document", [[{"generated_text": "hi"}], {"stop_reason": ["odd"], "content": []}])
def test_an_odd_answer_is_an_answer(document: Any) -> None:
    data = json.dumps(document).encode()
    response = {"body": StreamingBody(io.BytesIO(data), len(data)), "contentType": "application/json"}
    assert read_answer("InvokeModel", response, None).outcome is Outcome.OK
    assert json.loads(response["body"].read()) == document
    assert not is_malformed(["odd"])


DEEP = b"[" * 100_000


@pytest.mark.parametrize("family", ["anthropic", "nova", "llama", None])
@pytest.mark.parametrize(
    "part",
    [
        {"content_block": "odd"}, {"contentBlockDelta": "odd"}, {"contentBlockDelta": {"delta": "odd"}}, {"delta": 1},
        {"messageStop": "odd"}, {"amazon-bedrock-invocationMetrics": "odd"}, {"output": "odd", "stop_reason": "stop"},
        {"output": {"message": "odd"}, "stop_reason": "stop"},
    ],
)  # fmt: skip
def test_odd_parts_of_an_answer_are_no_fault(family: str | None, part: dict[str, Any]) -> None:
    validator = Validator(json=True)
    reading_of("InvokeModelWithResponseStream", family, validator).see({"chunk": {"bytes": json.dumps(part).encode()}})
    whole = json.dumps({"content": [], "output": {}, "generation": ""} | part).encode()
    response = {"body": StreamingBody(io.BytesIO(whole), len(whole)), "contentType": "application/json"}
    assert read_answer("InvokeModel", response, family, validator).outcome in (Outcome.OK, Outcome.MALFORMED)


def test_an_answer_too_deep_to_be_read_is_incomplete() -> None:
    with pytest.raises(Incomplete):
        reading_of("InvokeModelWithResponseStream", None).see({"chunk": {"bytes": DEEP}})
    response = {"body": StreamingBody(io.BytesIO(DEEP), len(DEEP)), "contentType": "application/json"}
    with pytest.raises(Incomplete):
        read_answer("InvokeModel", response, None)


@pytest.mark.parametrize("error", [KeyError("a part that is missing"), TypeError("a part of the wrong kind")])
def test_a_chunk_that_breaks_in_mid_stream_is_a_stream_error_and_counted(error: Exception) -> None:
    class Reading:
        content = ended = malformed = False
        tokens_in = tokens_out = None

        def see(self, event: dict[str, Any]) -> None:
            if self.content:
                raise error
            self.content = True

    class Source:
        def __iter__(self):
            return iter([{"first": {}}, {"second": {}}])

        def close(self) -> None: ...

    told: list[Outcome] = []
    stream = Stream(
        Source(), reading=Reading(), watch=Watch(), operation="ConverseStream",
        stall=5.0, deadline=time.monotonic() + 5, began=time.monotonic(),
    )  # fmt: skip
    stream.hold()
    stream.on_end(lambda _stream, outcome, _error: told.append(outcome))
    with pytest.raises(EventStreamError):
        list(stream)
    assert told
    assert told[0] not in (Outcome.OK, Outcome.ABANDONED)


def test_a_stream_that_breaks_after_its_stop_is_whole_and_lets_go_of_its_connection() -> None:
    closed: list[bool] = []

    class Source:
        def __iter__(self):
            yield {"contentBlockDelta": {"delta": {"text": "all there is"}}}
            yield {"messageStop": {"stopReason": "end_turn"}}
            raise ChecksumMismatch(1, 2)

        def close(self) -> None:
            closed.append(True)

    told: list[Outcome] = []
    stream = Stream(
        Source(), reading=reading_of("ConverseStream", None), watch=Watch(), operation="ConverseStream",
        stall=5.0, deadline=time.monotonic() + 5, began=time.monotonic(),
    )  # fmt: skip
    stream.hold()
    stream.on_end(lambda _stream, outcome, _error: told.append(outcome))
    assert len(list(stream)) == 2
    assert (told, closed) == ([Outcome.OK], [True])


def test_at_the_end_a_hanging_flush_loses_nothing(
    routed, snapshot, model, ask, controller, settings, session, monkeypatch
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    crossfade.score(ask(client), "accuracy", 1.0)
    crossfade.flush(0.5)
    shim = current()
    assert shim.courier._lock.acquire(timeout=5)  # another thread, in a flush that hangs
    runtime.end(0.4)
    shim.courier._lock.release()
    controller.status = 0
    crossfade.install(session, **settings)
    assert crossfade.flush(5)
    assert controller.total("calls") == 1
    assert [score["value"] for score in controller.scores] == [1.0]


def test_at_the_end_a_fault_in_the_last_delivery_loses_nothing(
    routed, snapshot, model, ask, controller, settings, session, monkeypatch
) -> None:
    ask(routed(snapshot(model("blue"))))
    monkeypatch.setattr(current().courier._controller, "post", _raise)
    runtime.end(0.4)
    crossfade.install(session, **settings)
    assert crossfade.flush(5)
    assert controller.total("calls") == 1


def test_what_a_full_disk_loses_at_the_end_is_counted_and_said(
    routed, snapshot, model, ask, controller, monkeypatch, caplog
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    ask(client)
    shim = current()
    monkeypatch.setattr(shim.courier._outbox, "put", _disk_full)
    runtime.end(0.4)
    assert shim.courier.dropped == 1
    assert "being lost" in caplog.text


@pytest.mark.parametrize("value", [10**400, float("nan"), -1, "1", None])
def test_a_score_that_is_none_is_refused_without_raising(routed, snapshot, model, ask, value) -> None:
    client = routed(snapshot(model("blue")))
    assert crossfade.score(ask(client), "accuracy", value) is False


def _raise(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("a fault nobody thought of")


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _disk_full(*_: Any) -> bool:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("face", ["shim", "sidecar"], indirect=True)
def test_a_fault_after_an_attempt_leaves_the_caller_what_the_attempt_brought(
    routed, snapshot, model, ask, sandbox, calls, controller, monkeypatch
) -> None:
    client = routed(snapshot(model("blue")))
    monkeypatch.setattr("crossfade.shim.course._take", _raise)
    assert ask(client)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert current().recorder.dropped == 1
    sandbox.fault("unavailable")
    with pytest.raises(client.exceptions.ServiceUnavailableException):
        ask(client)
    assert len(calls()) == 2
    crossfade.flush()
    assert (controller.total("calls"), current().recorder.dropped) == (1, 1)


def test_a_stream_collected_in_the_middle_of_the_boards_own_work_does_not_wait_for_it(
    routed, snapshot, model, sandbox, controller
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("malformed_output")
    held = [left_at_its_end(client)]

    def collect() -> None:
        with current().board._lock:  # where the garbage collector may run as anywhere
            held.clear()

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    collector.join(10)
    assert not collector.is_alive()
    crossfade.flush()
    assert controller.total("outcomes") == {"malformed": 1}


def test_a_call_made_by_a_signals_handler_does_not_wait_for_the_one_it_interrupts(
    routed, snapshot, model, ask, session, fast
) -> None:
    client = routed(snapshot(model("blue")))
    other = session.client("bedrock-runtime")
    answers: list[Any] = []

    def interrupted() -> None:
        with adoption._lock, current().board._lock:
            answers.append(ask(other))

    caller = threading.Thread(target=interrupted, daemon=True)
    caller.start()
    caller.join(10)
    assert len(answers) == 1
    ask(client)
    other.close()


def test_a_stream_that_breaks_after_a_fault_of_ours_is_a_stream_error(
    routed, snapshot, model, sandbox, monkeypatch
) -> None:
    client = routed(snapshot(model("blue")))
    monkeypatch.setattr("crossfade.shim.course._take", _raise)
    sandbox.fault("exception_event", after_events=3)
    with pytest.raises(EventStreamError):
        list(client.converse_stream(modelId="support-chat", messages=MESSAGES)["stream"])


def left_at_its_end(client: Any) -> Any:
    response = client.converse_stream(modelId="support-chat", messages=MESSAGES)
    for event in response["stream"]:
        if "messageStop" in event:
            break
    return response
