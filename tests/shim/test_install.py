from __future__ import annotations

import json
import time

import boto3
import pytest

import crossfade
from crossfade.core import callid
from crossfade.core.variables import KNOWN
from crossfade.shim import runtime
from crossfade.shim.settings import misspelt

ROUTE = "support-chat"
ECHO = "crossfade.echo-v1:0"


def test_converse_is_routed_assigned_recorded_and_scored(routed, ask, model, snapshot, controller, calls) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=100))
    response = ask(client)
    assert response["output"]["message"]["content"][0]["text"] == "bonjour tout le monde"
    told = response["ResponseMetadata"]["Crossfade"]
    assert {k: v for k, v in told.items() if k != "call_id"} == {
        "route": ROUTE,
        "variant": "green",
        "model": "green",
        "region": "us-east-1",
        "attempts": 1,
        "busy": False,
        "hedged": False,
        "rollout": 12,
        "step": 1,
    }
    assert callid.read(bytes(range(32)), told["call_id"]).rollout == 12
    assert crossfade.score(response, "accuracy", 1.0)
    assert crossfade.flush()
    assert calls() == [("us-east-1", "green", "answered")]
    [row] = controller.rows()
    assert (row["route"], row["rollout"], row["step"], row["variant"]) == (3, 12, 1, "green")
    assert (row["calls"], row["judged"], row.get("errors", 0), row["outcomes"]) == (1, 1, 0, {"ok": 1})
    assert (row["model"], row["region"], row["attempts"]) == ("green", "us-east-1", {"ok": 1})
    assert row["tokens_in"] > 0
    assert row["cost_sum"] == pytest.approx((row["tokens_in"] + 2 * row["tokens_out"]) / 1000)
    assert sum(row["latency"].values()) == 1
    assert controller.scores == [{"call_id": told["call_id"], "metric": "accuracy", "value": 1.0, "grader": "default"}]


def test_streams_and_invoke_model_are_routed_too(routed, model, snapshot, controller, ask) -> None:
    client = routed(snapshot(model("blue")))
    events = list(
        client.converse_stream(modelId=ROUTE, messages=[{"role": "user", "content": [{"text": "hello"}]}])["stream"]
    )
    assert "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e) == "hello"
    assert [name for e in events[-2:] for name in e] == ["messageStop", "metadata"]
    body = json.dumps(
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    )
    answer = client.invoke_model(modelId=ROUTE, body=body)
    assert answer["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert json.loads(answer["body"].read())["content"][0]["text"] == "hi"
    chunks = [
        json.loads(e["chunk"]["bytes"])
        for e in client.invoke_model_with_response_stream(modelId=ROUTE, body=body)["body"]
    ]
    assert chunks[-1]["type"] == "message_stop"
    assert client.count_tokens(modelId=ROUTE, input={"invokeModel": {"body": body}})["inputTokens"] > 0
    assert crossfade.flush()
    assert controller.total("calls") == 3
    assert controller.total("outcomes") == {"ok": 3}
    assert sum(sum(row.get("first_token", {}).values()) for row in controller.rows()) == 2
    assert sum(row.get("cost_n", 0) for row in controller.rows()) == 3


def test_a_first_snapshot_is_waited_for_once_not_by_each_new_client(session, settings) -> None:
    away = settings | {"url": "http://127.0.0.1:9", "wait": 2}
    began = time.monotonic()
    for _ in range(8):
        crossfade.enable(session.client("bedrock-runtime"), **away)
    assert 2 <= time.monotonic() - began < 8
    runtime.end(0.1)


def test_a_misspelt_variable_is_told_once_with_the_one_that_was_meant(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSFADE_FLUSH_SECOND", "1")
    monkeypatch.setenv("CROSSFADE_ULR", "http://127.0.0.1:9")
    monkeypatch.setenv("CROSSFADE_COLOUR", "red")
    monkeypatch.delenv("CROSSFADE_URL", raising=False)
    for _ in range(2):
        crossfade.install(boto3.Session())
    said = [r.getMessage() for r in caplog.records if getattr(r, "action", "") == "misspelt_variable"]
    assert sorted(said) == [
        "Crossfade does not know CROSSFADE_FLUSH_SECOND and does without it; did you mean CROSSFADE_FLUSH_SECONDS?",
        "Crossfade does not know CROSSFADE_ULR and does without it; did you mean CROSSFADE_URL?",
    ]


def test_no_variable_of_crossfades_own_is_taken_for_a_misspelt_one() -> None:
    assert misspelt(dict.fromkeys(KNOWN, "x")) == {}
    assert misspelt({"CROSSFADE_SERVICE_HOST": "10.0.0.1"}) == {}, "Kubernetes sets it for a Service `crossfade`"
