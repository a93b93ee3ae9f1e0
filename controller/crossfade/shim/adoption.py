"""Adoption: prepares a genuine bedrock-runtime client, once, to be steered attempt by attempt."""

from __future__ import annotations

import inspect
import os
import threading
from typing import Any

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.client import BaseClient
from urllib3.util import Timeout

from crossfade.errors import SetupError
from crossfade.shim.attempt import HERE, Attempt
from crossfade.shim.useragent import keep_user_agent

SERVICE = "bedrock-runtime"
_RETRY_ID = f"retry-config-{SERVICE}"
_STUBBER_ID = "boto_stubber"
_MARK = "_crossfade_adopted"
_lock = threading.RLock()


def _after_fork() -> None:
    """A thread that is not there in the child may have held the lock."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class _Watched:
    """Tells the attempt which connection it got, so that the watchdog can end it, and the connection whose it is: an
    attempt that is over must not end the next one on it."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        watch = HERE.attempt.watch if isinstance(HERE.attempt, Attempt) else None
        connection.crossfade_watch = watch
        if watch is not None:
            watch.connection = connection
        return connection


class _WatchedPool(_Watched, AWSHTTPConnectionPool):  # type: ignore[misc]
    pass


class _WatchedTLSPool(_Watched, AWSHTTPSConnectionPool):  # type: ignore[misc]
    pass


def adopt(client: Any) -> None:
    """Registers the handlers that steer region, endpoint, timeouts and retries of our attempts, and of no others.

    Called before the first routed call, because botocore registers its retry handler after the client's `__init__`.
    Raises `SetupError` if the client is in adaptive retry mode.
    """
    if _MARK in client.__dict__:
        return
    with _lock:
        if _MARK in client.__dict__:
            return
        refuse_adaptive(client)
        events = client.meta.events
        events.register_last(f"provide-client-params.{SERVICE}", _steer_signing, unique_id="crossfade-signing")
        home = client.meta.region_name

        def steer_endpoint(builtins: dict[str, Any], **_: Any) -> None:
            attempt = HERE.attempt
            if attempt is None:
                return
            builtins["AWS::Region"] = attempt.target.region
            if attempt.target.endpoint_url:
                builtins["SDK::Endpoint"] = attempt.target.endpoint_url
            elif attempt.target.region != home:
                builtins["SDK::Endpoint"] = None

        events.register_last(f"before-endpoint-resolution.{SERVICE}", steer_endpoint, unique_id="crossfade-endpoint")
        _own_retries(events)
        _own_timeouts(client)
        keep_user_agent(client)
        client.__dict__[_MARK] = True


def refuse_adaptive(client: Any) -> None:
    if (client.meta.config.retries or {}).get("mode") == "adaptive":
        raise SetupError(
            "this bedrock-runtime client is in retry mode 'adaptive', whose rate limiter would hold back calls to "
            "every region when one is throttled; set the mode to 'standard' (Config(retries={'mode': 'standard'}), "
            "AWS_RETRY_MODE or retry_mode in ~/.aws/config): Crossfade retries routed calls itself"
        )


def is_async(client_class: type) -> bool:
    """Whether calls of such a client are coroutines: aiobotocore's, and so aioboto3's."""
    return inspect.iscoroutinefunction(getattr(client_class, "_make_api_call", None))


ASYNC = (
    "this bedrock-runtime client is an async one (aiobotocore, aioboto3), which Crossfade cannot route from inside: "
    "use a boto3 client (asyncio.to_thread keeps the context), or call Bedrock through Crossfade's sidecar"
)


def steps_aside(client: Any) -> bool:
    """Whether somebody has taken the client over for a test: a Stubber, or a patch that replaces botocore's call.

    Wrappers that keep botocore's own function inside (tracers) are no reason to step aside.
    """
    emitter = getattr(client.meta.events, "_emitter", None)
    if _STUBBER_ID in getattr(emitter, "_unique_id_handlers", ()):
        return True
    call = BaseClient._make_api_call
    return call is not _SEEN and inspect.unwrap(call) is not _ORIGINAL


_SEEN = BaseClient._make_api_call
_ORIGINAL = inspect.unwrap(_SEEN)


def _steer_signing(context: dict[str, Any], **_: Any) -> None:
    attempt = HERE.attempt
    if attempt is not None:
        context["client_region"] = attempt.target.region
        context["signing"] = {"region": attempt.target.region}
    if isinstance(attempt, Attempt):
        context["read_timeout"] = attempt.read
        context["crossfade_connect"] = attempt.connect


def _own_retries(events: Any) -> None:
    """Botocore's own retries stay as they are for calls that are not routed, and are off for those that are."""
    name = f"needs-retry.{SERVICE}"
    registered = getattr(getattr(events, "_emitter", None), "_unique_id_handlers", {}).get(_RETRY_ID)
    events.unregister(name, unique_id=_RETRY_ID)
    if registered is None:
        return
    theirs = registered["handler"]

    def retry_unless_routed(**kwargs: Any) -> Any:
        return None if isinstance(HERE.attempt, Attempt) else theirs(**kwargs)

    events.register(name, retry_unless_routed, unique_id=_RETRY_ID)


def _own_timeouts(client: Any) -> None:
    session: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
    manager = getattr(session, "_manager", None)
    if manager is not None:
        session._pool_classes_by_scheme = _WATCHED
        for each in (manager, *getattr(session, "_proxy_managers", {}).values()):
            _watch_pools(each)
    theirs = getattr(session, "_get_request_timeout", None)
    if theirs is None:
        return

    def request_timeout(request: Any) -> Any:
        context = getattr(request, "context", None) or {}
        connect = context.get("crossfade_connect")
        return theirs(request) if connect is None else Timeout(connect=connect, read=context["read_timeout"])

    session._get_request_timeout = request_timeout


_WATCHED = {"http": _WatchedPool, "https": _WatchedTLSPool}


def _watch_pools(manager: Any) -> None:
    """Those to come, and those that calls before the first routed one have made: they keep their connections."""
    manager.pool_classes_by_scheme = _WATCHED
    for key in manager.pools.keys():  # noqa: SIM118 (no mapping that can be walked)
        pool = manager.pools.get(key)
        if type(pool) in (AWSHTTPConnectionPool, AWSHTTPSConnectionPool):
            pool.__class__ = _WATCHED[pool.scheme]
