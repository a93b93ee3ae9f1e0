"""The AWS SDK for JavaScript, in a process of its own; it speaks HTTP/2 to Bedrock."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from .apart import Apart, said

HERE = Path(__file__).parents[1] / "javascript"


class JavaScript(Apart):
    package = "@aws-sdk/client-bedrock-runtime"
    line = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "")

    def ask(self, way: str, text: str) -> str:
        way = "answer" if way == "asynchronous" else way  # all of the SDK is
        return said("node", HERE / "ask.mjs", way, self.model, text)
