"""pydantic-ai."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider

from . import Framework, weather


class PydanticAI(Framework):
    package = "pydantic-ai-slim"
    line = "BedrockConverseModel(MODEL_ID, provider=BedrockProvider(bedrock_client=bedrock))"

    def __init__(self, session: Any, model: str) -> None:
        provider = BedrockProvider(bedrock_client=session.client("bedrock-runtime"))
        self.agent: Any = Agent(BedrockConverseModel(model, provider=provider), tools=[weather])

    def answer(self, text: str) -> str:
        return str(self.agent.run_sync(text).output)

    def stream(self, text: str) -> str:
        async def read() -> str:
            async with self.agent.run_stream(text) as answer:
                return "".join([part async for part in answer.stream_text(delta=True)])

        return asyncio.run(read())

    async def asynchronous(self, text: str) -> str:
        return str((await self.agent.run(text)).output)

    def tool(self, text: str) -> str:
        return str(self.agent.run_sync(text).output)
