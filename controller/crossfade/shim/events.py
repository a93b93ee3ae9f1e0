"""Events: what one event of a stream means: first content, the end, tokens. Converse's and the vendors' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crossfade.core.stop import Stop, stop_of
from crossfade.core.validator import JUDGED, Validator
from crossfade.shim.answer import invoked_stop, mapping
from crossfade.shim.classify import Incomplete, is_malformed

_TOLD = ("anthropic", "nova", "llama")
"""Body families whose text is known here."""
_METRICS = "amazon-bedrock-invocationMetrics"


class Reading:
    """What the events of one stream said so far. Subclasses know the operation."""

    __slots__ = ("_text", "_validator", "content", "ended", "malformed", "stop", "tokens_in", "tokens_out")

    def __init__(self, validator: Validator | None = None) -> None:
        self._validator = validator
        self._text: list[str] = []
        self.content = False
        self.ended = False
        self.malformed = False
        self.stop: Stop | None = None
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None

    def note_stop(self, reason: Any) -> None:
        """Notes why the answer ended. That a guardrail intervened stands, whatever the model says besides."""
        stop = stop_of(reason)
        if stop is not None and self.stop is not Stop.GUARDRAIL_INTERVENED:
            self.stop, self.malformed = stop, is_malformed(reason)

    def note_text(self, text: object) -> None:
        """Keeps what the route's validator is to see, if there is one."""
        if self._validator is not None and isinstance(text, str):
            self._text.append(text)

    def note_end(self) -> None:
        """All content is there."""
        self.ended = self.content = True
        if self._validator is not None and self.stop in JUDGED:
            self.malformed = not self._validator.accepts("".join(self._text))

    def see(self, event: Mapping[str, Any]) -> None:
        """Takes in one event; raises `Incomplete` for one whose payload botocore could not read."""
        raise NotImplementedError


class ConverseReading(Reading):
    """Content begins with the first delta, or with a tool's start; `messageStop` is the end."""

    __slots__ = ()

    def see(self, event: Mapping[str, Any]) -> None:
        if "contentBlockDelta" in event:
            if "delta" not in event["contentBlockDelta"]:
                raise Incomplete("a contentBlockDelta came without its delta")
            self.content = True
            self.note_text(event["contentBlockDelta"]["delta"].get("text"))
        elif "contentBlockStart" in event:
            self.content = True
        elif "messageStop" in event:
            self.note_stop(event["messageStop"].get("stopReason"))
            self.note_end()
        elif "metadata" in event:
            usage = event["metadata"].get("usage") or {}
            self.tokens_in, self.tokens_out = usage.get("inputTokens"), usage.get("outputTokens")


class InvokeReading(Reading):
    """Chunks hold the vendor's JSON. Bedrock adds its metrics to the last one, whatever the vendor."""

    __slots__ = ("_family",)

    def __init__(self, family: str | None, validator: Validator | None = None) -> None:
        super().__init__(validator if family in _TOLD else None)
        self._family = family

    def see(self, event: Mapping[str, Any]) -> None:
        try:
            part = json.loads((event.get("chunk") or {}).get("bytes") or b"")
        except (ValueError, RecursionError) as error:
            raise Incomplete("a chunk came without readable bytes") from error
        if not isinstance(part, Mapping):
            return
        self.content = self.content or self._is_content(part)
        if _METRICS in part:
            metrics = mapping(part[_METRICS])
            self.tokens_in, self.tokens_out = metrics.get("inputTokenCount"), metrics.get("outputTokenCount")
        self.note_stop(self._stop_said(part))
        self.note_text(self._text_said(part))
        if self._is_end(part):
            self.note_end()

    def _is_content(self, part: Mapping[str, Any]) -> bool:
        if self._family == "anthropic":
            begun = mapping(part.get("content_block")).get("type")
            return part.get("type") == "content_block_delta" or begun == "tool_use"
        if self._family == "nova":
            return "contentBlockDelta" in part or "contentBlockStart" in part
        return True

    def _is_end(self, part: Mapping[str, Any]) -> bool:
        if self._family == "anthropic":
            return part.get("type") == "message_stop"
        if self._family == "nova":
            return "messageStop" in part
        # A vendor whose last event is not known here: Bedrock's own mark of the last chunk.
        return _METRICS in part

    def _text_said(self, part: Mapping[str, Any]) -> object:
        if self._family == "llama":
            return part.get("generation")
        delta = mapping(part.get("contentBlockDelta")) if self._family == "nova" else part
        return mapping(delta.get("delta")).get("text")

    def _stop_said(self, part: Mapping[str, Any]) -> Any:
        """The body of an answer that is not streamed says it at the top; in a stream some vendors nest it."""
        nested = {"anthropic": "delta", "nova": "messageStop"}.get(self._family or "")
        return invoked_stop(part) or (invoked_stop(mapping(part.get(nested))) if nested else None)


def reading_of(operation: str, family: str | None, validator: Validator | None = None) -> Reading:
    return ConverseReading(validator) if operation == "ConverseStream" else InvokeReading(family, validator)
