"""What Bedrock answers, before anything on the way breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from crossfade.sandbox import wire

Headers = tuple[tuple[str, str], ...]
# Bedrock sends the error's name followed by a namespace; SDKs cut at the colon.
_ERROR_NAMESPACE = "http://internal.amazon.com/coral/com.amazon.bedrock/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An answer in one body. `error` is the name of the exception it carries, None for a good answer."""

    status: int = 200
    headers: Headers = ()
    body: bytes
    content_type: str = "application/json"
    error: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return wire.response(self.status, self.body, self.content_type, self.headers)

    def head(self) -> bytes:
        """The head on the wire, promising the whole body."""
        return wire.response(self.status, self.body, self.content_type, self.headers)[: -len(self.body) or None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """An answer as event stream frames: `frames[first_content]` is the first token, `frames[end]` says it is whole.

    `event` is the event type that carries content."""

    headers: Headers = ()
    frames: tuple[bytes, ...]
    event: str
    first_content: int
    end: int
    input_tokens: int = 0
    output_tokens: int = 0

    def head(self) -> bytes:
        """The head on the wire."""
        fields = (
            ("Content-Type", "application/vnd.amazon.eventstream"),
            ("Transfer-Encoding", "chunked"),
            *self.headers,
        )
        return wire.head(200, fields)

    def encode(self) -> bytes:
        """The bytes on the wire, each frame in a chunk of its own."""
        return b"".join((self.head(), *map(wire.chunk, self.frames), wire.LAST_CHUNK))


Answer = Whole | Streamed


def with_headers(answer: Answer, headers: Headers) -> Answer:
    """The same answer with more headers."""
    return replace(answer, headers=answer.headers + headers)


def encode_json(value: Mapping[str, object]) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def ok(value: Mapping[str, object], *, input_tokens: int = 0, output_tokens: int = 0, headers: Headers = ()) -> Whole:
    """A 200 with a JSON body."""
    return Whole(body=encode_json(value), input_tokens=input_tokens, output_tokens=output_tokens, headers=headers)


def error(status: int, name: str, message: str, headers: Headers = (), **members: object) -> Whole:
    """A modelled error, as rest-json carries it: its name in a header, its message in the body."""
    return Whole(
        status=status,
        headers=(("x-amzn-ErrorType", f"{name}:{_ERROR_NAMESPACE}"), *headers),
        body=encode_json({"message": message, **members}),
        error=name,
    )
