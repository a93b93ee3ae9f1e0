"""Which way a call would take: the same as the call path takes, with the reasons."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from plane import SECRET, Plane, model

from crossfade.core.snapshot import read_snapshot, snapshot_to_bytes
from crossfade.core.split import position
from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.usecases import apply
from crossfade.server.usecases.snapshot import current_snapshot
from crossfade.server.usecases.trial import _bedrock, try_route

LONG = "Compare these two contracts clause by clause, and say which of them binds us longer, and to what exactly."
REGIONS = [{"region": region, "model_id": f"vendor.new-{region}"} for region in ("us-east-1", "us-west-2", "eu-west-1")]

SEEDS: dict[str, Any] = {
    "models": [
        model("sonnet", body_family="anthropic"),
        model("haiku", body_family="anthropic", takes=["tools", "images"]),
        model("nova", body_family="nova"),
        {"name": "next", "body_family": "anthropic", "targets": REGIONS},
    ],
    "routes": [
        {
            "name": "chat",
            "blue": "sonnet",
            "fallbacks": ["haiku", "nova"],
            "rules": [
                {"when": {"characters_below": 100, "tools": False}, "use": "short"},
                {"when": {"tiers": ["free"]}, "use": "cheap"},
                {"when": {"labels": {"team": "law"}}, "use": "cheap"},
            ],
        },
        {"name": "short", "blue": "haiku"},
        {"name": "cheap", "blue": "haiku", "shares": {"short": 40}},
    ],
}


PAGE = (Path(__file__).parents[2] / "docs" / "declaring.md").read_text()


def declared_in(title: str) -> dict[str, Any]:
    """The first file under a heading of the page."""
    section = PAGE.partition(f"# {title}\n")[2]
    return tomllib.loads(section.partition("```toml\n")[2].partition("```")[0])


def test_the_files_in_the_docs_can_be_applied_and_route_as_their_comments_say(plane: Plane) -> None:
    files = declared_in("Models, Routes and rollouts as files")
    apply.apply_declarations(plane.engine, files, actor="ann", now=plane.now)
    name = files["routes"][0]["name"]
    short = tried(plane, name=name, prompt="bonjour")
    assert [target["model"] for target in short["targets"]] == ["haiku", "sonnet", "sonnet"]
    assert short["terms"]["text"].startswith("short: deadline 30 s, fallback sonnet; those of us.anthropic.claude")
    free = tried(plane, name=name, prompt=LONG, tier="free")
    assert (free["route"], free["targets"][0]["model"]) == ("cheap", "haiku")
    paid = tried(plane, name=name, prompt=LONG, tier="paid")
    assert [(t["model"], t["region"]) for t in paid["targets"]] == [
        ("sonnet", "us-east-1"), ("sonnet", "eu-west-1"), ("haiku", "us-east-1"),
    ]  # fmt: skip
    apply.apply_declarations(plane.engine, declared_in("Several Models, weighted"), actor="ann", now=plane.now)
    served = [tried(plane, name="chat", prompt=LONG, key=f"user-{n}")["targets"][0]["model"] for n in range(60)]
    assert 6 <= served.count("haiku") <= 30
    assert set(served) == {"haiku", "sonnet"}


@pytest.fixture
def seeded(plane: Plane) -> Plane:
    apply.apply_declarations(plane.engine, SEEDS, actor="ann", now=plane.now)
    return plane


def tried(plane: Plane, name: str = "chat", **body: Any) -> dict[str, Any]:
    return try_route(plane.engine, name, body, now=plane.now, secret=SECRET).to_dict()


def test_a_call_has_the_deadline_and_the_fallbacks_of_the_route_that_serves_it_not_of_the_first(plane: Plane) -> None:
    chat = SEEDS["routes"][0] | {"policy": {"deadline": 30, "stream_deadline": 45}}
    apply.apply_declarations(plane.engine, SEEDS | {"routes": [chat, *SEEDS["routes"][1:]]}, actor="ann", now=plane.now)
    sent_on, stays = tried(plane, prompt="bonjour")["terms"], tried(plane, prompt=LONG)["terms"]
    assert sent_on == {
        "deadline": 60,
        "fallbacks": [],
        "text": "short: deadline 60 s (default), no fallback; those of chat do not count.",
    }
    assert stays == {
        "deadline": 30,
        "fallbacks": ["haiku", "nova"],
        "text": "chat: deadline 30 s, fallbacks haiku, nova.",
    }
    streamed = tried(plane, prompt=LONG, operation="ConverseStream")["terms"]
    assert streamed["text"] == "chat: deadline 45 s, fallbacks haiku, nova."


def test_a_short_prompt_goes_to_the_small_model(seeded: Plane) -> None:
    found = tried(seeded, prompt="bonjour")
    assert (found["route"], found["variant"], found["weight"]) == ("short", "blue", None)
    assert [target["model"] for target in found["targets"]] == ["haiku"]
    assert [rule["holds"] for rule in found["legs"][0]["rules"]] == [True, None, None]
    assert found["sentence"] == (
        "Rule 1 of chat holds: short is used. short has no rollout that runs: its blue, haiku, is asked."
    )


def test_the_free_tier_goes_to_the_cheap_model_and_the_rules_before_say_why_not(seeded: Plane) -> None:
    key = next(f"user-{n}" for n in range(99) if position("shares|cheap", f"user-{n}") >= 0.4)
    found = tried(seeded, prompt=LONG, tier="free", key=key)
    rules = found["legs"][0]["rules"]
    assert [(rule["holds"], rule["unmet"]) for rule in rules] == [
        (False, [f"characters is {len(LONG)}, not below 100"]),
        (True, []),
        (None, []),
    ]
    assert (found["route"], found["legs"][1]["shares"], found["legs"][1]["to"]) == ("cheap", {"short": 40}, None)
    by_label = tried(seeded, prompt=LONG, labels={"team": "law"}, key=key)
    assert by_label["legs"][0]["rules"][1]["unmet"] == ["no tier is given, 'free' is wanted"]
    assert by_label["route"] == "cheap"
    by_metadata = tried(seeded, request={"requestMetadata": {"team": "law", "crossfade-key": key}}, prompt=LONG)
    assert (by_metadata["route"], by_metadata["by"]) == ("cheap", "key")


def test_a_share_is_said_with_where_the_call_lies(seeded: Plane) -> None:
    key = next(f"user-{n}" for n in range(99) if position("shares|cheap", f"user-{n}") < 0.4)
    found = tried(seeded, name="cheap", prompt=LONG, key=key)
    assert found["route"] == "short"
    assert found["legs"][0]["place"] == pytest.approx(position("shares|cheap", key))
    assert found["sentence"].startswith("The call lies in the 40 % of cheap that short gets.")


def test_the_variant_is_the_one_the_call_path_assigns_and_targets_come_in_its_order(seeded: Plane) -> None:
    apply.put_route(
        seeded.engine, "plain", {"blue": "sonnet", "fallbacks": ["haiku", "nova"]}, actor="a", now=seeded.now
    )
    rollout = seeded.register(route="plain", green="next")
    current = read_snapshot(snapshot_to_bytes(current_snapshot(seeded.engine, now=seeded.now, secret=SECRET)))
    seen = set()
    for n in range(60):
        found = tried(seeded, name="plain", prompt=LONG, conversation=f"talk-{n}")
        seen.add(found["variant"])
        assert found["variant"] == current.entries["plain"].assign(f"talk-{n}")
        if found["variant"] == "green":
            assert [(t["model"], t["region"]) for t in found["targets"]] == [
                ("next", "us-east-1"), ("next", "us-west-2"), ("next", "eu-west-1"), ("sonnet", "us-east-1"),
            ]  # fmt: skip
            assert found["left_out"] == [
                "haiku in us-east-1: a call tries 4 targets at most",
                "nova in us-east-1: a call tries 4 targets at most",
            ]  # fmt: skip
            assert found["place"] < found["weight"] / 100
            assert (found["by"], found["rollout"]) == ("conversation", rollout.id)
            assert "below green's weight of 10 %: green, next, is asked." in found["sentence"]
        else:
            assert [target["model"] for target in found["targets"]] == ["sonnet", "haiku", "nova"]
            assert "not below green's weight of 10 %: blue, sonnet, is asked." in found["sentence"]
    assert seen == {"blue", "green"}
    assert "drawn anew" in tried(seeded, name="plain", prompt=LONG)["sentence"]


def test_an_invoke_model_body_goes_to_its_family_only_and_tokens_are_counted_by_no_fallback(seeded: Plane) -> None:
    body = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": LONG}]}
    found = tried(seeded, operation="InvokeModel", request={"body": body})
    assert [target["model"] for target in found["targets"]] == ["sonnet", "haiku"]
    assert found["left_out"] == ["nova: its body family is not anthropic"]
    assert found["request"]["characters"] == len(LONG)
    counted = tried(seeded, operation="CountTokens", request={"input": {"converse": {"messages": []}}}, tier="gold")
    assert counted["route"] == "short"


def test_what_a_model_does_not_take_and_an_unset_limit_are_warned_of(seeded: Plane) -> None:
    mark = {"cachePoint": {"type": "default"}}
    request = {
        "system": [{"text": "x"}, mark],
        "toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}]},
        "messages": [{"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}]}],
    }
    found = tried(seeded, request=request, prompt="go")
    assert found["request"]["holds"] == ["tools", "cache_points", "reasoning"]
    assert found["legs"][0]["rules"][0]["unmet"] == ["has tools"]
    assert found["warnings"] == [
        "haiku is declared not to take cache points: it will refuse the call",
        "haiku is declared not to take reasoning: the reasoning of earlier turns is taken out for it",
        "maxTokens is not set: Bedrock holds the model's maximum against your quota while the call runs",
    ]
    assert tried(seeded, prompt="go", request={"inferenceConfig": {"maxTokens": 5}})["warnings"] == []


def test_the_controllers_own_aws_set_up_has_no_say(seeded: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    _bedrock.cache_clear()
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    assert tried(seeded, prompt="hi")["legs"][0]["route"] == "chat"


def test_a_request_that_boto3_would_not_send_is_refused_and_not_tested_as_an_empty_one(seeded: Plane) -> None:
    said = [{"role": "user", "content": [{"text": "bonjour"}]}]
    with pytest.raises(Invalid, match=r'^request: boto3 would not send it: Unknown parameter in input: "mesages"'):
        tried(seeded, request={"mesages": said})
    with pytest.raises(Invalid, match=r'Unknown parameter in messages\[0\].content\[0\]: "txt", must be one of: text'):
        tried(seeded, request={"messages": [{"role": "user", "content": [{"txt": "bonjour"}]}]})
    image = {"image": {"format": "png", "source": {"bytes": "aGk="}}}  # bytes as JSON has them
    good = {"modelId": "chat", "messages": [{"role": "user", "content": [*said[0]["content"], image]}]}
    assert tried(seeded, request=good)["request"]["images"] == 1


def test_what_cannot_be_tried_is_refused_with_every_problem(seeded: Plane) -> None:
    with pytest.raises(Invalid) as error:
        tried(seeded, operation="Invoke", request=[], labels={"team": 5}, key=7, colour="red")
    assert sorted(problem.path for problem in error.value.problems) == [
        "colour",
        "key",
        "labels.team",
        "operation",
        "request",
    ]
    with pytest.raises(Invalid, match="prompt: is missing"):
        tried(seeded)
    with pytest.raises(Invalid, match="prompt: is of Converse"):
        tried(seeded, operation="InvokeModel", prompt="hi")
    with pytest.raises(NotFound, match="no route is named 'chatt'"):
        tried(seeded, name="chatt", prompt="hi")


def test_a_model_that_does_not_take_what_a_route_needs_is_refused_wherever_it_would_come_to_serve_it(
    seeded: Plane,
) -> None:
    def route(**more: Any) -> None:
        apply.put_route(seeded.engine, "marked", {"blue": "sonnet", **more}, actor="ann", now=seeded.now)

    def takes(name: str, *what: str) -> None:
        body = {
            key: value for key, value in next(m for m in SEEDS["models"] if m["name"] == name).items() if key != "takes"
        }
        apply.put_model(seeded.engine, name, body | {"takes": list(what)}, actor="ann", now=seeded.now)

    route(needs=["cache_points"])
    with pytest.raises(Invalid, match=r"green: 'haiku' is declared not to take cache points, which route 'marked'"):
        seeded.register(route="marked", green="haiku")
    with pytest.raises(Invalid, match=r"fallbacks\[0\]: 'haiku' is declared not to take cache points"):
        route(needs=["cache_points"], fallbacks=["haiku"])
    with pytest.raises(Invalid, match=r"takes: 'sonnet' is declared not to take cache points, which route 'marked'"):
        takes("sonnet", "tools")
    takes("sonnet", "tools", "cache_points")
    seeded.register(route="marked", green="next")
    with pytest.raises(Invalid, match=r"takes: 'next' is declared not to take cache points, which route 'marked'"):
        takes("next", "tools")
    takes("next", "cache_points")
    with pytest.raises(Invalid, match=r"needs: the live rollout's green 'next' is declared not to take tools"):
        route(needs=["cache_points", "tools"])


def test_neither_an_undo_nor_a_promotion_brings_a_model_that_lacks_what_the_route_needs(seeded: Plane) -> None:
    def put(name: str, **more: Any) -> None:
        body = next(m for m in SEEDS["models"] if m["name"] == name) | more
        apply.put_model(seeded.engine, name, body, actor="ann", now=seeded.now)

    marked = {"blue": "sonnet", "needs": ["cache_points"]}
    apply.put_route(seeded.engine, "marked", marked, actor="ann", now=seeded.now)
    first = seeded.register(route="marked", green="next")
    seeded.act(first.id, "promote")
    put("sonnet", takes=["tools"])  # nothing uses it now
    with pytest.raises(Conflict, match=r"'sonnet' is declared not to take cache points, which route 'marked' needs"):
        seeded.act(first.id, "undo")
    assert seeded.one("SELECT blue FROM routes WHERE name = 'marked'") == "next"
    put("sonnet", takes=["tools", "cache_points"])
    seeded.act(first.id, "undo")
    second = seeded.register(route="marked", green="next")
    # As by a declaration that was being saved while the rollout was registered.
    seeded.sql("UPDATE models SET declaration = declaration || '{\"takes\": []}' WHERE name = 'next'")
    with pytest.raises(Conflict, match=r"'next' is declared not to take cache points, which route 'marked' needs"):
        seeded.act(second.id, "promote")
    assert seeded.act(second.id, "abort").phase == "aborted"


def test_what_is_taken_out_of_a_declaration_is_a_change(seeded: Plane) -> None:
    bare = {"name": "cheap", "blue": "haiku"}
    (change,) = apply.apply_declarations(seeded.engine, {"routes": [bare]}, actor="ann", now=seeded.now)
    assert (change.change, change.fields) == ("update", {"shares": ({"short": 40.0}, None)})
    (again,) = apply.apply_declarations(seeded.engine, {"routes": [bare]}, actor="ann", now=seeded.now)
    assert again.change == "unchanged"


def test_a_route_that_gets_a_share_cannot_be_deleted(seeded: Plane) -> None:
    from crossfade.server.usecases.delete import delete_route

    with pytest.raises(Conflict, match="rules or shares of 'chat', 'cheap'"):
        delete_route(seeded.engine, "short", actor="ann", now=seeded.now)
