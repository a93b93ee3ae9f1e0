"""Figures: verdicts and conditions as plain numbers, for the journal, the charts and the pages."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from crossfade.core.decision import Conditions, Decision
from crossfade.core.evidence import Summary
from crossfade.core.sentence import split_sentence, verdict_sentence
from crossfade.core.verdict import Split, Verdict

MOST_LOG = 1e6
"""JSON has no infinity: evidence beyond any doubt is written as this."""


def verdict_figures(verdict: Verdict, waiting: int = 0) -> dict[str, Any]:
    """One tile: losses as fractions (green minus blue, positive is worse), margins of the check in points. `waiting` as
    in `core.sentence.verdict_sentence`.

    Keys: metric, is_score, limit (seconds, US dollars or None), since (seconds since 1970, None: with the rollout),
    margin (points), maturity, on_breach, gating, ruling, sentence, blue, green, step_blue, step_green (each {n, s, q,
    mean}; mean is a loss), estimate, lower, upper, gate_margin (a fraction), gate_passed, log_e_worse,
    log_e_worse_needed, log_e_gate, log_e_gate_needed, calls_needed, worth (calls), overdispersion, buckets,
    step_buckets.
    """
    return {
        "metric": verdict.check.metric,
        "is_score": verdict.check.is_score,
        "limit": verdict.check.limit,
        "since": verdict.check.since,
        "margin": verdict.check.margin,
        "maturity": verdict.check.maturity,
        "on_breach": str(verdict.check.on_breach),
        "gating": verdict.check.gating,
        "ruling": str(verdict.ruling),
        "sentence": verdict_sentence(verdict, waiting),
        "blue": _summary(verdict.blue),
        "green": _summary(verdict.green),
        "step_blue": _summary(verdict.step_blue),
        "step_green": _summary(verdict.step_green),
        "estimate": _number(verdict.estimate),
        "lower": _number(verdict.lower),
        "upper": _number(verdict.upper),
        "gate_margin": float(verdict.gate_margin),
        "gate_passed": bool(verdict.gate_passed),
        "log_e_worse": log_figure(verdict.log_e_worse),
        "log_e_worse_needed": log_figure(verdict.log_e_worse_needed),
        "log_e_gate": log_figure(verdict.log_e_gate),
        "log_e_gate_needed": log_figure(verdict.log_e_gate_needed),
        "calls_needed": None if verdict.calls_needed is None else int(verdict.calls_needed),
        "worth": verdict.worth,
        "overdispersion": _number(verdict.overdispersion),
        "buckets": int(verdict.buckets),
        "step_buckets": int(verdict.step_buckets),
    }


def split_figures(split: Split | None) -> dict[str, Any] | None:
    """Of all calls split by chance so far how many green got and was to get; None where that was not asked.

    Keys: calls, green, expected, share, expected_share (fractions, None without calls), p, log_e, log_e_needed,
    alarmed, sentence.
    """
    if split is None:
        return None
    return {
        "calls": int(split.calls),
        "green": int(split.green),
        "expected": float(split.expected),
        "share": split.green / split.calls if split.calls else None,
        "expected_share": split.expected / split.calls if split.calls else None,
        "p": float(split.p),
        "log_e": log_figure(split.log_e),
        "log_e_needed": log_figure(split.log_e_needed),
        "alarmed": bool(split.alarmed),
        "sentence": split_sentence(split),
    }


def conditions_figures(conditions: Conditions) -> dict[str, Any]:
    return asdict(conditions)


def decision_figures(decision: Decision) -> dict[str, Any]:
    """Everything a decision rested on, as the journal keeps it."""
    return {
        "verdicts": [
            verdict_figures(verdict, decision.conditions.waiting.get(verdict.check.metric, 0))
            for verdict in decision.judgement.verdicts
        ],
        "split": split_figures(decision.judgement.split),
        "conditions": conditions_figures(decision.conditions),
        "log_e_worse": log_figure(decision.judgement.log_e_worse),
        "log_e_worse_needed": log_figure(decision.judgement.log_e_worse_needed),
        "failed": decision.failed.check.metric if decision.failed else None,
    }


def log_figure(value: float) -> float:
    """A natural log, within what JSON can say."""
    return max(-MOST_LOG, min(MOST_LOG, float(value)))


def _summary(summary: Summary) -> dict[str, Any]:
    return {"n": int(summary.n), "s": float(summary.s), "q": float(summary.q), "mean": _number(summary.mean)}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
