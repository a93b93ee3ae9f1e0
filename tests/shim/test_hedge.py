"""Hedging: a second request to another region for an answer that is late, within its budget, both of them booked."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

import crossfade
from crossfade.core.policy import Settings
from crossfade.shim import runtime
from crossfade.shim.throttle import Budget

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
MESSAGES = [{"role": "user", "content": [{"text": "one two three four"}]}]
OPERATIONS = ["Converse", "ConverseStream"]
LONG = 20.0
"""Seconds that no call here may take, since another region would answer at once."""


def ask_by(client: Any, operation: str) -> tuple[dict[str, Any], str]:
    if operation == "Converse":
        found = client.converse(modelId=ROUTE, messages=MESSAGES)
        return found["ResponseMetadata"]["Crossfade"], found["output"]["message"]["content"][0]["text"]
    found = client.converse_stream(modelId=ROUTE, messages=MESSAGES)
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in found["stream"] if "contentBlockDelta" in event]
    return found["ResponseMetadata"]["Crossfade"], "".join(deltas)


@pytest.fixture
def hedging(fast) -> Settings:
    return replace(
        fast, deadline=60, stream_deadline=60, first_token=50, hedge=True, hedge_share=1.0, slow_samples=5,
        slow_factor=100, prefer_factor=100,
    )  # fmt: skip


@pytest.fixture
def hedged(routed, snapshot, model, hedging, sandbox, controller):
    """A client of a route that is hedged, whose usual times are known: `usual` seconds, or no time."""

    def make(operation: str, *, policy: Settings = hedging, fallbacks: tuple[Any, ...] = (), usual: float = 0.0) -> Any:
        client = routed(snapshot(model("blue"), policy=policy, fallbacks=fallbacks))
        if usual:
            sandbox.fault("latency", seconds=usual)
        for _ in range(6):
            ask_by(client, operation)
        sandbox.clear()
        crossfade.flush()
        controller.batches.clear()
        sandbox.clear_log()
        return client

    return make


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_of_ours_in_hedging_leaves_the_call_to_its_first_request(
    hedged, sandbox, calls, monkeypatch, operation
) -> None:
    client = hedged(operation)
    shim = runtime.current()
    assert shim is not None
    monkeypatch.setattr(shim.board, "take_hedge", lambda *_: 1 / 0)
    sandbox.fault("latency", region=EAST, seconds=1.0)
    told, text = ask_by(client, operation)
    assert (told["region"], told["hedged"], text) == (EAST, False, "one two three four")
    assert [outcome for _, _, outcome in calls()] == ["answered"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_late_answer_is_overtaken_by_another_region_and_both_are_booked(
    hedged, sandbox, controller, calls, operation
) -> None:
    client = hedged(operation, usual=0.3)  # so that the usual call below is not late on a busy machine
    sandbox.fault("latency", region=EAST, seconds=LONG)
    began = time.monotonic()
    told, text = ask_by(client, operation)
    assert time.monotonic() - began < LONG
    assert (told["region"], told["hedged"], told["attempts"], text) == (WEST, True, 2, "one two three four")
    assert sorted((region, outcome) for region, _, outcome in calls()) == [(EAST, "left"), (WEST, "answered")]
    sandbox.clear()
    sandbox.clear_log()
    usual, _ = ask_by(client, operation)
    assert (usual["region"], usual["hedged"]) == (EAST, False)
    crossfade.flush()
    assert controller.total("attempts") == {"abandoned": 1, "ok": 2}
    assert (controller.total("outcomes"), controller.total("judged")) == ({"ok": 2}, 2)
    assert (controller.total("retries"), controller.total("failovers")) == (0, 0)
    by_region = {row["region"]: row for row in controller.rows()}
    assert by_region[WEST]["tokens_in"] == 2 * by_region[EAST]["tokens_in"]
    assert by_region[WEST]["cost_sum"] == pytest.approx(2 * by_region[EAST]["cost_sum"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_first_request_may_still_win_and_the_other_is_given_up(
    hedged, sandbox, controller, calls, operation
) -> None:
    client = hedged(operation)
    sandbox.fault("latency", region=EAST, seconds=0.5)
    sandbox.fault("latency", region=WEST, seconds=LONG)
    told, text = ask_by(client, operation)
    assert (told["region"], told["hedged"], told["attempts"], text) == (EAST, True, 2, "one two three four")
    assert sorted((region, outcome) for region, _, outcome in calls()) == [(EAST, "answered"), (WEST, "left")]
    crossfade.flush()
    assert controller.total("attempts") == {"abandoned": 1, "ok": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_second_request_that_fails_costs_the_first_nothing(hedged, sandbox, controller, caplog, operation) -> None:
    client = hedged(operation)
    sandbox.fault("latency", region=EAST, seconds=0.5)
    sandbox.fault("unavailable", region=WEST)
    told, _ = ask_by(client, operation)
    assert (told["region"], told["hedged"], told["attempts"]) == (EAST, False, 2)
    crossfade.flush()
    assert controller.total("attempts") == {"unavailable": 1, "ok": 1}
    assert f"Bedrock in {WEST} was asked in vain (unavailable: " in caplog.text


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_first_request_that_fails_late_waits_for_the_second(hedged, sandbox, controller, operation) -> None:
    client = hedged(operation)
    sandbox.fault("internal", region=EAST)
    sandbox.fault("latency", region=EAST, seconds=0.4)
    sandbox.fault("latency", region=WEST, seconds=0.8)
    told, _ = ask_by(client, operation)
    assert (told["region"], told["hedged"], told["attempts"]) == (WEST, False, 2)
    crossfade.flush()
    assert controller.total("attempts") == {"outage": 1, "ok": 1}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_both_have_failed_the_call_goes_on_by_the_table(
    hedged, model, sandbox, controller, calls, operation
) -> None:
    client = hedged(operation, fallbacks=(model("small", EAST),))
    sandbox.fault("internal", model=model_id("blue"))
    sandbox.fault("latency", model=model_id("blue"), seconds=0.4)
    told, _ = ask_by(client, operation)
    assert (told["model"], told["attempts"], told["hedged"]) == ("small", 3, False)
    assert sorted(calls()) == [
        (EAST, "blue", "InternalServerException"),
        (EAST, "small", "answered"),
        (WEST, "blue", "InternalServerException"),
    ]
    crossfade.flush()
    assert controller.total("attempts") == {"outage": 2, "ok": 1}
    assert controller.total("outcomes") == {"outage": 1}


def test_it_is_off_where_the_route_does_not_switch_it_on_and_for_what_is_no_answer(
    hedged, hedging, sandbox, calls
) -> None:
    client = hedged("Converse", policy=replace(hedging, hedge=False))
    sandbox.fault("latency", seconds=0.4)
    ask_by(client, "Converse")
    assert [region for region, _, _ in calls()] == [EAST]
    client = hedged("Converse")
    for _ in range(6):
        client.count_tokens(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    sandbox.clear_log()
    sandbox.fault("latency", seconds=0.4)
    client.count_tokens(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    assert [region for region, _, _ in calls()] == [EAST]


def test_no_more_calls_are_hedged_than_the_budget_allows(hedged, hedging, sandbox, calls) -> None:
    client = hedged("Converse", policy=replace(hedging, hedge_share=0.2))
    sandbox.fault("latency", region=EAST, seconds=0.3)
    seen = [ask_by(client, "Converse")[0]["hedged"] for _ in range(9)]
    assert sum(seen) <= 0.2 * 15
    assert any(seen)


def test_the_budget_of_hedges_is_a_share_of_recent_calls() -> None:
    settings, budget = Settings(hedge=True), Budget()
    taken = 0
    for second in range(40):
        budget.note_call(second, settings)
        taken += budget.take_hedge(second, settings)
    assert taken == 2
    assert not Budget().take_hedge(0, Settings(hedge=True, hedge_share=1)), "nothing is known to be a share of"


def test_hedged_calls_of_many_threads_are_each_answered_once(hedged, sandbox, controller) -> None:
    client = hedged("Converse")
    sandbox.fault("latency", region=EAST, seconds=0.2, jitter=0.2)
    answers: list[str] = []

    def run() -> None:
        for _ in range(3):
            answers.append(ask_by(client, "Converse")[1])

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["one two three four"] * 24
    crossfade.flush()
    assert (controller.total("calls"), controller.total("outcomes")) == (24, {"ok": 24})
    sandbox.settle()
    assert sum(controller.total("attempts").values()) == len(sandbox.log())


def test_a_service_that_ends_in_the_middle_of_a_hedged_call_leaves_nothing_behind(hedged, sandbox) -> None:
    client = hedged("ConverseStream")
    sandbox.fault("latency", region=EAST, seconds=LONG)
    stream = client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"]
    next(iter(stream))
    stream.close()
    until = time.monotonic() + 10
    while any(thread.name == "crossfade-hedge" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_after_both_have_failed_a_fault_of_ours_leaves_the_caller_the_error(
    hedged, sandbox, controller, monkeypatch
) -> None:
    client = hedged("Converse")
    sandbox.fault("internal")
    sandbox.fault("latency", seconds=0.4)

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("a fault nobody thought of")

    monkeypatch.setattr("crossfade.shim.course._take_other", fail)
    with pytest.raises(client.exceptions.InternalServerException):
        ask_by(client, "Converse")
    crossfade.flush()
    assert controller.total("calls") == 1


def test_after_both_were_rejected_the_caller_gets_the_error(hedged, sandbox, calls) -> None:
    client = hedged("Converse")
    sandbox.fault("validation")
    sandbox.fault("latency", seconds=0.4)
    with pytest.raises(client.exceptions.ValidationException):
        ask_by(client, "Converse")
    assert len(calls()) == 2


def model_id(name: str) -> str:
    from crossfade.shim import runtime

    return str(runtime.current().feed.snapshot.models[name].targets[0].model_id)
