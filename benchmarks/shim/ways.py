"""Ways: the calls that are timed, each as plain boto3 makes it and as the shim does, in one process and in turn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import boto3

import crossfade
from benchmarks.controller import controller, snapshot_of
from crossfade.core.model import Model, Price, Target
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.sandbox.running import Sandbox

REGIONS = ("us-east-1", "us-west-2")
TEXT = " ".join(f"{word:050d}" for word in range(20))
"""Asked and answered: 1 KB, in a stream 20 pieces."""
ASKED = {"messages": [{"role": "user", "content": [{"text": TEXT}]}], "inferenceConfig": {"maxTokens": 1000}}
PLAIN = "plain boto3"
OPERATIONS = ("Converse", "ConverseStream")

Call = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One way's processor time a call in microseconds, and its ratio to plain boto3's: the medians of all rounds, and
    the quartiles of the ratio."""

    operation: str
    way: str
    microseconds: float
    ratio: float
    low: float
    high: float


@contextlib.contextmanager
def ways_of(operation: str, *, plain_twice: bool = False) -> Iterator[dict[str, Call]]:
    """Each way's one call, against one sandbox. `plain_twice` adds plain boto3 again, to show what chance does."""
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(REGIONS, models=("echo",)))
        settings = stack.enter_context(controller(_snapshot(sandbox)))
        stack.callback(_uninstall)
        session = boto3.session.Session(
            aws_access_key_id="benchmark", aws_secret_access_key="benchmark", region_name=REGIONS[0]
        )
        plain = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(REGIONS[0]))
        crossfade.install(session, **settings)
        routed = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(REGIONS[0]))

        def call(client: Any, model_id: str) -> Call:
            ask = _ask if operation == "Converse" else _stream
            return lambda: ask(client, model_id)

        sticky = call(routed, "in-rollout")

        def with_key() -> None:
            with crossfade.context(key="user-1234"):
                sticky()

        found = {
            PLAIN: call(plain, "crossfade.echo-plain-v1:0"),
            "no route of that name": call(routed, "crossfade.echo-plain-v1:0"),
            "a route without a rollout": call(routed, "settled"),
            "a live rollout": sticky,
            "a live rollout, with a key": with_key,
        }
        if plain_twice:
            found[f"{PLAIN}, again"] = call(plain, "crossfade.echo-plain-v1:0")
        yield found


def measure(operation: str, *, rounds: int, calls: int) -> list[Timed]:
    """Processor time of this process: the server is another one, and what the shim's threads do is counted."""
    taken: dict[str, list[float]] = {}
    with ways_of(operation, plain_twice=True) as ways:
        for number in range(rounds + 1):
            for name, call in ways.items():
                begun = time.process_time()
                for _ in range(calls):
                    call()
                if number:  # the first round only warms up
                    taken.setdefault(name, []).append((time.process_time() - begun) * 1e6 / calls)
    return [_timed(operation, name, times, taken[PLAIN]) for name, times in taken.items()]


def _timed(operation: str, way: str, times: list[float], plain: list[float]) -> Timed:
    ratios = [mine / theirs for mine, theirs in zip(times, plain, strict=True)]
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Timed(operation=operation, way=way, microseconds=median(times), ratio=middle, low=low, high=high)


def _ask(client: Any, model_id: str) -> None:
    answer = client.converse(modelId=model_id, **ASKED)
    assert answer["output"]["message"]["content"][0]["text"] == TEXT


def _stream(client: Any, model_id: str) -> None:
    events = list(client.converse_stream(modelId=model_id, **ASKED)["stream"])
    assert "metadata" in events[-1]


def _snapshot(sandbox: Sandbox) -> Snapshot:
    models = {}
    for name in ("blue", "green"):
        model_id = f"crossfade.echo-{name}-v1:0"
        targets = (Target(region=r, model_id=model_id, endpoint_url=sandbox.endpoint(r)) for r in REGIONS)
        models[name] = Model(name=name, targets=tuple(targets), price=Price(input_per_1k=0.001, output_per_1k=0.005))
    live = Live(rollout=1, step=1, weight=50.0, salt="salt", green="green")
    entries = (
        Entry(id=1, route=Route(name="settled", blue="blue")),
        Entry(id=2, route=Route(name="in-rollout", blue="blue"), live=live),
    )
    return snapshot_of(entries, models.values())


def _uninstall() -> None:
    from crossfade.shim import runtime

    runtime.end()
