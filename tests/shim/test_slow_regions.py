"""Latency is availability, over sockets: a region that has become slow is left, and comes back by a few real calls."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

import crossfade

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
MESSAGES = [{"role": "user", "content": [{"text": "one two three four"}]}]


def region_of(client: Any, operation: str) -> str:
    if operation == "Converse":
        found = client.converse(modelId=ROUTE, messages=MESSAGES)
    else:
        found = client.converse_stream(modelId=ROUTE, messages=MESSAGES)
        list(found["stream"])
    return str(found["ResponseMetadata"]["Crossfade"]["region"])


@pytest.mark.parametrize(("operation", "kind"), [("Converse", "latency"), ("ConverseStream", "slow_first_token")])
def test_a_region_that_has_become_slow_is_left_by_its_breaker_and_probed_with_real_calls(
    routed, snapshot, model, sandbox, fast, operation, kind
) -> None:
    policy = replace(
        fast, slow_least=0.2, slow_samples=10, slow_factor=5, breaker_in_a_row=3, breaker_open=0.5,
        breaker_open_most=0.5, breaker_spread=0, prefer_again=0.5,
    )  # fmt: skip
    client = routed(snapshot(model("blue"), policy=policy))
    assert {region_of(client, operation) for _ in range(15)} == {EAST}
    fault = sandbox.fault(kind, region=EAST, seconds=0.4)
    assert [region_of(client, operation) for _ in range(3)] == [EAST] * 3
    assert region_of(client, operation) == WEST, "after three slow answers in a row"
    time.sleep(0.6)
    sandbox.clear_log()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(region_of(client, operation))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found).count(EAST) == 1, "one call at a time sees whether it has recovered"
    sandbox.clear(fault)
    until = time.monotonic() + 30
    while [region_of(client, operation) for _ in range(5)] != [EAST] * 5:
        assert time.monotonic() < until
        time.sleep(0.2)
    assert crossfade.health()["breakers"] == {}


@pytest.mark.parametrize(("operation", "kind"), [("Converse", "latency"), ("ConverseStream", "slow_first_token")])
def test_a_region_that_was_always_slow_is_left_for_a_quicker_one(
    routed, snapshot, model, sandbox, fast, operation, kind
) -> None:
    client = routed(snapshot(model("blue"), policy=replace(fast, slow_least=0.1, slow_samples=5)))
    sandbox.fault(kind, region=EAST, seconds=0.3)
    seen = [region_of(client, operation) for _ in range(10)]
    assert (seen[:5], seen[-3:]) == ([EAST] * 5, [WEST] * 3)
