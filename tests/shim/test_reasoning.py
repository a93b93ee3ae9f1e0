"""A conversation that goes from one Model to another, against a sandbox that refuses what another Model signed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

import crossfade
from crossfade.core.model import Model
from crossfade.shim.reasoning import without_reasoning

EAST = "us-east-1"
ROUTE = "support-chat"
THINK = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
TOOLS = {
    "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
}  # fmt: skip


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def reasoning(signature: str = "another's") -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": "so", "signature": signature}}}


class Wire:
    """The bodies that went out to each model id, in order."""

    def __init__(self, client: Any) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        client.meta.events.register("before-send.bedrock-runtime", self._see)

    def _see(self, request: Any, **_: Any) -> None:
        name = request.url.rpartition("/model/")[2].partition("/")[0]
        self.sent.append((name.partition("echo-")[2].rstrip("0123456789-v:%A"), json.loads(request.body)))


def crossfade_of(answer: Any) -> dict[str, Any]:
    told: dict[str, Any] = answer["ResponseMetadata"]["Crossfade"]
    return told


@pytest.fixture
def begun(routed, snapshot, model, sandbox, ask) -> Any:
    """A client, and a conversation begun on green: its messages after a first turn with reasoning and a tool's use."""
    found = snapshot(model("blue", EAST), model("green", EAST))
    client = routed(found)
    question = user({"text": "what is the weather like?"})
    answer = client.converse(modelId=ROUTE, messages=[question], inferenceConfig={"maxTokens": 64}, **THINK)
    assert crossfade_of(answer)["model"] == "green"
    message = answer["output"]["message"]
    assert ["reasoningContent" in block for block in message["content"]] == [True, False]
    message["content"].append({"toolUse": {"toolUseId": "tooluse_green-1", "name": "weather", "input": {}}})
    result = {"toolResult": {"toolUseId": "tooluse_green-1", "content": [{"text": "sunny"}]}}
    return client, found, [question, message, user(result, {"text": "and then?"})]


def go_on(client: Any, messages: list[Any], operation: str = "converse", **more: Any) -> Any:
    limits = {"inferenceConfig": {"maxTokens": 64}}
    return getattr(client, operation)(**{"modelId": ROUTE, "messages": messages} | limits | TOOLS | more)


def test_a_conversation_goes_on_where_it_began_with_all_its_blocks(begun) -> None:
    client, _, messages = begun
    wire = Wire(client)
    told = crossfade_of(go_on(client, messages))
    assert (told["model"], told["attempts"], "stripped" in told) == ("green", 1, False)
    assert wire.sent[0][1]["messages"] == messages


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_where_green_is_down_blue_gets_the_conversation_without_greens_reasoning_and_with_the_tool_pair(
    begun, sandbox, controller, operation
) -> None:
    client, found, messages = begun
    assert crossfade.flush()
    controller.batches.clear()
    before = copy.deepcopy(messages)
    sandbox.fault("unavailable", model=found.models["green"].targets[0].model_id)
    wire = Wire(client)
    answer = go_on(client, messages, operation)
    if operation == "converse_stream":
        list(answer["stream"])
    told = crossfade_of(answer)
    assert (told["model"], told["variant"], told["stripped"]) == ("blue", "green", "reasoning")
    assert messages == before, "the caller's own was altered"
    asked, last = [name for name, _ in wire.sent], wire.sent[-1][1]
    assert asked == ["green", "green", "blue", "blue"]
    assert wire.sent[-2][1]["messages"] == before, "blue was not asked whether it accepts it as it is"
    assert last["messages"] == [before[0], {**before[1], "content": before[1]["content"][1:]}, before[2]]
    assert last["messages"][1]["content"][-1]["toolUse"]["toolUseId"] == "tooluse_green-1"
    assert last["toolConfig"] == TOOLS["toolConfig"]
    assert crossfade.flush()
    assert controller.total("outcomes") == {"unavailable": 1}, "counted by green, which could not be had"


def test_after_a_roll_back_a_conversation_of_greens_goes_on_on_blue(begun, snapshot, renew) -> None:
    client, found, messages = begun
    renew(snapshot(found.models["blue"]))
    told = crossfade_of(go_on(client, messages))
    assert (told["model"], told["variant"], told["stripped"], told["attempts"]) == ("blue", "blue", "reasoning", 2)


def test_a_conversation_begun_on_blue_is_no_fault_of_greens(routed, snapshot, model, controller) -> None:
    found = snapshot(model("blue", EAST), model("green", EAST))
    client = routed(found)
    signed = reasoning(f"signed by {found.models['blue'].targets[0].model_id}")
    messages = [
        user({"text": "hello"}),
        {"role": "assistant", "content": [signed, {"text": "hi"}]},
        user({"text": "go"}),
    ]
    told = crossfade_of(go_on(client, messages))
    assert (told["model"], told["stripped"]) == ("green", "reasoning")
    assert crossfade.flush()
    assert (controller.total("outcomes"), controller.total("errors")) == ({"ok": 1}, 0)


