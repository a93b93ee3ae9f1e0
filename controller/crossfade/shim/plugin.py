"""Plugin: switches Crossfade on without touching code: BOTOCORE_EXPERIMENTAL__PLUGINS=crossfade=crossfade.shim.plugin.

botocore imports this module and hands it every client it makes. botocore swallows what a plugin raises, so troubles
are logged here.
"""

from __future__ import annotations

import logging
from typing import Any

from crossfade.shim.adoption import SERVICE
from crossfade.shim.install import enable

log = logging.getLogger("crossfade")


def initialize_client_plugin(client: Any) -> None:
    """Called by botocore for every client of every service."""
    if client.meta.service_model.service_name != SERVICE:
        return
    try:
        enable(client)
    except Exception as error:
        log.warning("Crossfade is not switched on: %s", error, extra={"action": "plugin_trouble"})
