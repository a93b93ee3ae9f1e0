"""OpenAI's chat completions, translated to Converse and back; what has no translation is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import crossfade
from crossfade.core.route import Route
from crossfade.sidecar import app
from crossfade.sidecar.callers import Callers
from crossfade.sidecar.completion import Chunks, completion
from crossfade.sidecar.frames import frame
from crossfade.sidecar.openai import to_converse
from crossfade.sidecar.request import BadRequest

from .conftest import EAST, ROUTE, WEST, Caller

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "bonjour tout le monde"}]
PATH = "/v1/chat/completions"


def asked(**more: Any) -> dict[str, Any]:
    return {"model": ROUTE, "messages": MESSAGES} | more


def sse(body: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_chat_completion_is_a_converse_call_to_the_route(beside, snapshot, model, controller, calls) -> None:
    caller = beside(snapshot(model("blue"), model("green")))
    reply = caller.ask("POST", PATH, asked(max_tokens=64, user="ann"))
    assert (reply.status, reply.headers["x-crossfade-model"]) == (200, "green")
    document = reply.json
    assert document["object"] == "chat.completion"
    assert document["id"] == reply.headers["x-crossfade-call-id"], "which a score may be given to"
    [choice] = document["choices"]
    assert choice["message"] == {"role": "assistant", "content": "bonjour tout le monde"}
    assert choice["finish_reason"] == "stop"
    assert document["usage"]["total_tokens"] == sum(
        document["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )
    crossfade.flush()
    assert (controller.total("calls"), controller.total("keyed")) == (1, 1)
    assert len(calls()) == 1


def test_a_streamed_completion_ends_in_done_and_tells_usage_where_asked(beside, snapshot, model) -> None:
    caller = beside(snapshot(model("blue")))
    reply = caller.ask("POST", PATH, asked(stream=True, stream_options={"include_usage": True}))
    assert reply.headers["content-type"].startswith("text/event-stream")
    *chunks, usage, done = sse(reply.body)
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 0
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "bonjour tout le monde"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    plain = sse(caller.ask("POST", PATH, asked(stream=True)).body)
    assert all(chunk == "[DONE]" or chunk["choices"] for chunk in plain)


def test_failover_and_the_busy_answer_are_the_same_as_for_bedrocks_face(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue"), route=Route(name=ROUTE, blue="blue", busy_text="One moment.")))
    sandbox.fault("unavailable", region=EAST)
    assert caller.ask("POST", PATH, asked()).headers["x-crossfade-region"] == WEST
    sandbox.fault("unavailable")
    busy = caller.ask("POST", PATH, asked())
    assert busy.headers["x-crossfade-busy"] == "true"
    assert busy.json["choices"][0]["message"]["content"] == "One moment."
    streamed = sse(caller.ask("POST", PATH, asked(stream=True)).body)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in streamed[:-1]) == "One moment."


def test_a_stream_that_breaks_ends_in_an_error_and_without_done(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue")))
    sandbox.fault("no_message_stop")
    found = sse(caller.ask("POST", PATH, asked(stream=True)).body)
    assert found[-1]["error"]["code"] == "modelStreamErrorException"
    assert "[DONE]" not in found


def test_errors_come_in_openais_shape(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(tokens=("a-token-of-a-caller",)))
    assert caller.ask("POST", PATH, asked()).json["error"]["type"] == "authentication_error"
    let_in = Caller(caller.port, {"authorization": "Bearer a-token-of-a-caller"})
    sandbox.fault("validation", message="too long")
    refused = let_in.ask("POST", PATH, asked())
    assert (refused.status, refused.json["error"]["message"]) == (400, "too long")
    assert refused.json["error"]["type"] == "invalid_request_error"
    unknown = let_in.ask("POST", PATH, asked(model="gpt"))
    assert (unknown.status, unknown.json["error"]["type"]) == (404, "not_found_error")
    assert "GET /v1/models" in unknown.json["error"]["message"]
    assert [item["id"] for item in let_in.ask("GET", "/v1/models").json["data"]] == [ROUTE]
    assert let_in.ask("POST", PATH, b"{").status == 400
    assert let_in.ask("POST", "/v1/embeddings", {}).status == 404


def test_while_the_routes_are_not_known_it_may_be_asked_again(beside, controller) -> None:
    controller.snapshot_status = 500
    reply = beside().ask("POST", PATH, asked())
    assert (reply.status, reply.json["error"]["type"]) == (503, "server_error")


def test_a_fault_of_ours_in_routing_is_not_said_to_be_an_unknown_route(beside, snapshot, model, monkeypatch) -> None:
    caller = beside(snapshot(model("blue")))
    monkeypatch.setattr(app, "open_call", lambda *_: 1 / 0)
    assert caller.ask("POST", PATH, asked()).status == 500


TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": {"type": "object"}},
}
PIXEL = base64.b64encode(b"not really a png").decode()


def test_everything_that_converse_has_a_place_for_gets_there() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    model, streams, params = to_converse(
        {
            "model": "m",
            "stream": True,
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "rules"}]},
                {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "t1", "content": "rain"},
                {"role": "user", "content": "and now?"},
            ],
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": "END",
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "n": 1,
            "user": "ann",
            "response_format": {"type": "text"},
            "seed": None,
        }
    )
    assert (model, streams) == ("m", True)
    assert params == {
        "system": [{"text": "rules"}],
        "messages": [
            {"role": "user", "content": [{"text": "look"}, {"image": {"format": "png", "source": {"bytes": PIXEL}}}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Bern"}}}],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "rain"}]}}, {"text": "and now?"}],
            },
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "weather",
                        "description": "of a city",
                        "inputSchema": {"json": {"type": "object"}},
                    }
                }
            ],
            "toolChoice": {"tool": {"name": "weather"}},
        },
    }


def test_a_turn_goes_back_as_the_openai_sdk_hands_it_out_and_a_strict_tool_stays_strict() -> None:
    said = {"role": "assistant", "content": "hi", "refusal": None, "audio": None, "function_call": None}
    strict = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    asked_back = [MESSAGES[1], said | {"annotations": [], "tool_calls": None}, {"role": "user", "content": "go on"}]
    _, _, params = to_converse(asked(messages=asked_back, tools=[strict, TOOL]))
    assert params["messages"][1] == {"role": "assistant", "content": [{"text": "hi"}]}
    assert [tool["toolSpec"].get("strict") for tool in params["toolConfig"]["tools"]] == [True, None]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seed": 7}, "'seed' cannot be translated"),
        ({"n": 2}, "'n' cannot be translated to Bedrock's Converse; leave it out"),
        ({"seed": 7, "n": 2, "logprobs": True}, "'seed', 'n' and 'logprobs' cannot be .*; leave them out"),
        ({"logprobs": True}, "'logprobs' cannot"),
        ({"parallel_tool_calls": False}, "'parallel_tool_calls' cannot"),
        ({"response_format": {"type": "json_object"}}, "'response_format' cannot"),
        ({"model": ""}, "'model' must name"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["hi"]}, r"'messages\[0\]' must be an object"),
        ({"messages": [{"role": "robot"}]}, r"'messages\[0\].role' is 'robot'"),
        ({"messages": [{"role": "user"}]}, r"'messages\[0\].content' must be"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "'input_audio'"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/a.png"}}]}
                ]
            },
            "must be a data: URL",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "tool_calls' must have"),
        ({"max_tokens": 0}, "'max_tokens' must be"),
        ({"max_tokens": "9"}, "'max_tokens' must be"),
        ({"max_completion_tokens": 0}, "'max_tokens' must be"),
        (
            {"messages": [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}]},
            r"'messages\[0\].function_call' cannot",
        ),
        ({"messages": [{"role": "assistant", "content": None, "audio": {"id": "a"}}]}, r"messages\[0\].audio' cannot"),
        ({"messages": [{"role": "assistant", "content": None, "refusal": "no"}]}, r"messages\[0\].refusal' cannot"),
        ({"temperature": "warm"}, "'temperature' must be a number"),
        ({"stop": [1]}, "'stop' must be"),
        ({"tools": [{}]}, r"'tools\[0\]' must be of type function"),
        ({"tools": [TOOL], "tool_choice": "some"}, "'tool_choice' must be"),
    ],
    ids=lambda v: json.dumps(v)[:40] if isinstance(v, dict) else "",
)
def test_what_has_no_translation_or_cannot_be_meant_is_refused_by_name(more: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        to_converse(asked(**more))


NESTED = json.dumps('{"a":' * 2000 + "1" + "}" * 2000).encode()
ODD = {
    "an image that is a text": b'{"role":"user","content":[{"type":"image_url","image_url":"http://x/a.png"}]}',
    "an image that is a number": b'{"role":"user","content":[{"type":"image_url","image_url":{"url":1}}]}',
    "calls that are a number": b'{"role":"assistant","tool_calls":5}',
    "calls that are an object": b'{"role":"assistant","tool_calls":{"id":"a"}}',
    "arguments that are nested": b'{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"b","arguments":'
    + NESTED
    + b"}}]}",
}


@pytest.mark.parametrize("message", ODD)
def test_what_cannot_be_meant_is_the_callers_fault_and_not_ours(beside, snapshot, model, calls, message) -> None:
    body = b'{"model":"%b","messages":[%b]}' % (ROUTE.encode(), ODD[message])
    reply = beside(snapshot(model("blue"))).ask("POST", PATH, body)
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert calls() == []


def test_no_depth_of_a_body_is_a_fault_of_ours(beside, snapshot, model) -> None:
    caller = beside(snapshot(model("blue")))
    for depth in range(800, 1000):
        schema = b'{"a":' * depth + b"1" + b"}" * depth
        tools = b'[{"type":"function","function":{"name":"f","parameters":%b}}]' % schema
        body = b'{"model":"%b","messages":[{"role":"user","content":"hi"}],"tools":%b}' % (ROUTE.encode(), tools)
        assert caller.ask("POST", PATH, body).status in (200, 400)


@pytest.mark.parametrize("document", [None, [], "x", {"model": ROUTE}, {"model": ROUTE, "messages": {"role": "user"}}])
def test_no_document_whatever_raises_anything_else(document: Any) -> None:
    with pytest.raises(BadRequest):
        to_converse(document)


def test_a_tool_call_comes_back_whole_and_streamed() -> None:
    answer = {
        "output": {
            "message": {"content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "B"}}}]}
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 4},
    }
    [choice] = completion(answer, id="i", model="m")["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "B"}'}

    chunks = Chunks(id="i", model="m", usage=False)
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "let me see"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city"'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": ': "B"}'}}}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
    ]
    said = b"".join(part for name, members in events for part in chunks.of(frame("event", name, members)))
    deltas = [chunk["choices"][0]["delta"] for chunk in sse(said)]
    parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert {part["index"] for part in parts} == {0}
    assert (parts[0]["id"], parts[0]["function"]["name"]) == ("t1", "weather")
    assert "".join(part["function"]["arguments"] for part in parts) == '{"city": "B"}'
    assert sse(said)[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("deltas", [[], [""]], ids=["none", "an empty one"])
def test_a_streamed_tool_call_without_arguments_has_empty_json_as_a_whole_one_has(deltas: list[str]) -> None:
    chunks = Chunks(id="i", model="m", usage=False)
    events = []
    for block, name in ((0, "now"), (1, "weather")):
        start = {"toolUse": {"toolUseId": f"t{block}", "name": name}}
        events.append(("contentBlockStart", {"contentBlockIndex": block, "start": start}))
        parts = ['{"city"', ': "B"}'] if block else deltas
        events += [
            ("contentBlockDelta", {"contentBlockIndex": block, "delta": {"toolUse": {"input": p}}}) for p in parts
        ]
        events.append(("contentBlockStop", {"contentBlockIndex": block}))
    said = b"".join(part for name, members in events for part in chunks.of(frame("event", name, members)))
    arguments = {0: "", 1: ""}
    for chunk in sse(said):
        [part] = chunk["choices"][0]["delta"]["tool_calls"]
        arguments[part["index"]] += part["function"]["arguments"]
    assert arguments == {0: "{}", 1: '{"city": "B"}'}
