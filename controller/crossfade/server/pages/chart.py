"""Chart: the evidence over time as columns for the charts, and as the table behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crossfade.server.pages.tile import name, tile
from crossfade.server.pages.words import act, share
from crossfade.server.views.evaluations import Evaluation


def columns(looks: Sequence[Evaluation]) -> dict[str, Any]:
    """Times in seconds since 1970; differences and margins in points, positive is worse; evidence as shares of need.

    `markers` are the looks that moved the rollout, and the first of each step.
    """
    metrics = list(dict.fromkeys(figures["metric"] for look in looks for figures in look.verdicts))
    return {
        "at": [round(look.at.timestamp(), 3) for look in looks],
        "wanted": [look.weight for look in looks],
        "seen": [_seen(look) for look in looks],
        "checks": [_check(metric, looks) for metric in metrics],
        "markers": _markers(looks),
    }


def _check(metric: str, looks: Sequence[Evaluation]) -> dict[str, Any]:
    found = [next((f for f in look.verdicts if f["metric"] == metric), None) for look in looks]

    def column(name: str, scale: float = 100.0) -> list[float | None]:
        return [None if f is None or f[name] is None else round(scale * f[name], 4) for f in found]

    return {
        "metric": metric,
        "name": _names(looks)[metric],
        "estimate": column("estimate"),
        "lower": column("lower"),
        "upper": column("upper"),
        "gate": column("gate_margin"),
        "margin": next((f["margin"] for f in reversed(found) if f), None),
        "worse": [_progress(f, "log_e_worse") for f in found],
        "within": [_progress(f, "log_e_gate") for f in found],
    }


def _progress(figures: Mapping[str, Any] | None, name: str) -> float | None:
    """How far the evidence is on the log scale, in percent of what is needed."""
    if figures is None or not figures[f"{name}_needed"]:
        return None
    share = 100 * float(figures[name]) / float(figures[f"{name}_needed"])
    return round(max(-100.0, min(200.0, share)), 2)


def _seen(look: Evaluation) -> float | None:
    calls = look.conditions.get("calls") or 0
    # At a shadow step green has copies, which are no share of the calls.
    return round(100 * look.conditions.get("green_calls", 0) / calls, 3) if calls and look.weight else None


def _markers(looks: Sequence[Evaluation]) -> list[dict[str, Any]]:
    markers = []
    before: Evaluation | None = None
    for look in looks:
        at = round(look.at.timestamp(), 3)
        if look.act != "hold":
            markers.append({"at": at, "act": look.act, "words": act(look.act)})
        if before is not None and look.step != before.step:
            markers.append({"at": at, "act": "step", "words": share(look.weight)})
        before = look
    return markers


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One look as the table says it; `cells` has a (difference, interval, ruling) for each check."""

    at: datetime
    step: int
    weight: str
    act: str
    cells: tuple[tuple[str, str, str], ...]


def table(looks: Sequence[Evaluation]) -> tuple[list[str], list[TableRow]]:
    """The checks' names, and the looks, newest first."""
    metrics = list(dict.fromkeys(figures["metric"] for look in looks for figures in look.verdicts))
    rows = []
    for look in reversed(looks):
        by_metric = {figures["metric"]: tile(figures) for figures in look.verdicts}
        cells = tuple(
            (by_metric[m].difference, by_metric[m].interval, by_metric[m].ruling) if m in by_metric else ("–", "–", "–")
            for m in metrics
        )
        rows.append(TableRow(at=look.at, step=look.step + 1, weight=share(look.weight), act=act(look.act), cells=cells))
    return [_names(looks)[metric] for metric in metrics], rows


def _names(looks: Sequence[Evaluation]) -> dict[str, str]:
    return {figures["metric"]: name(figures) for look in looks for figures in look.verdicts}
