"""Declaration: how a route and a Model look on a terminal, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossfade.cli import render
from crossfade.cli.columns import columns
from crossfade.core.amount import dollars, exact
from crossfade.core.reading import Reader
from crossfade.core.rule import read_rule


def route(found: dict[str, Any], models: Mapping[str, dict[str, Any]], live: dict[str, Any] | None) -> RenderableType:
    """A route, the declared `models` by name, and its live rollout, if any. Settings come last: there are many."""
    parts: list[RenderableType] = [Text(f"Route {found['name']}", style="bold"), Text()]
    if alarm := found.get("alarm"):
        parts += [Text(f"! {alarm}", style="yellow"), Text()]
    since = str(found["blue_since"])[:19].replace("T", " ")
    facts = [("blue", Text(f"{found['blue']}, since {since} UTC"))]
    facts.append(("live", render.line(live) if live else Text("no rollout")))
    facts += [("needs", Text(_words(found["needs"])))] if found.get("needs") else []
    facts += [("answers", Text(_validator(found["validator"])))] if found.get("validator") else []
    facts.append(("busy text", Text(found["busy_text"])))
    parts += [columns("", "", rows=facts, header=False), Text()]
    parts += _section("Models, the fallbacks in the order they are asked", _models(found, models, live))
    if found["rules"]:
        rules = [(f"{place}.", Text(f"→ {rule['use']}"), _when(rule)) for place, rule in enumerate(found["rules"], 1)]
        parts += _section("Rules; the first that holds sends a call on", columns("", "", "", rows=rules, header=False))
    if found.get("shares"):
        shares = [(f"{share:g} %", Text(f"→ {name}")) for name, share in found["shares"].items()]
        shares.append((f"{100 - sum(found['shares'].values()):g} %", Text("stays")))
        parts += _section("Shares of the calls that no rule sends on", columns("", "", rows=shares, header=False))
    in_force = found.get("policy_in_force") or []  # a controller of an older version tells none
    return Group(*parts, *([_policy(in_force)] if in_force else []))


def model(found: dict[str, Any]) -> RenderableType:
    targets = [(f"{place}.", *_target(target)) for place, target in enumerate(found["targets"], 1)]
    price = found.get("price")
    facts = [
        ("price", _price(price) if price else "not declared: what its calls cost is not known"),
        ("body", found.get("body_family") or "Converse only: no body_family is declared"),
        ("takes", "not declared" if found.get("takes") is None else _words(found["takes"]) or "text only"),
        ("used by", ", ".join(found.get("used_by") or []) or "no route"),
    ]
    if undo_of := found.get("undo_of"):
        facts.append(("undo of", ", ".join(f"rollout {rollout}" for rollout in undo_of) + " would return to it"))
    return Group(
        Text(f"Model {found['name']}", style="bold"),
        Text(),
        columns("", "", rows=[(name, Text(said)) for name, said in facts], header=False),
        Text(),
        *_section("Targets, in the order they are preferred", columns("", "region", "model id", "", rows=targets)),
    )


def _section(title: str, content: RenderableType) -> list[RenderableType]:
    return [Text(title, style="bold"), Padding(content, (0, 0, 0, 2)), Text()]


def _models(found: dict[str, Any], models: Mapping[str, dict[str, Any]], live: dict[str, Any] | None) -> Table:
    names = [("blue", found["blue"])] + ([("green", live["green"])] if live else [])
    names += [("fallback", name) for name in found["fallbacks"]]
    table = columns("", "Model", "region", "model id", "")
    for role, name in names:
        for place, target in enumerate(models[name]["targets"] if name in models else []):
            first = [Text(role), Text(name)] if not place else [None, None]
            table.add_row(*first, *_target(target))
    return table


def _target(target: dict[str, Any]) -> tuple[Text, Text, Text]:
    endpoint = target.get("endpoint_url")
    return Text(target["region"]), Text(target["model_id"]), Text(f"at {endpoint}" if endpoint else "")


def _when(rule: dict[str, Any]) -> Text:
    reader = Reader(rule)
    when = read_rule(reader).when
    # A controller of a newer version may know conditions that this one does not.
    return Text(f"if {when}" if not reader.problems else f"if {json.dumps(rule['when'], ensure_ascii=False)}")


def _policy(settings: Iterable[dict[str, Any]]) -> Table:
    """What the route sets is marked, and bold."""
    table = columns("", "setting", "value", "default", "bounds", "what it says")
    table.caption, table.caption_justify = "* set by this route; all others are as by default", "left"
    for item in settings:
        bounds = f"{exact(item['least'])} to {exact(item['most'])}" if "least" in item else "yes, no"
        says = item["says"].replace("`", "") + (f" ({item['unit']})" if "unit" in item else "")
        is_set = item["value"] != item["default"]
        cells = (item["name"], exact(item["value"]), exact(item["default"]), bounds, says)
        table.add_row("*" if is_set else "", *map(Text, cells), style="bold" if is_set else "")
    return table


def _price(price: dict[str, float]) -> str:
    return f"{dollars(price['input_per_1k'])} for 1,000 tokens in, {dollars(price['output_per_1k'])} for 1,000 out"


def _words(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _validator(asked: dict[str, Any]) -> str:
    return f"must {'; '.join(_demands(asked))}"


def _demands(asked: dict[str, Any]) -> Iterator[str]:
    if asked.get("members"):
        yield f"be a JSON object with {', '.join(asked['members'])}"
    elif asked.get("json"):
        yield "be JSON"
    if asked.get("one_of"):
        yield f"be one of {', '.join(map(repr, asked['one_of']))}"
    if asked.get("characters_least"):
        yield f"have at least {asked['characters_least']:,} characters"
    if asked.get("characters_most"):
        yield f"have at most {asked['characters_most']:,} characters"
