"""What is pinned to a region, and what passes through with botocore's own retries."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

import crossfade

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
ROUTE = "support-chat"
MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]
OUTPUT = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/here"}}


def start(client: Any, **more: Any) -> Any:
    return client.start_async_invoke(modelId=ROUTE, modelInput={"text": "hi"}, outputDataConfig=OUTPUT, **more)


def asked(sandbox: Any) -> list[tuple[str, str, str]]:
    sandbox.settle()
    entries = sorted(sandbox.log(), key=lambda entry: (entry["at"], entry["seq"]))
    return [(entry["operation"], entry["region"], entry["outcome"]) for entry in entries]


def test_an_asynchronous_call_goes_to_the_clients_own_region_and_counts_for_nothing(
    routed, snapshot, model, sandbox, controller
) -> None:
    blue = model("blue", WEST, EAST)
    client = routed(snapshot(blue))
    answer = start(client)
    assert answer["invocationArn"].split(":")[3] == EAST
    told = answer["ResponseMetadata"]["Crossfade"]
    assert (told["model"], told["region"], told["attempts"]) == ("blue", EAST, 1)
    assert crossfade.flush()
    assert controller.rows() == []


@pytest.mark.parametrize("kind", ["unavailable", "reset", "truncated_body", "throttle"])
def test_an_asynchronous_call_is_tried_again_where_it_was_and_starts_one_job(
    routed, snapshot, model, sandbox, kind
) -> None:
    client = routed(snapshot(model("blue", EAST, WEST), model("green", WEST)))
    sandbox.fault(kind, count=1)
    arn = start(client)["invocationArn"]
    assert [(operation, region) for operation, region, _ in asked(sandbox)] == [("StartAsyncInvoke", WEST)] * 2
    west = sandbox.client(WEST)
    found = west.list_async_invokes()["asyncInvokeSummaries"]
    token = west.get_async_invoke(invocationArn=arn)["clientRequestToken"]
    west.close()
    assert [job["invocationArn"] for job in found if job["clientRequestToken"] == token] == [arn]


def test_an_asynchronous_call_is_never_moved(routed, snapshot, model, sandbox) -> None:
    client = routed(snapshot(model("blue"), model("green")))
    sandbox.fault("unavailable", region=EAST)
    with pytest.raises(client.exceptions.ServiceUnavailableException, match="green in us-east-1: unavailable"):
        start(client)
    assert {region for _, region, _ in asked(sandbox)} == {EAST}


def test_the_callers_own_token_is_sent(routed, snapshot, model, sandbox) -> None:
    client = routed(snapshot(model("blue", WEST)))
    arn = start(client, clientRequestToken="mine")["invocationArn"]
    assert start(client, clientRequestToken="mine")["invocationArn"] == arn
    assert client.get_async_invoke(invocationArn=arn)["clientRequestToken"] == "mine"


def test_get_goes_to_the_region_of_the_arn_signed_for_it_with_botocores_retries(
    routed, snapshot, model, sandbox
) -> None:
    client = routed(snapshot(model("blue", WEST)), retries={"total_max_attempts": 3, "mode": "standard"})
    arn = start(client)["invocationArn"]
    sandbox.clear_log()
    sandbox.fault("unavailable", operation="GetAsyncInvoke", count=2)
    found = client.get_async_invoke(invocationArn=arn)
    assert (found["status"], found["ResponseMetadata"]["RetryAttempts"]) == ("Completed", 2)
    assert "Crossfade" not in found["ResponseMetadata"]
    sandbox.settle()
    assert {(entry["region"], entry["signed_region"]) for entry in sandbox.log()} == {(WEST, WEST)}
    assert len(sandbox.log()) == 3


@pytest.mark.parametrize("face", ["shim"], indirect=True)
def test_list_and_get_at_home_are_left_as_they_are(routed, snapshot, model, sandbox, session) -> None:
    routed(snapshot(model("blue", EAST)))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    arn = start(client)["invocationArn"]
    assert client.get_async_invoke(invocationArn=arn)["status"] == "Completed"
    pages = client.get_paginator("list_async_invokes").paginate(PaginationConfig={"PageSize": 1000})
    assert arn in [job["invocationArn"] for page in pages for job in page["asyncInvokeSummaries"]]
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_async_invoke(invocationArn="no arn at all, but long enough for botocore's own check")
    client.close()


@pytest.mark.parametrize("face", ["shim"], indirect=True)
def test_a_guardrail_is_applied_in_its_own_region_with_botocores_retries(
    routed, snapshot, model, sandbox, session, controller
) -> None:
    routed(snapshot(model("blue")))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    start(client)  # the client is ours by now
    sandbox.clear_log()

    def apply() -> Any:
        content = [{"text": {"text": "hi"}}]
        return client.apply_guardrail(guardrailIdentifier="g", guardrailVersion="1", source="INPUT", content=content)

    sandbox.fault("throttle", operation="ApplyGuardrail", count=1)
    assert apply()["ResponseMetadata"]["RetryAttempts"] == 1
    sandbox.fault("validation", operation="ApplyGuardrail", count=1)
    with pytest.raises(ClientError):
        apply()
    assert [region for _, region, _ in asked(sandbox)] == [EAST] * 3
    assert crossfade.flush()
    assert controller.rows() == []
    client.close()


ARN = "arn:aws:bedrock:us-west-2:123456789012:guardrail/abc"


@pytest.mark.parametrize(("guardrail", "region"), [("abc", EAST), (ARN, WEST)], ids=["id", "arn"])
@pytest.mark.parametrize("operation", ["converse", "invoke_model"])
def test_a_call_with_a_guardrail_stays_in_the_region_that_knows_it(
    routed, snapshot, model, sandbox, calls, operation, guardrail, region
) -> None:
    green = model("green")
    client = routed(snapshot(model("blue"), green))
    sandbox.fault("unavailable", model=green.targets[0].model_id)
    named = {"guardrailIdentifier": guardrail, "guardrailVersion": "1"}
    if operation == "converse":
        answer = client.converse(modelId=ROUTE, messages=MESSAGES, guardrailConfig=named)
    else:
        body = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        answer = client.invoke_model(modelId=ROUTE, body=json.dumps(body), **named)
    assert answer["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert [place[:2] for place in calls()] == [(region, "green"), (region, "green"), (region, "blue")]


def test_a_guardrail_elsewhere_than_all_targets_bounds_nothing(routed, snapshot, model, ask, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", WEST, EU)))
    sandbox.fault("unavailable", region=WEST)
    ask(client, guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"})
    assert [region for region, *_ in calls()] == [WEST, EU]


def test_a_target_that_cannot_count_tokens_is_still_asked_for_answers(
    routed, snapshot, model, ask, sandbox, controller
) -> None:
    green = model("green")
    client = routed(snapshot(model("blue"), green))
    says = "The provided model identifier is invalid."
    sandbox.fault("validation", message=says, operation="CountTokens", model=green.targets[0].model_id)
    client.count_tokens(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    told = ask(client)["ResponseMetadata"]["Crossfade"]
    assert (told["model"], told["region"]) == ("green", EAST)
    assert crossfade.flush()
    assert controller.total("outcomes") == {"ok": 1}


@pytest.mark.parametrize("face", ["shim"], indirect=True)
def test_a_call_that_a_hook_makes_in_the_middle_of_a_routed_one_is_none_of_it(
    routed, snapshot, model, sandbox, session
) -> None:
    routed(snapshot(model("blue")))
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))

    def check(**_: Any) -> None:
        client.apply_guardrail(
            guardrailIdentifier="g", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "hi"}}]
        )

    client.meta.events.register("before-send.bedrock-runtime.Converse", check)
    sandbox.fault("unavailable", region=EAST, operation="Converse")
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    told = client.converse(modelId=ROUTE, messages=messages)["ResponseMetadata"]["Crossfade"]
    assert (told["region"], told["attempts"]) == (WEST, 2)
    assert asked(sandbox) == [
        ("ApplyGuardrail", EAST, "answered"), ("Converse", EAST, "ServiceUnavailableException"),
        ("ApplyGuardrail", EAST, "answered"), ("Converse", WEST, "answered"),
    ]  # fmt: skip
    client.close()


def test_counted_tokens_tell_nothing_of_how_long_an_answer_takes(routed, snapshot, model, ask, sandbox) -> None:
    client = routed(snapshot(model("blue", EAST, WEST)))
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    for _ in range(25):
        client.count_tokens(modelId=ROUTE, input={"converse": {"messages": messages}})
    sandbox.fault("latency", region=EAST, seconds=0.7)
    for _ in range(6):
        assert ask(client)["ResponseMetadata"]["Crossfade"]["region"] == EAST, "slow only beside counting"


@pytest.mark.parametrize("kind", ["throttle", "quota"])
def test_an_unset_max_tokens_is_warned_of_once_a_route_when_it_costs_quota(
    face, routed, snapshot, model, ask, sandbox, caplog, kind
) -> None:
    named = f"warned-{kind}-{face}"  # once a process
    found = snapshot(model("blue", EAST))
    entry = replace(found.entries[ROUTE], route=replace(found.entries[ROUTE].route, name=named))
    client = routed(replace(found, entries={named: entry}))

    def warned() -> list[int]:
        return [record.levelno for record in caplog.records if record.action == "max_tokens_unset"]

    ask(client, modelId=named, inferenceConfig={})
    assert caplog.records == [], "not on a good day"
    sandbox.fault(kind, count=1)
    ask(client, modelId=named)
    assert warned() == [], "that one says how many"
    for _ in range(2):
        sandbox.fault(kind, count=1)
        ask(client, modelId=named, inferenceConfig={})
    assert warned() == [logging.WARNING]
    assert f"'{named}' was throttled and sets no maxTokens" in caplog.text


def test_unknown_failures_above_a_thousandth_raise_an_alarm_once(
    routed, snapshot, model, ask, sandbox, caplog, fast
) -> None:
    client = routed(snapshot(model("blue"), policy=replace(fast, unknown_share=0.2)))
    for _ in range(8):
        ask(client)
    sandbox.fault("html_502", region=EAST, status=599, count=1)
    ask(client)
    assert caplog.records == [], "one of ten attempts"
    for _ in range(3):
        sandbox.fault("html_502", region=EAST, status=599, count=1)
        ask(client)
    assert [record.action for record in caplog.records] == ["unknown_outcomes"]
    assert "599" in caplog.text
