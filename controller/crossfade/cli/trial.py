"""`crossfade route test`: which way a call would take through a route, and why."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from crossfade.cli.client import Client, segment
from crossfade.cli.columns import columns
from crossfade.cli.document import read_document
from crossfade.cli.options import Output, on_controller
from crossfade.errors import SetupError

_SIGNS = {True: ("✔", "green"), False: ("✖", "red"), None: ("·", "dim")}


@click.command("test")
@click.argument("name")
@click.option("--prompt", help="The user's message; after those of --file.")
@click.option("--file", "-f", "file", help="The call's parameters in JSON, as given to boto3; `-` is standard input.")
@click.option("--operation", default="Converse", show_default=True, help="Which operation of bedrock-runtime.")
@click.option("--key", help="The stickiness key, say a user's. Without any, chance decides.")
@click.option("--conversation", help="The conversation, which the split goes by where there is no key.")
@click.option("--tier", help="The caller's tier.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be given several times.")
@on_controller
def test_route(
    client: Client,
    output: Output,
    name: str,
    prompt: str | None,
    file: str | None,
    operation: str,
    labels: tuple[str, ...],
    **said: str | None,
) -> None:
    """Which rule, route, variant, Models and targets a call would meet, and why. Nothing is sent to Bedrock."""
    body: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    body |= {"operation": operation, "labels": dict(map(_pair, labels))}
    if file is not None:
        body["request"] = read_document(file)
    if prompt is not None:
        body["prompt"] = prompt
    found = client.post(f"/v1/routes/{segment(name)}/test", body)
    output.show(found, lambda: _rendered(found))


def _pair(label: str) -> tuple[str, str]:
    key, sign, value = label.partition("=")
    if not key or not sign:
        raise SetupError(f"--label {label!r}: give NAME=VALUE")
    return key, value


def _rendered(found: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [Text(_request_line(found["request"])), Text()]
    for leg in found["legs"]:
        parts.append(Text(f"Route {leg['route']}", style="bold"))
        for position, rule in enumerate(leg["rules"], 1):
            sign, style = _SIGNS[rule["holds"]]
            parts.append(Text(f"  {sign} rule {position} → {rule['use']}: {_verdict(rule)}", style=style))
        if leg["shares"] and leg["place"] is not None:
            shares = ", ".join(f"{share:g} % → {use}" for use, share in leg["shares"].items())
            parts.append(Text(f"  shares: {shares}; the call lies at {leg['place']:.4f} → {leg['to'] or 'stays'}"))
    parts += [Text(), Text(found["sentence"]), Text(found["terms"]["text"]), Text()]
    table = columns("", "Model", "region", "model id", "why")
    for number, target in enumerate(found["targets"], 1):
        table.add_row(f"{number}.", *(Text(target[column]) for column in ("model", "region", "model_id", "why")))
    parts.append(table)
    parts += [Text(f"Not asked: {line}.", style="dim") for line in found["left_out"]]
    parts += [Text(f"! {line}.", style="yellow") for line in found["warnings"]]
    parts.append(Text(found["not_known"], style="dim"))
    return Group(*parts)


def _verdict(rule: dict[str, Any]) -> str:
    if rule["holds"] is None:
        return "not asked, an earlier one holds"
    return "holds" if rule["holds"] else "; ".join(rule["unmet"])


def _request_line(request: dict[str, Any]) -> str:
    parts = [f"{_count(request, 'characters')}, about {_count(request, 'tokens')}"]
    parts += [_count(request, "turns")] if request["turns"] > 1 else []
    parts += [_count(request, name) for name in ("tools", "images", "documents") if request[name]]
    parts += ["code"] if request["code"] else []
    parts.append(f"complexity {request['complexity']:.2f}")
    parts += [f"tier {request['tier']}"] if request["tier"] else []
    parts += [f"{name}={value}" for name, value in request["labels"].items()]
    return "Request: " + ", ".join(parts)


def _count(request: dict[str, Any], name: str) -> str:
    return f"{request[name]:,} {name.removesuffix('s') if request[name] == 1 else name}"
