"""What tests of compatibility share. They need an environment of their own (`dev.py test --full` makes it)."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("strands") is None:  # not in the environment of the frameworks
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.shim.conftest import *  # noqa: F403  (its fixtures: sandbox, controller, snapshot ...)
