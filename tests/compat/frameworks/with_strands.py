"""strands-agents: always streams, always an agent."""

from __future__ import annotations

import asyncio
from typing import Any

from strands import Agent, tool
from strands.models import BedrockModel

from . import Framework, weather


class Strands(Framework):
    package = "strands-agents"
    line = "BedrockModel(model_id=MODEL_ID, boto_session=session)"

    def __init__(self, session: Any, model: str) -> None:
        self.session, self.model = session, model

    def agent(self, *, streaming: bool) -> Any:
        model = BedrockModel(model_id=self.model, boto_session=self.session, streaming=streaming)
        return Agent(model=model, tools=[tool(weather)], callback_handler=None)

    def answer(self, text: str) -> str:
        return str(self.agent(streaming=False)(text)).strip()

    def stream(self, text: str) -> str:
        async def read() -> str:
            return "".join([e["data"] async for e in self.agent(streaming=True).stream_async(text) if "data" in e])

        return asyncio.run(read())

    async def asynchronous(self, text: str) -> str:
        return str(await self.agent(streaming=True).invoke_async(text)).strip()

    def tool(self, text: str) -> str:
        return str(self.agent(streaming=True)(text))
