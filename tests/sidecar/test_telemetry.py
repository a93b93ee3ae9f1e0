"""Spans and metrics of the workers, set up by a distro as people install one; their content is tests/shim's matter."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crossfade.shim import semconv

from .conftest import CONVERSE, EAST, ROUTE, WEST, Caller, Process
from .test_process import ready, until

DISTRO = '''
import aiohttp
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator


class Distro:
    """Has an instrumentation of aiohttp besides, as one does."""

    def configure(self):
        plain, tracer = aiohttp.ClientSession._request, trace.get_tracer("aiohttp")

        async def request(session, method, url, **more):
            with tracer.start_as_current_span("POST"):
                return await plain(session, method, url, **more)

        aiohttp.ClientSession._request = request


class Broken(TextMapPropagator):
    fields = set()

    def extract(self, carrier, context=None, getter=None):
        raise ZeroDivisionError("a propagator that breaks")

    def inject(self, carrier, context=None, setter=None):
        pass
'''
ENTRY_POINTS = """
[opentelemetry_distro]
of_the_test = a_distro:Distro
[opentelemetry_configurator]
of_the_test = opentelemetry.sdk._configuration:_OTelSDKConfigurator
[opentelemetry_propagator]
broken = a_distro:Broken
"""


@pytest.fixture
def telling(environment: dict[str, str], tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a sidecar with a distro, which shows everything on its standard output."""
    home = tmp_path / "installed"
    about = home / "a_distro-1.dist-info"
    about.mkdir(parents=True)
    (home / "a_distro.py").write_text(DISTRO)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: a-distro\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    path = os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])
    shown = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}
    return lambda **more: environment | {"CROSSFADE_TELEMETRY": "on", "PYTHONPATH": path} | shown | more


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents in what a process said."""
    found, decoder = [], json.JSONDecoder()
    while (start := text.find("{")) >= 0:
        document, length = decoder.raw_decode(text[start:])
        found.append(document)
        text = text[start + length :]
    return found


def ended(process: Process) -> list[dict[str, Any]]:
    """Ends it; what it has shown."""
    process.terminate()
    said = process.rest()
    assert process.wait() == 0
    return documents(said)


def traceparent(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


def test_calls_of_all_workers_are_spans_of_their_callers_traces_and_never_of_each_others(
    snapshot, model, sandbox, controller, telling
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    sandbox.fault("internal", region=EAST)  # asked again after a while, in which others ask
    sandbox.fault("latency", region=WEST, seconds=0.2)

    def ask(caller: Caller, number: int) -> Any:
        said = {"traceparent": traceparent(number), "tracestate": f"vendor={number}"}
        match number % 3:
            case 0:
                return caller.ask("POST", f"/model/{ROUTE}/converse", CONVERSE, **said)
            case 1:
                return caller.ask("POST", f"/model/{ROUTE}/converse-stream", CONVERSE, **said)
            case _:
                body = {"model": ROUTE, "messages": [{"role": "user", "content": "bonjour"}]}
                return caller.ask("POST", "/v1/chat/completions", body, **said)

    with Process("--workers", "2", **telling()) as process:
        caller = ready(process)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda number: ask(caller, number), range(1, 49)))
        said = ended(process)
    assert all("was asked in vain" in line for line in process.said)
    assert {reply.status for reply in replies} == {200}
    assert controller.total("calls") == 48
    spans = [found for found in said if "context" in found]
    calls = {span["context"]["trace_id"]: span for span in spans if span["name"] == f"chat {ROUTE}"}
    requests = [span for span in spans if span["name"] == "POST"]
    assert len(requests) + len(calls) == len(spans) > 3 * 40, "nearly every call asks in the east first"
    assert calls.keys() == {f"0x{number:032x}" for number in range(1, 49)}
    for number, reply in enumerate(replies, 1):
        call = calls[f"0x{number:032x}"]
        assert call["parent_id"] == f"0x{number:016x}"
        assert f"key=vendor, value={number}}}" in call["context"]["trace_state"]
        assert call["attributes"][semconv.CALL_ID] == reply.headers["x-crossfade-call-id"]
        own = [span for span in requests if span["context"]["trace_id"] == call["context"]["trace_id"]]
        assert {span["parent_id"] for span in own} == {call["context"]["span_id"]}
        assert [event["name"] for event in call["events"]] == [semconv.ATTEMPT] * len(own)
    assert _counted(said, semconv.DURATION) == 48
    assert {span["resource"]["attributes"]["service.instance.id"] for span in spans}


def _counted(said: list[dict[str, Any]], name: str) -> int:
    """How many values a histogram had at the end, in all workers."""
    last: Counter[str] = Counter()
    for document in said:
        for resource in document.get("resource_metrics", ()):
            instance = str(resource["resource"])
            for metric in (metric for scope in resource["scope_metrics"] for metric in scope["metrics"]):
                if metric["name"] == name:
                    last[instance] = sum(point["count"] for point in metric["data"]["data_points"])
    return sum(last.values())


def test_a_caller_without_a_trace_begins_one_and_one_that_is_not_sampled_stays_so(
    snapshot, model, sandbox, controller, telling
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(**telling()) as process:
        caller = ready(process)
        for said in ({}, {"traceparent": "nonsense"}, {"traceparent": traceparent(7, "00")}):
            assert caller.converse(**said).status == 200
        assert caller.converse("crossfade.echo-v1:0").status != 200  # no route's, and AWS is not here
        spans = [found for found in ended(process) if found.get("name") == f"chat {ROUTE}"]
    assert [span["parent_id"] for span in spans] == [None, None]
    assert controller.total("calls") == 3


def test_copies_make_no_spans_and_are_no_part_of_the_call_they_are_of(
    at_shadow, model, sandbox, controller, telling
) -> None:
    controller.serve_snapshot(at_shadow())
    with Process(**telling()) as process:
        caller = ready(process)
        assert caller.converse(traceparent=traceparent(5)).status == 200
        until(lambda: controller.total("copies") == 1)
        spans = [found for found in ended(process) if "context" in found]
    assert sorted(span["name"] for span in spans) == ["POST", "POST", f"chat {ROUTE}"]
    assert sorted(span["context"]["trace_id"] == f"0x{5:032x}" for span in spans) == [False, True, True]


def test_a_fault_in_telemetry_fails_no_call(snapshot, model, sandbox, controller, telling) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(**telling(OTEL_PROPAGATORS="broken")) as process:
        caller = ready(process)
        assert [caller.converse(traceparent=traceparent(9)).status for _ in range(3)] == [200] * 3
    assert process.wait() == 0
    assert controller.total("calls") == 3
    assert [line for line in process.said if "WARNING" in line] == [process.said[0]]
    assert "telemetry of a call failed; calls go on" in process.said[0]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"OTEL_PYTHON_CONFIGURATOR": "nobodys"}, "pip install 'opentelemetry-distro[otlp]'"),
        ({"OTEL_TRACES_EXPORTER": "nobodys"}, "nobodys"),
        ({"OTEL_PROPAGATORS": "nobodys"}, "nobodys"),
    ],
)
def test_what_cannot_be_set_up_is_one_warning_and_no_telemetry(
    snapshot, model, sandbox, controller, telling, more, why
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(**telling(**more)) as process:
        caller = ready(process)
        assert [caller.converse().status for _ in range(3)] == [200] * 3
    assert process.wait() == 0
    warned = [line for line in process.said if "WARNING" in line]
    assert len(warned) == 1
    assert "telemetry is switched on but OpenTelemetry" in warned[0]
    assert why in warned[0]
    assert controller.total("calls") == 3
