"""Rollouts: register, list, status, journal, and the verbs that move one."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import click
from rich.live import Live
from rich.text import Text

from crossfade.cli import render
from crossfade.cli.client import Client, Refused, segment
from crossfade.cli.codes import Code
from crossfade.cli.options import Output, on_controller
from crossfade.cli.plan import whole_plan
from crossfade.errors import Unavailable

_LIVE = ("pending", "progressing", "paused")
_SERVING = ("promoted", "superseded")


@click.command()
@click.argument("route")
@click.option("--green", metavar="MODEL", help="The candidate, a declared Model.")
@whole_plan
@click.option("--reason", default="", help="Why, for the journal.")
@click.option("--pending", is_flag=True, help="Register without starting; `crossfade start` starts it.")
@on_controller
def register(
    client: Client,
    output: Output,
    route: str,
    green: str | None,
    plan: dict[str, Any],
    reason: str,
    pending: bool,
) -> None:
    """Register a candidate for ROUTE and start its rollout."""
    named, why = plan.pop("green", None), plan.pop("reason", "")
    green, reason = green or named, reason or why
    if not green:
        raise click.UsageError("no candidate: give --green MODEL, or `green` in the file")
    body = {"green": green, "plan": plan, "start": not pending, "reason": reason}
    made = client.post(f"/v1/routes/{segment(route)}/rollouts", body)
    output.show(made, lambda: render.registered(made))


@click.command("list")
@click.option("--route", help="Only of this route.")
@click.option("--phase", help="Only in this phase.")
@on_controller
def list_rollouts(client: Client, output: Output, route: str | None, phase: str | None) -> None:
    """All rollouts, the newest first."""
    found = client.get("/v1/rollouts", route=route, phase=phase)
    output.show(found, lambda: render.rollouts_list(_rollouts(found)))


@click.command()
@click.argument("rollout", metavar="ROLLOUT|ROUTE")
@click.option("-w", "--watch", is_flag=True, help="Keep it on the screen until the rollout ends.")
@click.option("--every", type=float, default=1.0, show_default=True, metavar="SECONDS", help="How often to look.")
@click.option("--exit-code", is_flag=True, help="Exit 0 if promoted, 10 while live, 11 if rolled back or aborted.")
@on_controller
def status(client: Client, output: Output, rollout: str, watch: bool, every: float, exit_code: bool) -> int:
    """Where a rollout stands: route, variants, steps, checks. ROUTE means its latest rollout."""
    number = find_rollout(client, rollout)
    seen = _watch(client, output, number, every) if watch else client.get(f"/v1/rollouts/{number}")
    if not watch:
        output.show(seen, lambda: render.status(seen))
    if not exit_code or seen["phase"] in _SERVING:
        return Code.OK
    return Code.LIVE if seen["phase"] in _LIVE else Code.NOT_PROMOTED


def _watch(client: Client, output: Output, number: int, every: float) -> dict[str, Any]:
    """Shows the rollout until it has ended. On a terminal redrawn in place; else, and as JSON, whenever it changes."""
    last: dict[str, Any] = {}
    said = ""
    live = Live(console=output.console, auto_refresh=False) if output.console.is_terminal and not output.json else None
    with live or nullcontext():
        while True:
            trouble = ""
            try:
                last = client.get(f"/v1/rollouts/{number}")
            except Unavailable as error:
                if not last:
                    raise
                trouble = str(error)
            if live:
                live.update(render.status(last, trouble=trouble), refresh=True)
            else:
                now = trouble or f"{last['phase']} {last['sentence']}"
                if now != said:
                    said = now
                    output.show(last, lambda: Text(trouble) if trouble else render.line(last))  # noqa: B023
            if last["phase"] not in _LIVE:
                return last
            time.sleep(every)


@click.command()
@click.argument("rollout", metavar="ROLLOUT|ROUTE")
@click.option("--csv", is_flag=True, help="Print CSV.")
@on_controller
def journal(client: Client, output: Output, rollout: str, csv: bool) -> None:
    """Every decision and every act of a person, with reasons."""
    number = find_rollout(client, rollout)
    if csv:
        click.echo(client.get(f"/v1/rollouts/{number}/journal", format="csv"), nl=False)
        return
    found = client.get(f"/v1/rollouts/{number}/journal")
    output.show(found, lambda: render.journal_table(found["journal"]))


def _verb(name: str, summary: str) -> click.Command:
    @click.command(name, help=summary)
    @click.argument("rollout", metavar="ROLLOUT|ROUTE")
    @click.option("--reason", required=True, help="Why, for the journal.")
    @click.option("--version", type=int, help="Refuse if the rollout has changed since this version.")
    @on_controller
    def command(client: Client, output: Output, rollout: str, reason: str, version: int | None) -> None:
        number = find_rollout(client, rollout)
        body = {"reason": reason} | ({} if version is None else {"version": version})
        moved = client.post(f"/v1/rollouts/{number}/{name}", body)
        output.show(moved, lambda: render.line(moved))

    return command


def find_rollout(client: Client, text: str) -> int:
    """The number of a rollout, given as such or as its route, whose latest it then is."""
    if text.isdecimal():
        return int(text)
    client.get(f"/v1/routes/{segment(text)}")  # says so if there is no such route
    found = _rollouts(client.get("/v1/rollouts", route=text))
    if not found:
        raise Refused(404, [f"route {text!r} has no rollout yet; `crossfade register` makes one"])
    return max(int(item["id"]) for item in found)


def _rollouts(found: Any) -> list[dict[str, Any]]:
    rollouts: list[dict[str, Any]] = found["rollouts"]
    return rollouts


_SUMMARIES = {
    "start": "Start a pending rollout.",
    "pause": "Keep green's weight where it is until a person resumes. A breach still rolls back.",
    "resume": "Let a paused rollout go on.",
    "advance": "Go to the next step now, whatever the checks say.",
    "promote": "Make green the route's blue now, whatever the checks say.",
    "abort": "End the rollout; blue serves everything again.",
    "undo": "Take a promotion back: the route's blue is again what it was.",
}

COMMANDS: tuple[click.Command, ...] = (
    register,
    list_rollouts,
    status,
    journal,
    *(_verb(name, summary) for name, summary in _SUMMARIES.items()),
)
