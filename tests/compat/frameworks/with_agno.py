"""agno."""

from __future__ import annotations

from typing import Any, ClassVar

from agno.agent import Agent
from agno.models.aws import AwsBedrock

from . import Framework, weather


class Agno(Framework):
    package = "agno"
    line = "AwsBedrock(id=MODEL_ID, client=bedrock)"
    cannot: ClassVar = {"asynchronous": "agno's `arun` asks through aioboto3"}

    def __init__(self, session: Any, model: str) -> None:
        bedrock = AwsBedrock(id=model, client=session.client("bedrock-runtime"))
        self.agent: Any = Agent(model=bedrock, tools=[weather], telemetry=False)

    def answer(self, text: str) -> str:
        return str(self.agent.run(text).content)

    def stream(self, text: str) -> str:
        return "".join(str(event.content) for event in self.agent.run(text, stream=True) if event.content)

    def tool(self, text: str) -> str:
        return str(self.agent.run(text).content)
