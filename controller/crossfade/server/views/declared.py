"""Declared: routes and Models as they stand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.core.model import Model, model_to_dict
from crossfade.core.policy import describe_settings
from crossfade.core.route import Route, route_to_dict
from crossfade.errors import NotFound
from crossfade.server.database import begin
from crossfade.server.store import declared, rollouts
from crossfade.server.store.declared import StoredRoute
from crossfade.server.views.alarm import alarm
from crossfade.server.views.plain import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """A route, its live rollout (None without), since when its blue serves it, and what is wrong with its calls of late
    (`views.alarm`), looked up for one route alone."""

    id: int
    route: Route
    live: int | None
    blue_since: datetime
    alarm: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The declaration, with `id`, `live_rollout` and `blue_since` beside it."""
        beside = {"id": self.id, "live_rollout": self.live, "blue_since": plain(self.blue_since)}
        return route_to_dict(self.route) | beside

    def effective(self) -> dict[str, Any]:
        """The same with `policy_in_force`, every setting with its value, default and bounds, and the `alarm`."""
        return self.to_dict() | {"policy_in_force": describe_settings(self.route.policy), "alarm": self.alarm}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A Model, the routes that use it as blue, fallback or green, and the rollouts whose undo would return to it."""

    model: Model
    used_by: tuple[str, ...]
    undo_of: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The declaration, with `used_by` and `undo_of` beside it."""
        return model_to_dict(self.model) | {"used_by": list(self.used_by), "undo_of": list(self.undo_of)}


def routes(engine: Engine) -> list[RouteView]:
    """By name."""
    with begin(engine, snapshot=True) as connection:
        live = {stored.route_id: stored.rollout.id for stored in rollouts.all_live(connection)}
        return [_view(stored, live) for stored in declared.all_routes(connection).values()]


def route(engine: Engine, name: str, *, now: datetime) -> RouteView:
    """Raises `NotFound`, naming the nearest there is."""
    with begin(engine, snapshot=True) as connection:
        found = declared.all_routes(connection)
        if name not in found:
            raise NotFound(f"no route is named {name!r}{_nearest(name, found)}")
        live = rollouts.live_on(connection, found[name].id)
        ids = {} if live is None else {live.route_id: live.rollout.id}
        return replace(_view(found[name], ids), alarm=alarm(connection, found[name], now))


def models(engine: Engine) -> list[ModelView]:
    """By name."""
    with begin(engine, snapshot=True) as connection:
        users: dict[str, list[str]] = {}
        for stored in declared.all_routes(connection).values():
            for name in {stored.route.blue, *stored.route.fallbacks}:
                users.setdefault(name, []).append(stored.route.name)
        for live in rollouts.all_live(connection):
            users.setdefault(live.rollout.green, []).append(live.rollout.route)
        undoable = rollouts.undoable_to(connection)
        return [
            ModelView(
                model=model,
                used_by=tuple(sorted(set(users.get(model.name, [])))),
                undo_of=tuple(undoable.get(model.name, [])),
            )
            for model in declared.all_models(connection).values()
        ]


def model(engine: Engine, name: str) -> ModelView:
    """Raises `NotFound`, naming the nearest there is."""
    found = {view.model.name: view for view in models(engine)}
    if name not in found:
        raise NotFound(f"no Model is named {name!r}{_nearest(name, found)}")
    return found[name]


def _view(stored: StoredRoute, live: dict[int, int]) -> RouteView:
    return RouteView(id=stored.id, route=stored.route, live=live.get(stored.id), blue_since=stored.blue_since)


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
