"""The client stays a genuine boto3 client, and everything that is none of ours passes through untouched."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import boto3
import botocore.session
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.stub import Stubber

import crossfade
from crossfade.core.model import Model, Target
from crossfade.core.route import Route
from crossfade.core.rule import Rule, When
from crossfade.core.snapshot import Entry
from crossfade.errors import SetupError
from crossfade.shim import runtime

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
ECHO = "crossfade.echo-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]
CANNED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "canned"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


def test_a_routed_client_is_a_genuine_client(routed, snapshot, model) -> None:
    client = routed(snapshot(model("blue")))
    assert isinstance(client, BaseClient)
    assert type(client).__name__ == "BedrockRuntime"
    assert client.meta.region_name == EAST
    assert issubclass(client.exceptions.ThrottlingException, ClientError)
    assert client.can_paginate("list_async_invokes")
    assert client.get_paginator("list_async_invokes") is not None


def test_unknown_model_ids_pass_through_untouched_with_botocores_own_retries(
    routed, snapshot, model, sandbox, controller, calls, settings
) -> None:
    client = routed(snapshot(model("blue")), retries={"total_max_attempts": 3, "mode": "standard"})
    plain = client_at(client, sandbox)
    sandbox.fault("unavailable", count=2)
    response = plain.converse(modelId=ECHO, messages=MESSAGES)
    assert "Crossfade" not in response["ResponseMetadata"]
    assert response["ResponseMetadata"]["RetryAttempts"] == 2
    assert len(calls()) == 3
    plain.close()
    assert crossfade.flush()
    assert controller.rows() == []


def test_a_client_that_routes_keeps_botocores_retries_for_what_it_does_not_route(
    routed, snapshot, model, sandbox, calls, ask, session
) -> None:
    routed(snapshot(model("blue")))
    client = session.client(
        "bedrock-runtime",
        endpoint_url=sandbox.endpoint(EAST),
        config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
    )
    sandbox.fault("unavailable", count=1)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["attempts"] == 2
    sandbox.fault("unavailable", count=2)
    assert client.converse(modelId=ECHO, messages=MESSAGES)["ResponseMetadata"]["RetryAttempts"] == 2
    client.close()


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_botocores_retries_never_multiply_ours(routed, snapshot, model, sandbox, calls, ask, mode) -> None:
    client = routed(snapshot(model("blue")), retries={"total_max_attempts": 5, "mode": mode})
    sandbox.fault("internal")
    ask(client)
    assert len(calls()) == 4, "two tries in each of two regions"


def test_each_attempt_is_signed_for_its_own_region(routed, snapshot, model, sandbox, ask) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("unavailable", region=EAST)
    ask(client)
    sandbox.settle()
    assert [(entry["region"], entry["signed_region"]) for entry in sandbox.log()] == [(EAST, EAST), (WEST, WEST)]


def test_a_target_without_endpoint_uses_the_clients_own_in_its_region_and_awss_elsewhere(
    routed, snapshot, sandbox, session
) -> None:
    bare = Model(name="blue", targets=(Target(region=EAST, model_id=ECHO), Target(region=WEST, model_id=ECHO)))
    routed(snapshot(bare))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    urls: list[str] = []

    def note(request: Any, **_: Any) -> None:
        urls.append(request.url)
        if "amazonaws" in request.url:
            raise ParamValidationError(report="stopped by the test before it left the machine")

    client.meta.events.register("before-send.bedrock-runtime", note)
    client.converse(modelId=ROUTE, messages=MESSAGES)
    sandbox.fault("unavailable", region=EAST)
    with pytest.raises(ParamValidationError):
        client.converse(modelId=ROUTE, messages=MESSAGES)
    assert urls[0].startswith(sandbox.endpoint(EAST))
    assert urls[-1].startswith("https://bedrock-runtime.us-west-2.amazonaws.com/")
    client.close()


def test_event_hooks_see_every_attempt(routed, snapshot, model, sandbox, ask) -> None:
    client = routed(snapshot(model("blue")))
    seen: list[str] = []
    client.meta.events.register("before-call.bedrock-runtime.Converse", lambda model, **_: seen.append(model.name))
    sandbox.fault("unavailable", region=EAST)
    ask(client)
    assert seen == ["Converse", "Converse"]


def test_a_stubbed_client_is_left_alone(routed, snapshot, model, controller, calls) -> None:
    client = routed(snapshot(model("blue")))
    with Stubber(client) as stubber:
        stubber.add_response("converse", CANNED, {"modelId": ROUTE, "messages": MESSAGES})
        assert "Crossfade" not in client.converse(modelId=ROUTE, messages=MESSAGES).get("ResponseMetadata", {})
    assert client.converse(modelId=ROUTE, messages=MESSAGES)["ResponseMetadata"]["Crossfade"]
    assert len(calls()) == 1


def test_a_patched_client_is_left_alone_and_a_traced_one_is_not(routed, snapshot, model, calls) -> None:
    client = routed(snapshot(model("blue")))
    with mock.patch.object(BaseClient, "_make_api_call", return_value={"canned": True}) as fake:
        assert client.converse(modelId=ROUTE, messages=MESSAGES) == {"canned": True}
        fake.assert_called_once_with("Converse", {"modelId": ROUTE, "messages": MESSAGES})
    genuine = BaseClient._make_api_call
    traced: list[str] = []

    def tracer(self: Any, operation: str, params: Any) -> Any:
        traced.append(params["modelId"])
        return genuine(self, operation, params)

    tracer.__wrapped__ = genuine  # type: ignore[attr-defined]
    with mock.patch.object(BaseClient, "_make_api_call", tracer):
        assert client.converse(modelId=ROUTE, messages=MESSAGES)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert len(traced) == 1
    assert traced[0].startswith("crossfade.echo-blue")


def test_adaptive_retry_mode_is_refused_with_the_reason(routed, snapshot, model, ask) -> None:
    client = routed(snapshot(model("blue")), retries={"mode": "adaptive"})
    with pytest.raises(SetupError, match=r"'adaptive'.*set the mode to 'standard'"):
        ask(client)


def test_a_wrong_parameter_is_botocores_own_error_and_nobodys_fault(routed, snapshot, model, controller, calls) -> None:
    client = routed(snapshot(model("blue")))
    with pytest.raises(ParamValidationError):
        client.converse(modelId=ROUTE, messages="not a list")
    assert calls() == []
    crossfade.flush()
    assert (controller.total("outcomes"), controller.total("judged")) == ({"rejected": 1}, 0)


def test_a_fault_inside_the_shim_falls_through_to_plain_boto3_with_one_warning(
    routed, snapshot, model, sandbox, session, caplog
) -> None:
    named = Route(name=ECHO, blue="blue")
    routed(snapshot(model("blue"), route=named))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    with mock.patch("crossfade.shim.client.said", side_effect=RuntimeError("a bug")):
        for _ in range(3):
            answer = client.converse(modelId=ECHO, messages=MESSAGES)
            assert answer["output"]["message"]["content"] == [{"text": "hello"}]
    assert [record.message for record in caplog.records] == [
        "Crossfade could not route a call and left it to plain boto3"
    ]
    client.close()


def test_enable_routes_an_existing_client(controller, settings, snapshot, model, sandbox, session, ask) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    client = session.client("bedrock-runtime")
    assert crossfade.enable(client, **settings) is client
    assert crossfade.enable(client, **settings) is client
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    client.close()
    with pytest.raises(SetupError, match="bedrock-runtime"):
        crossfade.enable("a client")


def test_install_takes_boto3s_default_session_and_a_botocore_session(
    controller, settings, snapshot, model, ask, monkeypatch
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", EAST)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    crossfade.install(**settings)
    crossfade.install(**settings)
    genuine = botocore.session.get_session()
    crossfade.install(genuine, **settings)
    for client in (boto3.client("bedrock-runtime"), genuine.create_client("bedrock-runtime")):
        assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
        client.close()


def test_an_environment_variable_switches_it_on_without_touching_code(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = f"""
import boto3
client = boto3.client("bedrock-runtime")
answer = client.converse(modelId={ROUTE!r}, messages={MESSAGES!r})
print(answer["ResponseMetadata"]["Crossfade"]["model"])
"""
    environment = os.environ | {
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "crossfade=crossfade.shim.plugin",
        "CROSSFADE_URL": controller.url,
        "CROSSFADE_TOKEN": settings["token"],
        "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": EAST,
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("blue", "")
    assert controller.total("calls") == 1, "recorded at the process's end"


def test_without_a_controller_set_up_the_service_runs_on_plain_boto3(session, sandbox, caplog, monkeypatch) -> None:
    monkeypatch.delenv("CROSSFADE_URL", raising=False)
    crossfade.install(session)
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    assert client.converse(modelId=ECHO, messages=MESSAGES)["stopReason"] == "end_turn"
    assert "CROSSFADE_URL is not set" in caplog.text
    assert crossfade.health() == {"active": False}
    assert crossfade.flush() is True
    client.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "localhost:8321", "token": "t"}, "must start with http"),
        ({"url": "http://x"}, "CROSSFADE_TOKEN is not"),
        ({"url": "http://x", "token": "t", "flush_seconds": "soon"}, "CROSSFADE_FLUSH_SECONDS is 'soon'"),
        ({"ulr": "http://x"}, "no setting 'ulr'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_with_what_to_do(session, given, words, monkeypatch) -> None:
    monkeypatch.delenv("CROSSFADE_TOKEN", raising=False)
    with pytest.raises(SetupError, match=words):
        crossfade.install(session, **given)


def test_a_key_stays_on_its_variant_and_request_metadata_is_read_too(routed, snapshot, model, ask) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50))

    def variant(key: str, **more: Any) -> str:
        with crossfade.context(key=key):
            return str(ask(client, **more)["ResponseMetadata"]["Crossfade"]["variant"])

    by_key = {f"user-{i}": variant(f"user-{i}") for i in range(12)}
    assert set(by_key.values()) == {"blue", "green"}
    for key, before in by_key.items():
        assert variant(key) == before
        said = ask(client, requestMetadata={"crossfade-key": key})
        assert said["ResponseMetadata"]["Crossfade"]["variant"] == before


def test_rules_lead_to_another_route_by_tier_labels_and_complexity(routed, snapshot, model, ask) -> None:
    small = Entry(id=4, route=Route(name="small-route", blue="small"))
    vip = Entry(id=5, route=Route(name="vip-route", blue="vip"))
    rules = (
        Rule(when=When(tiers=("gold",)), use="vip-route"),
        Rule(when=When(labels={"team": "a"}), use="vip-route"),
        Rule(when=When(below={"characters": 10}), use="small-route"),
    )
    named = Route(name=ROUTE, blue="blue", rules=rules)
    found = snapshot(model("blue"), route=named, more=(small, vip), fallbacks=(model("small"), model("vip")))
    client = routed(found)

    def served(text: str, **said: Any) -> tuple[str, str]:
        with crossfade.context(**said):
            told = ask(client, text)["ResponseMetadata"]["Crossfade"]
        return told["route"], told["model"]

    assert served("a long enough question") == (ROUTE, "blue")
    assert served("short") == ("small-route", "small")
    assert served("a long enough question", tier="gold") == ("vip-route", "vip")
    assert served("a long enough question", team="a") == ("vip-route", "vip")


def test_a_body_given_as_a_file_can_be_sent_more_than_once(routed, snapshot, model, sandbox) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("unavailable", region=EAST)
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    answer = client.invoke_model(modelId=ROUTE, body=io.BytesIO(body.encode()))
    assert json.loads(answer["body"].read())["content"][0]["text"] == "hi"


def test_the_busy_answer_has_the_native_shape_of_each_operation(
    routed, snapshot, model, sandbox, controller, ask
) -> None:
    client = routed(snapshot(model("blue", EAST), route=Route(name=ROUTE, blue="blue", busy_text="One moment.")))
    sandbox.fault("unavailable")
    whole = ask(client)
    assert whole["output"]["message"]["content"] == [{"text": "One moment."}]
    assert whole["usage"] == {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    assert whole["ResponseMetadata"]["Crossfade"]["busy"] is True
    events = list(client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"])
    assert [name for event in events for name in event] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    request = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    body = json.loads(client.invoke_model(modelId=ROUTE, body=json.dumps(request))["body"].read())
    assert (body["content"], body["stop_reason"]) == ([{"type": "text", "text": "One moment."}], "end_turn")
    streamed = client.invoke_model_with_response_stream(modelId=ROUTE, body=json.dumps(request))["body"]
    assert json.loads(list(streamed)[-1]["chunk"]["bytes"])["type"] == "message_stop"
    crossfade.flush()
    assert (controller.total("busy"), controller.total("errors"), controller.total("raised")) == (4, 4, 0)


def test_no_busy_answer_where_it_would_mislead(routed, snapshot, model, sandbox, controller, ask) -> None:
    client = routed(snapshot(model("blue", EAST, family=None)))
    sandbox.fault("throttle")
    tool = {"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}
    with pytest.raises(client.exceptions.ServiceUnavailableException, match="found no Model"):
        ask(client, toolConfig={"tools": [tool]})
    with pytest.raises(client.exceptions.ServiceUnavailableException):
        client.invoke_model(modelId=ROUTE, body="{}")
    with pytest.raises(client.exceptions.ServiceUnavailableException):
        ask(client, additionalModelRequestFields={"tools": [{"type": "computer_20250124", "name": "computer"}]})
    crossfade.flush()
    assert (controller.total("raised"), controller.total("judged")) == (3, 0)


def test_busy_can_be_switched_off(routed, snapshot, model, sandbox, ask, fast) -> None:
    client = routed(snapshot(model("blue", EAST), policy=replace(fast, busy=False)))
    sandbox.fault("unavailable")
    with pytest.raises(client.exceptions.ServiceUnavailableException):
        ask(client)


def test_an_invoke_model_call_on_a_route_for_converse_goes_to_blue_and_says_nothing_of_green(
    routed, snapshot, model, sandbox, controller, calls
) -> None:
    client = routed(snapshot(model("blue", EAST, family=None), model("green", EAST, family="nova")))
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    assert json.loads(client.invoke_model(modelId=ROUTE, body=body)["body"].read())["content"][0]["text"] == "hi"
    assert [name for _, name, _ in calls()] == ["blue"]
    crossfade.flush()
    assert (controller.total("outcomes"), controller.total("judged")) == ({"rejected": 1}, 0)


def test_an_invoke_model_call_never_falls_back_to_another_body_family(routed, snapshot, model, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", EAST), fallbacks=(model("small", EAST, family="nova"),)))
    sandbox.fault("unavailable")
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})
    client.invoke_model(modelId=ROUTE, body=body)
    assert {name for _, name, _ in calls()} == {"blue"}


def test_green_down_everywhere_is_left_for_blue_and_still_charged_to_green(
    routed, snapshot, model, sandbox, calls, controller, ask, fast
) -> None:
    policy = replace(fast, breaker_in_a_row=2, breaker_open=60)
    client = routed(snapshot(model("blue"), model("green"), policy=policy))
    green = runtime.current().feed.snapshot.models["green"].targets[0].model_id
    sandbox.fault("unavailable", model=green)
    for _ in range(4):
        ask(client)
    sandbox.clear_log()
    told = ask(client)["ResponseMetadata"]["Crossfade"]
    assert (told["variant"], told["model"], told["attempts"]) == ("green", "blue", 1)
    assert [name for _, name, _ in calls()] == ["blue"]
    assert set(crossfade.health()["breakers"].values()) == {"open"}
    crossfade.flush()
    assert {row["variant"] for row in controller.rows()} == {"green"}
    assert (controller.total("outcomes"), controller.total("errors")) == ({"unavailable": 5}, 5)


def test_a_slow_region_is_left_as_well_as_a_dead_one(routed, snapshot, model, sandbox, calls, ask, fast) -> None:
    policy = replace(fast, breaker_in_a_row=3, slow_least=0.05, breaker_open=60)
    client = routed(snapshot(model("blue"), policy=policy))
    for _ in range(25):
        ask(client)
    sandbox.fault("latency", region=EAST, seconds=0.2)
    for _ in range(6):
        ask(client)
    assert [region for region, _, _ in calls()][-3:] == [WEST] * 3


def test_threads_share_one_client(routed, snapshot, model, ask, controller) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50), max_pool_connections=16)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: ask(client, f"text {i}"), range(200)))
    assert all(a["output"]["message"]["content"][0]["text"] == f"text {i}" for i, a in enumerate(answers))
    crossfade.flush()
    assert controller.total("calls") == 200
    assert threading.active_count() < 40


def test_the_public_names_are_these_and_import_costs_nothing() -> None:
    assert crossfade.__all__ == [
        "CrossfadeError",
        "__version__",
        "context",
        "enable",
        "flush",
        "health",
        "install",
        "score",
        "shadowed",
    ]
    for name in crossfade.__all__:
        assert getattr(crossfade, name) is not None
    with pytest.raises(AttributeError):
        _ = crossfade.nothing
    program = "import crossfade, sys; print(sorted(m for m in sys.modules if m.startswith(('boto', 'crossfade'))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "['crossfade']"


def client_at(client: Any, sandbox: Any) -> Any:
    """A routed client of the same session and settings, whose own endpoint is the sandbox."""
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=EAST)
    config = client.meta.config
    crossfade.install(session, **_settings())
    return session.client(
        "bedrock-runtime",
        endpoint_url=sandbox.endpoint(EAST),
        config=Config(retries={"total_max_attempts": config.retries["total_max_attempts"], "mode": "standard"}),
    )


def _settings() -> dict[str, Any]:
    found = runtime.current().settings
    names = ("url", "token", "state_dir", "flush_seconds", "service", "wait")
    return {name: getattr(found, name) for name in names}


def test_a_fault_in_counting_never_costs_the_caller_its_answer(routed, snapshot, model, ask, caplog) -> None:
    client = routed(snapshot(model("blue")))
    shim = runtime.current()
    assert shim is not None
    whole = shim.recorder._inbox
    shim.recorder._inbox = None  # what a bug there would be: every record() raises
    try:
        response = client.converse(modelId=ROUTE, messages=MESSAGES)
    finally:
        shim.recorder._inbox = whole
    assert response["output"]["message"]["role"] == "assistant"
    assert shim.recorder.dropped == 1
    assert "could not record a call" in caplog.text
