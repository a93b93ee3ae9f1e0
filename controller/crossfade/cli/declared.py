"""What is declared: `apply`, `route ...` and `model ...`."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from crossfade.cli import declaration
from crossfade.cli.client import Client, segment
from crossfade.cli.columns import columns
from crossfade.cli.document import read_document
from crossfade.cli.options import Output, ask, on_controller, without_asking
from crossfade.cli.trial import test_route

_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "unchanged": ("=", "dim")}


@click.command()
@click.option("-f", "--file", "files", multiple=True, required=True, help="TOML or JSON; `-` is standard input.")
@click.option("--dry-run", is_flag=True, help="Print the differences and change nothing.")
@on_controller
def apply(client: Client, output: Output, files: tuple[str, ...], dry_run: bool) -> None:
    """Declare models and routes from files. Prints the differences first; what is the same stays untouched."""
    document: dict[str, Any] = {}
    for file in files:
        for kind, items in read_document(file).items():
            both_lists = isinstance(items, list) and isinstance(document.get(kind, []), list)
            document[kind] = [*document.get(kind, []), *items] if both_lists else items
    planned = client.post("/v1/apply", document, dry_run=1)
    changed = [change for change in planned["changes"] if change["change"] != "unchanged"]
    if not output.json:
        output.console.print(_differences(planned["changes"]))
    if dry_run or not changed:
        if output.json:
            output.show(planned, Text)
        else:
            output.console.print("Nothing to change." if not changed else "Dry run: nothing was changed.")
        return
    applied = client.post("/v1/apply", document)
    output.show(applied, lambda: Text(f"Applied: {len(changed)} changed."))


def _differences(changes: list[dict[str, Any]]) -> RenderableType:
    lines = []
    for change in changes:
        sign, style = _SIGNS.get(change["change"], ("?", ""))
        lines.append(Text(f"{sign} {change['kind']} {change['name']}", style=style))
        for field, (old, new) in sorted((change.get("fields") or {}).items()):
            if old is not None:
                lines.append(Text(f"    - {field} = {json.dumps(old, ensure_ascii=False)}", style="red"))
            if new is not None:
                lines.append(Text(f"    + {field} = {json.dumps(new, ensure_ascii=False)}", style="green"))
    return Group(*lines)


@click.group()
def route() -> None:
    """Routes: the names that services call."""


@click.group()
def model() -> None:
    """Models: named things that can answer."""


@route.command("list")
@on_controller
def list_routes(client: Client, output: Output) -> None:
    """All routes."""
    found = client.get("/v1/routes")
    output.show(found, lambda: _routes_table(found["routes"]))


@route.command("show")
@click.argument("name")
@on_controller
def show_route(client: Client, output: Output, name: str) -> None:
    """One route: its Models, rules and shares, and every setting of its call policy as it is in force."""
    found = client.get(f"/v1/routes/{segment(name)}")
    output.show(found, lambda: _route(client, found))


@route.command("delete")
@click.argument("name")
@without_asking
@on_controller
def delete_route(client: Client, output: Output, name: str, sure: bool) -> None:
    """Remove a route that has no live rollout. Services that call its name go straight to Bedrock."""
    ask(f"Delete route {name}? Services that call it go straight to Bedrock then.", sure)
    gone = client.delete(f"/v1/routes/{segment(name)}")
    output.show(gone or {"deleted": name}, lambda: Text(f"Deleted route {name}."))


@model.command("list")
@on_controller
def list_models(client: Client, output: Output) -> None:
    """All Models."""
    found = client.get("/v1/models")
    output.show(found, lambda: _models_table(found["models"]))


@model.command("show")
@click.argument("name")
@on_controller
def show_model(client: Client, output: Output, name: str) -> None:
    """One Model as it is declared."""
    found = client.get(f"/v1/models/{segment(name)}")
    output.show(found, lambda: declaration.model(found))


@model.command("delete")
@click.argument("name")
@without_asking
@on_controller
def delete_model(client: Client, output: Output, name: str, sure: bool) -> None:
    """Remove a Model that no route and no live rollout uses."""
    place = f"/v1/models/{segment(name)}"
    undo_of = client.get(place).get("undo_of") or []
    lost = "".join(f" Rollout {rollout} cannot be undone without it." for rollout in undo_of)
    ask(f"Delete Model {name}?{lost}", sure)
    gone = client.delete(place)
    output.show(gone or {"deleted": name, "not_undoable": undo_of}, lambda: Text(f"Deleted Model {name}.{lost}"))


def _routes_table(routes: list[dict[str, Any]]) -> RenderableType:
    if not routes:
        return Text("No route is declared yet; `crossfade apply -f routes.toml` declares some.")
    table = columns("route", "blue", "fallbacks", "rules", "shares")
    for item in routes:
        fallbacks = ", ".join(item.get("fallbacks") or []) or "-"
        counted = (str(len(item.get(name) or ())) for name in ("rules", "shares"))
        table.add_row(Text(item["name"]), Text(item["blue"]), Text(fallbacks), *counted)
    return table


def _models_table(models: list[dict[str, Any]]) -> RenderableType:
    if not models:
        return Text("No Model is declared yet; `crossfade apply -f routes.toml` declares some.")
    table = columns("model", "region", "model id", "body")
    for item in models:
        for place, target in enumerate(item["targets"]):
            first, last = (item["name"], item.get("body_family") or "Converse only") if not place else ("", "")
            table.add_row(*map(Text, (first, target["region"], target["model_id"], last)))
    return table


def _route(client: Client, found: dict[str, Any]) -> RenderableType:
    models = {each["name"]: each for each in client.get("/v1/models")["models"]}
    live = found["live_rollout"]
    return declaration.route(found, models, client.get(f"/v1/rollouts/{live}") if live else None)


route.add_command(test_route)

COMMANDS = (apply, route, model)
