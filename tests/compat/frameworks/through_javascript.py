"""The AWS SDK for JavaScript, in a process of its own; it speaks HTTP/2 to Bedrock."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import ClassVar

from . import Framework

HERE = Path(__file__).parents[1] / "javascript"


class JavaScript(Framework):
    package = "@aws-sdk/client-bedrock-runtime"
    line = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "")

    def __init__(self, model: str) -> None:
        self.model = model

    def answer(self, text: str) -> str:
        return self.ask("answer", text)

    def stream(self, text: str) -> str:
        return self.ask("stream", text)

    def tool(self, text: str) -> str:
        return self.ask("tool", text)

    async def asynchronous(self, text: str) -> str:
        return await asyncio.to_thread(self.ask, "answer", text)  # all of the SDK is

    def ask(self, way: str, text: str) -> str:
        command = ["node", HERE / "ask.mjs", way, self.model, text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
