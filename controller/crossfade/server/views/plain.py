"""Plain: a view as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses as objects, tuples as lists, times in ISO 8601, everything else as it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return {spec.name: plain(getattr(value, spec.name)) for spec in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def plain_object(value: Any) -> dict[str, Any]:
    """A dataclass as an object."""
    found = plain(value)
    assert isinstance(found, dict)
    return found
