"""A call is never sent twice at a time, and never again once bytes of its answer have reached the caller: by the
sandbox's log, which has the moments of each request.

Every request takes at least PACE, so that two of a call that are out at a time overlap by more than SLACK.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest

ROUTE = "support-chat"
EAST, WEST = "us-east-1", "us-west-2"
PACE, SLACK = 0.3, 0.15
PATIENCE = 1.0
"""Seconds to the first token: an attempt that hangs is over then, whenever the sandbox notices."""
MESSAGES = [{"role": "user", "content": [{"text": "one two three four five six seven eight nine ten"}]}]

BEFORE = {"throttle": 2, "internal": 2, "reset": 2, "hang": 1, "model_error": 2, "validation": 1}
"""Kind -> how many requests of a call meet it."""
AFTER = [
    ("exception_event", {"exception": "throttlingException"}),
    ("exception_event", {"exception": "internalServerException"}),
    ("no_message_stop", {}),
    ("bad_checksum", {}),
    ("reset", {"after_events": 4}),
    ("stall", {}),
]


def requests(sandbox: Any) -> list[tuple[float, float]]:
    """When each began and ended, oldest first."""
    sandbox.settle()
    log = sorted(sandbox.log(), key=lambda entry: float(entry["at"]))
    spans = [
        (e["at"], e["at"] + (min(e["seconds"], PATIENCE) if e["outcome"] == "left" else e["seconds"])) for e in log
    ]
    sandbox.clear_log()
    return spans


def overlap(spans: list[tuple[float, float]]) -> float:
    """The longest time for which two requests were out."""
    return max((before[1] - after[0] for before, after in itertools.pairwise(spans)), default=-PACE)


def read(client: Any, operation: str) -> float:
    """Asks, reads on to the end or to where it breaks, and gives the moment at which the caller first had something
    of the answer."""
    if operation == "Converse":
        client.converse(modelId=ROUTE, messages=MESSAGES)
        return time.time()
    first = time.time()
    stream = client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"]
    try:
        for number, _ in enumerate(stream):
            first = first if number else time.time()
    except Exception:
        pass
    return first


@pytest.fixture
def patient(fast: Any) -> Any:
    return replace(fast, first_token=PATIENCE, attempt_share=0.2, stall=0.5, deadline=8, stream_deadline=8)


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream"])
def test_one_request_of_a_call_is_over_before_the_next_begins(
    routed, snapshot, model, sandbox, patient, operation
) -> None:
    client = routed(snapshot(model("blue"), model("green"), fallbacks=(model("small"),), policy=patient))
    for kind, times in BEFORE.items():
        sandbox.fault("latency", seconds=PACE)
        sandbox.fault(kind, count=times)
        read(client, operation)
        sandbox.clear()
        spans = requests(sandbox)
        assert len(spans) == times + 1, kind
        assert overlap(spans) < SLACK, (kind, spans)


def test_nothing_is_sent_again_once_the_caller_has_something(routed, snapshot, model, sandbox, patient) -> None:
    client = routed(snapshot(model("blue"), model("green"), fallbacks=(model("small"),), policy=patient))
    for kind, params in AFTER:
        sandbox.fault("unavailable", count=1)
        sandbox.fault(kind, **params)
        first = read(client, "ConverseStream")
        sandbox.clear()
        spans = requests(sandbox)
        assert len(spans) == 2, kind
        assert max(began for began, _ in spans) < first, kind


def test_a_hedged_call_is_sent_twice_at_a_time(routed, snapshot, model, sandbox, patient) -> None:
    """What the measure shows where it must."""
    hedging = replace(patient, hedge=True, hedge_share=1.0, first_token=5.0, attempt_share=0.9)
    client = routed(snapshot(model("blue"), policy=hedging))
    for _ in range(25):
        read(client, "Converse")
    requests(sandbox)
    sandbox.fault("latency", seconds=1.0)
    read(client, "Converse")
    assert overlap(requests(sandbox)) > SLACK
