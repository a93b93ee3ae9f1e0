"""Apply: Models and routes as declared in a document become what is stored. Idempotent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.core.model import Model, model_to_dict, read_model
from crossfade.core.reading import Reader
from crossfade.core.route import Route, check_references, not_taken, read_route, route_to_dict
from crossfade.errors import Conflict
from crossfade.server.database import begin
from crossfade.server.regions import misspelt
from crossfade.server.store import declared, journal, rollouts, snapshots
from crossfade.server.store.declared import StoredRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying does to one Model or route. `fields` maps each changed field to (old, new)."""

    kind: str
    name: str
    change: str
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "fields": {name: list(pair) for name, pair in self.fields.items()},
        }


def apply_declarations(
    engine: Engine, document: object, *, actor: str, now: datetime, dry_run: bool = False
) -> list[Change]:
    """Creates and updates what `document` ({"models": [..], "routes": [..]}) declares; removes nothing.

    Returns one Change for each declared thing, `change` being create, update or unchanged. Raises `Invalid` with all
    problems (paths such as `routes[0].fallbacks[1]`), `Conflict` when blue would change under a live rollout, or
    back to what a promotion replaced, or to what an undo took away.
    """
    reader = Reader(document)
    models = [(item, read_model(item)) for item in reader.sections("models", most=10_000)]
    routes = [(item, read_route(item)) for item in reader.sections("routes", most=10_000)]
    reader.close()
    return _apply(engine, models, routes, reader, actor=actor, now=now, dry_run=dry_run)


def put_model(engine: Engine, name: str, body: object, *, actor: str, now: datetime) -> Change:
    """One Model; `body` may leave `name` out, and must not give another."""
    reader = Reader(_named(name, body))
    model = read_model(reader)
    _check_name(reader, name, model.name)
    return _apply(engine, [(reader, model)], [], reader, actor=actor, now=now)[0]


def put_route(engine: Engine, name: str, body: object, *, actor: str, now: datetime) -> Change:
    """One route; `body` may leave `name` out, and must not give another."""
    reader = Reader(_named(name, body))
    route = read_route(reader)
    _check_name(reader, name, route.name)
    return _apply(engine, [], [(reader, route)], reader, actor=actor, now=now)[0]


def _apply(
    engine: Engine,
    models: Sequence[tuple[Reader, Model]],
    routes: Sequence[tuple[Reader, Route]],
    reader: Reader,
    *,
    actor: str,
    now: datetime,
    dry_run: bool = False,
) -> list[Change]:
    _check_regions(models)
    _check_once([(item, model.name) for item, model in models])
    _check_once([(item, route.name) for item, route in routes])
    with begin(engine) as connection:
        declared.hold_models(connection, [name for _, route in routes for name in (route.blue, *route.fallbacks)])
        stored_models = declared.all_models(connection)
        # Of routes that lead to others all are held: two half circles declared at once must not close to one.
        held = None if any(route.uses for _, route in routes) else [route.name for _, route in routes]
        stored_routes = declared.all_routes(connection, lock=held)
        live = {stored.route_id: stored.rollout.green for stored in rollouts.all_live(connection)}
        _check_references(models, routes, stored_models, stored_routes, live)
        reader.check()
        for _, route in routes:
            _check_blue(connection, route, stored_routes.get(route.name))
        changes = [_model_change(model, stored_models.get(model.name)) for _, model in models]
        changes += [_route_change(route, stored_routes.get(route.name)) for _, route in routes]
        if not dry_run:
            _save(connection, changes, models, routes, stored_routes, now)
            _tell(connection, changes, actor, now)
    return changes


def _check_references(
    models: Sequence[tuple[Reader, Model]],
    routes: Sequence[tuple[Reader, Route]],
    stored_models: Mapping[str, Model],
    stored_routes: Mapping[str, StoredRoute],
    live: Mapping[int, str],
) -> None:
    """`live` has the green of each route number with a live rollout."""
    new_models = {model.name: model for _, model in models}
    all_models = {**stored_models, **new_models}
    all_routes = {name: stored.route for name, stored in stored_routes.items()}
    all_routes |= {route.name: route for _, route in routes}
    declared_routes = {route.name for _, route in routes}
    for item, route in routes:
        check_references(route, all_models, all_routes, item)
    greens = {name: live[stored.id] for name, stored in stored_routes.items() if stored.id in live}
    for item, route in routes:
        green = all_models.get(greens.get(route.name, ""))
        if green is not None and (lacking := green.lacks(route.needs)):
            item.problem("needs", "the live rollout's green " + not_taken(green.name, lacking, route.name))
    for item, model in models:
        for name, route in all_routes.items():
            used = model.name in (route.blue, *route.fallbacks, greens.get(name))
            if used and name not in declared_routes and (lacking := model.lacks(route.needs)):
                item.problem("takes", not_taken(model.name, lacking, name))


