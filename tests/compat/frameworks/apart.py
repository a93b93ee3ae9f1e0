"""Clients that ask in a process of their own: of another language, or of the shell."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from . import Framework


def said(*command: str | Path, folder: str | None = None, **environment: str) -> str:
    """What the command wrote; one that fails fails the test."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Apart(Framework):
    """One whose program takes the way to ask as an argument."""

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
        raise NotImplementedError
