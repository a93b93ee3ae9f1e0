"""A tile says each metric in its own unit."""

from __future__ import annotations

from crossfade.core.evidence import Summary
from crossfade.core.plan import Check
from crossfade.core.verdict import Ruling, Verdict
from crossfade.server.figures import verdict_figures
from crossfade.server.pages.tile import Tile, tile


def shown(check: Check, blue: Summary, green: Summary, estimate: float, *, ended: bool = False) -> Tile:
    verdict = Verdict(
        check=check,
        ruling=Ruling.INCONCLUSIVE,
        blue=blue,
        green=green,
        step_blue=blue,
        step_green=green,
        estimate=estimate,
        lower=estimate - 0.01,
        upper=estimate + 0.01,
        gate_margin=check.loss_margin,
        log_e_worse_needed=3.0,
        log_e_gate_needed=3.0,
        calls_needed=117,
    )
    return tile(verdict_figures(verdict), ended=ended)


def test_latency_is_a_share_of_calls() -> None:
    check = Check(metric="latency", margin=2, limit=1.8)
    found = shown(check, Summary(1000, 50, 50), Summary(100, 6, 6), estimate=0.01)
    assert found.name == "calls slower than 1.8 s"
    assert (found.blue, found.blue_n, found.green, found.green_n) == (
        "5.00 %", "50 of 1,000 calls", "6.00 %", "6 of 100 calls",
    )  # fmt: skip
    assert found.difference == "Green is worse by 1 point"
    assert found.interval == "between 0 and 2 worse"
    assert found.notes[-1] == "Margin 2 points; a breach rolls back."


def test_cost_is_dollars_a_call() -> None:
    check = Check(metric="cost", margin=2, limit=0.04)
    found = shown(check, Summary(1000, 250, 80), Summary(100, 20, 5), estimate=-0.05)
    assert found.name == "cost a call"
    assert (found.blue, found.blue_n, found.green) == ("$0.0100", "1,000 calls", "$0.00800")
    assert found.difference == "Green is better by $0.00200"
    assert found.interval == "between $0.00240 better and $0.00160 better"
    assert found.meters[0].words == "a rise by $0.000800 ruled out"
    assert found.notes[-1] == "Margin $0.000800, 2 points of the limit $0.0400; a breach rolls back."
    assert found.drawing is not None
    assert found.drawing.gate.words == "gate: $0.000800 worse"


def test_a_score_falls() -> None:
    check = Check(metric="score.accuracy", margin=1)
    found = shown(check, Summary(100, 10, 10), Summary(50, 10, 10), estimate=0.1)
    assert (found.name, found.blue, found.blue_n) == ("accuracy", "90.00 %", "100 scored")
    assert found.meters[0].words == "a fall by 1 point ruled out"


def test_nothing_is_foretold_of_a_rollout_that_has_ended() -> None:
    check, blue, green = Check(metric="error_rate", margin=1), Summary(100, 10, 10), Summary(50, 10, 10)
    margin = "Margin 1 point; a breach rolls back."
    forecast = "About 117 more calls until the gate should open."
    assert shown(check, blue, green, 0.1).notes == (forecast, margin)
    assert shown(check, blue, green, 0.1, ended=True).notes == (margin,)


def test_figures_of_an_earlier_version_have_no_limit() -> None:
    check = Check(metric="error_rate", margin=1)
    verdict = Verdict(
        check=check, ruling=Ruling.NO_DATA, gate_margin=0.01, log_e_worse_needed=3.0, log_e_gate_needed=3.0
    )
    figures = verdict_figures(verdict)
    del figures["limit"]
    assert tile(figures).name == "error rate"
