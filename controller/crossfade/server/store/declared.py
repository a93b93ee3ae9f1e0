"""Declared: Models and routes. A route deleted keeps its row, for the evidence and rollouts that name it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from crossfade.core.model import Model, model_to_dict, read_model
from crossfade.core.reading import Reader
from crossfade.core.route import Route, read_route, route_to_dict
from crossfade.errors import NotFound
from crossfade.server.store.schema import models, routes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRoute:
    """A route with its number, since when its blue serves it, and whether it has been deleted."""

    id: int
    route: Route
    blue_since: datetime
    deleted: bool = False


def all_models(connection: Connection) -> dict[str, Model]:
    """Every Model by name, in the order of names."""
    rows = connection.execute(select(models.c.declaration).order_by(models.c.name))
    found = (_to_model(row.declaration) for row in rows)
    return {model.name: model for model in found}


def find_model(connection: Connection, name: str) -> Model | None:
    row = connection.execute(select(models.c.declaration).where(models.c.name == name)).one_or_none()
    return _to_model(row.declaration) if row else None


def hold_models(connection: Connection, names: Iterable[str]) -> set[str]:
    """Keeps the named Models from being deleted until this transaction ends; returns those that are there."""
    rows = connection.execute(
        select(models.c.name).where(models.c.name.in_(sorted(set(names)))).with_for_update(read=True, key_share=True)
    )
    return {row.name for row in rows}


def lock_model(connection: Connection, name: str) -> bool:
    """Waits for whoever holds the Model; False if there is none of this name."""
    query = select(models.c.id).where(models.c.name == name).with_for_update()
    return connection.execute(query).one_or_none() is not None


def insert_model(connection: Connection, model: Model, now: datetime) -> None:
    connection.execute(
        insert(models).values(name=model.name, declaration=model_to_dict(model), created_at=now, updated_at=now)
    )


def update_model(connection: Connection, model: Model, now: datetime) -> None:
    connection.execute(
        update(models).where(models.c.name == model.name).values(declaration=model_to_dict(model), updated_at=now)
    )


def delete_model(connection: Connection, name: str) -> None:
    connection.execute(delete(models).where(models.c.name == name))


def all_routes(connection: Connection, *, lock: Iterable[str] | None = ()) -> dict[str, StoredRoute]:
    """Every route by name, in the order of names. Those named in `lock` are locked first, in that order too; with None
    all are."""
    names = None if lock is None else sorted(set(lock))
    if names is None or names:
        query = select(routes.c.id).where(routes.c.deleted_at.is_(None))
        query = query if names is None else query.where(routes.c.name.in_(names))
        connection.execute(query.order_by(routes.c.name).with_for_update()).all()
    rows = connection.execute(_select().where(routes.c.deleted_at.is_(None)).order_by(routes.c.name))
    found = (_to_route(row) for row in rows)
    return {stored.route.name: stored for stored in found}


def find_route(connection: Connection, name: str, *, lock: bool = False) -> StoredRoute:
    """Raises `NotFound`."""
    query = _select().where(routes.c.name == name, routes.c.deleted_at.is_(None))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"no route is named {name!r}")
    return _to_route(row)


def route_by_id(connection: Connection, route_id: int, *, lock: bool = False) -> StoredRoute:
    """The route, deleted or not."""
    query = _select().where(routes.c.id == route_id)
    return _to_route(connection.execute(query.with_for_update() if lock else query).one())


def insert_route(connection: Connection, route: Route, now: datetime) -> None:
    connection.execute(
        insert(routes).values(
            name=route.name,
            blue=route.blue,
            blue_since=now,
            declaration=_declaration(route),
            created_at=now,
            updated_at=now,
        )
    )


def update_route(connection: Connection, route_id: int, route: Route, now: datetime) -> None:
    """Saves what is declared but blue, which `set_blue` changes."""
    connection.execute(
        update(routes).where(routes.c.id == route_id).values(declaration=_declaration(route), updated_at=now)
    )


def set_blue(connection: Connection, route_id: int, blue: str, now: datetime) -> None:
    connection.execute(update(routes).where(routes.c.id == route_id).values(blue=blue, blue_since=now, updated_at=now))


def delete_route(connection: Connection, route_id: int, now: datetime) -> None:
    connection.execute(update(routes).where(routes.c.id == route_id).values(deleted_at=now, updated_at=now))


def _select() -> Select[Any]:
    return select(
        routes.c.id, routes.c.name, routes.c.blue, routes.c.blue_since, routes.c.declaration, routes.c.deleted_at
    )


def _declaration(route: Route) -> dict[str, Any]:
    return {key: value for key, value in route_to_dict(route).items() if key not in ("name", "blue")}


def _to_model(declaration: dict[str, Any]) -> Model:
    reader = Reader(declaration)
    model = read_model(reader)
    reader.check()
    return model


def _to_route(row: Row[Any]) -> StoredRoute:
    reader = Reader({**row.declaration, "name": row.name, "blue": row.blue})
    route = read_route(reader)
    reader.check()
    return StoredRoute(id=row.id, route=route, blue_since=row.blue_since, deleted=row.deleted_at is not None)
