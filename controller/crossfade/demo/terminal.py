"""Terminal: what the demo shows while it runs. Redrawn in place on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from crossfade.core.sentence import metric_name
from crossfade.demo.scenarios import Scenario

_RULINGS = {
    "passed": ("✔", "green"),
    "failed": ("✖", "red"),
    "inconclusive": ("◌", "cyan"),
    "no_data": ("?", "dim"),
}
LINE_SECONDS = 5.0
"""Piped, how often a line is printed at most while nothing but numbers changes."""


class Terminal:
    """A context manager: the live picture stands while it is open."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=200)
        self._live: Live | None = None
        self._began = time.monotonic()
        self._links: list[tuple[str, str]] = []
        self._stage = ""
        self._news = ""
        self._rollout: dict[str, Any] | None = None
        self._said: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Self:
        self._console.print(
            Text.assemble(("Crossfade demo ", "bold"), self._scenario.name, f": {self._scenario.truth}."),
        )
        self._console.print(
            f"Blue is {self._scenario.blue}, green is {self._scenario.green}: small language classifiers behind a"
            " local Bedrock, not foundation models."
        )
        self._console.print(f"It must {self._scenario.must}.")
        if self._console.is_terminal:
            # Refreshed from our own loop: a thread of rich's would be running while children are forked.
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_live()

    def ready(self, address: str, link: str) -> None:
        """The page can be opened."""
        self._links = [("Page", address), ("Login", link)]
        self._line(f"Page   {address}   ({time.monotonic() - self._began:.1f} s after the start)\nLogin  {link}")

    def registered(self, number: int, link: str) -> None:
        self._links = [self._links[0], (f"Rollout {number}", link)]
        self._line(
            f"Registered rollout {number} by the API: {self._scenario.green} for {self._scenario.blue}.\nWatch  {link}"
        )

    def say(self, text: str) -> None:
        self._news = text
        self._line(text)

    def stage(self, says: str) -> None:
        """What the sandbox does from now on."""
        self._stage = says
        self._line(f"Now: {says}.")

    def show(self, rollout: dict[str, Any], spent: float) -> None:
        """Where the rollout stands, `spent` seconds after its registration."""
        self._rollout = rollout
        if self._live:
            self._draw()
            return
        step = f"step {rollout['step'] + 1}/{len(rollout['steps'])} at {rollout['weight']:g} %"
        words, at = self._said
        key = f"{rollout['phase']} {step} {rollout['reason']}"
        if key != words or spent - at >= LINE_SECONDS:
            self._said = (key, spent)
            self._console.print(
                f"{spent:5.0f} s  {rollout['phase']:<11}  {step}  {rollout['sentence']}", soft_wrap=True
            )

    def end(self, story: list[str]) -> None:
        """The last words, paragraph by paragraph."""
        self._end_live()
        for paragraph in story:
            self._console.print()
            self._console.print(paragraph, soft_wrap=not self._console.is_terminal)

    def _line(self, text: str) -> None:
        if self._live:
            self._draw()
        else:
            self._console.print(text, soft_wrap=True)

    def _end_live(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        if self._live:
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, link in self._links:
            table.add_row(name, Text(link, overflow="fold"))
        if self._stage:
            table.add_row("Bedrock", Text(self._stage))
        if self._rollout is None:
            table.add_row("", Text(self._news, style="dim"))
            return Panel(table, title="Crossfade", title_align="left")
        rollout = self._rollout
        table.add_row("Phase", Text(rollout["phase"].replace("_", " "), style="bold"))
        table.add_row("Steps", _rail(rollout))
        seen = rollout.get("observed_weight")
        table.add_row(
            "Weight", f"{rollout['weight']:g} % to green" + (f", observed {seen:.1f} %" if seen is not None else "")
        )
        blue, green = rollout["blue_calls"]["calls"], rollout["green_calls"]["calls"]
        table.add_row("Calls", f"{blue:,} blue, {green:,} green, {rollout['traffic']:.0f} a second")
        checks = [_check(tile) for tile in rollout["tiles"]]
        return Panel(
            Group(table, *checks, Text(), Text(rollout["sentence"], style="bold")),
            title="Crossfade",
            title_align="left",
        )


def _rail(rollout: dict[str, Any]) -> Text:
    rail = Text()
    for step in rollout["steps"]:
        sign = {"done": "✔", "current": "◌"}.get(step["state"], "·")
        style = {"done": "green", "current": "bold cyan"}.get(step["state"], "dim")
        rail.append(f"{sign} {step['weight']:g} %   ", style=style)
    return rail


def _check(tile: dict[str, Any]) -> Text:
    sign, style = _RULINGS.get(tile["ruling"], ("·", ""))
    name = metric_name(str(tile["metric"]), tile.get("limit"))
    return Text.assemble((f"{sign} {name}  ", style), str(tile.get("sentence") or ""))
