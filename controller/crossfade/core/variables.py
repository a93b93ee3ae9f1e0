"""Variables: every environment variable of Crossfade's. A process that would spend or show something by mistake
refuses one that it does not know: misspelt, it would be silently without effect."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from crossfade.errors import SetupError

PREFIX = "CROSSFADE_"
KNOWN = frozenset(
    PREFIX + name
    for name in (
        # of the CLI and the shim
        "URL",
        "TOKEN",
        "STATE_DIR",
        "FLUSH_SECONDS",
        "SERVICE",
        "TELEMETRY",
        "WAIT",
        # of the server
        "SECRET",
        "SECRET_FILE",
        "HOST",
        "PORT",
        "DATA",
        "BUCKET_SECONDS",
        "RETENTION_DAYS",
        "DB_PASSWORD",  # read by docker-compose.yml
        # of the sidecar
        "SIDECAR_HOST",
        "SIDECAR_PORT",
        "SIDECAR_SOCKET",
        "SIDECAR_WORKERS",
        "SIDECAR_DRAIN_SECONDS",
        "SIDECAR_TOKEN",
        "SIDECAR_TOKEN_FILE",
        "SIDECAR_KEYS_FILE",
        "SIDECAR_MOST_BODY",
        "SIDECAR_HEAD_SECONDS",
        "SIDECAR_BODY_SECONDS",
    )
)
"""They may all be set side by side: one environment serves every process on a machine."""
_OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?$")
"""How the names end that Kubernetes sets in every pod for a Service, which may well be called `crossfade`."""


def unknown(names: Iterable[str]) -> list[str]:
    """Those of these variables that begin as ours do and are none of ours, sorted."""
    return sorted(n for n in names if n.startswith(PREFIX) and n not in KNOWN and not _OF_KUBERNETES.search(n))


def refuse_unknown(names: Iterable[str]) -> None:
    """Raises `SetupError` for the first unknown variable, with the one that was probably meant."""
    for name in unknown(names):
        near = difflib.get_close_matches(name, sorted(KNOWN), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(KNOWN))}"
        raise SetupError(f"the environment variable {name} is not known: {hint}")
