"""Delete: a Model or a route leaves the snapshot. What is in use is refused."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from crossfade.errors import Conflict, NotFound
from crossfade.server.database import begin
from crossfade.server.store import declared, journal, rollouts, snapshots


def delete_model(engine: Engine, name: str, *, actor: str, now: datetime) -> None:
    """Raises `NotFound`, or `Conflict` naming the routes and live rollouts that use it."""
    with begin(engine) as connection:
        if not declared.lock_model(connection, name):
            raise NotFound(f"no Model is named {name!r}")
        users = [
            f"route {route_name!r}"
            for route_name, stored in declared.all_routes(connection).items()
            if name in (stored.route.blue, *stored.route.fallbacks)
        ]
        users += [
            f"rollout {live.rollout.id}"
            for live in rollouts.all_live(connection)
            if name in (live.rollout.blue, live.rollout.green)
        ]
        if users:
            raise Conflict(f"Model {name!r} is used by {', '.join(users)}")
        lost = rollouts.undoable_to(connection).get(name, [])
        declared.delete_model(connection, name)
        sentence = f"Model {name} deleted." + "".join(f" Rollout {one} cannot be undone without it." for one in lost)
        _tell(connection, f"model {name}", sentence, actor, now)


def delete_route(engine: Engine, name: str, *, actor: str, now: datetime) -> None:
    """Services that call the name get plain Bedrock from then on; past rollouts and evidence stay.

    Raises `NotFound`, or `Conflict` naming the live rollout or the routes whose rules use it.
    """
    with begin(engine) as connection:
        routes = declared.all_routes(connection, lock=[name])
        if name not in routes:
            raise NotFound(f"no route is named {name!r}")
        live = rollouts.live_on(connection, routes[name].id)
        if live:
            raise Conflict(f"route {name!r} has rollout {live.rollout.id}, {live.rollout.phase}; abort it first")
        users = [repr(other) for other, stored in routes.items() if other != name and name in stored.route.uses]
        if users:
            raise Conflict(f"route {name!r} is used by the rules or shares of {', '.join(users)}")
        declared.delete_route(connection, routes[name].id, now)
        _tell(connection, f"route {name}", f"Route {name} deleted.", actor, now)


def _tell(connection: Connection, subject: str, sentence: str, actor: str, now: datetime) -> None:
    journal.append(
        connection,
        at=now,
        subject=subject,
        actor=actor,
        kind=journal.PERSON,
        act="delete",
        reason="",
        sentence=sentence,
    )
    snapshots.bump(connection)
