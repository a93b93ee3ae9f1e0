"""The AWS CLI: one line in a shell. It has no command for what is streamed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from . import Framework, weather
from .apart import said
from .with_boto3 import TOOL, user


class CLI(Framework):
    package = "awscli"
    line = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "")
    cannot: ClassVar = {"stream": "the AWS CLI has no command for what Bedrock streams"}

    def __init__(self, model: str) -> None:
        self.model = model

    def answer(self, text: str) -> str:
        return str(self.ask([user({"text": text})])["content"][0]["text"])

    async def asynchronous(self, text: str) -> str:
        return await asyncio.to_thread(self.answer, text)

    def tool(self, text: str) -> str:
        messages = [user({"text": text})]
        tools = ("--tool-config", json.dumps({"tools": [TOOL]}))
        asked = self.ask(messages, *tools)
        use = asked["content"][0]["toolUse"]
        result = {"toolUseId": use["toolUseId"], "content": [{"text": weather(**use["input"])}]}
        messages += [asked, user({"toolResult": result})]
        return str(self.ask(messages, *tools)["content"][0]["text"])

    def ask(self, messages: list[dict[str, Any]], *more: str) -> dict[str, Any]:
        """The message of the answer."""
        aws = Path(sys.executable).with_name("aws")
        command = [aws, "bedrock-runtime", "converse", "--model-id", self.model, "--messages", json.dumps(messages)]
        command += ["--request-metadata", "crossfade-key=ann", "--output", "json", *more]
        return dict(json.loads(said(*command))["output"]["message"])
