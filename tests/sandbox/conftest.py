"""One echo sandbox for the whole run of these tests; each test starts without faults and with an empty log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from crossfade.sandbox.running import Sandbox

ECHO = "crossfade.echo-v1:0"
TEXT = "one two three four five six"


@pytest.fixture(scope="session")
def echo_sandbox() -> Iterator[Sandbox]:
    with Sandbox(models=("echo",)) as running:
        yield running


@pytest.fixture
def sandbox(echo_sandbox: Sandbox) -> Iterator[Sandbox]:
    yield echo_sandbox
    echo_sandbox.clear()
    echo_sandbox.settle()
    echo_sandbox.clear_log()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Any]:
    made = sandbox.client("us-east-1", read_timeout=1)
    yield made
    made.close()


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: Any) -> Ask:
    """Makes one call of an operation with TEXT as the prompt, reads it to its end, and gives what came."""

    def call(operation: str, model: str = ECHO, text: str = TEXT) -> Any:
        messages = [{"role": "user", "content": [{"text": text}]}]
        body = json.dumps(
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": text}],
            }
        )
        match operation:
            case "Converse":
                return client.converse(modelId=model, messages=messages)
            case "ConverseStream":
                with closing(client.converse_stream(modelId=model, messages=messages)["stream"]) as stream:
                    return list(stream)
            case "InvokeModel":
                with closing(client.invoke_model(modelId=model, body=body)["body"]) as whole:
                    return whole.read()
            case "InvokeModelWithResponseStream":
                with closing(client.invoke_model_with_response_stream(modelId=model, body=body)["body"]) as stream:
                    return [event["chunk"].get("bytes") for event in stream]
            case "CountTokens":
                return client.count_tokens(modelId=model, input={"converse": {"messages": messages}})
            case "ApplyGuardrail":
                content = [{"text": {"text": text}}]
                return client.apply_guardrail(
                    guardrailIdentifier="g", guardrailVersion="1", source="INPUT", content=content
                )
            case "StartAsyncInvoke":
                output = {"s3OutputDataConfig": {"s3Uri": "s3://bucket/here"}}
                return client.start_async_invoke(modelId=model, modelInput={"text": text}, outputDataConfig=output)
            case "GetAsyncInvoke":
                return client.get_async_invoke(
                    invocationArn="arn:aws:bedrock:us-east-1:123456789012:async-invoke/000000000001"
                )
            case "ListAsyncInvokes":
                return client.list_async_invokes()
        raise AssertionError(operation)

    return call
