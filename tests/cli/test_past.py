"""`explain` and `replay` over a running controller, on a rollout that was lived through."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from crossfade.server.database import connect
from crossfade.server.tick import tick

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from plane import PLAN, KnowsAll, Plane, model

from crossfade.server.usecases import apply, register


class Elsewhere(Plane):
    """A plane on a database that others use too: Models and a route of its own."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.name = f"past-{uuid.uuid4().hex[:6]}"
        models = [model(f"{self.name}-old"), model(f"{self.name}-new")]
        declared = {"models": models, "routes": [{"name": self.name, "blue": f"{self.name}-old"}]}
        apply.apply_declarations(engine, declared, actor="ann", now=self.now)
        self.route = self.one("SELECT id FROM routes WHERE name = :name", name=self.name)

    def live(self) -> int:
        body = {"green": f"{self.name}-new", "plan": PLAN | {"checks": PLAN["checks"][:1]}, "reason": "cheaper"}
        rollout = register.register_rollout(
            self.engine, self.name, body, actor="ann", now=self.now, lookup=KnowsAll()
        ).rollout
        for number in range(24):
            self.later(10)
            place: dict[str, Any] = {"route": self.route, "rollout": rollout.id, "ago": 10}
            self.observe(self.row("blue", 90, number % 3, **place), self.row("green", 10, 3, **place))
            tick(self.engine, now=self.now)
        return rollout.id


@pytest.fixture
def lived(controller: Any) -> Iterator[tuple[str, int]]:
    """(route, its rollout, rolled back)."""
    engine = connect(controller.database_url)
    plane = Elsewhere(engine)
    yield plane.name, plane.live()
    engine.dispose()


def test_explain_shows_the_arithmetic_and_says_that_it_is_what_was_recorded(cli: Any, lived: tuple[str, int]) -> None:
    route, number = lived
    last = cli("explain", route)
    assert last.code == 0, last.err
    assert "✔ the arithmetic done anew gives what was recorded" in last.out
    assert re.search(r"▶ +Has a check failed that rolls back\?", last.out)
    assert "counts as" in last.out
    assert "judged buckets" in last.out
    journal = json.loads(cli("journal", str(number), "--json").out)["journal"]
    first = next(entry for entry in reversed(journal) if entry["actor_kind"] == "controller")
    one = json.loads(cli("explain", str(number), "--decision", str(first["id"]), "--json").out)
    assert (one["decision"], one["sentence"], one["differs"]) == (first["id"], first["sentence"], [])
    assert f"decision {first['id']} at" in cli("explain", route, "--decision", str(first["id"]), "--buckets").out
    missing = cli("explain", route, "--decision", "99999")
    assert (missing.code, "no decision 99999" in missing.err) == (1, True)


def test_status_says_whether_the_calls_are_split_as_the_weight_says(cli: Any, lived: tuple[str, int]) -> None:
    _, number = lived
    assert "✔ as its weight says: green got" in cli("status", str(number)).out
    assert json.loads(cli("status", str(number), "--json").out)["split"]["alarmed"] is False


def test_replay_takes_the_plan_as_register_does_and_says_what_it_cannot_know(cli: Any, lived: tuple[str, int]) -> None:
    route, _ = lived
    own = cli("replay", route)
    assert own.code == 0, own.err
    assert "✔ this is the rollout's own plan: it decides what the journal has" in own.out
    assert (own.out.count("it decided"), own.out.count("it would have decided")) == (1, 0)
    assert "It would have ended as it did: rolled back at" in own.out
    assert json.loads(cli("replay", route, "--bake", "60", "--json").out)["own_plan"]
    other = json.loads(cli("replay", route, "--margin", "1", "--steps", "20,60", "--alpha", "0.2", "--json").out)
    assert [check["margin"] for check in other["plan"]["checks"]] == [1]
    assert [step["weight"] for step in other["plan"]["steps"]] == [20, 60]
    assert (other["plan"]["alpha"], other["own_plan"]) == (0.2, False)
    assert any("at 20 % (step 1) is not known" in note for note in other["notes"])


def test_replay_reads_a_partial_plan_and_margins_win_over_it(cli: Any, lived: tuple[str, int]) -> None:
    route, _ = lived
    plan = '{"beta": 0.1, "checks": [{"metric": "error_rate", "margin": 9, "on_breach": "tell"}]}'
    found = json.loads(cli("replay", route, "-f", "-", "--margin", "error_rate=8", "--json", stdin=plan).out)
    (check,) = found["plan"]["checks"]
    assert (check["margin"], check["on_breach"], found["plan"]["beta"]) == (8, "tell", 0.1)
    assert "when the record ends at" in found["outcome"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--margin", "wide"), 2, "METRIC=MARGIN such as score.accuracy=1, or MARGIN for every check"),
        (("--steps", "5,x"), 2, "not a list of numbers"),
        (("--margin", "tone=1"), 1, "plan.checks[0].metric"),
        (("--margin", "0", "--beta", "3"), 1, "plan.beta: is 3"),
    ],
)
def test_what_cannot_be_replayed_names_the_field(
    cli: Any, lived: tuple[str, int], arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = cli("replay", lived[0], *arguments)
    assert ran.code == code
    assert said in ran.err
