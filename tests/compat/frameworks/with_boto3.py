"""boto3 itself: the dictionaries of Converse."""

from __future__ import annotations

import asyncio
from typing import Any

from . import Framework, weather

TOOL = {
    "toolSpec": {
        "name": "weather",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}


class Boto3(Framework):
    package = "boto3"
    line = "crossfade.install(session)"

    def __init__(self, session: Any, model: str) -> None:
        self.bedrock = session.client("bedrock-runtime")
        self.model = model

    def answer(self, text: str) -> str:
        answer = self.bedrock.converse(modelId=self.model, messages=[user({"text": text})])
        return str(answer["output"]["message"]["content"][0]["text"])

    def stream(self, text: str) -> str:
        events = self.bedrock.converse_stream(modelId=self.model, messages=[user({"text": text})])["stream"]
        return "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)

    async def asynchronous(self, text: str) -> str:
        return await asyncio.to_thread(self.answer, text)

    def tool(self, text: str) -> str:
        messages = [user({"text": text})]
        asked = {"modelId": self.model, "toolConfig": {"tools": [TOOL]}}
        said = self.bedrock.converse(messages=messages, **asked)["output"]["message"]
        use = said["content"][0]["toolUse"]
        result = {"toolUseId": use["toolUseId"], "content": [{"text": weather(**use["input"])}]}
        messages += [said, user({"toolResult": result})]
        answer = self.bedrock.converse(messages=messages, **asked)
        return str(answer["output"]["message"]["content"][0]["text"])


def user(block: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [block]}
