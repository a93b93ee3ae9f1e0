from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from test_decision import (
    ACCURACY,
    ERRORS,
    PLAN,
    SPLITS,
    START,
    TRAFFIC,
    WRONG,
    conditions,
    judgement,
    rollout,
    rulings,
    verdict,
)

from crossfade.core.decision import Act, Decision, Reason, decide
from crossfade.core.phase import Phase
from crossfade.core.plan import Breach, Step
from crossfade.core.questions import questions
from crossfade.core.verdict import SAMPLE_RATIO, Ruling, Split

ORDER = [
    "Is it running or paused?",
    "Has a check failed that rolls back?",
    "Is it paused?",
    "Does a wrong split of the calls ask for a person?",
    "Has a check failed that asks for a person?",
    "Do most of green's attempts find no Model or no access?",
    "Has this step had calls?",
    "Is anything in for every gating check?",
    "Is some of it mature, of both variants?",
    "Are there enough buckets and green calls?",
    "Is the bake time over?",
    "Is green throttled?",
    "Is blue itself worse than it was?",
    "Has every gating check passed its gate?",
    "Does a person open this gate?",
    "What comes after this step?",
]


@given(
    phase=st.sampled_from(Phase),
    step=st.integers(0, 1),
    pair=st.tuples(rulings, rulings),
    around=conditions,
    minutes=st.integers(0, 100),
    breach=st.sampled_from(Breach),
    limit=st.sampled_from([None, 60.0]),
    approve=st.booleans(),
    split=st.sampled_from(SPLITS),
    accepted=st.sampled_from([(), (SAMPLE_RATIO,)]),
)
def test_every_decision_is_explained_by_the_questions_in_their_order(
    phase: Phase,
    step: int,
    pair: tuple[Ruling, Ruling],
    around: object,
    minutes: int,
    breach: Breach,
    limit: float | None,
    approve: bool,
    split: Split | None,
    accepted: tuple[str, ...],
) -> None:
    plan = replace(PLAN, time_limit=limit, steps=(Step(weight=5, approve=approve), Step(weight=50)))
    judged = judgement(verdict(ruling=pair[0]), verdict(replace(ACCURACY, on_breach=breach), pair[1]))
    judged = replace(judged, split=split)
    now = START + timedelta(minutes=minutes)
    found = decide(rollout(plan, phase=phase, step=step, accepted=accepted), judged, around, now)
    asked = questions(found)
    assert [question.stopped for question in asked] == [False] * (len(asked) - 1) + [True]
    words = [question.question for question in asked]
    if found.reason is Reason.TIME_LIMIT:
        assert words.pop() == "Has it been held beyond the time limit?"
    assert words == ORDER[: len(words)]


def at(decision: Decision) -> tuple[str, str]:
    last = questions(decision)[-1]
    return last.question, last.answer


def test_the_question_that_decided_is_the_last_and_says_its_answer() -> None:
    passed = judgement(verdict(), verdict(ACCURACY))
    now = START + timedelta(hours=1)
    failed = judgement(verdict(ERRORS, Ruling.FAILED), verdict(ACCURACY))
    assert at(decide(rollout(), failed, TRAFFIC, now)) == ("Has a check failed that rolls back?", "yes")
    assert at(decide(rollout(phase=Phase.PAUSED), passed, TRAFFIC, now)) == ("Is it paused?", "yes")
    assert at(decide(rollout(), passed, TRAFFIC, START)) == ("Is the bake time over?", "no")
    assert at(decide(rollout(), passed, TRAFFIC, now)) == ("What comes after this step?", "advance to 50 %")
    wrong = decide(rollout(), replace(passed, split=WRONG), TRAFFIC, now)
    assert at(wrong) == ("Does a wrong split of the calls ask for a person?", "yes")
    assert questions(wrong)[-1].numbers == "green got 1,204 of 10,000 calls, 1,000.0 expected: log E 7.824 of 6.908"
    accepted = decide(rollout(accepted=(SAMPLE_RATIO,)), replace(passed, split=WRONG), TRAFFIC, now)
    assert questions(accepted)[3].numbers.endswith("log E 7.824 of 6.908, accepted by a person")
    last = decide(rollout(step=1), passed, TRAFFIC, now)
    assert last.act is Act.PROMOTE
    assert at(last) == ("What comes after this step?", "promotion")
    limited = decide(rollout(replace(PLAN, time_limit=60.0)), judgement(verdict(), verdict(ACCURACY, Ruling.NO_DATA)), TRAFFIC, now)  # fmt: skip  # noqa: E501
    held, limit = questions(limited)[-2:]
    assert (held.question, held.answer) == ("Is anything in for every gating check?", "no")
    assert (limit.answer, limit.stopped) == ("yes", True)
