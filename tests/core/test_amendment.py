"""An amendment spends what the evidence is worth, and no more; it says what became of every check."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossfade.core.amendment import Fate, amendment, amendment_sentence
from crossfade.core.plan import Breach, Check, Plan, Step, plan_to_dict, read_plan
from crossfade.core.reading import Reader
from crossfade.errors import Conflict, CrossfadeError, Invalid

ERRORS = Check(metric="error_rate", margin=0.5)
ACCURACY = Check(metric="score.accuracy", margin=2.0)
SAFETY = Check(metric="safety_stop", margin=1.0)
SLOW = Check(metric="latency", margin=1.0, limit=1.8)
PLAN = Plan(steps=(Step(weight=10),), checks=(ERRORS, ACCURACY))
NOW = 1_800_000_000.25


def test_what_is_wanted_already_changes_nothing() -> None:
    found = amendment(PLAN, (ACCURACY, ERRORS), (3.0, -1.0), NOW)
    assert not found.differs
    assert found.plan is PLAN
    assert [change.fate for change in found.changes] == [Fate.KEPT, Fate.KEPT]


def test_a_new_margin_starts_anew_with_what_the_evidence_is_worth() -> None:
    wanted = (replace(ERRORS, margin=1.0), ACCURACY)
    low = amendment(PLAN, wanted, (log(0.4), 2.0), NOW).plan
    assert low.checks == (replace(ERRORS, margin=1.0, since=NOW, share=0.2), replace(ACCURACY, share=0.5))
    high = amendment(PLAN, wanted, (log(7.0), 2.0), NOW).plan
    assert high.shares == (0.5, 0.5)  # evidence above 1 is given up, and buys nothing


@pytest.mark.parametrize("changed", [{"maturity": 30.0}, {"limit": 2.0}, {"margin": 0.9}])
def test_thresholds_and_maturity_make_a_check_start_anew(changed: dict[str, float]) -> None:
    plan = replace(PLAN, checks=(SLOW, ERRORS))
    found = amendment(plan, (replace(SLOW, **changed), ERRORS), (0.0, 0.0), NOW)
    assert [change.fate for change in found.changes] == [Fate.RESTARTED, Fate.KEPT]


def test_what_a_breach_does_and_whether_it_gates_change_without_loss() -> None:
    found = amendment(PLAN, (replace(ERRORS, on_breach=Breach.TELL, gating=False), ACCURACY), (2.0, -2.0), NOW)
    assert found.differs
    assert found.plan.checks[0] == replace(ERRORS, on_breach=Breach.TELL, gating=False, share=0.5)
    assert "error rate keeps its evidence, on 50 % of alpha; its breach now is only told; it gates no longer" in (
        amendment_sentence(found)
    )


def test_added_checks_share_what_the_others_give_up() -> None:
    found = amendment(PLAN, (ERRORS, ACCURACY, SAFETY, SLOW), (log(0.5), 3.0), NOW).plan
    assert found.shares == pytest.approx((0.25, 0.25, 0.1875, 0.1875))
    assert [check.since for check in found.checks] == [None, None, NOW, NOW]


def test_a_removed_checks_share_is_not_given_back() -> None:
    found = amendment(PLAN, (ACCURACY,), (0.0, 0.0), NOW)
    assert found.plan.shares == (0.5,)
    back = amendment(found.plan, (ACCURACY, ERRORS), (0.0,), NOW + 60)
    assert back.plan.checks[1] == replace(ERRORS, since=NOW + 60, share=0.25)


def test_at_least_one_check_stays_to_give_a_share() -> None:
    with pytest.raises(Invalid, match="none of the rollout's checks"):
        amendment(PLAN, (SAFETY,), (0.0, 0.0), NOW)


def test_alpha_that_is_used_up_is_said() -> None:
    worn = replace(PLAN, checks=(replace(ERRORS, share=2e-9), replace(ACCURACY, share=0.5)))
    with pytest.raises(Conflict, match="error_rate would have less than a billionth of alpha left"):
        amendment(worn, (replace(ERRORS, margin=1.0), ACCURACY), (log(0.3), 0.0), NOW)


def test_every_checks_fate_is_said_with_its_share() -> None:
    plan = replace(PLAN, checks=(ERRORS, ACCURACY, SLOW))
    wanted = (ERRORS, replace(ACCURACY, margin=5.0), SAFETY)
    assert amendment_sentence(amendment(plan, wanted, (0.0, log(0.3), 0.0), NOW)) == (
        "error rate keeps its evidence, on 22.2 % of alpha; accuracy starts anew with a margin of 5 points instead of"
        " 2 points, on 6.67 % of alpha; calls slower than 1.8 s is removed, its 33.3 % of alpha with it; safety stops"
        " is added with a margin of 1 point, on 14.4 % of alpha"
    )


def test_an_amended_plan_is_read_back_and_never_typed() -> None:
    plan = amendment(PLAN, (replace(ERRORS, margin=1.0), ACCURACY, SAFETY), (-1.0, 0.0), NOW).plan
    reader = Reader(plan_to_dict(plan))
    assert read_plan(reader, kept=True) == plan
    assert reader.problems == []
    typed = Reader(plan_to_dict(plan))
    read_plan(typed)
    assert {problem.path for problem in typed.problems} == {
        "checks[0].since",
        "checks[0].share",
        "checks[1].share",
        "checks[2].since",
        "checks[2].share",
    }
    assert all("since" not in check and "share" not in check for check in plan_to_dict(PLAN)["checks"])


METRICS = ("error_rate", "score.accuracy", "safety_stop", "refusal")
LOG_E = st.floats(min_value=-30, max_value=30)
WANTED = st.lists(
    st.builds(
        Check,
        metric=st.sampled_from(METRICS),
        margin=st.sampled_from((0.5, 1.0, 2.0)),
        on_breach=st.sampled_from(list(Breach)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda check: check.metric,
)


@given(data=st.data())
def test_no_sequence_of_amendments_is_worth_more_than_it_was(data: st.DataObject) -> None:
    plan = PLAN
    log_e = {check.metric: data.draw(LOG_E) for check in plan.checks}
    for number in range(data.draw(st.integers(1, 8))):
        wanted = data.draw(WANTED)
        evidence = [log_e[check.metric] for check in plan.checks]
        worth = sum(share * exp(e) for share, e in zip(plan.shares, evidence, strict=True))
        try:
            found = amendment(plan, wanted, evidence, NOW + number)
        except CrossfadeError:
            assume(False)
        fates = {change.metric: change.fate for change in found.changes}
        new = {
            check.metric: log_e[check.metric] if fates[check.metric] is Fate.KEPT else 0.0
            for check in found.plan.checks
        }
        after = sum(s * exp(new[c.metric]) for s, c in zip(found.plan.shares, found.plan.checks, strict=True))
        assert after <= worth * (1 + 1e-12)
        assert sum(found.plan.shares) <= sum(plan.shares) * (1 + 1e-12)
        for change in found.changes:
            if change.fate in (Fate.KEPT, Fate.RESTARTED):
                assert change.share_after <= change.share_before
        plan = found.plan
        log_e = {metric: e + data.draw(st.floats(min_value=-3, max_value=3)) for metric, e in new.items()}
