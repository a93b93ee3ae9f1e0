"""The way a call takes: as `crossfade route test` says beforehand, and never by altering what the caller passed in."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

import crossfade
from crossfade.core.route import Route
from crossfade.core.rule import Rule, When
from crossfade.core.snapshot import Entry
from crossfade.server.usecases.trial import trial
from crossfade.shim.context import Said, with_metadata

EAST = "us-east-1"
ROUTE = "support-chat"


def test_a_call_takes_the_very_way_that_a_trial_of_it_says(routed, snapshot, model) -> None:
    rules = (
        Rule(when=When(below={"characters": 10}, has={"tools": False}), use="small-route"),
        Rule(when=When(tiers=("free",)), use="cheap-route"),
        Rule(when=When(least={"complexity": 0.2}, labels={"team": "law"}), use="small-route"),
    )
    named = Route(name=ROUTE, blue="blue", rules=rules, shares={"cheap-route": 25})
    more = (
        Entry(id=4, route=Route(name="small-route", blue="small")),
        Entry(id=5, route=Route(name="cheap-route", blue="cheap", shares={"small-route": 50})),
    )
    found = snapshot(
        model("blue"), model("green"), weight=40, route=named, more=more, fallbacks=(model("small"), model("cheap"))
    )
    client = routed(found)
    ways = set()
    for n in range(120):
        params: dict[str, Any] = {
            "messages": [{"role": "user", "content": [{"text": "x" * (5 if n % 3 == 0 else 1200)}]}],
            "inferenceConfig": {"maxTokens": 8},
            "requestMetadata": {"team": "law" if n % 4 == 0 else "chat"},
        }
        if n % 2:
            tools = [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]
            params["toolConfig"] = {"tools": tools}
        said = {"conversation": f"talk-{n}"} | ({"tier": "free"} if n % 5 == 0 else {})
        with crossfade.context(**said):
            told = client.converse(modelId=ROUTE, **params)["ResponseMetadata"]["Crossfade"]
        expected = trial(found, ROUTE, "Converse", params, with_metadata(Said(**said), params["requestMetadata"]))
        first = expected.to_dict()["targets"][0]
        assert (told["route"], told["variant"], told["model"], told["region"]) == (
            expected.entry.route.name, expected.variant, first["model"], first["region"],
        )  # fmt: skip
        ways.add((len(expected.legs), told["route"], told["model"]))
    assert ways == {
        (1, ROUTE, "blue"), (1, ROUTE, "green"), (2, "small-route", "small"), (2, "cheap-route", "cheap"),
        (3, "small-route", "small"),
    }  # fmt: skip


@pytest.mark.parametrize("operation", ["converse", "converse_stream", "invoke_model", "count_tokens"])
def test_what_the_caller_passed_in_is_never_altered(routed, snapshot, model, sandbox, operation) -> None:
    found = snapshot(model("blue", EAST), model("green"))
    client = routed(found)
    sandbox.fault("unavailable", model=found.models["green"].targets[0].model_id)
    messages = [
        {"role": "user", "content": [{"text": "hello"}, {"cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "so", "signature": "x"}}},
                                          {"text": "hi"}]},
        {"role": "user", "content": [{"text": "go"}]},
    ]  # fmt: skip
    thought = {"type": "thinking", "thinking": "so", "signature": "x"}
    turns = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "hi"}]},
        {"role": "user", "content": "go"},
    ]
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": turns}).encode()
    params: dict[str, Any] = {
        "converse": {"messages": messages, "requestMetadata": {"crossfade-key": "ann"}},
        "converse_stream": {"messages": messages, "inferenceConfig": {"maxTokens": 9}},
        "invoke_model": {"body": body},
        "count_tokens": {"input": {"converse": {"messages": messages}}},
    }[operation] | {"modelId": ROUTE}
    before = copy.deepcopy(params)
    answer = getattr(client, operation)(**params)
    if "stream" in answer:
        list(answer["stream"])
    told = answer["ResponseMetadata"]["Crossfade"]
    assert (told["model"], told["attempts"] > 1) == ("blue", True)
    assert ("stripped" in told) is (operation != "count_tokens")
    assert params == before
