"""Declared: routes and Models as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.core.model import Model
from crossfade.core.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """A route, its live rollout (None without), and since when its blue serves it."""

    id: int
    route: Route
    live: int | None
    blue_since: datetime

    def to_dict(self) -> dict[str, Any]:
        """The declaration, with `id`, `live_rollout` and `blue_since` beside it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A Model, and the routes that use it as blue, fallback or green."""

    model: Model
    used_by: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The declaration, with `used_by` beside it."""
        raise NotImplementedError


def routes(engine: Engine) -> list[RouteView]:
    """By name."""
    raise NotImplementedError


def route(engine: Engine, name: str) -> RouteView:
    """Raises `NotFound`, naming the nearest there is."""
    raise NotImplementedError


def models(engine: Engine) -> list[ModelView]:
    """By name."""
    raise NotImplementedError


def model(engine: Engine, name: str) -> ModelView:
    """Raises `NotFound`, naming the nearest there is."""
    raise NotImplementedError
