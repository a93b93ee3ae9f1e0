"""langchain-aws: the Converse chat model, and the older one that speaks InvokeModel."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_aws import ChatBedrock, ChatBedrockConverse

from . import Framework, weather


class LangChainConverse(Framework):
    package = "langchain-aws"
    line = "ChatBedrockConverse(model=MODEL_ID, client=bedrock)"

    def __init__(self, session: Any, model: str) -> None:
        self.chat: Any = ChatBedrockConverse(model=model, client=session.client("bedrock-runtime"))

    def answer(self, text: str) -> str:
        return str(self.chat.invoke(text).text)

    def stream(self, text: str) -> str:
        return "".join(str(chunk.text) for chunk in self.chat.stream(text))

    async def asynchronous(self, text: str) -> str:
        return str((await self.chat.ainvoke(text)).text)

    def tool(self, text: str) -> str:
        agent: Any = create_agent(self.chat, [weather])
        return str(agent.invoke({"messages": [("user", text)]})["messages"][-1].text)


class LangChainInvoke(LangChainConverse):
    line = "ChatBedrock(model=MODEL_ID, client=bedrock)"

    def __init__(self, session: Any, model: str) -> None:
        self.chat = ChatBedrock(model=model, client=session.client("bedrock-runtime"))
