"""instructor: an answer is always an object, made by a tool call."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import instructor
from pydantic import BaseModel

from . import Framework, weather


class Weather(BaseModel):
    city: str


class Said(BaseModel):
    text: str


class Instructor(Framework):
    package = "instructor"
    line = "instructor.from_bedrock(bedrock)"
    cannot: ClassVar = {
        "stream": "instructor streams no partial objects from Bedrock: it hands Converse a parameter `stream`"
    }

    def __init__(self, session: Any, model: str) -> None:
        self.bedrock = session.client("bedrock-runtime")
        self.client = instructor.from_bedrock(self.bedrock)
        self.model = model

    def answer(self, text: str) -> str:
        return self.create(Said, f"call Said {json.dumps({'text': text})}").text

    async def asynchronous(self, text: str) -> str:
        client = instructor.from_bedrock(self.bedrock, async_client=True)
        messages = [{"role": "user", "content": f"call Said {json.dumps({'text': text})}"}]
        said: Any = await client.create(modelId=self.model, messages=messages, response_model=Said)
        return str(said.text)

    def tool(self, text: str) -> str:
        return weather(self.create(Weather, text.replace("weather", "Weather")).city)

    def create(self, model: type[Any], text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        return self.client.create(modelId=self.model, messages=messages, response_model=model)
