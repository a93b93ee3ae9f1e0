"""A service of its own process: imported, set up and asking, as a program goes on to say."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

SERVICE = """
import os, sys, boto3, crossfade
from crossfade.shim import runtime
client = boto3.client("bedrock-runtime")
crossfade.enable(client, wait=5)
def ask():
    return client.converse(modelId="support-chat", messages=[{"role": "user", "content": [{"text": "hi"}]}])
"""


def run(program: str, controller: Any, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """A service with one routed client, which must end well."""
    done = started(SERVICE + program, controller, settings, seconds=30)
    assert done.returncode == 0, done.stderr
    return done


def started(
    program: str,
    controller: Any,
    settings: dict[str, Any],
    *,
    seconds: float,
    options: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """A whole program, with `options` of Python's and more environment, however it ends."""
    known = os.environ | {
        "CROSSFADE_URL": controller.url,
        "CROSSFADE_TOKEN": settings["token"],
        "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(
        command, env=known | environment, capture_output=True, text=True, timeout=seconds, check=False
    )
