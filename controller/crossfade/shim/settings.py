"""Settings of the shim: where the controller is, where to keep things, how often to report."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfade.core.variables import PREFIX, unknown
from crossfade.errors import SetupError

_NAMES = ("url", "token", "state_dir", "flush_seconds", "service", "wait", "telemetry")
_ON, _OFF = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


@dataclass(frozen=True, kw_only=True)
class ShimSettings:
    """`wait` is how many seconds `install` waits at most for a first snapshot when there is none on disk."""

    url: str
    token: str = field(repr=False)
    state_dir: Path
    flush_seconds: float
    service: str
    wait: float
    telemetry: bool = False
    """Whether calls are shown as OpenTelemetry's spans and metrics."""


def read_settings(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ShimSettings | None:
    """The settings, arguments before environment; None if neither says where the controller is.

    Raises `SetupError` for an argument nobody knows, a half-said controller, or a number that is none.
    """
    env = os.environ if environment is None else environment
    unknown = sorted(set(given) - set(_NAMES))
    if unknown:
        raise SetupError(f"crossfade.install has no setting {unknown[0]!r}; it has {', '.join(_NAMES)}")
    url = str(given.get("url") or env.get("CROSSFADE_URL") or "").rstrip("/")
    token = str(given.get("token") or env.get("CROSSFADE_TOKEN") or "")
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise SetupError(f"CROSSFADE_URL is {url!r}; it must start with http:// or https://")
    if not token:
        raise SetupError("CROSSFADE_URL is set but CROSSFADE_TOKEN is not; make one with `crossfade token create`")
    return ShimSettings(
        url=url,
        token=token,
        state_dir=Path(given.get("state_dir") or env.get("CROSSFADE_STATE_DIR") or _default_state_dir(env)),
        flush_seconds=_seconds("CROSSFADE_FLUSH_SECONDS", given.get("flush_seconds"), env, 10.0, least=0.05),
        service=str(given.get("service") or env.get("CROSSFADE_SERVICE") or Path(sys.argv[0]).name or "python")[:200],
        wait=_seconds("CROSSFADE_WAIT", given.get("wait"), env, 2.0, least=0.0),
        telemetry=_switch("CROSSFADE_TELEMETRY", given.get("telemetry"), env),
    )


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that look like one of the shim's and are none, each with the one that was probably meant."""
    known = [name.upper() for name in _NAMES]
    found = {}
    for variable in unknown(environment):
        if near := difflib.get_close_matches(variable.removeprefix(PREFIX).upper(), known, n=1):
            found[variable] = PREFIX + near[0]
    return found


def _seconds(name: str, given: Any, env: Mapping[str, str], default: float, *, least: float) -> float:
    value = given if given is not None else env.get(name) or default
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not least <= seconds <= 3600:
        raise SetupError(f"{name} is {value!r}; it must be a number of seconds from {least:g} to 3600")
    return seconds


def _switch(name: str, given: Any, env: Mapping[str, str]) -> bool:
    value = str(given if given is not None else env.get(name) or "off").lower()
    if value not in (*_ON, *_OFF):
        raise SetupError(f"{name} is {value!r}; it must be on or off")
    return value in _ON


def _default_state_dir(env: Mapping[str, str]) -> Path:
    """A folder of this user's own; below the temporary folder where there is no home."""
    if state := env.get("XDG_STATE_HOME"):
        return Path(state) / "crossfade"
    try:
        return Path.home() / ".local" / "state" / "crossfade"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"crossfade-{os.getuid()}"
