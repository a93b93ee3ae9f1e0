"""The scheduler's turn on a real Postgres: what it judges, what it saves, and that two at once do no harm."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from plane import PLAN, ROUTE, SECRET, Plane
from sqlalchemy import event, text

from crossfade.core.rollout import Rollout
from crossfade.core.sealing import last_sealed
from crossfade.errors import Conflict, NotFound
from crossfade.server.carry import carry
from crossfade.server.gather import circumstances, evidence
from crossfade.server.scheduler import maintain
from crossfade.server.store import rollouts
from crossfade.server.sum_up import sum_up
from crossfade.server.tick import tick
from crossfade.server.usecases import apply, ingest
from crossfade.server.usecases.snapshot import current_snapshot
from crossfade.server.views.evaluations import evaluations
from crossfade.server.views.fleet import fleet
from crossfade.server.views.health import health
from crossfade.server.views.journal import journal
from crossfade.server.views.rollout import rollout as read_rollout
from crossfade.server.views.totals import totals
from crossfade.stats.judge import judge, judge_carried

ERRORS_ONLY: dict[str, Any] = PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": 20}]}


def minutes_of_traffic(
    plane: Plane, rollout: Rollout, *, minutes: int, blue_errors: int = 0, green_errors: int = 0, green: int = 50
) -> None:
    """Six buckets a minute of 100 calls, each delivered as it ends. Keys assigned them: green's share may be any."""
    for _ in range(minutes * 6):
        plane.later(10)
        place: dict[str, Any] = {"ago": 10, "rollout": rollout.id, "step": rollout.step}
        plane.observe(
            plane.row("blue", 100 - green, blue_errors, keyed=100 - green, **place),
            plane.row("green", green, green_errors, keyed=green, **place),
        )


def acts(plane: Plane, rollout_id: int) -> list[str]:
    """What the controller did, oldest first, without the holds."""
    found = [entry for entry in journal(plane.engine, rollout_id) if entry.actor_kind == "controller"]
    return [entry.act for entry in reversed(found) if entry.act != "hold"]


