"""A replay under the own plan decides what was decided; under another it says what it had to take as given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core.decision import Act, Conditions, Decision, Reason, apply, decide
from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.phase import Phase, Verb
from crossfade.core.plan import Breach, Check, Plan, Step
from crossfade.core.rollout import Rollout
from crossfade.core.sentence import sentence
from crossfade.errors import Conflict
from crossfade.simulation.exposure import exposure
from crossfade.simulation.findings import notes, outcome
from crossfade.simulation.replay import Amended, Look, Moved, Recorded, Replayed, replay
from crossfade.simulation.traffic import Graded, Independent, Made
from crossfade.stats.judge import judge

BEGIN = datetime(2026, 11, 23, 12, 0, 3, tzinfo=UTC)
LENGTH, EVERY, LAG = 10, 10.0, 14
"""`LAG`: seconds until the services have heard of a step, so that buckets of two steps overlap."""
ERRORS = Check(metric="error_rate", margin=2.0, maturity=20.0)
ACCURACY = Check(metric="score.accuracy", margin=5.0, maturity=45.0)
PLAN = Plan(steps=(Step(weight=10, bake=60), Step(weight=50, bake=60)), checks=(ERRORS, ACCURACY), least_green_calls=10)


@dataclass
class Lived:
    """A rollout that was lived through: judged anew from all sealed buckets at every look, as a scheduler may do it."""

    plan: Plan
    recorded: Recorded
    decisions: list[Decision] = field(default_factory=list)


def live(
    plan: Plan = PLAN,
    *,
    seed: int = 1,
    looks: int = 60,
    green: float = 0.02,
    blue: float = 0.02,
    calls: int = 100,
    graded: bool = False,
    acts: tuple[tuple[int, Verb], ...] = (),
) -> Lived:
    """`acts` are a person's, each just before the look of that number."""
    rng = np.random.default_rng(seed)
    registered = Rollout(id=1, route="r", blue="b", green="g", plan=plan, salt="", created_at=BEGIN)
    rollout = registered.moved(Verb.START, BEGIN)
    events: list[Look | Moved] = [Moved(at=BEGIN, verb=Verb.START)]
    begun, made = {0: BEGIN}, {check.metric: [] for check in plan.checks}
    said: tuple[Any, Any] = (None, None)
    decisions: list[Decision] = []
    history = Summary(2000, 40, 40)
    for number in range(looks):
        now = BEGIN + timedelta(seconds=EVERY * (number + 1))
        for verb in (verb for at, verb in acts if at == number):
            at = now - timedelta(seconds=1)
            try:
                rollout = rollout.moved(verb, at)
            except Conflict:
                continue
            events.append(Moved(at=at, verb=verb))
            said = (None, None)
            begun |= {rollout.step: at} if verb is Verb.ADVANCE else {}
        if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED):
            break
        start = int((now - timedelta(seconds=LENGTH)).timestamp()) // LENGTH * LENGTH
        for step in {_heard(begun, start), _heard(begun, start + LENGTH)}:
            traffic = Graded() if graded else Independent(2, keyed=True)
            weights = np.array([plan.steps[step].weight / 100])
            for check, m in zip(
                plan.checks,
                traffic.draw(rng, np.arange(1), weights, calls, [(blue, green)] * len(plan.checks)),
                strict=True,
            ):
                made[check.metric].append(_bucket(start, step, m))
        sealed = [
            Series(
                c.metric,
                tuple(
                    k
                    for k in sorted(made[c.metric], key=lambda k: (k.start, k.step))
                    if k.start + LENGTH + c.maturity + 2 <= now.timestamp()
                ),
                history,
            )
            for c in plan.checks
        ]
        conditions = Conditions(calls=calls * number, traffic=10.0)
        events.append(Look(at=now, step=rollout.step, conditions=conditions))
        decision = decide(rollout, judge(plan, sealed, step=rollout.step), conditions, now)
        hold = decision.act is Act.HOLD
        if not hold or (rollout.phase is not Phase.PAUSED and (decision.act, decision.reason) != said):
            decisions.append(decision)
            said = (decision.act, decision.reason)
        rollout = apply(decision)
        if decision.act is Act.ADVANCE:
            begun[rollout.step] = now
    recorded = Recorded(
        registered=registered,
        series=[Series(m, tuple(sorted(k, key=lambda k: (k.start, k.step))), history) for m, k in made.items()],
        events=events,
        begun=begun,
        length=LENGTH,
        phase=rollout.phase,
        ended=rollout.ended_at,
    )
    return Lived(plan=plan, recorded=recorded, decisions=decisions)


