"""Following: what asks after an asynchronous call goes to the region that the call went to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from crossfade.core.model import Target, region_of
from crossfade.core.snapshot import Snapshot
from crossfade.errors import SetupError
from crossfade.shim import runtime
from crossfade.shim.adoption import adopt, steps_aside
from crossfade.shim.attempt import HERE, Elsewhere
from crossfade.shim.dispatch import Plain

log = logging.getLogger("crossfade")

FOLLOWING = "GetAsyncInvoke"


def follow_up(client: Any, plain: Plain, operation: str, params: dict[str, Any]) -> Any:
    """GetAsyncInvoke in the region of its ARN, which botocore ignores, by the endpoint that a Model has there.

    In the client's own region it is left as it is. Retried by botocore itself.
    """
    before = HERE.attempt
    try:
        HERE.attempt = _place(client, params)
    except SetupError:  # adaptive mode: nothing of ours is inside this client, and nothing is steered
        HERE.attempt = before
    except Exception:
        log.warning("Crossfade could not tell a region", exc_info=True, extra={"action": "left_to_boto3"})
        HERE.attempt = before
    try:
        return plain(operation, params)
    finally:
        HERE.attempt = before


def _place(client: Any, params: Mapping[str, Any]) -> Elsewhere | None:
    shim = runtime.current()
    snapshot = shim.feed.snapshot if shim is not None else None
    if snapshot is None or steps_aside(client):
        return None
    home = client.meta.region_name
    region = region_of(params.get("invocationArn"))
    if region is None or region == home:
        return None
    adopt(client)
    return Elsewhere(Target(region=region, model_id="", endpoint_url=endpoint_of(snapshot, region)))


def endpoint_of(snapshot: Snapshot, region: str) -> str | None:
    """The private endpoint of a region, if any Model has one there."""
    targets = (target for model in snapshot.models.values() for target in model.targets)
    return next((target.endpoint_url for target in targets if target.region == region and target.endpoint_url), None)
