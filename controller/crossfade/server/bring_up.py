"""Bring up: controller and scheduler as children of one supervisor, ready to be asked.

What `crossfade up` and the demo have in common. Both processes get their settings by the environment, as they would
from an init system or a container.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from crossfade.server.processes import Part, Processes

START_SECONDS = 60.0
_ADDRESS = re.compile(r"https?://\S+")
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE")


def clean_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment for a child: `settings`, and of ours only what any program needs.

    No AWS or Crossfade variable of the person's shell gets into a demo by accident.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}


def start_controller(processes: Processes, environment: Mapping[str, str]) -> Part:
    """Starts the controller; `address_of` tells where it listens once it does."""
    return processes.start("controller", [sys.executable, "-m", "crossfade", "controller"], environment)


def start_scheduler(processes: Processes, environment: Mapping[str, str]) -> Part:
    """Starts the scheduler."""
    return processes.start("scheduler", [sys.executable, "-m", "crossfade", "scheduler"], environment)


def address_of(processes: Processes, controller: Part) -> str:
    """Waits until the controller answers; its address, with the real port if 0 was asked for.

    Raises `PartEnded` if it ends instead, such as for a port that is taken.
    """
    found: list[str] = []

    def answers() -> bool:
        if not found:
            # The line it prints once the port is its own, before anything else listens.
            found.extend(_ADDRESS.findall("\n".join(controller.log.read_text(errors="replace").splitlines()[:5]))[:1])
        return bool(found) and is_healthy(found[0])

    processes.wait_until(answers, seconds=START_SECONDS, what="the controller's start")
    return found[0]


def is_healthy(address: str) -> bool:
    """Whether the controller at `address` answers and has its database."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/v1/health")
        reply = connection.getresponse()
        return reply.status == 200 and json.loads(reply.read()).get("database") == "ok"
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
