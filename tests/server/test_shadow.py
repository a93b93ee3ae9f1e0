"""Shadow steps on a real Postgres: pairs gathered, judged, decided, journalled, explained, replayed and shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plane import PLAN, ROUTE, SECRET, Plane
from test_past import again, decisions, explained, stored

from crossfade.core import callid
from crossfade.core.evidence import Bucket, Pairs, Summary
from crossfade.core.observation import Row
from crossfade.core.pair import Half, pair_key
from crossfade.core.plan import Check
from crossfade.core.rollout import Rollout
from crossfade.core.stop import Stop
from crossfade.errors import Invalid
from crossfade.server.gather import evidence
from crossfade.server.keys import call_id_key
from crossfade.server.store import rollouts
from crossfade.server.traffic import traffic
from crossfade.server.usecases.forecast import plan_route
from crossfade.server.usecases.snapshot import current_snapshot
from crossfade.server.views.fleet import fleet
from crossfade.server.views.rollout import rollout as read_rollout

SHADOW: dict[str, Any] = PLAN | {
    "steps": [{"shadow": 10, "bake": 60}, {"weight": 50, "bake": 60}],
    "checks": [{"metric": "error_rate", "margin": 2, "maturity": 20}],
}
ALL_METRICS: dict[str, Any] = SHADOW | {
    "checks": [
        {"metric": "error_rate", "margin": 2, "maturity": 20},
        {"metric": "latency", "margin": 5, "maturity": 20, "limit": 1.0},
        {"metric": "truncated_output", "margin": 5, "maturity": 20},
        {"metric": "cost", "margin": 5, "maturity": 20, "limit": 0.1},
        {"metric": "score.accuracy", "margin": 10, "maturity": 35},
    ]
}
FINE, BAD = Half(error=False), Half(error=True)


def copies(
    plane: Plane, rollout: Rollout, pairs: Counter[str], *, unpaired: int = 0, ago: float = 10, **more: Any
) -> Row:
    """A row of green's copies, as a shim sends it."""
    n = sum(pairs.values())
    errors = sum(k for key, k in pairs.items() if key.partition("|")[2].startswith("1"))
    outcomes = {"ok": n - errors, "model_error": errors, "throttled": unpaired}
    values: dict[str, Any] = {
        "rollout": rollout.id,
        "step": rollout.step,
        "judged": n,
        "outcomes": outcomes,
        "attempts": outcomes,
        "model": "new",
        "copies": n + unpaired,
        "pairs": dict(pairs),
    }
    return replace(plane.row("green", n + unpaired, errors, ago=ago), **(values | more))


def live_on(
    plane: Plane, rollout: Rollout, rng: np.random.Generator, *, blue: float, green: float, hard: float
) -> Rollout:
    """Ten seconds of 200 calls: at the shadow step 20 of them copied, later split by chance. A share `hard` fails on
    either Model."""
    plane.later(10)
    rollout = stored(plane, rollout.id)
    place: dict[str, Any] = {"rollout": rollout.id, "step": rollout.step, "ago": 10}
    if rollout.shadow:
        pairs: Counter[str] = Counter()
        for _ in range(20):
            both = rng.random() < hard
            ends = [BAD if both or rng.random() < rate else FINE for rate in (blue, green)]
            pairs[pair_key(*ends)] += 1
        cost = {"cost_n": 20, "cost_sum": 0.5, "cost_sq": 0.0125, "tokens_in": 2000, "tokens_out": 400}
        plane.observe(
            plane.row("blue", 200, int(rng.binomial(200, blue + hard)), **place),
            copies(plane, rollout, pairs, **cost),
        )
    else:
        n_g = int(rng.binomial(200, rollout.weight / 100))
        for variant, calls, rate in (("blue", 200 - n_g, blue), ("green", n_g, green)):
            plane.observe(plane.row(variant, calls, int(rng.binomial(calls, rate + hard)), **place))
    plane.tick()
    return stored(plane, rollout.id)


def lived(
    plane: Plane, *, blue: float, green: float, hard: float, plan: dict[str, Any] = SHADOW, looks: int = 150
) -> Rollout:
    rng = np.random.default_rng(11)
    rollout = plane.register(plan=plan)
    for _ in range(looks):
        rollout = live_on(plane, rollout, rng, blue=blue, green=green, hard=hard)
        if not rollout.is_live:
            break
    return rollout


