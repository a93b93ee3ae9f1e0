"""Blue against blue on a route's own calls: what is read, what it says, and what registering does with it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from plane import PLAN, ROUTE, SECRET, START, KnowsAll, Plane

from crossfade.core import callid
from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.observation import Row
from crossfade.core.plan import Check, plan_to_dict, read_plan
from crossfade.core.reading import Reader
from crossfade.core.split import Variant
from crossfade.errors import Invalid, NotFound
from crossfade.server.keys import call_id_key
from crossfade.server.recorded import read_recording
from crossfade.server.store.blue_calls import by_group, by_loss, keyed_share
from crossfade.server.store.losses import history, past
from crossfade.server.usecases.calibrate import calibrate_route
from crossfade.server.usecases.forecast import plan_route
from crossfade.server.usecases.register import Registered, register_rollout
from crossfade.server.views.rollout import rollout as read_rollout

ERRORS = Check(metric="error_rate", margin=2)
HALF: dict[str, Any] = {
    "steps": [{"weight": 50, "bake": 0}],
    "checks": [{"metric": "error_rate", "margin": 5, "maturity": 20}],
}


def served(plane: Plane, *, size: int = 1, buckets: int = 200, calls: int = 40) -> None:
    """Blue's traffic up to now: one in twenty goes wrong. Calls come in groups of `size` of one key and one fate; of
    no key where they are alone."""
    rng = random.Random(1)
    plane.later(10 * buckets)
    rows = []
    for ago in range(10 * buckets, 0, -10):
        groups: dict[int, tuple[int, int]] = {}
        errors = 0
        for _ in range(calls // size):
            bad = size * (rng.random() < 0.05)
            errors += bad
            group = rng.randrange(128)
            judged, wrong = groups.get(group, (0, 0))
            groups[group] = judged + size, wrong + bad
        keys: dict[str, Any] = {"keyed": calls, "groups": groups} if size > 1 else {}
        rows.append(plane.row(calls=calls, errors=errors, ago=ago, **keys))
    plane.observe(*rows)


def calibrated(plane: Plane, **body: Any) -> dict[str, Any]:
    return calibrate_route(plane.engine, {"route": ROUTE, "plan": HALF, "replays": 200, **body}, now=plane.now)


def register(plane: Plane, **body: Any) -> Registered:
    body = {"green": "new", "plan": HALF, **body}
    return register_rollout(plane.engine, ROUTE, body, actor="ann", now=plane.now, lookup=KnowsAll())


def lettered(plane: Plane) -> list[Row]:
    """Blue's rows in two buckets, with and without keys and tables, and what is not blue's own."""
    tables: dict[str, Any] = {
        "latency": {duration_bin(0.2): 6, duration_bin(3.0): 2},
        "cost_n": 8,
        "costs": {cost_bin(0.004): 5, cost_bin(0.5): 3},
        "stops": {"end_turn": 4, "refusal": 1},
    }
    return [
        plane.row("blue", 10, 3, ago=25, keyed=6, groups={7: (4, 2), 9: (2, 0)}, **tables),
        plane.row("blue", 5, 1, ago=25, keyed=5, groups={7: (5, 1)}, model="spare"),
        plane.row("blue", 4, 0, ago=15),
        plane.row("blue", 50, 50, ago=90_000, keyed=50, groups={1: (50, 50)}),
    ]


def test_blues_calls_are_read_one_by_one_and_by_key_and_none_twice(plane: Plane) -> None:
    plane.later(2 * 86_400)
    plane.observe(*lettered(plane))
    begun = int(plane.now.timestamp())
    with plane.engine.connect() as connection:
        before = past(connection, 1, plane.now)
        alone = [(row.bucket - begun, row.loss, row.n) for row in by_loss(connection, ERRORS, before, 10)]
        groups = by_group(connection, ERRORS, before, 10)
        assert groups is not None
        assert [(row.bucket - begun, row.family, row.grp, row.n, row.s, row.q) for row in groups] == [
            (-30, 0, 7, 9, 3, 3),
            (-30, 0, 9, 2, 0, 0),
        ]
        assert alone == [(-30, 0.0, 3), (-30, 1.0, 1), (-20, 0.0, 4)]
        assert [row.n for row in by_loss(connection, ERRORS, before, 60)] == [7, 1]
        assert keyed_share(connection, before) == pytest.approx(11 / 19)


@pytest.mark.parametrize(
    "check",
    [
        ERRORS,
        Check(metric="latency", margin=1, limit=1.8),
        Check(metric="cost", margin=1, limit=0.04),
        Check(metric="refusal", margin=1),
        Check(metric="score.accuracy", margin=1),
    ],
    ids=lambda check: check.metric,
)
def test_a_recording_sums_up_to_blues_history(plane: Plane, check: Check) -> None:
    plane.later(2 * 86_400)
    plane.observe(*lettered(plane))
    plane.score(*((plane.call_id(ago=ago), value) for ago, value in ((25, 1.0), (24, 0.25), (15, 0.5))))
    plane.score((keyed_call(plane, group=3), 0.75))
    plan = read_plan(Reader({"checks": [{"metric": check.metric, "margin": 1, "limit": check.limit}]}))
    with plane.engine.connect() as connection:
        whole = history(connection, check, past(connection, 1, plane.now))
        recording = read_recording(connection, 1, plan, plane.now, length=10)
    found = recording.tapes[check.metric].history
    assert (found.n, found.s, found.q) == (whole.n, pytest.approx(whole.s), pytest.approx(whole.q))
    assert recording.tapes[check.metric].by_key is (check.metric in ("error_rate", "score.accuracy"))


def keyed_call(plane: Plane, *, group: int) -> str:
    return callid.mint(
        call_id_key(SECRET),
        rollout=0,
        route=1,
        step=0,
        variant=Variant.BLUE,
        called_at=plane.now.timestamp() - 25,
        group=group,
    )


def test_traffic_without_keys_holds_and_starts_with_no_overdispersion(plane: Plane) -> None:
    served(plane)
    found = calibrated(plane)
    assert found["overdispersion"] == {"error_rate": 1.0}
    assert found["calibration"]["finding"] == "holds"
    assert found["calibration"]["replays"] == 200
    assert found == calibrated(plane)
    assert found != calibrated(plane, seed=2)


def test_calls_that_share_key_and_fate_are_measured_and_a_bad_answer_is_said(plane: Plane) -> None:
    served(plane, size=4)
    found = calibrated(plane)
    assert 3.0 <= found["overdispersion"]["error_rate"] <= 4.5
    assert found["calibration"]["stopped"] <= 8
    by_hand = HALF | {"checks": [HALF["checks"][0] | {"overdispersion": 1}]}
    bad = calibrated(plane, plan=by_hand)
    assert bad["overdispersion"] == {"error_rate": 1.0}
    assert bad["calibration"]["stopped"] > found["calibration"]["stopped"]


def test_registering_starts_the_checks_with_what_was_measured_and_keeps_the_answer(plane: Plane) -> None:
    served(plane, size=4)
    registered = register(plane)
    (check,) = registered.rollout.plan.checks
    assert 3.0 <= check.overdispersion <= 4.5
    assert plane.one("SELECT plan FROM rollouts") == plan_to_dict(registered.rollout.plan)
    reply = registered.to_dict()["calibration"]
    sentence, numbers = plane.sql("SELECT sentence, numbers FROM journal WHERE act = 'register'")[0]
    assert numbers["calibration"]["finding"] == reply["finding"]
    assert all(said in sentence for said in reply["sentences"])
    view = read_rollout(plane.engine, registered.rollout.id, now=plane.now)
    assert view.calibration == numbers["calibration"]
    assert any("Calls hang together" in said for said in registered.expect["forecast"]["sentences"])


def test_an_overdispersion_given_by_hand_stays_and_a_bad_answer_refuses_nothing(plane: Plane) -> None:
    served(plane, size=4)
    registered = register(plane, plan=HALF | {"checks": [HALF["checks"][0] | {"overdispersion": 1}]})
    assert registered.rollout.plan.checks[0].overdispersion == 1.0
    assert "measured was" in plane.one("SELECT sentence FROM journal WHERE act = 'register'")
    plane.later(30)
    assert plane.tick() == 1


def test_without_history_registering_says_so_and_goes_on(plane: Plane) -> None:
    registered = register(plane, plan=PLAN)
    assert registered.calibration.replays == 0
    assert registered.to_dict()["calibration"]["finding"] == "too_little_history"
    said = plane.one("SELECT sentence FROM journal WHERE act = 'register'")
    assert "Too little history to tell whether the guarantees hold" in said


def test_the_forecast_of_traffic_that_hangs_together_takes_longer(plane: Plane) -> None:
    served(plane, size=4)
    body: dict[str, Any] = {"route": ROUTE, "plan": HALF}
    calm = HALF | {"checks": [HALF["checks"][0] | {"overdispersion": 1}]}
    found, other = (plan_route(plane.engine, body | {"plan": p}, now=plane.now)["forecast"] for p in (HALF, calm))
    assert found["calls"]["median"] > 2 * other["calls"]["median"]


def test_every_problem_of_a_calibration_is_named(plane: Plane) -> None:
    with pytest.raises(Invalid) as error:
        calibrated(plane, replays=1, plan={"checks": [{"metric": "error_rate", "margin": 1, "overdispersion": 0.5}]})
    assert sorted(problem.path for problem in error.value.problems) == ["plan.checks[0].overdispersion", "replays"]
    with pytest.raises(NotFound):
        calibrated(plane, route="nowhere")
    assert plane.now == START


def test_a_check_added_while_it_runs_starts_as_at_registration(plane: Plane) -> None:
    served(plane, size=4)
    accuracy = {"metric": "score.accuracy", "margin": 5, "maturity": 20}
    rollout = register(plane, plan=HALF | {"checks": [accuracy]}).rollout
    errors = {"metric": "error_rate", "margin": 5}
    added = plane.amend(rollout.id, accuracy, errors).rollout.plan.checks[1]
    assert added.overdispersion == pytest.approx(4, abs=1)
    again = plane.amend(rollout.id, accuracy, errors | {"margin": 6}).rollout.plan.checks[1]
    assert again.overdispersion == added.overdispersion  # what is left out stays
    plane.amend(rollout.id, accuracy)
    assert (
        plane.amend(rollout.id, accuracy, errors | {"overdispersion": 1.5}).rollout.plan.checks[1].overdispersion == 1.5
    )
