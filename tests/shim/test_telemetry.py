"""Telemetry: one span a call, under OpenTelemetry's names, through its real SDK; nothing of it where it is off."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import feature_flag_attributes, gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.trace import SpanKind, StatusCode

import crossfade
from crossfade.core.route import Route
from crossfade.errors import SetupError
from crossfade.shim import otel, runtime, semconv
from crossfade.shim.call import Call
from crossfade.shim.settings import read_settings
from crossfade.shim.telemetry import OFF, telemetry

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
in_the_service = pytest.mark.parametrize("face", ["shim"], indirect=True)
"""What is seen from within the service alone; tests/sidecar/test_telemetry.py has what there is of it beside it."""
MESSAGES = [{"role": "user", "content": [{"text": "one two three four five six"}]}]


class Breaking(SpanProcessor):
    """Somebody's own processor, of which the methods named in `broken` raise."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if "on_start" in self.broken:
            raise ZeroDivisionError("a processor that breaks")

    def on_end(self, span: ReadableSpan) -> None:
        if "on_end" in self.broken:
            raise ZeroDivisionError("a processor that breaks")


class Shown:
    """What came out of the SDK. Its providers can be set once a process only."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
        self._reader = InMemoryMetricReader(preferred_temporality=delta)
        self.breaking = Breaking()
        self.provider = TracerProvider()
        self.provider.add_span_processor(self.breaking)
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        trace.set_tracer_provider(self.provider)
        metrics.set_meter_provider(MeterProvider([self._reader]))

    def clear(self) -> None:
        self.spans.clear()
        self.breaking.broken = set()
        self._reader.get_metrics_data()

    def span(self) -> ReadableSpan:
        (only,) = self.spans.get_finished_spans()
        return only

    def attempts(self) -> list[tuple[str, str, str]]:
        """(Model, region, outcome) of each event of an attempt."""
        events = [event.attributes for event in self.span().events if event.name == semconv.ATTEMPT]
        return [(a[semconv.MODEL], a[semconv.REGION], a[semconv.OUTCOME]) for a in events]

    def points(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """Of each instrument: (attributes, sum) of its points since this was last asked."""
        data = self._reader.get_metrics_data()
        found = (
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return {
            metric.name: [
                (dict(point.attributes), point.sum if hasattr(point, "sum") else point.value)
                for point in metric.data.data_points
            ]
            for metric in found
        }


@pytest.fixture(scope="module")
def sdk() -> Shown:
    return Shown()


@pytest.fixture
def shown(sdk: Shown, settings: dict[str, Any]) -> Iterator[Shown]:
    """Switches telemetry on for `routed`."""
    settings["telemetry"] = True
    otel._told.clear()
    sdk.clear()
    yield sdk
    runtime.end(0.5)


def open_stream(client: Any) -> Any:
    return client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"]


def model_id(made: Any, region: str) -> str:
    return next(target.model_id for target in made.targets if target.region == region)


# spans


def test_a_call_is_one_span_under_the_gen_ai_names(routed, snapshot, model, shown, ask) -> None:
    blue, green = model("blue"), model("green")
    client = routed(snapshot(blue, green, weight=100))
    answer = ask(client)
    span = shown.span()
    said = answer["ResponseMetadata"]["Crossfade"]
    assert span.name == f"chat {ROUTE}"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": ROUTE,
        "gen_ai.response.model": model_id(green, said["region"]),
        "gen_ai.response.finish_reasons": (answer["stopReason"],),
        "gen_ai.usage.input_tokens": answer["usage"]["inputTokens"],
        "gen_ai.usage.output_tokens": answer["usage"]["outputTokens"],
        "feature_flag.key": ROUTE,
        "feature_flag.provider.name": "crossfade",
        "feature_flag.result.variant": "green",
        "feature_flag.result.reason": "split",
        "feature_flag.version": "1",
        "crossfade.call_id": said["call_id"],
        "crossfade.rollout": 12,
        "crossfade.step": 1,
        "crossfade.model": "green",
        "crossfade.region": said["region"],
        "crossfade.outcome": "ok",
        "crossfade.attempts": 1,
        "crossfade.retries": 0,
        "crossfade.failovers": 0,
        "crossfade.busy": False,
        "crossfade.hedged": False,
    }
    assert shown.attempts() == [("green", said["region"], "ok")]


def test_without_a_rollout_the_variant_is_static(routed, snapshot, model, shown, ask) -> None:
    ask(routed(snapshot(model("blue"))))
    told = shown.span().attributes
    assert (told[semconv.FLAG_VARIANT], told[semconv.FLAG_REASON]) == ("blue", "static")
    assert semconv.ROLLOUT not in told


def test_each_attempt_is_an_event_and_what_served_is_told_beside_what_was_assigned(
    routed, snapshot, model, sandbox, shown, ask
) -> None:
    blue, green = model("blue", EAST), model("green", EAST, WEST)
    client = routed(snapshot(blue, green, weight=100))
    for region in (EAST, WEST):
        sandbox.fault("unavailable", region=region, model=model_id(green, region))
    ask(client)
    assert shown.attempts()[-1] == ("blue", EAST, "ok")
    assert {attempt[2] for attempt in shown.attempts()[:-1]} == {"unavailable"}
    told = shown.span().attributes
    assert told[semconv.FLAG_VARIANT] == "green"
    assert (told[semconv.MODEL], told[semconv.RESPONSE_MODEL]) == ("blue", model_id(blue, EAST))
    assert told[semconv.OUTCOME] == "unavailable"
    assert told[semconv.ATTEMPTS] == len(shown.attempts())
    assert semconv.ERROR_TYPE not in told


@pytest.mark.parametrize("busy", [True, False])
def test_a_call_that_no_model_answers_is_an_error(routed, snapshot, model, sandbox, shown, ask, fast, busy) -> None:
    client = routed(snapshot(model("blue", EAST), policy=replace(fast, busy=busy)))
    sandbox.fault("unavailable", region=EAST)
    if busy:
        ask(client)
    else:
        with pytest.raises(ClientError):
            ask(client)
    span = shown.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes[semconv.ERROR_TYPE] == "unavailable"
    assert span.attributes[semconv.BUSY] is busy
    assert semconv.RESPONSE_MODEL not in span.attributes
    assert shown.points()[semconv.DURATION][0][0][semconv.ERROR_TYPE] == "unavailable"


def test_of_a_hedged_call_both_requests_are_events_of_its_one_span(
    routed, snapshot, model, sandbox, shown, ask, fast
) -> None:
    hedging = replace(
        fast, deadline=60, hedge=True, hedge_share=1.0, slow_samples=5, slow_factor=100, prefer_factor=100
    )
    client = routed(snapshot(model("blue"), policy=hedging))
    for _ in range(6):
        ask(client)
    shown.clear()
    sandbox.fault("latency", region=EAST, seconds=20)
    ask(client)
    assert shown.attempts() == [("blue", EAST, "abandoned"), ("blue", WEST, "ok")]
    told = shown.span().attributes
    assert (told[semconv.HEDGED], told[semconv.REGION], told[semconv.OUTCOME]) == (True, WEST, "ok")


@in_the_service
def test_the_span_is_current_while_the_call_is_under_way_and_a_child_of_what_was(
    routed, snapshot, model, shown, ask
) -> None:
    client = routed(snapshot(model("blue")))
    during = []
    client.meta.events.register("before-send.bedrock-runtime", lambda **_: during.append(trace.get_current_span()))
    with trace.get_tracer("service").start_as_current_span("work") as work:
        ask(client)
        assert trace.get_current_span() is work
    call = next(span for span in shown.spans.get_finished_spans() if span.name.startswith("chat"))
    assert [span.get_span_context() for span in during] == [call.get_span_context()]
    assert call.parent == work.get_span_context()


@in_the_service
def test_what_is_not_a_route_gets_no_span(routed, snapshot, model, sandbox, session, shown) -> None:
    blue = model("blue", EAST)
    routed(snapshot(blue))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    assert client.converse(modelId=model_id(blue, EAST), messages=MESSAGES)["stopReason"] == "end_turn"
    assert shown.spans.get_finished_spans() == ()


def test_counting_tokens_and_invoking_have_names_of_their_own(routed, snapshot, model, shown) -> None:
    client = routed(snapshot(model("blue")))
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]})
    client.count_tokens(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    client.invoke_model(modelId=ROUTE, body=body)
    names = [span.name for span in shown.spans.get_finished_spans()]
    assert names == [f"count_tokens {ROUTE}", f"chat {ROUTE}"]
    invoked = shown.spans.get_finished_spans()[1].attributes
    assert invoked[semconv.INPUT_TOKENS] > 0
    assert invoked[semconv.OUTPUT_TOKENS] > 0


# streams


def test_a_streams_span_ends_with_the_stream(routed, snapshot, model, sandbox, shown) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.05)
    stream = open_stream(client)
    assert shown.spans.get_finished_spans() == ()
    assert not trace.get_current_span().is_recording()
    usage = [event["metadata"]["usage"] for event in stream if "metadata" in event]
    told = shown.span().attributes
    assert told[semconv.OUTPUT_TOKENS] == usage[0]["outputTokens"]
    assert told[semconv.FINISH_REASONS] == ("end_turn",)
    first = told[semconv.FIRST_CHUNK]
    took = (shown.span().end_time - shown.span().start_time) / 1e9
    assert 0 < first <= took + 0.01  # two clocks: the span's may be set, the call's never is
    points = shown.points()
    assert points[semconv.TIME_TO_FIRST_CHUNK][0][1] == pytest.approx(first)
    assert points[semconv.DURATION][0][1] >= first


def test_a_stream_that_breaks_ends_its_span_as_an_error(routed, snapshot, model, sandbox, shown) -> None:
    blue = model("blue", EAST)
    client = routed(snapshot(blue))
    sandbox.fault("half_frame", region=EAST, after_events=3)
    with pytest.raises(EventStreamError):
        list(open_stream(client))
    span = shown.span()
    assert span.attributes[semconv.ERROR_TYPE] == "truncated"
    assert [event.name for event in span.events] == [semconv.ATTEMPT, semconv.STREAM_ENDED]
    assert span.events[1].attributes[semconv.OUTCOME] == "truncated"


def test_a_stream_the_caller_closes_is_abandoned_and_no_error(routed, snapshot, model, sandbox, shown) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.05)
    stream = open_stream(client)
    next(iter(stream))
    stream.close()
    until = time.monotonic() + 10
    while not shown.spans.get_finished_spans():  # beside the client it is noticed with the next event
        assert time.monotonic() < until
        time.sleep(0.01)
    assert shown.span().attributes[semconv.OUTCOME] == "abandoned"
    assert shown.span().status.status_code is StatusCode.UNSET


@in_the_service
def test_a_stream_that_is_collected_is_shown_later_because_its_destructor_may_hold_the_sdks_locks(
    routed, snapshot, model, shown
) -> None:
    stream = open_stream(routed(snapshot(model("blue"))))
    next(iter(stream))
    del stream
    gc.collect()
    assert shown.spans.get_finished_spans() == ()
    crossfade.flush()
    span = shown.span()
    assert span.attributes[semconv.OUTCOME] == "abandoned"
    assert shown.points()[semconv.DURATION][0][1] == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1)


# metrics


def test_the_metrics_are_those_of_the_conventions_by_route_and_variant(
    routed, snapshot, model, sandbox, shown, ask
) -> None:
    blue = model("blue", EAST, WEST)
    client = routed(snapshot(blue))
    sandbox.fault("unavailable", region=EAST, count=1)
    usage = ask(client)["usage"]
    points = shown.points()
    labels, seconds = points[semconv.DURATION][0]
    served = dict(shown.span().attributes)[semconv.RESPONSE_MODEL]
    assert seconds > 0
    assert labels == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": ROUTE,
        "gen_ai.response.model": served,
        "feature_flag.key": ROUTE,
        "feature_flag.result.variant": "blue",
    }
    tokens = {labels["gen_ai.token.type"]: total for labels, total in points[semconv.TOKEN_USAGE]}
    assert tokens == {"input": usage["inputTokens"], "output": usage["outputTokens"]}
    attempts = {(a[semconv.REGION], a[semconv.OUTCOME]): n for a, n in points[semconv.ATTEMPT_COUNT]}
    assert sum(attempts.values()) == len(shown.attempts())
    assert (WEST, "ok") in attempts or (EAST, "ok") in attempts


def test_our_names_are_opentelemetrys() -> None:
    ours = {value for value in vars(semconv).values() if isinstance(value, str)}
    theirs = {
        value
        for module in (gen_ai_attributes, gen_ai_metrics, feature_flag_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    named = {name for name in ours if name.startswith(("gen_ai.", "feature_flag."))}
    assert len(named) > 12
    assert named <= theirs
    assert gen_ai_attributes.GenAiProviderNameValues.AWS_BEDROCK.value == semconv.BEDROCK
    reasons = {reason.value for reason in feature_flag_attributes.FeatureFlagResultReasonValues}
    assert {semconv.SPLIT, semconv.STATIC} <= reasons


# what must not happen


def test_no_prompt_answer_key_or_error_message_is_shown(routed, snapshot, model, sandbox, shown, ask) -> None:
    client = routed(snapshot(model("blue", EAST), model("green", EAST), weight=50))
    with crossfade.context(key="secret-key", tier="secret-tier", labels={"who": "secret-label"}):
        answer = ask(client, "secret-prompt", requestMetadata={"note": "secret-note"})
        assert "secret-prompt" in json.dumps(answer["output"])
        list(
            client.converse_stream(modelId=ROUTE, messages=[{"role": "user", "content": [{"text": "secret"}]}])[
                "stream"
            ]
        )
        sandbox.fault("validation", message="secret-message")
        with pytest.raises(ClientError, match="secret-message"):
            ask(client, "secret-prompt")
    everything = "".join(span.to_json() for span in shown.spans.get_finished_spans()) + repr(shown.points())
    assert len(shown.spans.get_finished_spans()) == 3
    assert "secret" not in everything


@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_a_processor_that_breaks_is_no_fault_of_the_callers(
    routed, snapshot, model, controller, shown, ask, caplog, method
) -> None:
    client = routed(snapshot(model("blue")))
    shown.breaking.broken = {method}
    for _ in range(3):
        assert ask(client)["stopReason"] == "end_turn"
    crossfade.flush()
    assert controller.total("calls") == 3
    told = [record for record in caplog.records if getattr(record, "action", "") == "telemetry_trouble"]
    assert len(told) == 1


@in_the_service
def test_a_fault_of_ours_leaves_no_open_span(
    routed, snapshot, model, sandbox, session, shown, ask, monkeypatch
) -> None:
    blue = model("blue", EAST)
    routed(snapshot(blue, route=Route(name=model_id(blue, EAST), blue="blue")))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    monkeypatch.setattr("crossfade.shim.dispatch.course", lambda call: 1 / 0)
    assert ask(client, modelId=model_id(blue, EAST))["stopReason"] == "end_turn"
    assert shown.span().name == f"chat {model_id(blue, EAST)}"
    assert semconv.OUTCOME not in shown.span().attributes
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_call_and_its_span_are_not_left_to_the_garbage_collector(routed, snapshot, model, shown, ask) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    gc.collect()
    gc.disable()
    try:
        ask(client)
        assert [found for found in gc.get_objects() if isinstance(found, Call)] == []
    finally:
        gc.enable()


# off


def test_off_nothing_is_shown_and_opentelemetry_is_not_imported(routed, snapshot, model, sdk, ask) -> None:
    sdk.clear()
    ask(routed(snapshot(model("blue"))))
    assert sdk.spans.get_finished_spans() == ()
    assert runtime.current().recorder.telemetry is OFF
    program = (
        "import sys, boto3, crossfade; crossfade.install(url='http://127.0.0.1:9', token='t', wait=0);"
        "boto3.client('bedrock-runtime', region_name='us-east-1');"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'openfeature'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_api_it_is_off_with_one_sentence(monkeypatch, caplog) -> None:
    monkeypatch.delitem(sys.modules, "crossfade.shim.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert telemetry(True) is OFF
    (record,) = caplog.records
    assert record.action == "telemetry_missing"
    assert "install Crossfade with its extra [otel]" in record.getMessage()


def test_an_api_that_is_too_old_is_as_good_as_none(monkeypatch, caplog) -> None:
    monkeypatch.setattr("opentelemetry.metrics.get_meter", lambda *_: object())
    assert telemetry(True) is OFF
    assert [record.action for record in caplog.records] == ["telemetry_missing"]


@pytest.mark.parametrize(("said", "on"), [("on", True), ("1", True), ("TRUE", True), ("off", False), ("", False)])
def test_the_environment_switches_it(said: str, on: bool) -> None:
    env = {"CROSSFADE_URL": "http://x", "CROSSFADE_TOKEN": "t", "CROSSFADE_TELEMETRY": said, "HOME": "/tmp"}
    assert read_settings({}, env).telemetry is on
    assert read_settings({"telemetry": not on}, env).telemetry is not on


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(SetupError, match="CROSSFADE_TELEMETRY is 'otlp'; it must be on or off"):
        read_settings({"url": "http://x", "token": "t", "telemetry": "otlp"}, {})
