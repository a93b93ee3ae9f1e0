"""How a rollout looks on a terminal: a tree of route, variants, steps and checks, in the style of Argo Rollouts."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from crossfade.cli.columns import columns
from crossfade.core.sentence import calls_and_copies, copies_cost, duration, held_to, metric_name, standing

_PHASES = {
    "pending": ("○", "dim"),
    "progressing": ("◌", "cyan"),
    "paused": ("‖", "yellow"),
    "promoted": ("✔", "green"),
    "rolled_back": ("✖", "red"),
    "aborted": ("✖", "red"),
    "superseded": ("✔", "dim"),
}
_STATES = {"done": ("✔", "green"), "current": ("◌", "cyan"), "to_come": ("·", "dim"), "stopped": ("✖", "red")}
_TROUBLE = {"errors": "error", "busy": "busy", "retries": "retry", "failovers": "failover"}
_RULINGS = {
    "passed": ("✔", "green"),
    "failed": ("✖", "red"),
    "inconclusive": ("◌", "cyan"),
    "no_data": ("?", "dim"),
}


def status(rollout: dict[str, Any], *, trouble: str = "") -> RenderableType:
    """The whole of a rollout; `trouble` says why it may be out of date."""
    head = columns("", "", header=False)
    head.add_row("Route:", Text(rollout["route"]))
    head.add_row("Rollout:", f"{rollout['id']}, version {rollout['version']}")
    head.add_row("Phase:", marked(rollout["phase"], _PHASES))
    head.add_row("Step:", f"{rollout['step'] + 1} of {len(rollout['steps'])}")
    head.add_row("Weight:", _weights(rollout))
    if split := rollout.get("split"):
        head.add_row("Split:", _split(rollout, split))
    head.add_row("Verdict:", Text(rollout["sentence"]))
    if alarm := rollout.get("alarm"):
        head.add_row("Alarm:", Text(alarm, style="yellow"))
    if trouble:
        head.add_row("Now:", Text(trouble, style="yellow"))
    return Group(head, Text(), _tree(rollout))


def line(rollout: dict[str, Any]) -> Text:
    """A rollout in one line."""
    return Text.assemble(f"rollout {rollout['id']} ", marked(rollout["phase"], _PHASES), f"  {rollout['sentence']}")


def registered(made: dict[str, Any]) -> RenderableType:
    """A rollout just registered: what was looked up, what to expect, and whether the guarantees hold here."""
    lines: list[RenderableType] = [Text(f"Registered rollout {made['id']} on {made['route']}."), line(made)]
    for lookup in made["lookups"]:
        found = {"yes": "found", "no": "does not exist", "unknown": "could not be looked up"}[lookup["found"]]
        detail = f" ({lookup['detail']})" if lookup.get("detail") else ""
        lines.append(Text(f"  {lookup['model_id']} in {lookup['region']}: {found}{detail}"))
    lines.append(Text(made["expect"]["text"]))
    lines.append(calibration(made["calibration"]))
    return Group(*lines)


def amended(rollout: dict[str, Any]) -> RenderableType:
    """A rollout whose checks were changed: what became of each, or that nothing did."""
    phase = Text.assemble(f"rollout {rollout['id']} ", marked(rollout["phase"], _PHASES))
    return Group(Text(rollout["amendment"]["sentence"]), phase)


def calibration(found: dict[str, Any]) -> RenderableType:
    """What A/A replays came to: the verdict in its colour, then the rest."""
    verdict, *more = found["sentences"]
    style = {"holds": "green", "does_not_hold": "red"}.get(found["finding"], "yellow")
    return Group(Text(verdict, style=style), *(Text(sentence) for sentence in more))


def rollouts_list(rollouts: list[dict[str, Any]]) -> RenderableType:
    if not rollouts:
        return Text("No rollout is there; `crossfade register` makes one.")
    return columns("", "", rows=[(str(item["id"]), _listed(item)) for item in rollouts], header=False)


def _listed(rollout: dict[str, Any]) -> Text:
    """A rollout of a list: where it stands, and below it why."""
    stands = "" if rollout["ended_at"] else f", step {rollout['step'] + 1} of {rollout['steps']}"
    stands += f", {rollout['weight']:g} %" if stands and rollout["weight"] else ""
    route = (rollout["route"], "bold")
    where = Text.assemble(route, f" → {rollout['green']}  ", marked(rollout["phase"], _PHASES), stands)
    return Text.assemble(where, "\n", rollout["sentence"])


def journal_table(entries: list[dict[str, Any]]) -> RenderableType:
    table = columns("time", "who", "what", "why")
    for entry in entries:
        table.add_row(
            str(entry["at"])[:19].replace("T", " "),
            Text(str(entry["actor"])),
            Text(entry["act"]),
            Text(entry["sentence"] or entry["reason"]),
        )
    return table


def marked(word: str, marks: dict[str, tuple[str, str]]) -> Text:
    """A word with its sign: never told by colour alone."""
    sign, style = marks.get(word, ("·", ""))
    return Text(f"{sign} {word.replace('_', ' ')}", style=style)


def _tree(rollout: dict[str, Any]) -> Tree:
    tree = Tree(Text(f"route {rollout['route']}", style="bold"), guide_style="dim")
    variants = tree.add("variants")
    for variant in ("blue", "green"):
        calls = rollout[f"{variant}_calls"]
        row = Text.assemble((f"{variant:6}", variant), f"{rollout[variant]}  {_share(rollout, variant)}")
        copies = (rollout.get("shadow") or {}).get("copies", 0) if variant == "green" else 0
        row.append(f"  {calls_and_copies(calls['calls'] - copies, copies)}", style="dim")
        trouble = ((calls[name], one, name) for name, one in _TROUBLE.items() if calls[name])
        row.append("".join(f", {count:,} {one if count == 1 else name}" for count, one, name in trouble), style="dim")
        leaf = variants.add(row)
        counted = {name.replace("_", " "): n for name, n in (calls.get("outcomes") or {}).items() if n}
        if counted.keys() - {"ok", "model error"}:  # what the errors above do not say
            ends = sorted(counted.items(), key=lambda end: (end[0] != "ok", -end[1]))
            leaf.add(Text("ended: " + ", ".join(f"{name} {n:,}" for name, n in ends), style="dim"))
    steps = tree.add("steps")
    for step in rollout["steps"]:
        sign, style = _STATES.get(step["state"], ("·", ""))
        row = Text(f"{sign} {standing(step['weight'], step.get('shadow', 0))}", style=style)
        if step["state"] == "current" and step.get("left_seconds"):
            row.append(f"  {duration(step['left_seconds'])} of bake time left")
        if step["approve"]:
            row.append("  a person opens its gate", style="dim")
        steps.add(row)
    if rollout.get("shadow"):
        shadow = rollout["shadow"]
        cost = copies_cost(shadow["cost"], shadow.get("priced", shadow["answered"]), shadow["answered"])
        tree.add(
            f"shadow: {shadow['copies']:,} copies of {shadow['calls']:,} calls, {shadow['answered']:,} answered,"
            f" cost: {cost}"
        )
    if rollout.get("durations"):
        times = tree.add("durations in this step")
        for each in rollout["durations"]:
            times.add(Text.assemble(f"{each['name']}: ", each["sentence"]))
    checks = tree.add("checks")
    for tile in rollout["tiles"]:
        checks.add(_check(tile))
    return tree


def _check(tile: dict[str, Any]) -> Text:
    sign, style = _RULINGS.get(tile["ruling"], ("·", ""))
    name = metric_name(str(tile["metric"]), tile.get("limit"))
    said = str(tile.get("sentence") or "").removeprefix(f"{name} ")
    if tile.get("awaits_look"):
        said += f": {held_to(*(tile[each] for each in ('metric', 'limit', 'margin', 'on_breach', 'gating')))}"
    return Text.assemble((f"{sign} {name}: {str(tile['ruling']).replace('_', ' ')}", style), f"  {said}")


def _share(rollout: dict[str, Any], variant: str) -> str:
    """What a variant gets of the calls now: "25 %", at a shadow step of green "copies of 10 %"."""
    if variant == "green" and (copied := _copied(rollout)):
        return f"copies of {copied:g} %"
    return f"{rollout['weight'] if variant == 'green' else 100 - rollout['weight']:g} %"


def _copied(rollout: dict[str, Any]) -> float:
    """Of how many percent of the calls green gets copies now; 0 where the step under way is no shadow."""
    if rollout["phase"] not in ("progressing", "paused") or not rollout["steps"]:
        return 0.0
    return float(rollout["steps"][rollout["step"]].get("shadow") or 0)


def _weights(rollout: dict[str, Any]) -> str:
    seen = rollout["observed_weight"]
    where = " in its last step" if rollout["ended_at"] else ""
    observed = "" if seen is None else f", observed {seen:.1f} %{where}"
    given = f"copies of {copied:g} %" if (copied := _copied(rollout)) else f"{rollout['weight']:g} %"
    return f"{given} of calls to green{observed}"


def _split(rollout: dict[str, Any], split: dict[str, Any]) -> Text:
    if not split["calls"] and _copied(rollout):
        return Text("· nothing to test: at a shadow step blue gets every call", style="dim")
    if not split["calls"]:
        return Text(f"· {split['sentence']}; calls that follow a key are not tested", style="dim")
    sign, word, style = ("✖", "not as its weight says", "red") if split["alarmed"] else ("✔", "as its weight says", "")
    return Text.assemble((f"{sign} {word}", style), f": {split['sentence']}")