def gathered(plane: Plane, rollout: Rollout) -> dict[str, tuple[Bucket, ...]]:
    with plane.engine.connect() as connection:
        found = rollouts.find(connection, rollout.id)
        return {one.metric: one.buckets for one in evidence(connection, found, found.rollout.plan, plane.now)}


def test_a_good_green_passes_on_copies_and_all_of_it_is_journalled_explained_and_replayed(plane: Plane) -> None:
    rollout = lived(plane, blue=0.002, green=0.002, hard=0.05)
    assert rollout.phase == "promoted"
    entries = decisions(plane, rollout.id)
    advanced = next(entry for entry in entries if entry.act == "advance")
    assert advanced.sentence.startswith("Advanced from a shadow of 10 % to 50 %: error rate")
    assert "copies of calls went to green and have cost $" in advanced.sentence
    [verdict] = advanced.numbers["verdicts"]
    assert verdict["blue"]["n"] == verdict["green"]["n"] == verdict["step_green"]["n"] > 0
    assert verdict["gate_margin"] == pytest.approx(0.04)
    assert advanced.numbers["conditions"]["copies"] >= verdict["green"]["n"]
    assert not (advanced.numbers["split"] or {}).get("alarmed")
    told = explained(plane, rollout.id, advanced.id)
    assert told.differs == ()
    assert all(bucket.pairs is not None for bucket in told.checks[0].buckets)
    found = again(plane, rollout.id)
    assert found.differs == ()
    assert len(found.decisions) == len(entries)


def test_a_green_that_is_worse_goes_back_before_anyone_has_met_it(plane: Plane) -> None:
    rollout = lived(plane, blue=0.01, green=0.15, hard=0.05)
    assert (rollout.phase, rollout.step) == ("rolled_back", 0)
    last = decisions(plane, rollout.id)[-1]
    assert last.sentence.startswith("Rolled back from a shadow of 10 %: error rate")
    assert explained(plane, rollout.id, last.id).differs == ()
    found = again(plane, rollout.id, checks=[{"metric": "error_rate", "margin": 5}])
    assert found.exposure is not None
    assert found.exposure.green_calls == 0
    snapshot = current_snapshot(plane.engine, now=plane.now, secret=SECRET)
    assert snapshot.entries[ROUTE].live is None


def test_copies_at_a_model_without_a_price_have_none_and_are_not_free(plane: Plane) -> None:
    rollout = plane.register(plan=SHADOW)
    before = read_rollout(plane.engine, rollout.id, now=plane.now).shadow
    assert before is not None
    assert (before.answered, before.priced, before.cost) == (0, 0, None)
    plane.later(10)
    plane.observe(copies(plane, rollout, Counter({pair_key(FINE, FINE): 20})))
    plane.tick()
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert view.shadow is not None
    assert (view.shadow.answered, view.shadow.priced, view.shadow.cost) == (20, 0, None)
    assert "20 copies of calls went to green; what they cost is not known." in view.sentence
    assert view.conditions["copies_cost"] is None
    assert explained(plane, rollout.id).differs == ()


def test_copies_that_nobody_answered_have_cost_nothing_and_their_cost_is_not_unknown(plane: Plane) -> None:
    rollout = plane.register(plan=SHADOW)
    plane.later(10)
    plane.observe(copies(plane, rollout, Counter(), unpaired=20, raised=20, model=""))
    plane.tick()
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert view.shadow is not None
    assert (view.shadow.copies, view.shadow.answered, view.shadow.cost) == (20, 0, None)
    assert "20 copies of calls went to green." in view.sentence
    assert view.conditions["copies_cost"] == 0


