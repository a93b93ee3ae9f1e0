"""DSPy: asks by litellm."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import dspy

from . import Framework, weather
from .through_litellm import KEY, TOOL, LiteLLM


class DSPy(Framework):
    package = "dspy"
    line = LiteLLM.line
    environment: ClassVar = LiteLLM.environment
    cannot: ClassVar = {"stream": "DSPy streams the fields of its own answer format, which an echo does not speak"}

    def __init__(self, model: str) -> None:
        self.lm: Any = dspy.LM(f"bedrock/{model}", cache=False, num_retries=0, extra_headers=KEY)

    def answer(self, text: str) -> str:
        return str(self.lm(text)[0])

    async def asynchronous(self, text: str) -> str:
        return str((await self.lm.acall(text))[0])

    def tool(self, text: str) -> str:
        [call] = self.lm(text, tools=[TOOL])[0]["tool_calls"]
        return weather(**json.loads(call.function.arguments))
