"""Client: the mixin inside a genuine bedrock-runtime client. Every call of the service comes through here."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from crossfade.core.snapshot import Entry, Snapshot
from crossfade.core.walk import walk
from crossfade.errors import SetupError
from crossfade.shim import runtime
from crossfade.shim.adoption import adopt, steps_aside
from crossfade.shim.attempt import HERE
from crossfade.shim.board import Board
from crossfade.shim.call import OPERATIONS, PINNED, Call, deadline_of
from crossfade.shim.context import Said, said
from crossfade.shim.dispatch import Plain, dispatch
from crossfade.shim.features import read_request
from crossfade.shim.following import FOLLOWING, follow_up
from crossfade.shim.recorder import Recorder

log = logging.getLogger("crossfade")


class RoutedClient:
    """Stands before botocore's BaseClient among the bases of a client's class."""

    def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> Any:
        plain = super()._make_api_call  # type: ignore[misc]
        if operation_name == FOLLOWING:
            return follow_up(self, plain, operation_name, api_params)
        if operation_name not in OPERATIONS:
            return _untouched(plain, operation_name, api_params)
        try:
            call = route(self, operation_name, api_params)
        except SetupError:
            raise
        except Exception:
            warn_once("Crossfade could not route a call and left it to plain boto3")
            call = None
        if call is None:
            return _untouched(plain, operation_name, api_params)
        if call.entry.live is not None and call.entry.live.shadow:
            runtime.copy_some(call, self, plain)
        with call.span:
            return dispatch(call, self, plain)


def _untouched(plain: Plain, operation: str, params: dict[str, Any]) -> Any:
    """Botocore's own call. One that a hook makes in the middle of an attempt of ours is no part of that."""
    around = HERE.attempt
    if around is None:
        return plain(operation, params)
    HERE.attempt = None
    try:
        return plain(operation, params)
    finally:
        HERE.attempt = around


def route(client: Any, operation: str, params: dict[str, Any]) -> Call | None:
    """The call as it is to be dispatched, or None if it is none of ours. Sends nothing."""
    shim = runtime.current()
    if shim is None:
        return None
    snapshot = shim.feed.snapshot
    if snapshot is None:
        if not shim.feed.has_warned:
            warn_once("Crossfade has no snapshot yet: calls go to plain boto3", trouble=False)
        return None
    entry = snapshot.entries.get(params.get("modelId") or "")
    if entry is None or steps_aside(client):
        return None
    adopt(client)
    if hasattr(params.get("body"), "read"):  # a file can be sent once; an attempt may have to send it again
        # In place: should routing fail after this, plain boto3 must not be left with a file read to its end.
        params["body"] = params["body"].read()
    home = client.meta.region_name
    return open_call(snapshot, entry, operation, params, said(params), shim.board, shim.recorder, home)


def open_call(
    snapshot: Snapshot,
    entry: Entry,
    operation: str,
    params: dict[str, Any],
    told: Said,
    board: Board,
    recorder: Recorder,
    home: str,
) -> Call:
    """A call to a route: where it is sent on to, which variant it gets, how long it may take.

    `home` is the caller's own region.
    """
    asked = entry.route.name
    if entry.route.sends_on:
        entry = walk(snapshot, entry, told.sticky, lambda: read_request(operation, params, told))[-1].entry
    if operation == PINNED and not params.get("clientRequestToken"):
        # botocore would make a new one for each try, and Bedrock start a second job.
        params = {**params, "clientRequestToken": str(uuid.uuid4())}
    began = time.monotonic()
    return Call(
        operation=operation,
        params=params,
        snapshot=snapshot,
        entry=entry,
        variant=entry.assign(told.sticky),
        group=entry.group(told.sticky),
        board=board,
        recorder=recorder,
        began=began,
        at=time.time(),
        deadline=began + deadline_of(operation, entry.route.policy, told.deadline),
        home=home,
        asked=asked,
    )


_warned: set[str] = set()


def warn_once(message: str, *, trouble: bool = True) -> None:
    # No lock, which a fork may leave held for good: at worst two threads say it.
    if message in _warned:
        return
    _warned.add(message)
    log.warning(message, exc_info=trouble, extra={"action": "left_to_boto3"})
