"""Jobs: asynchronous calls of each region. They complete at once and write nothing to S3."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from typing import Any

from crossfade.sandbox.answer import Answer, error, ok
from crossfade.sandbox.catalog import ACCOUNT, foundation_model_arn
from crossfade.sandbox.model import base_id
from crossfade.sandbox.prompt import BadPrompt

CAPACITY = 10_000


def asked_model(body: bytes) -> str:
    """The `modelId` in the body of StartAsyncInvoke; empty if there is none to read."""
    try:
        found = json.loads(body)["modelId"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


class Jobs:
    """The newest jobs of all regions. A client token starts one job, however often it is sent."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._by_token: dict[tuple[str, str], str] = {}
        self._started = 0

    def start(self, region: str, model_id: str, body: bytes) -> Answer:
        """StartAsyncInvoke. Raises `BadPrompt` for a body without what it needs."""
        try:
            asked = json.loads(body)
            token = str(asked.get("clientRequestToken") or "")
            output = asked["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadPrompt("The request needs modelInput and outputDataConfig.") from None
        arn = self._by_token.get((region, token))
        if arn is None:
            self._started += 1
            token = token or f"none-{self._started}"
            arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:async-invoke/{self._started:012x}"
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._by_token[region, token] = arn
            self._jobs[arn] = {
                "invocationArn": arn,
                "modelArn": foundation_model_arn(region, base_id(model_id)),
                "clientRequestToken": token,
                "status": "Completed",
                "submitTime": at,
                "endTime": at,
                "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": output}},
            }
            if len(self._jobs) > CAPACITY:
                old, job = self._jobs.popitem(last=False)
                del self._by_token[old.split(":")[3], job["clientRequestToken"]]
        return ok({"invocationArn": arn})

    def get(self, region: str, arn: str) -> Answer:
        """GetAsyncInvoke; a job is known in its own region only."""
        job = self._jobs.get(arn)
        if job is None or arn.split(":")[3] != region:
            return error(404, "ResourceNotFoundException", "The specified invocation was not found.")
        return ok(job)

    def list(self, region: str) -> Answer:
        """ListAsyncInvokes of the region, newest first, without filters."""
        found = [job for arn, job in reversed(self._jobs.items()) if arn.split(":")[3] == region]
        return ok({"asyncInvokeSummaries": found[:1000]})
