"""aiobotocore's clients, and so aioboto3's: left alone, with a sentence, by every way to switch Crossfade on."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiobotocore.session
import pytest

import crossfade
from crossfade.errors import SetupError

EAST = "us-east-1"
ECHO = "crossfade.echo-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]
PLUGIN = "crossfade=crossfade.shim.plugin"


@pytest.fixture
def started(controller: Any, settings: Any, snapshot: Any, model: Any, session: Any) -> None:
    """Crossfade runs in this process, for boto3."""
    controller.serve_snapshot(snapshot(model("blue")))
    crossfade.install(session, **settings)


async def ask(session: Any, endpoint: str, enable: Any = None) -> Any:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": EAST}
    async with session.create_client("bedrock-runtime", endpoint_url=endpoint, **keys) as client:
        if enable is not None:
            enable(client)
        answer = await client.converse(modelId=ECHO, messages=MESSAGES)
        stream = (await client.converse_stream(modelId=ECHO, messages=MESSAGES))["stream"]
        return answer, [event async for event in stream]


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("how", ["install", "plugin", "enable"])
def test_an_async_client_goes_to_bedrock_untouched_and_is_told_why(
    how: str, sandbox: Any, settings: Any, controller: Any, caplog: Any, monkeypatch: Any
) -> None:
    session = aiobotocore.session.get_session()
    refused: list[str] = []

    def enable(client: Any) -> None:
        with pytest.raises(SetupError) as raised:
            crossfade.enable(client)
        refused.append(str(raised.value))

    if how == "install":
        crossfade.install(session, **settings)
    if how == "plugin":
        monkeypatch.setitem(os.environ, "BOTOCORE_EXPERIMENTAL__PLUGINS", PLUGIN)
    answer, events = asyncio.run(ask(session, sandbox.endpoint(EAST), enable if how == "enable" else None))
    assert answer["output"]["message"]["content"] == [{"text": "hello"}]
    assert "messageStop" in events[-2]
    assert "Crossfade" not in answer["ResponseMetadata"]
    assert "is an async one (aiobotocore, aioboto3)" in (caplog.text or refused[0])
    assert crossfade.flush()
    assert controller.rows() == []
