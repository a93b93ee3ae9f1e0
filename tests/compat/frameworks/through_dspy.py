"""DSPy: asks by litellm."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import dspy

from . import Framework, weather
from .through_litellm import KEY, TOOL, LiteLLM


class DSPy(Framework):
    package = "dspy"
    line = LiteLLM.line
    environment: ClassVar = LiteLLM.environment

    def __init__(self, model: str) -> None:
        self.lm: Any = dspy.LM(f"bedrock/{model}", cache=False, num_retries=0, extra_headers=KEY)

    def answer(self, text: str) -> str:
        return str(self.lm(text)[0])

    def stream(self, text: str) -> str:
        return asyncio.run(self.stream_field(text))

    async def stream_field(self, text: str) -> str:
        """DSPy streams a field of its own answer format, which the echo speaks because the question does."""
        listener = dspy.streaming.StreamListener(signature_field_name="answer")
        ask = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
        said = ""
        with dspy.context(lm=self.lm):
            async for part in ask(question=f"[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"):
                if isinstance(part, dspy.streaming.StreamResponse):
                    said += part.chunk
        return said

    async def asynchronous(self, text: str) -> str:
        return str((await self.lm.acall(text))[0])

    def tool(self, text: str) -> str:
        [call] = self.lm(text, tools=[TOOL])[0]["tool_calls"]
        return weather(**json.loads(call.function.arguments))
