"""BAML, in a process of its own: asks by the AWS SDK for Rust. A typed answer, read from the text, is its tool."""

from __future__ import annotations

import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import ClassVar

from .apart import Apart, said

HERE = Path(__file__).parents[1] / "baml"


@cache
def generated() -> tempfile.TemporaryDirectory[str]:
    """A folder with the client that `baml-cli generate` makes of the source."""
    folder = tempfile.TemporaryDirectory(prefix="crossfade-baml-")
    shutil.copytree(HERE / "baml_src", Path(folder.name) / "baml_src")
    said(Path(sys.executable).with_name("baml-cli"), "generate", folder=folder.name)
    return folder


class BAML(Apart):
    package = "baml-py"
    line = "endpoint_url http://127.0.0.1:8322"
    environment: ClassVar = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "")
    cannot: ClassVar = {"key": "BAML's client for Bedrock sends neither headers nor metadata of the service's own"}

    def ask(self, way: str, text: str) -> str:
        quiet = {"MODEL_ID": self.model, "BAML_LOG": "off"}
        return said(sys.executable, HERE / "ask.py", way, text, folder=generated().name, **quiet)
