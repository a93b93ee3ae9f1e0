"""BAML, in a process of its own: asks by the AWS SDK for Rust. A typed answer, read from the text, is its tool."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import ClassVar

from . import Framework

HERE = Path(__file__).parents[1] / "baml"


@cache
def generated() -> tempfile.TemporaryDirectory[str]:
    """A folder with the client that `baml-cli generate` makes of the source."""
    folder = tempfile.TemporaryDirectory(prefix="crossfade-baml-")
    shutil.copytree(HERE / "baml_src", Path(folder.name) / "baml_src")
    run(Path(sys.executable).with_name("baml-cli"), "generate", folder=folder.name)
    return folder


def run(*command: str | Path, folder: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class BAML(Framework):
    package = "baml-py"
    line = "endpoint_url http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "")
    cannot: ClassVar = {"key": "BAML's client for Bedrock sends neither headers nor metadata of the service's own"}

    def __init__(self, model: str) -> None:
        self.model = model

    def answer(self, text: str) -> str:
        return self.ask("answer", text)

    def stream(self, text: str) -> str:
        return self.ask("stream", text)

    def tool(self, text: str) -> str:
        return self.ask("tool", text)

    async def asynchronous(self, text: str) -> str:
        return await asyncio.to_thread(self.ask, "asynchronous", text)

    def ask(self, way: str, text: str) -> str:
        quiet = {"MODEL_ID": self.model, "BAML_LOG": "off"}
        return run(sys.executable, HERE / "ask.py", way, text, folder=generated().name, **quiet)