def _check_regions(models: Sequence[tuple[Reader, Model]]) -> None:
    for item, model in models:
        for position, target in enumerate(model.targets):
            if target.endpoint_url is None and (meant := misspelt(target.region)):
                item.problem(
                    f"targets[{position}].region",
                    f"{target.region!r} is not known: did you mean {meant!r}? A region that is newer than this botocore"
                    " needs an endpoint_url",
                )


def _check_once(named: Sequence[tuple[Reader, str]]) -> None:
    names = [name for _, name in named]
    for position, (item, name) in enumerate(named):
        if name and name in names[:position]:
            item.problem("name", f"{name!r} is declared twice; keep one")


def _check_blue(connection: Connection, route: Route, stored: StoredRoute | None) -> None:
    """A declaration does not change what a rollout decides: neither under a live one, nor back over a promotion, nor
    again to what an undo took away."""
    if stored is None or stored.route.blue == route.blue:
        return
    live = rollouts.live_on(connection, stored.id)
    if live:
        raise Conflict(
            f"route {route.name!r} has rollout {live.rollout.id}, {live.rollout.phase}: its blue stays"
            f" {stored.route.blue!r} until that ends; abort it first to change blue"
        )
    promoted = rollouts.promoted_on(connection, stored.id)
    if promoted and (promoted.rollout.blue, promoted.rollout.green) == (route.blue, stored.route.blue):
        raise Conflict(
            f"route {route.name!r}: rollout {promoted.rollout.id} promoted {promoted.rollout.green!r} over"
            f" {route.blue!r}; declare blue = {promoted.rollout.green!r}, or undo that rollout"
        )
    undone = journal.undone_last(connection, stored.id, route.name)
    if undone is not None and rollouts.find(connection, undone).rollout.green == route.blue:
        raise Conflict(
            f"route {route.name!r}: rollout {undone} brought {route.blue!r}, which was undone; declare"
            f" blue = {stored.route.blue!r}, or register {route.blue!r} anew"
        )


def _model_change(model: Model, stored: Model | None) -> Change:
    return _change("model", model.name, model_to_dict(model), model_to_dict(stored) if stored else None)


def _route_change(route: Route, stored: StoredRoute | None) -> Change:
    return _change("route", route.name, route_to_dict(route), route_to_dict(stored.route) if stored else None)


def _change(kind: str, name: str, new: dict[str, Any], old: dict[str, Any] | None) -> Change:
    before = old or {}
    fields = {
        key: (before.get(key), new.get(key))
        for key in {**before, **new}
        if key != "name" and new.get(key) != before.get(key) and not (old is None and not new.get(key))
    }
    change = "create" if old is None else "update" if fields else "unchanged"
    return Change(kind=kind, name=name, change=change, fields=fields)


def _save(
    connection: Connection,
    changes: Sequence[Change],
    models: Sequence[tuple[Reader, Model]],
    routes: Sequence[tuple[Reader, Route]],
    stored_routes: Mapping[str, StoredRoute],
    now: datetime,
) -> None:
    done = {(change.kind, change.name): change for change in changes if change.change != "unchanged"}
    for _, model in sorted(models, key=lambda pair: pair[1].name):
        match done.get(("model", model.name)):
            case Change(change="create"):
                declared.insert_model(connection, model, now)
            case Change():
                declared.update_model(connection, model, now)
    for _, route in routes:
        match done.get(("route", route.name)):
            case Change(change="create"):
                declared.insert_route(connection, route, now)
            case Change(fields=fields):
                declared.update_route(connection, stored_routes[route.name].id, route, now)
                if "blue" in fields:
                    declared.set_blue(connection, stored_routes[route.name].id, route.blue, now)


def _tell(connection: Connection, changes: Sequence[Change], actor: str, now: datetime) -> None:
    """Journals each change and raises the snapshot's version, if there is any."""
    told = [change for change in changes if change.change != "unchanged"]
    for change in told:
        created = change.change == "create"
        journal.append(
            connection,
            at=now,
            subject=f"{change.kind} {change.name}",
            actor=actor,
            kind=journal.PERSON,
            act=change.change,
            reason="",
            sentence=f"{change.kind.capitalize()} {change.name} "
            + ("created." if created else f"changed: {', '.join(change.fields)}."),
            numbers=change.to_dict()["fields"],
        )
    if told:
        snapshots.bump(connection)


def _named(name: str, body: object) -> object:
    return {"name": name, **body} if isinstance(body, Mapping) else body


def _check_name(reader: Reader, name: str, given: str) -> None:
    if given != name:
        reader.problem("name", f"is {given!r}, but the address says {name!r}; leave it out")
