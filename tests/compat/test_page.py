"""docs/compatibility.md says what this run showed. `--write-page` writes it."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from .conftest import SHOWED
from .frameworks import EVERY, find
from .page import PAGE, WAYS, locked, render

SITUATIONS = 4  # the tests of test_frameworks that ask in each way


def test_what_runs_here_is_what_is_locked() -> None:
    for name in EVERY:
        package = find(name).package
        if "/" not in package:
            assert version(package) == locked("frameworks", package)


def test_the_page_says_what_this_run_showed(request: pytest.FixtureRequest) -> None:
    found = request.config.stash[SHOWED]
    cells = [(name, way) for name in EVERY for way in WAYS]
    if any(len(found.get(cell, {})) < (SITUATIONS if cell[1] != "key" else 1) for cell in cells):
        pytest.skip("only a part of the frameworks was run")
    frameworks = {name: find(name) for name in EVERY}
    page = render({cell: all(found[cell].values()) for cell in cells}, frameworks)
    if request.config.getoption("--write-page"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/compatibility.md is stale: python3 dev.py test tests/compat --write-page"