def test_a_model_declared_not_to_take_reasoning_is_never_sent_any(routed, snapshot, model, sandbox) -> None:
    taken = model("blue", EAST)
    blue = Model(name="blue", targets=taken.targets, takes=("tools",))
    client = routed(snapshot(blue))
    wire = Wire(client)
    messages = [
        user({"text": "hello"}),
        {"role": "assistant", "content": [reasoning(), {"text": "hi"}]},
        user({"text": "go"}),
    ]
    told = crossfade_of(go_on(client, messages))
    assert (told["attempts"], told["stripped"]) == (1, "reasoning")
    assert "reasoningContent" not in json.dumps(wire.sent[0][1])


@pytest.mark.parametrize("face", ["shim", "sidecar"], indirect=True)
def test_a_request_that_is_refused_without_reasoning_too_raises_the_first_error(
    routed, snapshot, model, sandbox, controller, calls
) -> None:
    client = routed(snapshot(model("blue", EAST)))
    messages = [
        user({"text": "hello"}),
        {"role": "assistant", "content": [reasoning(), {"text": "hi"}]},
        {"role": "assistant", "content": [{"text": "and ends with the wrong role"}]},
    ]
    sandbox.fault("validation", message="the first", count=1)
    with pytest.raises(ClientError, match="the first"):
        go_on(client, messages)
    assert [outcome for *_, outcome in calls()] == ["ValidationException"] * 2
    assert crossfade.flush()
    assert (controller.total("outcomes"), controller.total("judged")) == ({"rejected": 1}, 0)


def test_a_400_to_a_request_without_reasoning_is_asked_no_second_time(routed, snapshot, model, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", EAST)))
    sandbox.fault("validation")
    with pytest.raises(ClientError, match="ValidationException"):
        go_on(client, [user({"text": "hello"})])
    assert len(calls()) == 1


def test_the_anthropic_body_loses_its_thinking_too(routed, snapshot, model) -> None:
    client = routed(snapshot(model("blue", EAST)))
    wire = Wire(client)
    thinking = {"type": "thinking", "thinking": "so", "signature": "another's"}
    body = json.dumps({
        "anthropic_version": "x", "max_tokens": 9, "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [thinking, {"type": "text", "text": "hi"}]},
            {"role": "user", "content": "go"},
        ],
    })  # fmt: skip
    answer = client.invoke_model(modelId=ROUTE, body=body)
    assert json.loads(answer["body"].read())["content"][0]["text"] == "go"
    assert crossfade_of(answer)["stripped"] == "reasoning"
    assert wire.sent[-1][1]["messages"][1]["content"] == [{"type": "text", "text": "hi"}]


def test_a_cache_point_or_tool_that_green_refuses_is_served_whole_by_blue_and_counted_against_green(
    routed, snapshot, model, sandbox, controller
) -> None:
    found = snapshot(model("blue", EAST), model("green", EAST))
    client = routed(found)
    green = found.models["green"].targets[0].model_id
    sandbox.fault("validation", model=green, message="cachePoint is not supported by this model")
    wire = Wire(client)
    marked = [user({"text": "a long prefix"}, {"cachePoint": {"type": "default"}}, {"text": "hello"})]
    told = crossfade_of(go_on(client, marked))
    assert (told["model"], "stripped" in told) == ("blue", False)
    assert [(name, body["messages"], body["toolConfig"]) for name, body in wire.sent] == [
        (name, marked, TOOLS["toolConfig"]) for name in ("green", "blue")
    ]
    assert crossfade.flush()
    assert controller.total("outcomes") == {"incompatible": 1}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("Converse", {"messages": [user({"text": "hello"})]}),
        ("Converse", {"messages": [{"role": "assistant", "content": [reasoning()]}]}),  # would be left empty
        ("Converse", {"messages": "no list"}),
        ("Converse", {"messages": [None, {"content": None}, {"content": [None, "text"]}]}),
        ("Converse", {}),
        ("InvokeModel", {"body": b"\xff thinking"}),
        ("InvokeModel", {"body": '["thinking"]'}),
        ("InvokeModel", {"body": "[" * 100_000 + '"thinking"'}),
        ("InvokeModel", {"body": 7}),
        ("CountTokens", {"input": {}}),
    ],
)
def test_there_is_nothing_to_leave_out(operation: str, params: dict[str, Any]) -> None:
    assert without_reasoning(operation, params) is None
