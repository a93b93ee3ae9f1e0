"""Delete: a Model or a route leaves the snapshot. What is in use is refused."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine


def delete_model(engine: Engine, name: str, *, actor: str, now: datetime) -> None:
    """Raises `NotFound`, or `Conflict` naming the routes and live rollouts that use it."""
    raise NotImplementedError


def delete_route(engine: Engine, name: str, *, actor: str, now: datetime) -> None:
    """Services that call the name get plain Bedrock from then on; past rollouts and evidence stay.

    Raises `NotFound`, or `Conflict` naming the live rollout or the routes whose rules use it.
    """
    raise NotImplementedError
