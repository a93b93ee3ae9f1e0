"""The options that every command on the API has, and what a command gets for them."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console, RenderableType

from crossfade.cli.client import Client
from crossfade.errors import SetupError

DEFAULT_URL = "http://127.0.0.1:8321"


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where results go: a person's terminal, or JSON for a program."""

    json: bool
    console: Console

    def show(self, document: object, render: Callable[[], RenderableType]) -> None:
        """Prints the document as it came with --json, else what `render` makes of it."""
        if self.json:
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            self.console.print(render())


def console() -> Console:
    """The terminal; piped, it is plain text that is never cut to a width."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=160)


without_asking = click.option("--yes", "sure", is_flag=True, help="Do not ask first.")


def ask(question: str, sure: bool) -> None:
    """Lets a person on a terminal say no. Raises `click.Abort` then; where nobody can answer it takes --yes."""
    if sure:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this asks first, and nobody is there to answer: give --yes")
    click.confirm(question, abort=True, err=True)  # standard output is for the answer, perhaps JSON


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def may_ask_controller(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Adds --url, --token and --json, and hands the command an `output` and `connect`, which opens a client."""

    @click.option(
        "--url", envvar="CROSSFADE_URL", default=DEFAULT_URL, show_default=True, help="The controller's address."
    )
    @click.option(
        "--token",
        envvar="CROSSFADE_TOKEN",
        help="Your token. Better in CROSSFADE_TOKEN: other accounts can read a command line.",
    )
    @json_option
    @functools.wraps(command)
    def wrapped(url: str, token: str | None, as_json: bool, **given: Any) -> int | None:
        def connect() -> AbstractContextManager[Client]:
            if not token:
                raise SetupError(
                    "no token: set CROSSFADE_TOKEN (or --token); an admin makes one by `crossfade token create`, and"
                    " `crossfade up` keeps the first in .crossfade/data/admin-token"
                )
            return closing(Client(url, token))

        return command(connect=connect, output=Output(json=as_json, console=console()), **given)

    return wrapped


def on_controller(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The same for a command that always asks: it is handed a `client` and an `output`."""

    @may_ask_controller
    @functools.wraps(command)
    def wrapped(connect: Callable[[], AbstractContextManager[Client]], **given: Any) -> int | None:
        with connect() as client:
            return command(client=client, **given)

    return wrapped