def _bucket(start: int, step: int, made: Made) -> Bucket:
    n_g, s_g, q_g, n_b, s_b, q_b = (float(column[0]) for column in made[:6])
    by_key = [{}, {}] if made.groups is None else [_groups(table) for table in made.groups[0]]
    return Bucket(start, step, Summary(int(n_b), s_b, q_b), Summary(int(n_g), s_g, q_g), by_key[1], by_key[0])


def _groups(table: np.ndarray) -> dict[int, Summary]:
    return {group: Summary(int(n), s, q) for group, (n, s, q) in enumerate(table.tolist()) if n}


def _heard(begun: dict[int, datetime], at: float) -> int:
    return max(step for step, since in begun.items() if step == 0 or since.timestamp() + LAG <= at)


def under(lived: Lived, plan: Plan | None = None) -> Replayed:
    return replay(lived.recorded, plan)


def same(a: Decision, b: Decision) -> bool:
    numbers = [
        [(v.estimate, v.lower, v.upper, v.log_e_worse, v.log_e_gate, v.overdispersion) for v in d.judgement.verdicts]
        for d in (a, b)
    ]
    flat = [[-99.0 if x is None else x for row in one for x in row] for one in numbers]
    return (
        (a.act, a.reason, a.at, sentence(a)) == (b.act, b.reason, b.at, sentence(b))
        and flat[0] == pytest.approx(flat[1], rel=1e-9, abs=1e-9)
        and [(v.step_green.n, v.step_buckets) for v in a.judgement.verdicts]
        == [(v.step_green.n, v.step_buckets) for v in b.judgement.verdicts]
    )


@given(
    seed=st.integers(0, 10_000),
    green=st.sampled_from([0.001, 0.02, 0.06, 0.3]),
    calls=st.sampled_from([0, 7, 100]),
    graded=st.booleans(),
    pausing=st.booleans(),
    acts=st.lists(
        st.tuples(st.integers(2, 40), st.sampled_from([Verb.PAUSE, Verb.RESUME, Verb.ADVANCE, Verb.ABORT])), max_size=3
    ),
)
@settings(max_examples=25, deadline=None)
def test_the_own_plan_gives_exactly_the_decisions_that_were_made(
    seed: int, green: float, calls: int, graded: bool, pausing: bool, acts: list[tuple[int, Verb]]
) -> None:
    checks = (ERRORS, replace(ACCURACY, on_breach=Breach.PAUSE)) if pausing else (ERRORS, ACCURACY)
    plan = replace(PLAN, checks=checks, time_limit=300.0 if pausing else None)
    lived = live(plan, seed=seed, green=green, calls=calls, graded=graded, acts=tuple(sorted(acts)))
    replayed = under(lived)
    assert len(replayed.decisions) == len(lived.decisions)
    assert all(same(a, b) for a, b in zip(replayed.decisions, lived.decisions, strict=True))
    assert replayed.refused == ()
    assert (replayed.rollout.phase, replayed.rollout.ended_at) == (lived.recorded.phase, lived.recorded.ended)
    exposed = exposure(lived.recorded, replayed)
    assert (exposed.more_green_calls, exposed.borrowed, exposed.unknown_from) == (0, (), None)
    assert set(exposed.more_bad.values()) == {0.0}


