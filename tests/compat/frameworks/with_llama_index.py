"""llama-index-llms-bedrock-converse."""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse

from . import Framework, weather


class LlamaIndex(Framework):
    package = "llama-index-llms-bedrock-converse"
    line = "BedrockConverse(model=MODEL_ID, client=bedrock)"

    def __init__(self, session: Any, model: str) -> None:
        self.llm = BedrockConverse(model=model, client=session.client("bedrock-runtime"))

    def answer(self, text: str) -> str:
        return str(self.llm.complete(text))

    def stream(self, text: str) -> str:
        return "".join(part.delta or "" for part in self.llm.stream_chat([ChatMessage(role="user", content=text)]))

    async def asynchronous(self, text: str) -> str:
        return str((await self.llm.achat([ChatMessage(role="user", content=text)])).message.content)

    def tool(self, text: str) -> str:
        return str(self.llm.predict_and_call([FunctionTool.from_defaults(weather)], text))
