"""How an explanation and a replay look on a terminal: totals, weights, thresholds, and the buckets behind them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossfade.cli.columns import columns
from crossfade.core.sentence import metric_name, percent, points


def explanation(found: dict[str, Any]) -> RenderableType:
    """A decision, the questions it came from, and each check's arithmetic."""
    named = f"decision {found['decision']}" if found["decision"] else "the last look"
    parts: list[RenderableType] = [
        Text(f"{found['route']}, rollout {found['rollout']}, {named} at {_stamp(found['at'])}", style="bold"),
        Text(found["sentence"]),
        Text(_agreement(found["differs"], "the arithmetic done anew gives", "what was recorded")),
        Text(),
        columns(
            "",
            "the order in which it was decided",
            "resting on",
            "answer",
            rows=[_question(q) for q in found["questions"]],
        ),
        Text(
            f"\nAll checks together: log of the mean of e-values by share {found['log_e_worse']:z.4f};"
            f" rolls back at log(1 / alpha) = {found['log_e_worse_needed']:z.4f}."
        ),
    ]
    for check in found["checks"]:
        parts += [Text(), *_check(check)]
    return Group(*parts)


def replay(found: dict[str, Any]) -> RenderableType:
    """When and how it would have ended, what that rests on, and its decisions beside the recorded ones."""
    lines: list[RenderableType] = [
        Text(found["outcome"], style="bold"),
        *(Text(f"- {note}") for note in found["notes"]),
    ]
    if not found["looks"]:
        return Group(*lines)
    tables = [("it would have decided", found["decisions"]), ("it decided", found["journal"])]
    if found["own_plan"]:
        lines.append(
            Text(_agreement(found["differs"], "this is the rollout's own plan: it decides", "what the journal has"))
        )
        tables = tables if found["differs"] else tables[1:]
    lines.append(Text())
    for title, decisions in tables:
        rows = [(_stamp(d["at"]), d["act"].replace("_", " "), Text(d["sentence"])) for d in decisions]
        lines += [columns("time", title, "why", rows=rows), Text()]
    return Group(*lines[:-1])


def _agreement(differs: Sequence[str], good: str, what: str) -> str:
    if not differs:
        return f"✔ {good} {what}"
    rest = f" and {len(differs) - 3} more" if len(differs) > 3 else ""
    return f"✖ evidence or formulas have changed since: {'; '.join(differs[:3])}{rest}"


def _question(question: dict[str, Any]) -> tuple[Text, ...]:
    style = "bold" if question["stopped"] else ""
    return (
        Text("▶" if question["stopped"] else "", style=style),
        Text(question["question"], style=style),
        Text(question["numbers"]),
        Text(question["answer"], style=style),
    )


def _check(one: dict[str, Any]) -> list[RenderableType]:
    worse, gate, estimate, history = one["worse"], one["gate"], one["estimate"], one["history"]
    lines = [
        f"{metric_name(one['check']['metric'])}: {one['ruling'].replace('_', ' ')}",
        f"  {one['judged']:,} judged buckets; blue before the rollout: {history['s']:g} lost of"
        f" {history['n']:,}; base rate now {percent(one['base'], 3)}; phi {one['phi']:z.3f}, which"
        f" started with {one['check']['overdispersion']:g}",
        f"  green is worse: log masses {_row(worse['log_masses'])} of c = a + margin x {_plain(worse['margins'])}, and"
        f" {worse['log_waiting']:z.3f} not begun, sum to log mixture {worse['log_mixture']:z.4f}",
        f"    x min(1, phi used {worse['phi_used']:z.3f} / phi as seen {worse['phi_soon']:z.3f}){_blocks(worse)} ="
        f" {worse['log_e']:z.4f}; {worse['rises']} buckets raised it, {worse['least_rises']} are needed; peak"
        f" {worse['peak']:z.4f}",
        f"    counts as {worse['judged']:z.4f} of log(1 / (share {one['share']:.3g} x alpha)) = {worse['needed']:z.4f}",
        f"  gate within {points(gate['margin'])}: log masses {_row(gate['log_masses'])} sum to log mixture"
        f" {gate['log_mixture']:z.4f}",
        f"    x min(1, phi used {gate['phi_used']:z.3f} / phi as seen {gate['phi_soon']:z.3f}) = {gate['log_e']:z.4f}"
        f" of log(1 / beta) = {gate['needed']:z.4f}",
        f"  estimate: {estimate['sum_weighted_difference']:z.4f} / {estimate['sum_weight']:z.2f} ="
        f" {_points(estimate['difference'])}, standard error {_points(estimate['standard_error'])},"
        f" interval {_points(estimate['lower'])} to {_points(estimate['upper'])}",
    ]
    parts: list[RenderableType] = [_indented(line) for line in lines]
    if one["largest"]:
        parts += [Text("\n  the buckets that moved it most"), _buckets(one["largest"])]
    if one["buckets"]:
        shown = len(one["buckets"])
        what = f"all {shown:,}" if shown == one["judged"] else f"the last {shown}"
        parts += [Text(f"\n  {what} judged buckets"), _buckets(one["buckets"])]
    return parts


def _indented(line: str) -> Padding:
    """A line whose own continuation, on a narrow terminal, stands below it and not at the edge."""
    text = line.lstrip()
    return Padding(Text(text), (0, 0, 0, len(line) - len(text)))


def _blocks(worse: dict[str, Any]) -> str:
    """What calls with keys add: the blocks of later starts."""
    if worse["log_blocks"] is None:
        return ""
    return (
        f", of which {1 - worse['blocks']:g} E and {worse['blocks']:g} of the blocks' (log {worse['log_blocks']:z.4f})"
    )


_COLUMNS = ("start", "step", "blue", "green", "a", "phi", "log E, before cap and phi", "log mixture", "counts", "gate")


def _buckets(buckets: Sequence[dict[str, Any]]) -> Table:
    return columns(*_COLUMNS, rows=[_bucket(bucket) for bucket in buckets])


def _bucket(bucket: dict[str, Any]) -> tuple[str, ...]:
    start = datetime.fromtimestamp(bucket["start"], UTC).strftime("%m-%d %H:%M:%S")
    return (
        start,
        str(bucket["step"] + 1),
        *(f"{bucket[variant]['s']:g}/{bucket[variant]['n']}{_pairs(bucket, variant)}" for variant in ("blue", "green")),
        percent(bucket["base"], 3),
        f"{bucket['phi']:z.3f}" + (f" (keys {bucket['phi_groups']:z.3f})" if bucket["phi_groups"] > 1 else ""),
        _row(bucket["log_es"]),
        f"{bucket['log_mixture']:z.4f} ({bucket['gained']:+z.4f})",
        f"{bucket['log_e']:z.4f}",
        f"{bucket['gate']['log_e']:z.4f}" if bucket["gate"] else "-",
    )


def _pairs(bucket: dict[str, Any], variant: str) -> str:
    # of a shadow step: how much worse this variant was where it was the worse of the two
    pairs = bucket["pairs"]
    return f" ({pairs['up' if variant == 'green' else 'down']:g} alone)" if pairs else ""


def _row(values: Sequence[float]) -> str:
    return " ".join(f"{value:z.3f}" for value in values)


def _plain(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"


def _points(difference: float | None) -> str:
    return "-" if difference is None else f"{100 * difference:+z.3f} points"


def _stamp(at: str) -> str:
    return at[:19].replace("T", " ")
