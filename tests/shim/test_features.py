"""What the rules may know of a request, in Converse's shape and in the vendors' own."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

import crossfade
from crossfade.core.request import Request
from crossfade.core.route import Route
from crossfade.core.rule import Rule, When
from crossfade.core.snapshot import Entry
from crossfade.shim.context import Said
from crossfade.shim.features import held, read_request

TOOL = {"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}
MARK = {"cachePoint": {"type": "default"}}


def read(params: Any, operation: str = "Converse") -> Request:
    return read_request(operation, params, Said())


def test_text_images_documents_tools_and_code_are_counted_wherever_they_stand() -> None:
    found = read(
        {
            "system": [{"text": "12345"}, MARK],
            "messages": [
                {"role": "user", "content": [{"text": "123"}, {"image": {}}, {"document": {}}]},
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "t", "input": {}}}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "a",
                                "content": [{"text": "```py"}, {"json": {"a": 1}}, {"image": {}}, {"document": {}}],
                            }
                        }
                    ],
                },
            ],
            "toolConfig": {"tools": [TOOL, TOOL, MARK]},
        }
    )
    assert found == Request(characters=5 + 3 + 5 + 8, turns=3, tools=2, images=2, documents=2, code=True)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "1234"}], "system": "12"}, Request(characters=6)),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image"}, {"type": "document"}, {"type": "text", "text": "1"}],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "22"}]}]},
                    {"role": "user", "content": [{"type": "tool_result", "content": "333"}]},
                ],
                "tools": [{"name": "t"}],
            },
            Request(characters=6, turns=3, tools=1, images=1, documents=1),
        ),
        ({"inputText": "12345"}, Request(characters=5)),
        ({"prompt": "12345"}, Request(characters=5)),
        ([1], Request()),
    ],
)
def test_the_vendors_bodies_are_read_alike(body: Any, expected: Request) -> None:
    assert read({"body": json.dumps(body)}, "InvokeModel") == expected
    assert read({"input": {"invokeModel": {"body": json.dumps(body).encode()}}}, "CountTokens") == expected


@pytest.mark.parametrize("body", [b"\xff\xfe", "{", "[" * 100_000, None, 7, io.BytesIO(b"{}")])
def test_a_body_that_cannot_be_read_has_no_features(body: Any) -> None:
    assert read({"body": body}, "InvokeModel") == Request()
    assert held("InvokeModel", {"body": body}) == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, []),
        ({"toolConfig": {"tools": [TOOL]}}, ["tools"]),
        ({"toolConfig": {"tools": [TOOL, MARK]}}, ["tools", "cache_points"]),
        ({"system": [{"text": "x"}, MARK]}, ["cache_points"]),
        ({"messages": [{"content": [{"text": "x"}, MARK]}]}, ["cache_points"]),
        ({"messages": [{"content": [{"image": {}}, {"document": {}}]}]}, ["images", "documents"]),
        ({"messages": [{"content": [{"reasoningContent": {}}]}]}, ["reasoning"]),
        ({"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}, ["reasoning"]),
    ],
)
def test_what_not_every_model_takes_is_found_in_converse(params: Any, expected: list[str]) -> None:
    assert held("Converse", params) == expected


def test_what_not_every_model_takes_is_found_in_anthropics_body() -> None:
    body = {
        "thinking": {"type": "enabled"},
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "t", "cache_control": {"type": "ephemeral"}}],
    }
    assert held("InvokeModel", {"body": json.dumps(body)}) == ["tools", "cache_points", "reasoning"]


def test_a_body_given_as_a_file_is_seen_by_the_rules(routed, snapshot, model) -> None:
    rules = (Rule(when=When(below={"characters": 10}), use="small-route"),)
    small = Entry(id=4, route=Route(name="small-route", blue="small"))
    named = Route(name="support-chat", blue="blue", rules=rules)
    client = routed(snapshot(model("blue"), route=named, more=(small,), fallbacks=(model("small"),)))
    body = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "x" * 50}]}
    answer = client.invoke_model(modelId="support-chat", body=io.BytesIO(json.dumps(body).encode()))
    assert answer["ResponseMetadata"]["Crossfade"]["route"] == "support-chat"


def test_a_share_of_the_users_is_served_by_another_route_and_recorded_there(
    routed, snapshot, model, ask, controller
) -> None:
    other = Entry(id=4, route=Route(name="beside", blue="small"))
    named = Route(name="support-chat", blue="blue", shares={"beside": 30})
    found = snapshot(model("blue"), model("green"), weight=50, route=named, more=(other,), fallbacks=(model("small"),))
    client = routed(found)
    served: dict[str, set[tuple[str, str, int]]] = {}
    for _ in range(2):
        for n in range(40):
            with crossfade.context(key=f"user-{n}"):
                told = ask(client)["ResponseMetadata"]["Crossfade"]
            served.setdefault(f"user-{n}", set()).add((told["route"], told["model"], told["rollout"]))
    assert all(len(places) == 1 for places in served.values()), "a user was moved"
    places = [next(iter(found)) for found in served.values()]
    assert {place[0] for place in places if place[1] == "small"} == {"beside"}
    assert set(places) == {("support-chat", "blue", 12), ("support-chat", "green", 12), ("beside", "small", 0)}
    for name, (place,) in served.items():
        assert (named.share_at(named.place(name)) == "beside") is (place[0] == "beside")
    assert crossfade.flush()
    rows = controller.rows()
    assert {(row["route"], row["rollout"], row["model"]) for row in rows} == {
        (3, 12, "blue"), (3, 12, "green"), (4, 0, "small"),
    }  # fmt: skip
    assert sum(row["calls"] for row in rows if row["route"] == 4) == 2 * sum(p[0] == "beside" for p in places)
