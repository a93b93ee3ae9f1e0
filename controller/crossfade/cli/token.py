"""Tokens and the login link: who may speak to the controller."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from crossfade.cli.client import Client
from crossfade.cli.columns import columns
from crossfade.cli.options import Output, ask, console, json_option, on_controller, without_asking

ROLES = ("viewer", "operator", "admin", "shim")


@click.group()
def token() -> None:
    """Tokens of people and services."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its holder may do.")
@on_controller
def create(client: Client, output: Output, name: str, role: str) -> None:
    """Make a token. It is shown this once and cannot be read back."""
    made = client.post("/v1/tokens", {"name": name, "role": role})
    output.show(made, lambda: Text(str(made["token"]), overflow="ignore", no_wrap=True))


@token.command()
@click.argument("name")
@json_option
def first(name: str, as_json: bool) -> None:
    """Make an admin's token where there is none yet, without asking a controller.

    Runs where the controller runs: DATABASE_URL and CROSSFADE_SECRET say which. `crossfade up` does it by itself.
    """
    from crossfade.server import settings
    from crossfade.server.database import connect, probe
    from crossfade.server.usecases.tokens import create_token

    found = settings.load()
    engine = connect(found.database_url.get_secret_value())
    try:
        probe(engine)
        made, text = create_token(
            engine,
            {"name": name, "role": "admin"},
            actor="crossfade token first",
            now=datetime.now(UTC),
            secret=settings.secret_of(found),
        )
    finally:
        engine.dispose()
    document = made.to_dict() | {"token": text}
    Output(json=as_json, console=console()).show(document, lambda: Text(text, overflow="ignore", no_wrap=True))


@token.command("list")
@on_controller
def list_tokens(client: Client, output: Output) -> None:
    """All tokens: names, roles, never the secrets."""
    found = client.get("/v1/tokens")
    output.show(found, lambda: _tokens_table(found["tokens"]))


@token.command()
@click.argument("token_id", metavar="ID", type=int)
@without_asking
@on_controller
def revoke(client: Client, output: Output, token_id: int, sure: bool) -> None:
    """Make a token worthless, at once."""
    ask(f"Revoke {_named(client, token_id)}? Whoever uses it is refused from then on.", sure)
    gone = client.delete(f"/v1/tokens/{token_id}")
    output.show(gone or {"revoked": token_id}, lambda: Text(f"Revoked token {token_id}."))


def _named(client: Client, token_id: int) -> str:
    """The token as a person knows it; its number alone if there is none of it, which revoking then says."""
    found = next((item for item in client.get("/v1/tokens")["tokens"] if item["id"] == token_id), None)
    return f"token {token_id}" if found is None else f"token {token_id}, {found['name']} ({found['role']})"


def _tokens_table(found: list[dict[str, Any]]) -> RenderableType:
    table = columns("id", "name", "role", "made", "revoked")
    for item in found:
        table.add_row(
            str(item["id"]),
            Text(item["name"]),
            item["role"],
            *(str(item.get(name) or "-")[:19].replace("T", " ") for name in ("created_at", "revoked_at")),
        )
    return table


@click.command("login-link")
@on_controller
def login_link(client: Client, output: Output) -> None:
    """An address that signs you in to the pages, for an hour. Whoever opens it is you: do not pass it on."""
    made = client.login_link()
    output.show(made, lambda: Text(str(made["url"]), overflow="ignore", no_wrap=True))


COMMANDS = (token, login_link)
