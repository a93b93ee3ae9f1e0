"""semantic-kernel: async only."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.bedrock import BedrockChatCompletion, BedrockChatPromptExecutionSettings
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

from . import Framework, weather


class Plugin:
    @kernel_function(name="weather", description="The weather in a city.")
    def weather(self, city: str) -> str:
        return weather(city)


class SemanticKernel(Framework):
    package = "semantic-kernel"
    line = "BedrockChatCompletion(model_id=MODEL_ID, runtime_client=bedrock, client=session.client('bedrock'))"
    cannot: ClassVar = {"key": "semantic-kernel calls boto3 in an executor without the context"}

    def __init__(self, session: Any, model: str) -> None:
        self.chat = BedrockChatCompletion(
            model_id=model, runtime_client=session.client("bedrock-runtime"), client=session.client("bedrock")
        )

    def answer(self, text: str) -> str:
        settings = BedrockChatPromptExecutionSettings()
        return str(asyncio.run(self.chat.get_chat_message_content(asked(text), settings)))

    def stream(self, text: str) -> str:
        async def read() -> str:
            parts = self.chat.get_streaming_chat_message_content(asked(text), BedrockChatPromptExecutionSettings())
            return "".join([str(part) async for part in parts if part is not None])

        return asyncio.run(read())

    async def asynchronous(self, text: str) -> str:
        return str(await self.chat.get_chat_message_content(asked(text), BedrockChatPromptExecutionSettings()))

    def tool(self, text: str) -> str:
        kernel = Kernel()
        kernel.add_plugin(Plugin(), plugin_name="sky")
        settings = BedrockChatPromptExecutionSettings(function_choice_behavior=FunctionChoiceBehavior.Auto())
        text = text.replace("call weather", "call sky-weather")  # semantic-kernel puts the plugin's name before it
        return str(asyncio.run(self.chat.get_chat_message_content(asked(text), settings, kernel=kernel)))


def asked(text: str) -> ChatHistory:
    history = ChatHistory()
    history.add_user_message(text)
    return history
