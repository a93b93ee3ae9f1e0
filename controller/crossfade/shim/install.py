"""Install: the three ways to switch Crossfade on: for a session, for one client, by environment (`shim.plugin`)."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from crossfade.errors import SetupError
from crossfade.shim import runtime
from crossfade.shim.adoption import ASYNC, SERVICE, is_async, refuse_adaptive
from crossfade.shim.client import RoutedClient, warn_once
from crossfade.shim.settings import misspelt, read_settings

log = logging.getLogger("crossfade")

_told: set[str] = set()
_EVENT = f"creating-client-class.{SERVICE}"


def install(session: Any = None, **settings: Any) -> None:
    """Every bedrock-runtime client that `session` makes from now on is routed by Crossfade.

    `session` is a boto3 or botocore session; None means boto3's default one. Settings (else from the environment):
    `url`, `token`, `state_dir`, `flush_seconds`, `service`; `wait`, the seconds to wait at most for a first snapshot
    when none is on disk; and `telemetry`, whether calls are shown as OpenTelemetry's spans and metrics. Without a `url`
    nothing happens but a warning. Raises `SetupError` for settings that cannot be meant.
    """
    if not start(settings):
        return
    if session is None:
        import boto3

        if boto3.DEFAULT_SESSION is None:
            boto3.setup_default_session()
        session = boto3.DEFAULT_SESSION
    events = getattr(session, "events", None)  # boto3's
    if events is None:
        events = session.get_component("event_emitter")  # botocore's
    events.register(_EVENT, _insert, unique_id="crossfade-client")


def enable(client: Any, **settings: Any) -> Any:
    """The same for one bedrock-runtime client that exists already; returns it."""
    if getattr(getattr(client, "meta", None), "service_model", None) is None or (
        client.meta.service_model.service_name != SERVICE
    ):
        raise SetupError(f"crossfade.enable takes a client for {SERVICE!r}, not {client!r}")
    if isinstance(client, RoutedClient):
        return client
    if is_async(type(client)):
        raise SetupError(ASYNC)
    refuse_adaptive(client)
    if start(settings):
        genuine = type(client)
        client.__class__ = type(genuine.__name__, (RoutedClient, genuine), {"__module__": genuine.__module__})
    return client


def start(settings: dict[str, Any]) -> bool:
    """Starts the process's shim; False, with a warning, if nothing says where the controller is."""
    _tell_misspelt()
    found = read_settings(settings)
    if found is None:
        if not (runtime.current() and not settings):
            log.warning(
                "Crossfade is installed but CROSSFADE_URL is not set: calls go to plain boto3",
                extra={"action": "not_configured"},
            )
            return False
        return True
    shim = runtime.begin(found)
    left = max(0.0, shim.waited_for_until - time.monotonic())
    if not shim.feed.wait_for_first(left) and not shim.feed.has_warned:
        log.warning(
            "Crossfade has no snapshot from %s after %g s: calls go to plain boto3 until there is one",
            found.url,
            found.wait,
            extra={"action": "no_snapshot"},
        )
    return True


def _tell_misspelt() -> None:
    """Once a process for each: a plugin comes here with every client."""
    for variable, meant in misspelt(os.environ).items():
        if variable not in _told:
            _told.add(variable)
            log.warning(
                "Crossfade does not know %s and does without it; did you mean %s?",
                variable,
                meant,
                extra={"action": "misspelt_variable"},
            )


def _insert(base_classes: list[type], **_: Any) -> None:
    if any(map(is_async, base_classes)):
        warn_once(f"Crossfade steps aside: {ASYNC}", trouble=False)
        return
    if RoutedClient not in base_classes:
        base_classes.insert(0, RoutedClient)