def test_a_wider_margin_promotes_a_good_green_sooner_and_says_so() -> None:
    lived = live(looks=400, green=0.02)
    assert lived.recorded.phase is Phase.PROMOTED
    wide = replace(PLAN, checks=(replace(ERRORS, margin=10.0), replace(ACCURACY, margin=20.0)))
    replayed = under(lived, wide)
    ended = replayed.rollout.ended_at
    assert replayed.rollout.phase is Phase.PROMOTED
    assert ended is not None
    assert lived.recorded.ended is not None
    assert ended < lived.recorded.ended
    text = outcome(lived.recorded, replayed)
    assert text.startswith("It would have been promoted at 2026-11-23 12:")
    assert "earlier: it was promoted at" in text
    exposed = exposure(lived.recorded, replayed)
    assert exposed.unknown_from == ended
    assert any(
        "green would have served every call" in note
        for note in notes(lived.recorded, replayed, exposed, own_plan=False)
    )


def test_after_the_recorded_roll_back_there_is_nothing_to_know() -> None:
    lived = live(green=0.3)
    assert lived.recorded.phase is Phase.ROLLED_BACK
    told = replace(PLAN, checks=tuple(replace(c, on_breach=Breach.TELL) for c in PLAN.checks), least_green_calls=10_000)
    replayed = under(lived, told)
    assert replayed.is_live
    assert replayed.last is not None
    assert replayed.last.at > lived.recorded.ended  # what was sealed after the end is evidence too
    assert replayed.last.reason is Reason.TOO_FEW
    assert outcome(lived.recorded, replayed).startswith("It would still be at 10 % when the record ends at 2026-11-23")
    said = notes(lived.recorded, replayed, exposure(lived.recorded, replayed), own_plan=False)
    assert any("after that no calls of both variants exist" in note for note in said)


def test_an_earlier_roll_back_spares_the_green_calls_that_came_after_it() -> None:
    lived = live(green=0.06, looks=200, seed=3)
    late = lived.recorded.ended
    assert lived.recorded.phase is Phase.ROLLED_BACK
    replayed = under(lived, replace(PLAN, alpha=0.5))
    early = replayed.rollout.ended_at
    assert late is not None
    assert early is not None
    assert early < late
    exposed = exposure(lived.recorded, replayed)
    after = [k for k in lived.recorded.series[0].buckets if k.start >= early.timestamp()]
    assert exposed.more_green_calls == -sum(k.green.n for k in after)
    excess = sum(k.green.s - k.green.n * (k.blue.mean or 0) for k in after)
    assert exposed.more_bad["error_rate"] == pytest.approx(-excess)
    assert not exposed.estimated
    assert any("fewer green calls than" in note for note in notes(lived.recorded, replayed, exposed, own_plan=False))


def test_other_weights_are_told_with_what_was_used_instead() -> None:
    lived = live(looks=100)
    replayed = under(lived, replace(PLAN, steps=(Step(weight=25, bake=60), Step(weight=60, bake=60))))
    exposed = exposure(lived.recorded, replayed)
    first = exposed.borrowed[0]
    assert (first.step, first.weight, first.recorded_weights[0]) == (0, 25, 10)
    assert exposed.estimated
    assert exposed.more_green_calls > 0
    said = notes(lived.recorded, replayed, exposed, own_plan=False)
    assert any(note.startswith("What green would have answered at 25 % (step 1) is not known") for note in said)


def test_evidence_counts_for_the_step_that_the_replay_is_in() -> None:
    lived = live(looks=300)
    assert 1 in lived.recorded.begun
    longer = replace(PLAN, steps=(Step(weight=10, bake=900), Step(weight=50, bake=60)))
    replayed = under(lived, longer)
    held = [d for d in replayed.decisions if d.rollout.step == 0 and d.act is Act.ADVANCE]
    assert all(d.at >= BEGIN + timedelta(seconds=900) for d in held)
    last = replayed.last
    assert last is not None
    assert last.rollout.step == 0
    (errors, _) = last.judgement.verdicts
    assert errors.step_buckets == errors.buckets  # also those that were recorded in the second step
    assert exposure(lived.recorded, replayed).borrowed[0].recorded_weights == (50,)


