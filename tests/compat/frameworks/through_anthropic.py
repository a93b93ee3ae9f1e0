"""anthropic[bedrock]: InvokeModel, signed by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from anthropic import AnthropicBedrock, AsyncAnthropicBedrock

from . import Framework, weather

TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
KEY = {"x-crossfade-key": "ann"}


class Anthropic(Framework):
    package = "anthropic"
    line = "ANTHROPIC_BEDROCK_BASE_URL=http://127.0.0.1:8322"
    environment: ClassVar = ("ANTHROPIC_BEDROCK_BASE_URL", "")

    def __init__(self, model: str) -> None:
        self.asked: dict[str, Any] = {"model": model, "max_tokens": 100, "extra_headers": KEY}

    def answer(self, text: str) -> str:
        with AnthropicBedrock() as client:
            return str(client.messages.create(messages=user(text), **self.asked).content[0].text)

    def stream(self, text: str) -> str:
        with AnthropicBedrock() as client, client.messages.stream(messages=user(text), **self.asked) as stream:
            return "".join(stream.text_stream)

    async def asynchronous(self, text: str) -> str:
        async with AsyncAnthropicBedrock() as client:
            return str((await client.messages.create(messages=user(text), **self.asked)).content[0].text)

    def tool(self, text: str) -> str:
        messages: list[Any] = user(text)
        with AnthropicBedrock() as client:
            said = client.messages.create(messages=messages, tools=[TOOL], **self.asked)
            use: Any = said.content[0]
            result = {"type": "tool_result", "tool_use_id": use.id, "content": weather(**use.input)}
            messages += [{"role": "assistant", "content": said.content}, {"role": "user", "content": [result]}]
            return str(client.messages.create(messages=messages, tools=[TOOL], **self.asked).content[0].text)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]
