"""Lookup: does a target exist? Asked of Bedrock before a rollout is registered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from crossfade.core.model import Target


class Found(StrEnum):
    """`unknown`: nobody could be asked (no credentials, no network), which is not `no`."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What was learnt of one target, and how."""

    region: str
    model_id: str
    found: Found
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"region": self.region, "model_id": self.model_id, "found": str(self.found), "detail": self.detail}


class TargetLookup(Protocol):
    """Answers within a few seconds and never raises for what it could not find out."""

    def find(self, target: Target) -> Lookup: ...


class BedrockLookup:
    """Asks Bedrock's control plane (the `bedrock` client) in the target's region."""

    def find(self, target: Target) -> Lookup:
        raise NotImplementedError
