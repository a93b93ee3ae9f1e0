"""litellm: speaks to Bedrock by itself, with httpx."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import litellm

from . import Framework, weather

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
KEY = {"x-crossfade-key": "ann"}


class LiteLLM(Framework):
    package = "litellm"
    line = "AWS_BEDROCK_RUNTIME_ENDPOINT=http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_BEDROCK_RUNTIME_ENDPOINT", "")

    def __init__(self, model: str) -> None:
        self.asked: dict[str, Any] = {"model": f"bedrock/{model}", "extra_headers": KEY}

    def answer(self, text: str) -> str:
        return str(litellm.completion(messages=user(text), **self.asked).choices[0].message.content)

    def stream(self, text: str) -> str:
        parts = litellm.completion(messages=user(text), stream=True, **self.asked)
        return "".join(part.choices[0].delta.content or "" for part in parts)

    async def asynchronous(self, text: str) -> str:
        return str((await litellm.acompletion(messages=user(text), **self.asked)).choices[0].message.content)

    def tool(self, text: str) -> str:
        messages: list[Any] = user(text)
        said = litellm.completion(messages=messages, tools=[TOOL], **self.asked).choices[0].message
        [call] = said.tool_calls
        result = weather(**json.loads(call.function.arguments))
        messages += [said, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return str(litellm.completion(messages=messages, tools=[TOOL], **self.asked).choices[0].message.content)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]
