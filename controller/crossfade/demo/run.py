"""Run: one scenario from the first call to the last count, on a stage that stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from crossfade.demo.api import Api
from crossfade.demo.cast import declarations, model_id
from crossfade.demo.facts import Facts, decisions
from crossfade.demo.scenarios import (
    AFTER_SECONDS,
    CALLS_PER_SECOND,
    HISTORY_SECONDS,
    LONGEST_SECONDS,
    Scenario,
)
from crossfade.demo.stage import Stage
from crossfade.demo.terminal import Terminal

LOOK_SECONDS = 0.5
COUNTED_SECONDS = 20.0
_ENDED = ("promoted", "rolled_back", "aborted", "superseded")


class Run:
    """Plays `scenario` on `stage` and tells `terminal` what happens."""

    def __init__(self, scenario: Scenario, stage: Stage, terminal: Terminal, *, seed: int) -> None:
        self._scenario = scenario
        self._stage = stage
        self._terminal = terminal
        self._seed = seed
        self._stages: dict[str, float] = {}

    def play(self) -> Facts:
        """The whole run; raises when a part ends by itself."""
        began = time.monotonic()
        with closing(Api(self._stage.address, self._stage.admin)) as api:
            route = model_id(self._scenario.blue)
            api.apply(declarations(self._scenario.blue, self._scenario.green, self._stage.endpoints))
            self._stage.start_services(route, CALLS_PER_SECOND)
            self._terminal.say(f"Two services call {route}; their calls are blue's history.")
            self._wait_for_history()
            made = self._register(api, route)
            number = int(made["id"])
            self._follow(api, number)
            ended_at = time.time()
            self._terminal.say("The services finish their calls and deliver what they know.")
            counted = self._stage.stop_services()
            totals = self._totals_once_complete(
                sum(service.calls for service in counted), sum(service.scores for service in counted)
            )
            # First the journal: what is decided after it was read may be more than it has.
            journal = api.journal(number)
            return Facts(
                seed=self._seed,
                seconds=time.monotonic() - began,
                expected=made["expect"],
                rollout=api.rollout(number),
                journal=journal,
                replay=api.replay(number),
                explanations=[api.explanation(number, entry["id"]) for entry in decisions(journal)],
                route_blue=api.route(route)["blue"],
                counted=counted,
                totals=totals,
                attempts=self._stage.control.attempts(),
                stages=self._stages,
                ended_at=ended_at,
            )

    def _wait_for_history(self) -> None:
        """Until the first calls are recorded and blue has a little history."""
        from crossfade.server.views.totals import totals

        self._until(lambda: sum(t.calls for t in totals(self._stage.engine)) > 0, seconds=60, what="the first calls")
        self._pause(HISTORY_SECONDS)

    def _register(self, api: Api, route: str) -> dict[str, Any]:
        """Registers the candidate exactly as a user would."""
        body = {
            "green": self._scenario.green,
            "plan": dict(self._scenario.plan),
            "reason": f"the demo's scenario {self._scenario.name}",
        }
        made = api.register(route, body)
        self._terminal.registered(made["id"], api.login_link(f"/rollouts/{made['id']}"))
        return made

    def _follow(self, api: Api, number: int) -> None:
        """Plays the stages and shows the rollout until the scenario is over."""
        began = time.monotonic()
        waiting = list(self._scenario.stages)
        ended: float | None = None
        while True:
            spent = time.monotonic() - began
            if waiting and spent >= waiting[0].at:
                stage = waiting.pop(0)
                self._stage.control.enter(stage)
                self._stages[stage.name] = time.time()
                self._terminal.stage(stage.says)
            self._stage.processes.check()
            rollout = api.rollout(number)
            self._terminal.show(rollout, spent)
            if ended is None and rollout["phase"] in _ENDED:
                ended = spent
            if self._is_over(spent, ended):
                return
            time.sleep(LOOK_SECONDS)

    def _is_over(self, spent: float, ended: float | None) -> bool:
        if self._scenario.seconds is not None:
            return spent >= self._scenario.seconds
        return spent >= LONGEST_SECONDS or (ended is not None and spent >= ended + AFTER_SECONDS)

    def _totals_once_complete(self, calls: int, scores: int) -> Any:
        """What Postgres has recorded, once that is all, or after a while what there is."""
        from crossfade.server.views.totals import totals

        deadline = time.monotonic() + COUNTED_SECONDS
        while True:
            found = totals(self._stage.engine)
            complete = sum(t.calls for t in found) >= calls and sum(t.scores for t in found) >= scores
            if complete or time.monotonic() > deadline:
                return found
            self._pause(LOOK_SECONDS)

    def _until(self, reached: Callable[[], bool], *, seconds: float, what: str) -> None:
        self._stage.processes.wait_until(reached, seconds=seconds, what=what)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._stage.processes.check()
            time.sleep(min(LOOK_SECONDS, left))