def test_a_persons_act_without_a_place_is_left_out_and_told() -> None:
    lived = live(looks=60, acts=((10, Verb.PAUSE), (20, Verb.RESUME)))
    quick = replace(PLAN, checks=(replace(ERRORS, margin=40.0), replace(ACCURACY, margin=40.0)))
    quick = replace(quick, steps=(Step(weight=10, bake=0),), least_buckets=2, least_green_calls=1)
    replayed = under(lived, quick)
    assert [moved.verb for moved in replayed.refused] == [Verb.PAUSE, Verb.RESUME]
    assert (
        "A person's pause at" in notes(lived.recorded, replayed, exposure(lived.recorded, replayed), own_plan=False)[-2]
    )


def test_an_amended_check_begins_anew_and_the_others_go_on() -> None:
    lived = live(looks=40, green=0.02)
    at = BEGIN + timedelta(seconds=200)
    since = at.timestamp()
    errors = replace(ERRORS, margin=1.0, since=since, share=0.4)
    later = replace(PLAN, checks=(errors, replace(ACCURACY, on_breach=Breach.TELL, share=0.5)))
    (series,) = [one for one in lived.recorded.series if one.metric == ERRORS.metric]
    begun = replace(series, buckets=tuple(bucket for bucket in series.buckets if bucket.start >= since))
    looks = lived.recorded.events
    events = [
        *(event for event in looks if event.at <= at),
        Amended(at=at, plan=later, series=[begun]),
        *(event for event in looks if event.at > at),
    ]
    recorded = replace(lived.recorded, events=events)
    replayed = replay(recorded)
    assert replayed.last is not None
    found, kept = replayed.last.judgement.verdicts
    assert (found.check, kept.check) == later.checks
    now = replayed.last.at.timestamp()
    whole = next(one for one in lived.recorded.series if one.metric == ACCURACY.metric)
    sealed = [
        replace(one, buckets=tuple(k for k in one.buckets if k.start + LENGTH + check.maturity + 2 <= now))
        for one, check in ((begun, errors), (whole, ACCURACY))
    ]
    anew = judge(later, sealed, step=replayed.last.rollout.step)
    for ours, theirs in zip((found, kept), anew.verdicts, strict=True):
        assert (ours.buckets, ours.step_buckets) == (theirs.buckets, theirs.step_buckets)
        assert ours.log_e_worse == pytest.approx(theirs.log_e_worse, abs=1e-9)
        assert ours.log_e_gate == pytest.approx(theirs.log_e_gate, abs=1e-9)
    assert 0 < found.buckets < kept.buckets

    other = replay(recorded, PLAN)  # the typed plan holds from the start
    assert other.decisions == under(lived, PLAN).decisions
    said = notes(recorded, other, exposure(recorded, other), own_plan=False)
    assert "The rollout's checks were amended at 2026-11-23 12:03:23." in said[0]
    assert not any("amended" in note for note in notes(recorded, replayed, exposure(recorded, replayed), own_plan=True))


def test_the_last_look_is_judged_by_what_was_known_at_it_though_a_person_acted_after_it() -> None:
    lived = live(looks=14, green=0.02)
    whole = under(lived).last
    assert whole is not None
    assert whole.judgement.verdicts[0].lower is not None
    at = whole.at + timedelta(seconds=3)
    errors = replace(ERRORS, margin=9.0, since=at.timestamp(), share=0.4)
    amended = Amended(at=at, plan=replace(PLAN, checks=(errors,)), series=[Series(ERRORS.metric)])
    for after in (amended, Moved(at=at, verb=Verb.PAUSE), Moved(at=at, verb=Verb.ADVANCE)):
        replayed = replay(replace(lived.recorded, events=[*lived.recorded.events, after]))
        assert replayed.last == whole
    assert replayed.rollout.step == whole.rollout.step + 1
