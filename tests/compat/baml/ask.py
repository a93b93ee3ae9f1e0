"""Asks Bedrock as a service with BAML does: `python ask.py WAY TEXT` writes the answer's text.

The client is made beforehand, in the working directory, by `baml-cli generate`.
"""

from __future__ import annotations

import asyncio
import sys

sys.path.insert(0, "")
from baml_client.async_client import b as later  # type: ignore[import-not-found]
from baml_client.sync_client import b  # type: ignore[import-not-found]

way, text = sys.argv[1:]
match way:
    case "answer":
        said = b.Say(text)
    case "stream":
        parts = b.stream.Say(text)
        list(parts)  # each is all so far, or as much of it as came at a time
        said = parts.get_final_response()
    case "asynchronous":
        said = asyncio.run(later.Say(text))
    case _:
        said = f"rain in {b.Call(text).city}"
print(said, end="")