def test_while_it_runs_the_snapshot_tells_shims_what_to_copy_and_the_view_what_it_costs(plane: Plane) -> None:
    rollout = plane.register(plan=SHADOW)
    live = current_snapshot(plane.engine, now=plane.now, secret=SECRET).entries[ROUTE].live
    assert live is not None
    assert (live.weight, live.shadow, live.green) == (0.0, 10.0, "new")
    for _ in range(3):
        rollout = live_on(plane, rollout, np.random.default_rng(1), blue=0.0, green=0.0, hard=0.0)
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert view.shadow is not None
    assert (view.shadow.percent, view.shadow.calls, view.shadow.copies, view.shadow.answered) == (10, 600, 60, 60)
    assert (view.shadow.tokens_in, view.shadow.tokens_out) == (6000, 1200)
    assert (view.shadow.cost, view.shadow.priced) == (pytest.approx(1.5), 60)
    assert view.observed_weight == pytest.approx(10)
    assert (view.step_calls, view.step_green_calls) == (600, 60)
    assert [(step.weight, step.shadow) for step in view.steps] == [(0, 10), (50, 0)]
    assert view.to_dict()["shadow"]["copies"] == 60
    assert "60 copies of calls went to green and have cost $1.50" in view.sentence
    assert "Holding at a shadow of 10 %" in view.sentence
    assert view.split is not None
    assert (view.split["calls"], view.split["alarmed"]) == (0, False)
    with plane.engine.connect() as connection:
        assert traffic(connection, 1, rollout.id, plane.now) == pytest.approx(600 / 30)  # copies are no traffic
    [row] = [row for row in fleet(plane.engine, now=plane.now) if row.route == ROUTE]
    assert row.observed_weight is None
    paused = plane.act(rollout.id, "pause")
    assert paused.shadow == 10
    advanced = plane.act(rollout.id, "advance")
    assert (advanced.weight, advanced.shadow) == (50.0, 0.0)
    entry = read_rollout(plane.engine, rollout.id, now=plane.now).journal[0]
    assert entry.sentence.startswith("Advanced from a shadow of 10 % to 50 % by ann")


def test_pairs_are_sums_of_each_metrics_differences_sealed_as_calls_are(plane: Plane) -> None:
    rollout = plane.register(plan=ALL_METRICS)
    quick = Half(error=False, latency=0.2, cost=0.01, stop=Stop.END_TURN)
    slow = Half(error=False, latency=4.0, cost=0.06, stop=Stop.MAX_TOKENS)
    plane.later(60)
    start = int(plane.now.timestamp()) - 30
    pairs = Counter(
        {pair_key(quick, slow): 3, pair_key(slow, quick): 1, pair_key(quick, quick): 5, pair_key(quick, BAD): 2}
    )
    plane.observe(
        copies(plane, rollout, pairs, unpaired=4, ago=30), plane.row("blue", 100, 7, ago=30, rollout=rollout.id)
    )
    plane.later(20)
    plane.observe(copies(plane, rollout, Counter({pair_key(quick, BAD): 50}), ago=50))  # long sealed
    found = gathered(plane, rollout)
    assert found["error_rate"] == (
        Bucket(start, 0, Summary(11, 0.0, 0.0), Summary(11, 2.0, 2.0), pairs=Pairs(11, 2.0, 0.0, 2.0)),
    )
    assert found["latency"] == (
        Bucket(start, 0, Summary(9, 1.0, 1.0), Summary(9, 3.0, 3.0), pairs=Pairs(9, 3.0, 1.0, 4.0)),
    )
    [stops] = found["truncated_output"]
    assert stops.pairs == Pairs(9, 3.0, 1.0, 4.0)
    [cost] = found["cost"]
    assert cost.pairs is not None
    assert (cost.pairs.n, cost.pairs.up) == (9, pytest.approx(3 * 0.5, rel=0.03))
    assert cost.pairs.down == pytest.approx(0.5, rel=0.03)
    assert cost.pairs.q == pytest.approx(4 * 0.25, rel=0.05)


def test_scores_pair_by_their_call_ids_and_only_where_both_are_in_time(plane: Plane) -> None:
    rollout = plane.register(plan=ALL_METRICS)
    plane.later(60)
    key = call_id_key(SECRET)
    blues = [plane.call_id(rollout.id, ago=30) for _ in range(4)]
    greens = [callid.copied(key, blue) for blue in blues]
    plane.score(*((call, 1.0) for call in blues), (greens[0], 0.5), (greens[1], 1.0))
    plane.score((greens[0], 0.0), grader="second")  # 0.25 on the mean of the two
    plane.score((plane.call_id(rollout.id, "green", ago=30), 0.0))  # a copy of no call that has a score
    plane.later(20)
    plane.score((greens[2], 0.0))  # after the seal
    assert gathered(plane, rollout)["score.accuracy"] == (
        Bucket(
            int(plane.now.timestamp()) - 50,
            0,
            Summary(2, 0.0, 0.0),
            Summary(2, 0.75, 0.5625),
            pairs=Pairs(2, 0.75, 0.0, 0.5625),
        ),
    )


