"""Tokens and the login link: who may speak to the controller."""

from __future__ import annotations

from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from crossfade.cli.client import Client
from crossfade.cli.options import Output, on_controller

ROLES = ("viewer", "operator", "admin", "shim")


@click.group()
def tokens() -> None:
    """Tokens of people and services."""


@tokens.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its holder may do.")
@on_controller
def create(client: Client, output: Output, name: str, role: str) -> None:
    """Make a token. It is shown this once and cannot be read back."""
    made = client.post("/v1/tokens", {"name": name, "role": role})
    output.show(made, lambda: Text(str(made["token"]), overflow="ignore", no_wrap=True))


@tokens.command("list")
@on_controller
def list_tokens(client: Client, output: Output) -> None:
    """All tokens: names, roles, never the secrets."""
    found = client.get("/v1/tokens")
    output.show(found, lambda: _tokens_table(found["tokens"]))


@tokens.command()
@click.argument("token_id", metavar="ID", type=int)
@on_controller
def revoke(client: Client, output: Output, token_id: int) -> None:
    """Make a token worthless, at once."""
    gone = client.delete(f"/v1/tokens/{token_id}")
    output.show(gone or {"revoked": token_id}, lambda: Text(f"Revoked token {token_id}."))


def _tokens_table(found: list[dict[str, Any]]) -> RenderableType:
    table = Table("id", "name", "role", "made", "revoked", box=None, pad_edge=False)
    for item in found:
        table.add_row(
            str(item["id"]),
            Text(item["name"]),
            item["role"],
            str(item.get("created_at") or "-"),
            str(item.get("revoked_at") or "-"),
        )
    return table


@click.command("login-link")
@on_controller
def login_link(client: Client, output: Output) -> None:
    """An address that signs you in to the pages, for an hour. Whoever opens it is you: do not pass it on."""
    made = client.login_link()
    output.show(made, lambda: Text(str(made["url"]), overflow="ignore", no_wrap=True))


COMMANDS = (tokens, login_link)
