"""A declaration or a plan in a file: TOML or JSON, `-` for standard input."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from crossfade.errors import SetupError


def read_document(path: str) -> dict[str, Any]:
    """The file's content; raises `SetupError` with file and line if it cannot be read."""
    name = "standard input" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SetupError(f"{name}: {reason}") from None
    try:
        document = json.loads(text) if path.endswith(".json") or text.lstrip().startswith("{") else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"{name}: {error}") from None
    if not isinstance(document, dict):
        raise SetupError(f"{name}: must hold an object with named fields")
    return document
