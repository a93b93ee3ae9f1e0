"""Stop: why an answer ended, in Bedrock's words: a closed set, so that it can be counted."""

from __future__ import annotations

from enum import StrEnum


class Stop(StrEnum):
    """Converse's stop reasons. `other` is one that is not known here."""

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    MODEL_CONTEXT_WINDOW_EXCEEDED = "model_context_window_exceeded"
    STOP_SEQUENCE = "stop_sequence"
    GUARDRAIL_INTERVENED = "guardrail_intervened"
    CONTENT_FILTERED = "content_filtered"
    REFUSAL = "refusal"
    MALFORMED_MODEL_OUTPUT = "malformed_model_output"
    MALFORMED_TOOL_USE = "malformed_tool_use"
    OTHER = "other"


_LLAMA = {"stop": Stop.END_TURN, "length": Stop.MAX_TOKENS}
"""What InvokeModel bodies of Llama say instead."""
_KNOWN = {str(stop): stop for stop in Stop} | _LLAMA


def stop_of(said: object) -> Stop | None:
    """The stop reason that an answer gives, or None if it gives none."""
    return _KNOWN.get(said, Stop.OTHER) if isinstance(said, str) and said else None
