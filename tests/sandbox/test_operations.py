"""Every operation, as a real boto3 client makes and reads it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from crossfade.sandbox.running import Sandbox

from .conftest import ECHO, TEXT, Ask


def test_converse_answers_in_one_piece(ask: Ask) -> None:
    answer = ask("Converse")
    assert answer["output"] == {"message": {"role": "assistant", "content": [{"text": TEXT}]}}
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {"inputTokens": 7, "outputTokens": 7, "totalTokens": 14}
    assert answer["metrics"]["latencyMs"] >= 0


def test_converse_stream_opens_speaks_and_ends(ask: Ask) -> None:
    events = ask("ConverseStream")
    names = [next(iter(event)) for event in events]
    assert names[0] == "messageStart"
    assert names[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert len(deltas) > 1
    assert "".join(deltas) == TEXT


def test_invoke_model_answers_a_message_of_the_anthropic_family(ask: Ask) -> None:
    answer = json.loads(ask("InvokeModel"))
    assert answer["content"] == [{"type": "text", "text": TEXT}]
    assert answer["stop_reason"] == "end_turn"
    assert answer["usage"] == {"input_tokens": 7, "output_tokens": 7}


def test_invoke_model_streams_the_events_of_the_anthropic_family(ask: Ask) -> None:
    events = [json.loads(chunk) for chunk in ask("InvokeModelWithResponseStream")]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(event["delta"]["text"] for event in events[2:-3]) == TEXT
    assert events[-1]["amazon-bedrock-invocationMetrics"]["inputTokenCount"] == 7


def test_count_tokens_counts_as_usage_does(ask: Ask, client: Any) -> None:
    assert ask("CountTokens")["inputTokens"] == ask("Converse")["usage"]["inputTokens"]
    body = json.dumps({"anthropic_version": "x", "max_tokens": 1, "messages": [{"role": "user", "content": TEXT}]})
    assert client.count_tokens(modelId=ECHO, input={"invokeModel": {"body": body}})["inputTokens"] == 7


def test_max_tokens_cuts_the_answer_and_says_so(client: Any) -> None:
    answer = client.converse(
        modelId=ECHO,
        messages=[{"role": "user", "content": [{"text": TEXT}]}],
        inferenceConfig={"maxTokens": 2},
    )
    assert answer["output"]["message"]["content"] == [{"text": TEXT[:8]}]
    assert answer["stopReason"] == "max_tokens"


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = 'please call weather {"city": "Oslo"} now'
CONVERSE_TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}]}


def invoked(content: Any) -> str:
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    messages = [{"role": "user", "content": content}]
    return json.dumps({"anthropic_version": "x", "max_tokens": 50, "messages": messages, "tools": tools})


def test_a_tool_that_the_request_offers_is_called_on_demand_in_every_operation(client: Any) -> None:
    messages = [{"role": "user", "content": [{"text": CALL}]}]
    whole = client.converse(modelId=ECHO, messages=messages, toolConfig=CONVERSE_TOOLS)
    asked = whole["output"]["message"]["content"][0]["toolUse"]
    assert (whole["stopReason"], asked["name"], asked["input"]) == ("tool_use", "weather", {"city": "Oslo"})
    events = list(client.converse_stream(modelId=ECHO, messages=messages, toolConfig=CONVERSE_TOOLS)["stream"])
    assert events[1]["contentBlockStart"]["start"]["toolUse"]["name"] == "weather"
    deltas = [e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e]
    assert json.loads("".join(deltas)) == {"city": "Oslo"}
    answer = json.loads(client.invoke_model(modelId=ECHO, body=invoked(CALL))["body"].read())
    assert (answer["stop_reason"], answer["content"][0]["input"]) == ("tool_use", {"city": "Oslo"})
    chunks = client.invoke_model_with_response_stream(modelId=ECHO, body=invoked(CALL))["body"]
    parts = [json.loads(event["chunk"]["bytes"]) for event in chunks]
    assert parts[1]["content_block"]["name"] == "weather"
    pieces = [part["delta"]["partial_json"] for part in parts if part["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == {"city": "Oslo"}


@pytest.mark.parametrize("text", ['call nobody {"city": "Oslo"}', "call weather {broken", "call weather"])
def test_what_calls_no_tool_that_is_offered_is_echoed(client: Any, text: str) -> None:
    messages = [{"role": "user", "content": [{"text": text}]}]
    answer = client.converse(modelId=ECHO, messages=messages, toolConfig=CONVERSE_TOOLS)
    assert answer["output"]["message"]["content"] == [{"text": text}]


def test_a_tools_result_is_read_as_text(client: Any) -> None:
    asked = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "rain"}, {"json": {"degrees": 4}}]}}
    messages = [
        {"role": "user", "content": [{"text": CALL}]},
        {"role": "assistant", "content": [asked]},
        {"role": "user", "content": [result]},
    ]
    answer = client.converse(modelId=ECHO, messages=messages, toolConfig=CONVERSE_TOOLS)
    assert answer["output"]["message"]["content"] == [{"text": 'rain\n{"degrees": 4}'}]
    told = [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]
    answer = json.loads(client.invoke_model(modelId=ECHO, body=invoked(told))["body"].read())
    assert answer["content"] == [{"type": "text", "text": "rain"}]


@pytest.mark.parametrize(
    "model",
    [
        "us.crossfade.echo-v1:0",
        "global.crossfade.echo-v1:0",
        "crossfade.echo-green-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/crossfade.echo-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.crossfade.echo-v1:0",
    ],
)
def test_profiles_and_arns_stand_for_their_model(ask: Ask, model: str) -> None:
    answer = ask("Converse", model)
    assert answer["output"]["message"]["content"] == [{"text": TEXT}]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-crossfade-model"] == model


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "ValidationException"),
        ("arn:aws:bedrock:us-east-1::foundation-model/nobody", "ResourceNotFoundException"),
    ],
)
def test_an_unknown_model_is_refused(ask: Ask, model: str, code: str) -> None:
    for operation in ("Converse", "ConverseStream", "InvokeModel", "CountTokens"):
        with pytest.raises(ClientError) as caught:
            ask(operation, model)
        assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"anthropic_version":"x","max_tokens":5,"messages":[]}'])
def test_a_malformed_body_is_refused(client: Any, body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke_model(modelId=ECHO, body=body)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_conversation_must_end_with_the_user(client: Any) -> None:
    messages = [
        {"role": "user", "content": [{"text": "a"}]},
        {"role": "assistant", "content": [{"text": "b"}]},
    ]
    with pytest.raises(ClientError, match="end with a user message"):
        client.converse(modelId=ECHO, messages=messages)


def test_each_region_answers_for_itself(sandbox: Sandbox) -> None:
    for region in sandbox.regions:
        client = sandbox.client(region)
        answer = client.converse(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "x"}]}])
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-crossfade-region"] == region
        client.close()
    assert [entry["region"] for entry in sandbox.log()] == list(sandbox.regions)


def test_the_control_plane_tells_what_exists(sandbox: Sandbox) -> None:
    bedrock = sandbox.client("us-west-2", "bedrock")
    details = bedrock.get_foundation_model(modelIdentifier=ECHO)["modelDetails"]
    assert details["modelId"] == ECHO
    assert "not a language model" in details["modelName"]
    assert details["modelArn"].startswith("arn:aws:bedrock:us-west-2::foundation-model/")
    assert bedrock.get_foundation_model(modelIdentifier=details["modelArn"])["modelDetails"] == details
    profile = bedrock.get_inference_profile(inferenceProfileIdentifier="us." + ECHO)
    assert profile["status"] == "ACTIVE"
    assert profile["models"] == [{"modelArn": details["modelArn"]}]
    assert [summary["modelId"] for summary in bedrock.list_foundation_models()["modelSummaries"]] == [ECHO]
    for lookup in (
        lambda: bedrock.get_foundation_model(modelIdentifier="nobody.here-v1:0"),
        lambda: bedrock.get_foundation_model(modelIdentifier="us." + ECHO),
        lambda: bedrock.get_inference_profile(inferenceProfileIdentifier="us.nobody.here-v1:0"),
        lambda: bedrock.get_inference_profile(inferenceProfileIdentifier=ECHO),
    ):
        with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
            lookup()
    sandbox.fault("access_denied", operation="GetFoundationModel")
    with pytest.raises(bedrock.exceptions.AccessDeniedException):
        bedrock.get_foundation_model(modelIdentifier=ECHO)
    bedrock.close()


def test_one_connection_serves_many_calls_without_waiting(ask: Ask) -> None:
    ask("Converse")
    started = time.perf_counter()
    for _ in range(100):
        ask("Converse")
    # Without TCP_NODELAY each call would take 40 ms.
    assert time.perf_counter() - started < 3.5


def test_reasoning_is_given_where_it_is_asked_for_and_taken_back_by_the_model_that_signed_it_alone(client: Any) -> None:
    thinking = {"additionalModelRequestFields": {"thinking": {"type": "enabled"}}}
    question = {"role": "user", "content": [{"text": TEXT}]}
    first = client.converse(modelId=ECHO, messages=[question], **thinking)["output"]["message"]
    assert [next(iter(block)) for block in first["content"]] == ["reasoningContent", "text"]
    talk = [question, first, question]
    assert client.converse(modelId=f"us.{ECHO}", messages=talk)["output"]["message"]["content"] == [{"text": TEXT}]
    for other in ("converse", "converse_stream"):
        with pytest.raises(ClientError, match="Invalid `signature` in `thinking` block"):
            getattr(client, other)(modelId="crossfade.echo-other-v1:0", messages=talk)
    block = {"type": "thinking", "thinking": "so", "signature": "mine"}
    turns = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "content": [block]},
        {"role": "user", "content": "go"},
    ]
    body = json.dumps({"anthropic_version": "x", "max_tokens": 9, "messages": turns})
    with pytest.raises(ClientError, match="Invalid `signature`"):
        client.invoke_model(modelId=ECHO, body=body)
