"""amazon-bedrock-haystack: makes its client itself, so the environment switches Crossfade on."""

from __future__ import annotations

import os
from typing import Any, ClassVar
from unittest import mock

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from haystack_integrations.components.generators.amazon_bedrock import AmazonBedrockChatGenerator

from . import Framework, weather


class Haystack(Framework):
    package = "amazon-bedrock-haystack"
    line = "BOTOCORE_EXPERIMENTAL__PLUGINS=crossfade=crossfade.shim.plugin"
    cannot: ClassVar = {"asynchronous": "haystack's `run_async` asks through aiobotocore"}

    def __init__(self, session: Any, model: str) -> None:
        self.session, self.model = session, model

    def generator(self, **more: Any) -> Any:
        keys = self.session.get_credentials()
        generator: Any = AmazonBedrockChatGenerator(
            model=self.model,
            aws_access_key_id=Secret.from_token(keys.access_key),
            aws_secret_access_key=Secret.from_token(keys.secret_key),
            aws_region_name=Secret.from_token(self.session.region_name),
            **more,
        )
        with mock.patch.dict(os.environ, [self.line.split("=", 1)]):
            generator.warm_up()
        return generator

    def answer(self, text: str) -> str:
        return str(self.generator().run([ChatMessage.from_user(text)])["replies"][0].text)

    def stream(self, text: str) -> str:
        parts: list[str] = []
        generator = self.generator(streaming_callback=lambda chunk: parts.append(chunk.content))
        generator.run([ChatMessage.from_user(text)])
        return "".join(parts)

    def tool(self, text: str) -> str:
        agent: Any = Agent(chat_generator=self.generator(), tools=[create_tool_from_function(weather)])
        return str(agent.run(messages=[ChatMessage.from_user(text)])["messages"][-1].text)
