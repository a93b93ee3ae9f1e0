"""What the log says of bad days, through both faces: each thing once in ten minutes, and nothing of good ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

import crossfade
from crossfade.core.outcome import Outcome
from crossfade.shim import runtime
from crossfade.shim.classify import Failure
from crossfade.shim.trouble import EVERY, Trouble

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
MESSAGES = [{"role": "user", "content": [{"text": "bonjour"}]}]

Said = Callable[..., list[str]]


@pytest.fixture
def said(caplog) -> Said:
    """What was logged with these actions, oldest first."""
    caplog.set_level(logging.INFO, logger="crossfade")
    return lambda *actions: [r.getMessage() for r in caplog.records if getattr(r, "action", "") in actions]


def an_hour_later(trouble: Trouble) -> None:
    trouble._told = {what: at - 3600 for what, at in trouble._told.items()}


def wait_for(truth: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_total_outage_is_said_once_with_what_bedrock_answered_and_which_route_went_without(
    routed, snapshot, model, sandbox, ask, said
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("unavailable", message="no room")
    for _ in range(3):
        assert ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
    [in_vain], [unanswered] = said("asked_in_vain"), said("call_unanswered")
    assert in_vain.startswith(f"Bedrock in {EAST} was asked in vain (unavailable: ")
    assert "no room" in in_vain
    assert f"a call of route '{ROUTE}', which ended with the busy answer (targets asked: 2; " in unanswered
    assert f"blue in {EAST}: unavailable" in unanswered
    assert f"blue in {WEST}: unavailable" in unanswered

    shim = runtime.current()
    assert shim is not None
    an_hour_later(shim.board.trouble)
    ask(client)
    assert [len(said(action)) for action in ("asked_in_vain", "call_unanswered")] == [2, 2]


def test_each_kind_of_failure_has_a_line_of_its_own_even_where_the_call_goes_well(
    routed, snapshot, model, sandbox, ask, said
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("internal", region=EAST)
    ask(client)
    sandbox.clear()
    sandbox.fault("throttle", region=EAST)  # second: who was throttled is left out by chance
    ask(client)
    outage, throttled = said("asked_in_vain")
    assert f"{EAST} was asked in vain (throttled: " in throttled
    assert f"{EAST} was asked in vain (outage: " in outage
    assert said("call_unanswered") == []


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_what_is_raised_since_all_are_exhausted_is_said(
    routed, snapshot, model, fast, sandbox, said, operation
) -> None:
    client = routed(snapshot(model("blue", EAST), policy=replace(fast, busy=False)))
    sandbox.fault("unavailable")
    with pytest.raises(ClientError, match="found no Model"):
        getattr(client, operation)(modelId=ROUTE, messages=MESSAGES)
    [line] = said("call_unanswered")
    assert f"ended with ServiceUnavailableException (targets asked: 1; blue in {EAST}: unavailable" in line


def test_a_refusal_is_said_as_what_it_is_and_the_callers_own_fault_never(
    routed, snapshot, model, sandbox, ask, said
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("validation", message="a secret of the caller's")
    with pytest.raises(ClientError, match="a secret"):
        ask(client)
    assert said("asked_in_vain", "call_unanswered") == []
    sandbox.clear()
    sandbox.fault("access_denied")
    with pytest.raises(ClientError, match="AccessDenied"):
        ask(client)
    [line] = said("asked_in_vain")
    assert "(denied: " in line
    assert said("call_unanswered") == [], "the caller has the error itself"


def test_a_good_day_says_nothing(routed, snapshot, model, ask, said) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    assert said("asked_in_vain", "call_unanswered", "feed_back", "courier_back") == []


def test_copies_that_fail_are_no_calls_without_an_answer_and_hide_no_callers_failure(
    routed, snapshot, model, sandbox, ask, said
) -> None:
    found = snapshot(model("blue"), model("green"))
    entry = found.entries[ROUTE]
    entry = replace(entry, live=replace(entry.live, step=0, weight=0.0, shadow=100.0))
    client = routed(replace(found, entries={ROUTE: entry}))
    green = found.models["green"].targets[0].model_id
    sandbox.fault("unavailable", model=green)
    assert not ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
    wait_for(lambda: crossfade.health()["shadow"]["failed"] and not crossfade.health()["shadow"]["waiting"])
    assert said("call_unanswered") == []
    assert len(said("asked_in_vain")) == 1
    sandbox.fault("unavailable")
    ask(client)
    assert len(said("asked_in_vain")) == 2


def test_that_the_controller_answers_again_is_said_once(
    routed, snapshot, model, controller, ask, said, monkeypatch
) -> None:
    monkeypatch.setattr("crossfade.shim.feed._RETRY_MOST", 0.1)
    client = routed(snapshot(model("blue")))
    controller.status = controller.snapshot_status = 503
    ask(client)
    assert not crossfade.flush(2)
    controller.serve_snapshot(snapshot(model("blue")))  # ends the long poll
    wait_for(lambda: said("feed_away"))
    assert said("feed_back", "courier_back") == []
    controller.status = controller.snapshot_status = 0
    for _ in range(2):
        assert crossfade.flush(5)
    wait_for(lambda: said("feed_back"))
    assert [len(said(action)) for action in ("feed_back", "courier_back")] == [1, 1]


def test_many_threads_say_it_once_and_a_logger_that_raises_harms_nobody(said, monkeypatch) -> None:
    trouble, failure = Trouble(), Failure(outcome=Outcome.OUTAGE, error=OSError("a page\nof a proxy's " + "x" * 9999))
    threads = [threading.Thread(target=trouble.failed, args=(failure, EAST, 1000.0)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [line] = said("asked_in_vain")
    assert "a page of a proxy's" in line
    assert len(line) < 700

    def breaks(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a filter of the service's")

    monkeypatch.setattr("crossfade.shim.trouble.log.handle", breaks)
    trouble.failed(failure, EAST, 1000.0 + EVERY)
    trouble.unanswered(3, ROUTE, "the busy answer", 0, "no time", 1000.0)
