"""Gives these tests a control plane to act on, and lets them share `plane`: test files are not a package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from plane import Plane

from crossfade.server import database


@pytest.fixture
def plane(database_url: str) -> Iterator[Plane]:
    engine = database.connect(database_url)
    yield Plane(engine)
    engine.dispose()
