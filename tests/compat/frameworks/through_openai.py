"""The OpenAI SDK, which knows nothing of Bedrock."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from openai import AsyncOpenAI, OpenAI

from . import Framework, weather
from .through_litellm import KEY, TOOL, user


class OpenAISDK(Framework):
    package = "openai"
    line = "OPENAI_BASE_URL=http://127.0.0.1:8322/v1"
    environment: ClassVar = ("OPENAI_BASE_URL", "/v1")

    def __init__(self, model: str) -> None:
        self.asked: dict[str, Any] = {"model": model, "extra_headers": KEY}

    def answer(self, text: str) -> str:
        with OpenAI() as client:
            return str(client.chat.completions.create(messages=user(text), **self.asked).choices[0].message.content)

    def stream(self, text: str) -> str:
        with OpenAI() as client:
            parts = client.chat.completions.create(messages=user(text), stream=True, **self.asked)
            return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)

    async def asynchronous(self, text: str) -> str:
        async with AsyncOpenAI() as client:
            answer = await client.chat.completions.create(messages=user(text), **self.asked)
            return str(answer.choices[0].message.content)

    def tool(self, text: str) -> str:
        messages: list[Any] = user(text)
        with OpenAI() as client:
            said = client.chat.completions.create(messages=messages, tools=[TOOL], **self.asked).choices[0].message
            [call] = said.tool_calls
            result = weather(**json.loads(call.function.arguments))
            messages += [said, {"role": "tool", "tool_call_id": call.id, "content": result}]
            answer = client.chat.completions.create(messages=messages, tools=[TOOL], **self.asked)
            return str(answer.choices[0].message.content)
