"""What tests of compatibility share. They need an environment of their own (`dev.py test --full` makes it)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

if importlib.util.find_spec("strands") is None:  # not in the environment of the frameworks
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.shim.conftest import *  # noqa: F403  (its fixtures: sandbox, controller, snapshot ...)

SHOWED = pytest.StashKey[dict[tuple[str, str], dict[str, bool]]]()
"""(framework, way) -> situation -> whether it held, or was left out as `cannot` says."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-page", action="store_true", help="write docs/compatibility.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SHOWED] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    given = getattr(getattr(item, "callspec", None), "params", {})
    if report.when == "call" and {"framework", "way"} <= given.keys():
        situation = getattr(item, "originalname", "")
        cell = (given["framework"], "key" if "key" in situation else given["way"])
        showed = item.config.stash[SHOWED].setdefault(cell, {})
        showed[situation] = showed.get(situation, True) and not report.failed
    return report
