"""Each metric is a loss in [0, 1], and says what it is."""

from __future__ import annotations

import pytest

from crossfade.core.amount import dollars, seconds
from crossfade.core.evidence import Summary
from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.metric import NAMES, Metric, is_metric, metric_of
from crossfade.core.plan import Check
from crossfade.core.sentence import metric_count, metric_difference, metric_name, metric_value, verdict_sentence
from crossfade.core.split import GROUPS, Variant, assign, group, position
from crossfade.core.stop import Stop, stop_of
from crossfade.core.verdict import Ruling, Verdict


@pytest.mark.parametrize("name", [*NAMES, "score.accuracy"])
def test_every_metric_says_its_name_direction_unit_and_margin(name: str) -> None:
    metric = metric_of(name)
    assert is_metric(name)
    assert metric.words
    assert metric.unit
    assert metric.margin
    assert metric.falls == name.startswith("score.")
    assert (metric.limit_unit is not None) == (name in ("latency", "first_token", "cost"))


@pytest.mark.parametrize("name", ["", "errors", "score.", "score.A", "Latency", "latency "])
def test_what_is_no_metric_is_none(name: str) -> None:
    assert not is_metric(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "error_rate"])
def test_every_loss_lies_in_0_to_1_and_is_0_or_1_where_it_is_binary(name: str) -> None:
    metric = metric_of(name)
    losses = set(metric.losses(0.5 if metric.limit_unit else None).values())
    assert min(losses) == 0
    assert max(losses) == 1
    assert (losses == {0.0, 1.0}) == metric.binary


def test_a_call_is_slow_above_the_bin_of_the_limit() -> None:
    losses = metric_of("latency").losses(1.8)
    assert [losses[str(duration_bin(s))] for s in (0.1, 1.8, 1.9, 3600)] == [0, 0, 1, 1]


def test_a_cost_counts_as_its_share_of_the_limit_and_at_most_as_1() -> None:
    losses = metric_of("cost").losses(0.04)
    shares = [losses[str(cost_bin(cost))] for cost in (0.0, 0.01, 0.04, 0.2)]
    assert shares == pytest.approx([0, 0.25, 1, 1], rel=0.0101)


def test_a_metric_that_needs_a_limit_is_not_judged_without_one() -> None:
    with pytest.raises(ValueError, match="latency has no limit"):
        metric_of("latency").losses(None)


def test_stop_reasons_are_told_apart() -> None:
    counted = {
        name: {stop for stop, loss in metric_of(name).losses(None).items() if loss}
        for name in ("truncated_output", "refusal", "safety_stop")
    }
    assert counted == {
        "truncated_output": {"max_tokens", "model_context_window_exceeded"},
        "refusal": {"refusal"},
        "safety_stop": {"guardrail_intervened", "content_filtered"},
    }


@pytest.mark.parametrize(
    ("said", "stop"),
    [
        ("end_turn", Stop.END_TURN),
        ("refusal", Stop.REFUSAL),
        ("length", Stop.MAX_TOKENS),
        ("pause_turn", Stop.OTHER),
        ("", None),
        (None, None),
        (["odd"], None),
    ],
)
def test_a_stop_reason_is_one_of_a_closed_set(said: object, stop: Stop | None) -> None:
    assert stop_of(said) is stop


def test_each_metric_reads_in_its_own_unit() -> None:
    assert metric_name("latency", 1.8) == "calls slower than 1.8 s"
    assert metric_name("first_token", 0.084) == "first tokens slower than 84 ms"
    assert metric_name("latency") == "slow calls"
    assert metric_name("score.answer_quality") == "answer quality"
    assert (metric_value("latency", 1.8, 0.061), metric_count("latency", 1000, 61.0)) == ("6.10 %", "61 of 1,000")
    assert (metric_value("cost", 0.04, 0.25), metric_count("cost", 1000, 250.0)) == ("$0.0100", "1,000 calls")
    assert (metric_value("score.x", None, 0.1), metric_count("score.x", 9, 0.9)) == ("90.00 %", "9 scored")
    assert metric_difference("cost", 0.04, 0.01) == "$0.000400"
    assert metric_difference("cost", None, 0.01) == "1 point of the limit"
    assert metric_difference("refusal", None, -0.005) == "0.5 points"


def verdict(check: Check, blue: Summary, green: Summary, estimate: float) -> Verdict:
    return Verdict(
        check=check,
        ruling=Ruling.PASSED,
        blue=blue,
        green=green,
        estimate=estimate,
        gate_margin=check.loss_margin,
        log_e_worse_needed=3.0,
        log_e_gate_needed=3.0,
    )


def test_a_verdict_on_latency_and_on_cost_is_said_in_their_units() -> None:
    slow = verdict(
        Check(metric="latency", margin=2, limit=1.8), Summary(1000, 50, 50), Summary(1000, 61, 61), estimate=0.011
    )
    assert verdict_sentence(slow) == (
        "calls slower than 1.8 s 6.10 % (61 of 1,000) on green against 5.00 % (50 of 1,000) on blue,"
        " worse by 1.1 points; a rise by 2 points is ruled out"
    )
    dear = verdict(
        Check(metric="cost", margin=2, limit=0.04), Summary(900, 225, 60), Summary(100, 20, 5), estimate=-0.05
    )
    assert verdict_sentence(dear) == (
        "cost a call $0.00800 (100 calls) on green against $0.0100 (900 calls) on blue, better by $0.00200;"
        " a rise by $0.000800 is ruled out"
    )


def test_amounts_have_three_digits() -> None:
    assert [seconds(s) for s in (0.0123, 1.0, 1.8234, 250)] == ["12.3 ms", "1 s", "1.82 s", "250 s"]
    assert [dollars(d) for d in (0, 0.00012, 0.5, 12)] == ["$0", "$0.000120", "$0.500", "$12.00"]


def test_the_group_of_a_key_says_nothing_of_its_variant() -> None:
    keys = [f"user-{number}" for number in range(20_000)]
    green = [group("salt", key) for key in keys if assign("salt", key, 50) is Variant.GREEN]
    counts = [green.count(number) for number in range(GROUPS)]
    expected = len(green) / GROUPS
    assert sum((count - expected) ** 2 / expected for count in counts) < 190  # chi-squared, 127 degrees: p = 0.0002
    assert len({group("other", key) == group("salt", key) for key in keys}) == 2
    assert group("salt", "a") == group("salt", "a")
    assert position("salt", "a") != group("salt", "a") / GROUPS


def test_a_score_is_a_metric_of_scored_calls_that_may_fall() -> None:
    assert metric_of("score.answer_quality") == Metric(
        name="score.answer_quality",
        words="answer quality",
        of="scored calls",
        unit="mean score",
        margin="points of the score",
        falls=True,
        binary=False,
    )


def test_the_other_metrics_are_told_in_shares_of_calls_or_in_dollars() -> None:
    assert {(m.unit, m.margin) for m in map(metric_of, NAMES) if m.name != "cost"} == {
        ("share of calls", "percentage points of calls")
    }
    assert (metric_of("cost").unit, metric_of("cost").margin) == ("US dollars a call", "points of its limit")