def test_a_good_green_is_advanced_and_promoted_and_serves_the_route(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    for _ in range(60):
        minutes_of_traffic(plane, rollout, minutes=1)
        plane.tick()
        rollout = _stored(plane, rollout.id)
        if not rollout.is_live:
            break
    assert acts(plane, rollout.id) == ["advance", "promote"]
    assert rollout.phase == "promoted"
    snapshot = current_snapshot(plane.engine, now=plane.now, secret=SECRET)
    assert snapshot.entries[ROUTE].route.blue == "new"
    assert snapshot.entries[ROUTE].live is None


def test_a_bad_green_is_rolled_back_and_gets_no_more_calls(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    minutes_of_traffic(plane, rollout, minutes=2, green_errors=15)
    plane.tick()
    found = _stored(plane, rollout.id)
    assert found.phase == "rolled_back"
    snapshot = current_snapshot(plane.engine, now=plane.now, secret=SECRET)
    assert snapshot.entries[ROUTE].live is None
    assert snapshot.entries[ROUTE].route.blue == "old"
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert view.sentence.startswith("Rolled back from 10 %: error rate 30.00 %")
    assert not plane.tick()


def test_a_paused_rollout_is_still_rolled_back_by_a_breach(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.act(rollout.id, "pause")
    minutes_of_traffic(plane, rollout, minutes=2, green_errors=15)
    plane.tick()
    assert _stored(plane, rollout.id).phase == "rolled_back"


def test_without_traffic_it_holds_and_says_that_this_is_no_failure(plane: Plane) -> None:
    rollout = plane.register()
    plane.later(3600)
    plane.tick()
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert (view.phase, view.act, view.reason) == ("progressing", "hold", "no_traffic")
    assert "That is not a failure" in view.sentence


def test_a_hold_is_journalled_once_and_every_look_is_kept(plane: Plane) -> None:
    rollout = plane.register()
    for _ in range(5):
        plane.later(60)
        plane.tick()
    holds = [entry for entry in journal(plane.engine, rollout.id) if entry.act == "hold"]
    assert len(holds) == 1
    assert len(evaluations(plane.engine, rollout.id)) == 5


def test_a_service_that_is_killed_and_replaced_holds_up_no_look(plane: Plane) -> None:
    """A bucket is sealed by the clock: nobody waits for a shim that has fallen silent, nor until it is given up."""
    rollout = plane.register(plan=ERRORS_ONLY)
    lives = {str(uuid.uuid4()): (0, 31), str(uuid.uuid4()): (0, 9), str(uuid.uuid4()): (15, 31)}
    sent: dict[int, int] = {}
    for place in range(31):
        plane.later(10)
        for shim, (begins, ends) in lives.items():
            if begins <= place < ends:
                where: dict[str, Any] = {"ago": 10, "rollout": rollout.id, "keyed": 10}
                rows = [plane.row(variant, 10, **where) for variant in ("blue", "green")]
                ingest.record_batch(plane.engine, plane.batch(*rows, shim=shim), now=plane.now)
                sent[rows[0].bucket] = sent.get(rows[0].bucket, 0) + 10
        plane.tick()
        sealed = last_sealed(plane.now.timestamp(), length=10, maturity=20)
        look = evaluations(plane.engine, rollout.id)[-1]
        judged = {name: look.verdicts[0][name]["n"] for name in ("blue", "green")}
        expected = sum(n for bucket, n in sent.items() if bucket <= sealed)
        assert judged == {"blue": expected, "green": expected}
    assert [n for _, n in sorted(sent.items())] == [20] * 9 + [10] * 6 + [20] * 16


@pytest.mark.parametrize("keyed", [0, 50])
def test_what_is_sealed_is_read_once_though_it_has_nothing_of_a_check(plane: Plane, keyed: int) -> None:
    streams = {"metric": "first_token", "margin": 2, "maturity": 20, "limit": 1.0}
    rollout = plane.register(plan=ERRORS_ONLY | {"checks": [*ERRORS_ONLY["checks"], streams]})
    for _ in range(6):
        plane.later(10)
        plane.observe(*(plane.row(v, 50, ago=10, rollout=rollout.id, keyed=keyed) for v in ("blue", "green")))
        plane.tick()
    sealed = last_sealed(plane.now.timestamp(), length=10, maturity=20)
    assert {row.metric: row.sealed for row in plane.sql("SELECT metric, sealed FROM carried")} == {
        "error_rate": sealed, "first_token": sealed, "sample_ratio": sealed,
    }  # fmt: skip


def test_what_arrives_after_the_seal_is_counted_and_not_judged(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.later(10)
    place: dict[str, Any] = {"rollout": rollout.id}
    plane.observe(plane.row("blue", 50, ago=10, **place), plane.row("green", 5, ago=10, **place))
    plane.later(60)
    plane.observe(plane.row("green", 7, 7, ago=70, **place))  # the same bucket, a minute late
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout.id)
        assert stored is not None
        (series,) = evidence(connection, stored, stored.rollout.plan, plane.now)
        judgement = judge(stored.rollout.plan, (series,), step=0)
        conditions = circumstances(connection, stored, judgement, plane.now)
    assert [(bucket.blue.n, bucket.green.n, bucket.green.s) for bucket in series.buckets] == [(50, 5, 0)]
    assert (conditions.green_calls, conditions.waiting) == (12, {})
    assert sum(total.calls for total in totals(plane.engine)) == 62


def test_what_waits_to_be_judged_is_read_only_while_nothing_is(plane: Plane) -> None:
    rollout = plane.register()
    place: dict[str, Any] = {"rollout": rollout.id}
    plane.later(10)
    for ago in (10, 0):
        plane.observe(plane.row("blue", 50, ago=ago, **place), plane.row("green", 5, ago=ago, **place))
        plane.tick()
        plane.later(30)
    plane.tick()
    first, *_, last = evaluations(plane.engine, rollout.id)
    assert first.conditions["waiting"] == {"error_rate": 5}
    assert last.conditions["waiting"] == {}  # the second five are not sealed yet, and a maturity may be days


def test_calls_and_scores_that_are_in_and_not_sealed_are_said_to_be_not_mature(plane: Plane) -> None:
    rollout = plane.register()
    plane.later(10)
    place: dict[str, Any] = {"rollout": rollout.id}
    plane.observe(plane.row("blue", 50, keyed=50, ago=10, **place), plane.row("green", 5, keyed=5, ago=10, **place))
    plane.tick()
    assert [look.reason for look in evaluations(plane.engine, rollout.id)] == ["no_data"]  # no score is in
    plane.score((plane.call_id(rollout.id, "green"), 1.0))
    plane.later(10)
    plane.tick()
    now = evaluations(plane.engine, rollout.id)[-1]
    assert now.reason == "not_mature"
    assert now.sentence == (
        "Holding at 10 %: waiting for 5 green calls (error rate) and 1 green accuracy score to mature: judged 20 s"
        " after the end of a bucket."
    )


def test_what_is_carried_from_tick_to_tick_is_what_all_that_is_stored_comes_to(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    for look in range(12):
        minutes_of_traffic(plane, _stored(plane, rollout.id), minutes=1, blue_errors=2, green_errors=look % 2, green=30)
        plane.tick()
        with plane.engine.connect() as connection:
            stored = rollouts.find(connection, rollout.id)
            series = evidence(connection, stored, stored.rollout.plan, plane.now)
            carried = carry(connection, stored, plane.now)
        plan, step = stored.rollout.plan, stored.rollout.step
        (whole,), (kept,) = judge(plan, series, step=step).verdicts, judge_carried(plan, carried, step=step).verdicts
        for name in ("log_e_worse", "log_e_gate", "estimate", "lower", "upper", "overdispersion"):
            assert getattr(kept, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-9), name
        assert (kept.ruling, kept.step_green, kept.step_buckets) == (whole.ruling, whole.step_green, whole.step_buckets)
    assert stored.rollout.step == 1


def test_a_tick_reads_only_what_was_sealed_since_the_last(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    minutes_of_traffic(plane, rollout, minutes=2)
    plane.tick()
    before = plane.one("SELECT document FROM carried WHERE metric = 'error_rate'")
    plane.sql("DELETE FROM observations WHERE bucket <= (SELECT min(sealed) FROM carried)")
    minutes_of_traffic(plane, rollout, minutes=1)
    plane.tick()
    after = plane.one("SELECT document FROM carried WHERE metric = 'error_rate'")
    assert after["state"]["worse"]["buckets"] == before["state"]["worse"]["buckets"] + 6


def test_an_open_bucket_is_not_evidence_yet(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.later(10)
    plane.observe(plane.row("blue", 50, ago=10, rollout=rollout.id))
    for seconds, sealed in ((15, 0), (15, 1)):  # sealed 20 s after the end of its 10 s
        plane.later(seconds)
        with plane.engine.connect() as connection:
            stored = rollouts.find(connection, rollout.id)
            assert stored is not None
            (series,) = evidence(connection, stored, stored.rollout.plan, plane.now)
        assert len(series.buckets) == sealed


def test_scores_are_judged_as_losses_by_the_time_of_the_call(plane: Plane) -> None:
    rollout = plane.register()
    plane.later(10)
    plane.score((plane.call_id(rollout.id, "green", ago=5), 0.75), (plane.call_id(rollout.id, "blue", ago=5), 1.0))
    plane.later(60)
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout.id)
        assert stored is not None
        (_, accuracy) = evidence(connection, stored, stored.rollout.plan, plane.now)
    (bucket,) = accuracy.buckets
    assert (bucket.green.n, bucket.green.s, bucket.green.q) == (1, 0.25, 0.0625)
    assert (bucket.blue.n, bucket.blue.s) == (1, 0.0)


def test_two_schedulers_at_once_evaluate_each_rollout_once(plane: Plane) -> None:
    first = plane.register(plan=ERRORS_ONLY)
    second = plane.register("other", plan=ERRORS_ONLY)
    minutes_of_traffic(plane, first, minutes=2, green_errors=15)
    turns: list[int] = []
    both = threading.Barrier(4)

    def run() -> None:
        both.wait()
        turns.append(tick(plane.engine, now=plane.now))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(turns) == 2
    assert acts(plane, first.id) == ["roll_back"]
    assert len(evaluations(plane.engine, first.id)) == len(evaluations(plane.engine, second.id)) == 1


def test_an_abort_wins_over_an_evaluation_that_is_under_way(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.later(60)
    with plane.engine.connect() as connection, connection.begin():
        assert rollouts.claim_due(connection, plane.now) == rollout.id
        aborting = threading.Thread(target=plane.act, args=(rollout.id, "abort"), kwargs={"version": 1})
        aborting.start()
        aborting.join(0.5)
        assert aborting.is_alive()  # it waits for the turn, and then acts on what that left
    aborting.join(30)
    assert _stored(plane, rollout.id).phase == "aborted"


def test_a_turn_that_breaks_is_undone_and_does_not_stop_the_others(plane: Plane) -> None:
    broken = plane.register(plan=ERRORS_ONLY)
    fine = plane.register("other", plan=ERRORS_ONLY)
    plane.later(10)
    with plane.engine.begin() as connection:
        # Evidence that cannot be: what a bug elsewhere might leave. The judge refuses it.
        connection.execute(text("ALTER TABLE observations DROP CONSTRAINT ck_observations_sums"))
    plane.observe(plane.row("blue", 5, ago=10, rollout=broken.id))
    plane.later(50)
    plane.sql("UPDATE observations SET errors = 9 WHERE rollout_id = :id", id=broken.id)
    plane.tick()
    assert len(evaluations(plane.engine, fine.id)) == 1
    assert evaluations(plane.engine, broken.id) == []
    assert next(entry.reason for entry in journal(plane.engine, broken.id)) == "turn_broken"
    assert _stored(plane, broken.id).phase == "progressing"
    assert plane.tick() == 0  # tried again later, not at once


def test_a_rollout_that_cannot_even_be_read_does_not_stop_the_others(plane: Plane) -> None:
    broken = plane.register(plan=ERRORS_ONLY)
    fine = plane.register("other", plan=ERRORS_ONLY)
    plane.sql("""UPDATE rollouts SET plan = '{"steps": "gone"}' WHERE id = :id""", id=broken.id)
    for _ in range(3):
        plane.later(60)
        plane.tick()
    assert len(evaluations(plane.engine, fine.id)) == 3
    assert plane.one("SELECT count(*) FROM journal WHERE reason = 'turn_broken'") == 1
    assert plane.one("SELECT failures FROM rollouts WHERE id = :id", id=broken.id) == 3


def test_history_is_of_the_model_that_is_blue_now(plane: Plane) -> None:
    plane.observe(plane.row(calls=100, errors=50, ago=60))
    rollout = plane.register()
    plane.act(rollout.id, "promote")
    plane.later(600)
    plane.observe(plane.row(calls=10, errors=1, ago=60))
    second = plane.register(green="spare")
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, second.id)
        assert stored is not None
        (errors, _) = evidence(connection, stored, stored.rollout.plan, plane.now)
    assert (errors.history.n, errors.history.s) == (10, 1.0)


def test_retention_drops_whole_days_but_none_a_live_rollout_is_judged_by(plane: Plane) -> None:
    def days() -> list[str]:
        return sorted(
            row[0] for row in plane.sql("SELECT relname FROM pg_class WHERE relname ~ '^observations_[0-9]{8}$'")
        )

    plane.observe(*(plane.row(calls=1, ago=ago * 86_400) for ago in range(4)))
    rollout = plane.register()
    maintain(plane.engine, timedelta(days=1), now=plane.later(10 * 86_400))
    assert days()[:2] == ["observations_20261122", "observations_20261123"]
    plane.act(rollout.id, "abort")
    maintain(plane.engine, timedelta(days=1), now=plane.now)
    assert days() == [f"observations_202612{day:02}" for day in (3, 4, 5)]


def test_an_act_on_an_old_version_is_refused_and_abort_is_not(plane: Plane) -> None:
    rollout = plane.register()
    plane.act(rollout.id, "pause")
    with pytest.raises(Conflict, match=f"rollout {rollout.id} is at version"):
        plane.act(rollout.id, "resume", version=1)
    assert plane.act(rollout.id, "abort", version=1).phase == "aborted"


def test_a_second_live_rollout_is_refused_with_the_first_ones_name(plane: Plane) -> None:
    rollout = plane.register()
    with pytest.raises(Conflict, match=f"rollout {rollout.id}"):
        plane.register(green="spare")


def test_an_undo_returns_the_route_to_blue_and_a_later_promotion_supersedes(plane: Plane) -> None:
    first = plane.register()
    plane.act(first.id, "promote")
    plane.act(first.id, "undo")
    assert current_snapshot(plane.engine, now=plane.now, secret=SECRET).entries[ROUTE].route.blue == "old"
    second = plane.register()
    plane.act(second.id, "promote")
    third = plane.register(green="spare")
    plane.act(third.id, "promote")
    assert _stored(plane, second.id).phase == "superseded"
    with pytest.raises(Conflict):
        plane.act(second.id, "undo")


def test_the_journal_can_be_neither_changed_nor_emptied(plane: Plane) -> None:
    plane.register()
    for statement in ("UPDATE journal SET sentence = 'x'", "DELETE FROM journal", "TRUNCATE journal"):
        with pytest.raises(Exception, match="journal"), plane.engine.begin() as connection:
            connection.execute(text(statement))


def test_fleet_and_health_say_where_things_stand(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    minutes_of_traffic(plane, rollout, minutes=1)
    plane.tick()
    row, other = fleet(plane.engine, now=plane.now)
    assert (row.route, row.rollout, row.live, row.phase) == (ROUTE, rollout.id, True, "progressing")
    assert row.observed_weight == 50
    assert row.green_calls == 300
    assert row.traffic == pytest.approx(10, rel=0.2)
    assert (other.route, other.rollout) == ("other", None)
    state = health(plane.engine, now=plane.now)
    assert state.status == "degraded"  # no scheduler has said anything yet
    assert [shim.service for shim in state.shims] == ["checkout"]
    assert state.lag == pytest.approx(0, abs=timedelta(seconds=1).total_seconds())
    with pytest.raises(NotFound):
        read_rollout(plane.engine, 99, now=plane.now)


def test_the_fleet_asks_no_more_for_many_routes_than_for_few(plane: Plane) -> None:
    asked: list[str] = []
    event.listen(plane.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    rollout = plane.register(plan=ERRORS_ONLY)
    minutes_of_traffic(plane, rollout, minutes=1)
    asked.clear()
    few = fleet(plane.engine, now=plane.now)
    of_few = len(asked)
    names = [f"route-{number}" for number in range(5)]
    routes = {"routes": [{"name": name, "blue": "old"} for name in names]}
    apply.apply_declarations(plane.engine, routes, actor="ann", now=plane.now)
    for name in names[:3]:
        plane.register(route=name, plan=ERRORS_ONLY)
    asked.clear()
    many = fleet(plane.engine, now=plane.now)
    assert (len(few), len(many), len(asked)) == (2, 7, of_few)
    assert [row for row in many if row in few] == few


def test_the_fleet_counts_what_was_summed_up(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    minutes_of_traffic(plane, rollout, minutes=1)
    plane.tick()
    plane.later(1200)
    before = fleet(plane.engine, now=plane.now)
    sum_up(plane.engine, now=plane.now)
    plane.sql("DELETE FROM observations")
    assert plane.one("SELECT count(*) FROM summed") > 0
    assert fleet(plane.engine, now=plane.now) == before
    assert before[0].green_calls == 300


def _stored(plane: Plane, rollout_id: int) -> Rollout:
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout_id)
    assert stored is not None
    return stored.rollout
