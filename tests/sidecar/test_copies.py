"""Copies at a shadow step beside the service: what holds for both faces is in tests/shim/test_shadow.py."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

import crossfade
from crossfade.core.pair import PairLosses

from .conftest import EAST, ROUTE, Caller, Process
from .test_process import ready, until

QUESTION = {"model": ROUTE, "messages": [{"role": "user", "content": "bonjour tout le monde"}]}


def pairs(controller: Any) -> dict[tuple[float, float] | None, int]:
    """How many pairs have these losses (blue's, green's) of the error rate."""
    of = PairLosses("error_rate", None).of
    found: dict[tuple[float, float] | None, int] = {}
    for row in controller.rows():
        for key, n in row.get("pairs", {}).items():
            found[of(key)] = found.get(of(key), 0) + n
    return found


def green(controller: Any) -> list[dict[str, Any]]:
    return [row for row in controller.rows() if row["variant"] == "green"]


@pytest.mark.parametrize("streams", [False, True])
def test_chat_completions_are_copied(beside, at_shadow, sandbox, controller, calls, streams) -> None:
    caller = beside(at_shadow())
    reply = caller.ask("POST", "/v1/chat/completions", QUESTION | {"stream": streams})
    assert (reply.status, reply.headers["x-crossfade-variant"]) == (200, "blue")
    until(lambda: crossfade.flush() and green(controller))
    assert pairs(controller) == {(0.0, 0.0): 1}
    assert [name for _, name, _ in calls()] == ["blue", "green"]


def test_a_call_that_comes_while_a_copy_hangs_waits_for_nothing(beside, at_shadow, model, sandbox) -> None:
    candidate = model("green", EAST)
    caller = beside(at_shadow(green=candidate, deadline=60))
    sandbox.fault("hang", model=candidate.targets[0].model_id)
    began = time.monotonic()
    assert [caller.converse().status for _ in range(30)] == [200] * 30
    assert time.monotonic() - began < 20
    counts = crossfade.health()["shadow"]
    assert (counts["waiting"], counts["dropped"]) == (16, 14)


def test_pairs_and_counts_come_through_to_the_controller_and_to_metrics_from_all_workers(
    at_shadow, model, sandbox, controller, environment
) -> None:
    candidate = model("green", EAST)
    controller.serve_snapshot(at_shadow(green=candidate))
    with Process("--workers", "2", **environment) as process:
        caller = ready(process)
        sandbox.fault("model_error", model=candidate.targets[0].model_id, count=2)  # the one copy, and again
        caller.converse()
        until(lambda: sum(row["copies"] for row in green(controller)) == 1)
        for _ in range(19):
            assert caller.converse().headers["x-crossfade-model"] == "blue"
        until(lambda: sum(row["copies"] for row in green(controller)) == 20)
        expected = (
            f'crossfade_calls_total{{route="{ROUTE}",variant="blue",outcome="ok"}} 20',
            f'crossfade_attempts_total{{route="{ROUTE}",variant="green",outcome="ok"}} 19',
            f'crossfade_attempts_total{{route="{ROUTE}",variant="green",outcome="model_error"}} 2',
            'crossfade_copies_total{result="failed"} 1',
            'crossfade_copies_total{result="dropped"} 0',
            'crossfade_copies_total{result="sent"} 20',
        )

        text = ""

        def told() -> bool:
            nonlocal text
            text = _metrics(caller)  # by either worker, and not both know the same
            return all(line in text for line in expected)

        until(told)
    assert process.wait() == 0
    assert pairs(controller) == {(0.0, 1.0): 1, (0.0, 0.0): 19}
    assert sum(row.get("cost_n", 0) for row in green(controller)) == 19
    assert f'crossfade_cost_dollars_total{{route="{ROUTE}",variant="green"}}' in text
    for name in ("calls", "served", "raised"):  # no caller has met green
        assert f'crossfade_{name}_total{{route="{ROUTE}",variant="green"' not in text


def _metrics(caller: Caller) -> str:
    return caller.ask("GET", "/metrics").body.decode()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_at_sigterm_copies_under_way_are_finished_and_none_is_begun(
    at_shadow, model, sandbox, controller, environment, calls, tmp_path, loop
) -> None:
    if loop == "asyncio":  # granian takes uvloop where it is installed
        (tmp_path / "uvloop.py").write_text("raise ImportError('not here')")
        environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}
    else:
        pytest.importorskip("uvloop")
    serving, candidate = model("blue", EAST), model("green", EAST)
    controller.serve_snapshot(at_shadow(serving, candidate))
    sandbox.fault("latency", seconds=1.5, model=candidate.targets[0].model_id)
    with Process(**environment) as process:
        caller = ready(process)
        assert caller.converse().status == 200
        until(lambda: sandbox.counts()["in_flight"] == 1)
        sandbox.fault("latency", seconds=1.0, model=serving.targets[0].model_id)
        replies: list[Any] = []
        asking = threading.Thread(target=lambda: replies.append(caller.converse()))
        asking.start()
        until(lambda: sandbox.counts()["in_flight"] == 2)
        process.terminate()
        asking.join(10)
        assert process.wait() == 0
    assert process.said == []
    assert [reply.status for reply in replies] == [200]
    assert sum(row["calls"] for row in controller.rows() if row["variant"] == "blue") == 2
    assert pairs(controller) == {(0.0, 0.0): 1}
    assert [name for _, name, _ in calls()].count("green") == 1


def test_a_copy_that_hangs_at_sigterm_is_given_up_before_the_drain_is_over_and_is_no_word_on_green(
    at_shadow, model, sandbox, controller, environment
) -> None:
    candidate = model("green", EAST)
    controller.serve_snapshot(at_shadow(green=candidate, deadline=60))
    sandbox.fault("hang", model=candidate.targets[0].model_id)
    with Process(**environment, CROSSFADE_SIDECAR_DRAIN_SECONDS="4") as process:
        caller = ready(process)
        assert caller.converse().status == 200
        until(lambda: sandbox.counts()["in_flight"] == 1)
        process.terminate()
        assert process.wait() == 0
    assert process.said == []  # the worker was not killed
    assert [row["calls"] for row in controller.rows() if row["variant"] == "blue"] == [1]
    assert [(row["copies"], row["outcomes"], row.get("judged", 0)) for row in green(controller)] == [
        (1, {"abandoned": 1}, 0)
    ]
    sandbox.clear()
