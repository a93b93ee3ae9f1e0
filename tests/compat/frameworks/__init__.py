"""The frameworks people call Bedrock with, each driven as its own documentation drives it.

A framework is a class with `package` (what pip installs), `line` (the one line that differs from its documentation,
with `bedrock` a routed client and `session` a boto3 session that Crossfade is installed in), and four ways to ask:
`answer(text)`, `stream(text)` and `asynchronous(text)` give the text that came; `tool(text)` lets the model call
`weather(city)` and gives what the framework made of it, in which the weather stands. `cannot` says why a way, or the
key of `crossfade.context`, is not there.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

IN_PROCESS = {
    "Boto3": "with_boto3",
    "LangChainConverse": "with_langchain",
    "LangChainInvoke": "with_langchain",
    "Strands": "with_strands",
    "LlamaIndex": "with_llama_index",
    "Instructor": "with_instructor",
    "PydanticAI": "with_pydantic_ai",
    "Haystack": "with_haystack",
    "SemanticKernel": "with_semantic_kernel",
    "Agno": "with_agno",
}
"""Class -> module, in the order of the page. Imported one by one: together they take seconds."""

THROUGH_SIDECAR = {
    "LiteLLM": "through_litellm",
    "DSPy": "through_dspy",
    "Anthropic": "through_anthropic",
    "OpenAISDK": "through_openai",
    "CLI": "through_cli",
    "BAML": "through_baml",
    "JavaScript": "through_javascript",
}
"""The same for clients that are pointed at a sidecar."""
EVERY = IN_PROCESS | THROUGH_SIDECAR


class Framework:
    """See above. Made of a session that Crossfade is installed in, and the model id the service sends; through the
    sidecar of the model id alone, and each call says in a header or in its metadata that its key is ann."""

    package: ClassVar[str]
    line: ClassVar[str]
    cannot: ClassVar[Mapping[str, str]] = {}
    environment: ClassVar[tuple[str, str]]
    """The variable that says where the sidecar is, and what comes after its address."""

    def answer(self, text: str) -> str:
        raise NotImplementedError

    def stream(self, text: str) -> str:
        raise NotImplementedError

    def tool(self, text: str) -> str:
        raise NotImplementedError

    async def asynchronous(self, text: str) -> str:
        raise NotImplementedError


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def find(name: str) -> Any:
    """The class of a framework. What it warns of while it is imported is its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(importlib.import_module(f".{EVERY[name]}", __name__), name)