def test_what_is_no_copy_or_no_pair_is_refused(plane: Plane) -> None:
    rollout = plane.register(plan=SHADOW)
    plane.later(20)
    good = copies(plane, rollout, Counter({pair_key(FINE, FINE): 2}))
    for wrong, path in (
        (replace(good, step=1), "rows[0].copies"),
        (replace(good, copies=1), "pairs"),
        (replace(good, copies=9), "copies"),
        (replace(good, pairs={"nonsense": 1}), "pairs.nonsense"),
        (replace(plane.row("blue", 5, rollout=rollout.id), copies=5), "copies"),
    ):
        with pytest.raises(Invalid) as refused:
            plane.observe(wrong)
        assert any(path in problem.path for problem in refused.value.problems), (path, refused.value.problems)
    assert plane.observe(good)


def test_another_plans_steps_cannot_be_replayed_over_copies(plane: Plane) -> None:
    rollout = lived(plane, blue=0.002, green=0.002, hard=0.05, looks=12)
    for steps in ([{"weight": 0, "shadow": 20}, {"weight": 50}], [{"weight": 0}, {"weight": 25}]):
        with pytest.raises(Invalid, match="had a shadow step"):
            again(plane, rollout.id, steps=steps)
    assert again(plane, rollout.id, steps=[{"bake": 600}, {"bake": 600}]).decisions
    assert again(plane, rollout.id, steps=[{"weight": 0}, {"weight": 50}]).own_plan  # as the page's form sends it
    plain = plane.register(route="other", plan=PLAN)
    with pytest.raises(Invalid, match="had no shadow step"):
        again(plane, plain.id, steps=[{"weight": 0, "shadow": 10}, {"weight": 50}])


def test_a_plan_with_a_wrong_shadow_is_refused_with_every_problem(plane: Plane) -> None:
    wrong = SHADOW | {"steps": [{"shadow": 10, "weight": 5}, {"shadow": 5}, {"weight": 5, "shadow": 101}]}
    with pytest.raises(Invalid) as refused:
        plane.register(plan=wrong)
    paths = [problem.path for problem in refused.value.problems]
    assert paths.count("plan.steps[0].weight") == 1
    assert "plan.steps[1].shadow" in paths
    assert "plan.steps[2].shadow" in paths
    with pytest.raises(Invalid, match="shows green to nobody"):
        plane.register(plan=SHADOW | {"steps": [{"shadow": 10}]})


def test_the_forecast_leaves_the_shadow_step_out_and_says_so(plane: Plane) -> None:
    for ago in range(600, 0, -10):
        plane.observe(plane.row("blue", 100, 1, ago=ago))
    found = plan_route(plane.engine, {"route": ROUTE, "plan": SHADOW}, now=plane.now)["forecast"]
    assert found["sentences"][0].startswith("How long the shadow step takes is not foreseen")
    assert [step["weight"] for step in found["steps"]] == [0.0, 50.0]
    assert found["steps"][0]["seconds"] is None
    without = SHADOW | {"steps": SHADOW["steps"][1:]}
    plain = plan_route(plane.engine, {"route": ROUTE, "plan": without}, now=plane.now)["forecast"]
    assert (found["steps"][1:], found["sentences"][1:]) == (plain["steps"], plain["sentences"])


def test_a_check_reads_its_limit_from_pairs_whatever_it_is(plane: Plane) -> None:
    rollout = plane.register(plan=ALL_METRICS)
    half = Half(error=False, latency=2.0)
    plane.later(60)
    plane.observe(copies(plane, rollout, Counter({pair_key(Half(error=False, latency=0.2), half): 5}), ago=30))
    plane.later(20)
    with plane.engine.connect() as connection:
        found = rollouts.find(connection, rollout.id)
        for limit, worse in ((1.0, 5.0), (3.0, 0.0)):
            plan = replace(found.rollout.plan, checks=(Check(metric="latency", margin=5.0, limit=limit, maturity=20),))
            [series] = evidence(connection, found, plan, plane.now)
            assert series.buckets[0].pairs == Pairs(5, worse, 0.0, worse)
