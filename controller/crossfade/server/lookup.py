"""Lookup: does a target exist? Asked of Bedrock before a rollout is registered."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from crossfade.core.model import Model, Target


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


def find_all(lookup: TargetLookup, model: Model) -> tuple[Lookup, ...]:
    """All targets of a Model, asked at the same time."""
    with ThreadPoolExecutor(max_workers=len(model.targets)) as pool:
        return tuple(pool.map(lookup.find, model.targets))


_GONE = frozenset({"ResourceNotFoundException", "ValidationException"})
_PROFILE = re.compile(r"[a-z-]{2,8}\.[a-z0-9-]+\..+|arn:[^:]*:bedrock:[^:]*:[^:]*:(application-)?inference-profile/.+")
_OTHER = re.compile(r"arn:[^:]*:bedrock:[^:]*:[^:]*:(?!foundation-model/|(?:application-)?inference-profile/).+")


class BedrockLookup:
    """Asks Bedrock's control plane (the `bedrock` client) in the target's region.

    Needs `bedrock:GetFoundationModel` and `bedrock:GetInferenceProfile`; without them the answer is `unknown`.
    """

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()

    def find(self, target: Target) -> Lookup:
        found, detail = self._ask(target)
        return Lookup(region=target.region, model_id=target.model_id, found=found, detail=detail)

    def close(self) -> None:
        """Closes the connections it has kept."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _ask(self, target: Target) -> tuple[Found, str]:
        if _OTHER.fullmatch(target.model_id):
            return Found.UNKNOWN, "only foundation models and inference profiles can be looked up"
        questions = [_foundation_model, _inference_profile]
        if _PROFILE.fullmatch(target.model_id):
            questions.reverse()
        answers = []
        for question in questions:
            try:
                answers.append(question(self._client(target), target.model_id))
            except Exception as error:
                answers.append(_failed(error))
            if answers[-1][0] is not Found.NO:
                return answers[-1]
        return answers[0]

    def _client(self, target: Target) -> Any:
        import boto3
        from botocore.config import Config

        place = (target.region, target.endpoint_url)
        with self._lock:  # sessions are not safe to share while clients are made
            if place not in self._clients:
                config = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
                self._clients[place] = boto3.session.Session().client(
                    "bedrock", region_name=target.region, endpoint_url=target.endpoint_url, config=config
                )
            return self._clients[place]


def _foundation_model(client: Any, model_id: str) -> tuple[Found, str]:
    details = client.get_foundation_model(modelIdentifier=model_id)["modelDetails"]
    status = details.get("modelLifecycle", {}).get("status", "ACTIVE")
    return Found.YES, f"foundation model, {status.lower()}"


def _inference_profile(client: Any, model_id: str) -> tuple[Found, str]:
    status = client.get_inference_profile(inferenceProfileIdentifier=model_id).get("status", "ACTIVE")
    if status != "ACTIVE":
        return Found.NO, f"the inference profile is {status.lower()}, not active"
    return Found.YES, "inference profile, active"


def _failed(error: Exception) -> tuple[Found, str]:
    from botocore.exceptions import ClientError

    text = " ".join(str(error).split())
    if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _GONE:
        return Found.NO, text
    return Found.UNKNOWN, text
