"""Resources: the folders that travel with the package, or lie beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from crossfade.errors import SetupError

PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE.parent.parent


def migrations_dir() -> Path:
    """Alembic's scripts."""
    return _folder("migrations")


def dashboards_dir() -> Path:
    """The pages' templates and static files."""
    return _folder("dashboards")


def _folder(name: str) -> Path:
    for parent in (PACKAGE, CHECKOUT):
        if (parent / name).is_dir():
            return parent / name
    raise SetupError(f"the folder {name!r} is neither in {PACKAGE} nor in {CHECKOUT}: install crossfade again")
