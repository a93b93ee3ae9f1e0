"""Plots: false roll-backs over looks, detection over calls, and one run's interval; SVG with live text."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rules import ours
from benchmarks.rules.calls import CALLS_PER_LOOK, MARGIN, Calls, Floats
from benchmarks.rules.comparison import WINDOW, bound_calls, delay, share
from benchmarks.rules.rule import ALPHA, Ends
from benchmarks.rules.table import calls as in_calls

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crossfade",  # the same picture is the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
COLOURS = ("#b8860b", "#8c564b", "#7f7f7f", "#9467bd", "#2a8a57", "#d1495b", "#e07a1f", "#0b5cad")
"""One a rule, in the order of the rules; Crossfade's is the last."""

POINTS = 60
LOWEST = 0.03
GREY = "#555555"
MARGIN_COLOUR = "#d1495b"
DASHES = (0, (4, 3))


def draw_all(folder: Path, calls: dict[str, Calls], ends: dict[str, dict[str, Ends]]) -> None:
    """Writes rules-false.svg, rules-delay.svg and rules-interval.svg to the folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        _save(_false(ends), folder / "rules-false.svg")
        _save(_delay(ends), folder / "rules-delay.svg")
        _save(_interval(calls), folder / "rules-interval.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _by(calls: Floats, at: Floats) -> Floats:
    """Share of runs that ended by `at` calls, in percent."""
    percent: Floats = 100 * np.searchsorted(np.sort(calls), at, side="right") / len(calls)
    return percent


def _false(ends: dict[str, dict[str, Ends]]) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    looks = np.unique(np.round(np.geomspace(1, WINDOW / CALLS_PER_LOOK, POINTS)))
    at_end = {}
    for (name, by_scenario), colour in zip(ends.items(), COLOURS, strict=True):
        shares = _by(by_scenario["equal"].rolled_back, looks * CALLS_PER_LOOK)
        seen = np.where(shares > 0, shares, np.nan)
        axes.plot(looks, seen, color=colour, lw=_thickness(name), drawstyle="steps-post")
        at_end[name] = (100 * share(np.isfinite(by_scenario["equal"].rolled_back)).share, colour)
    axes.axhline(100 * ALPHA, color=GREY, lw=1, ls=DASHES)
    axes.text(900, 100 * ALPHA * 1.06, "5 %, what was asked for", color=GREY, va="bottom", ha="right")
    axes.set(xscale="log", yscale="log", xlim=(1, 1_000), ylim=(LOWEST, 150))
    axes.set_xlabel("looks, 100 calls apart")
    axes.set_ylabel("equal models rolled back by then, % of runs")
    axes.set_xticks([1, 10, 100, 1_000], ["1", "10", "100", "1,000"])
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axes.minorticks_off()
    _label_ends(axes, at_end)
    return figure


def _thickness(name: str) -> float:
    return 2.6 if name == ours.RULE.name else 1.5


def _label_ends(axes: Axes, at_end: dict[str, tuple[float, str]], apart: float = 0.062) -> None:
    """Each line's name right of its end, moved up where names would overlap, with a thin line to the end."""
    place = -1.0
    to_axes = axes.transAxes.inverted()
    for name, (value, colour) in sorted(at_end.items(), key=lambda each: each[1][0]):
        end = to_axes.transform(axes.transData.transform((1_000, max(value, LOWEST))))[1]
        place = max(end, place + apart)
        _label(
            axes,
            name,
            f"{name}: {value:.{0 if value >= 10 else 1}f} %",
            colour,
            (1, end),
            (1.035, place),
            "axes fraction",
        )


def _label(
    axes: Axes, name: str, text: str, colour: str, xy: tuple[float, float], at: tuple[float, float], xycoords: str
) -> None:
    axes.annotate(
        text,
        xy=xy,
        xytext=at,
        xycoords=xycoords,
        textcoords="axes fraction",
        va="center",
        color=colour,
        fontweight="bold" if name == ours.RULE.name else "normal",
        arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkA": 1, "shrinkB": 0},
    )


def _delay(ends: dict[str, dict[str, Ends]]) -> Figure:
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    at = np.unique(np.round(np.geomspace(500, WINDOW, POINTS) / CALLS_PER_LOOK)) * CALLS_PER_LOOK
    bound = bound_calls(0.01)
    curves = {}
    for (name, by_scenario), colour in zip(ends.items(), COLOURS, strict=True):
        calls = by_scenario["one point"].rolled_back
        # A rule that rolls back more of the equal ones than it may is early for that reason.
        breaks = np.isfinite(by_scenario["equal"].rolled_back).mean() > 2 * ALPHA
        axes.plot(at, _by(calls, at), color=colour, lw=_thickness(name), ls=DASHES if breaks else "-")
        curves[name] = (calls, colour)
    axes.axvline(bound, color=GREY, lw=1)
    axes.text(bound * 0.97, 104, f"information bound, {bound:,.0f}", color=GREY, ha="right", va="center")
    axes.text(520, 96, "dashed: does not\nkeep its 5 %", color=GREY, ha="left", va="top")
    axes.set(xscale="log", xlim=(500, WINDOW), ylim=(0, 108))
    axes.set_xlabel("calls")
    axes.set_ylabel("green worse by 1 point rolled back, % of runs")
    ticks = [1_000, 10_000, 100_000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.minorticks_off()
    _label_curves(axes, curves)
    return figure


def _label_curves(axes: Axes, curves: dict[str, tuple[Floats, str]]) -> None:
    """Names in a column right of the plot, the latest rule lowest, each with a line to its curve."""
    ordered = sorted(curves.items(), key=lambda each: float(np.median(each[1][0])))
    axes.text(1.02, 0.985, "calls at the median", transform=axes.transAxes, color=GREY, va="center")
    places, heights = np.linspace(0.9, 0.06, len(ordered)), np.linspace(84, 12, len(ordered))
    for place, height, (name, (calls, colour)) in zip(places, heights, ordered, strict=True):
        meets = min(WINDOW, float(np.quantile(calls, height / 100, method="inverted_cdf")))
        text = f"{name}, {in_calls(delay(calls).median)}"
        _label(axes, name, text, colour, (meets, height), (1.02, place), "data")


def _interval(calls: dict[str, Calls]) -> Figure:
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    _one_interval(panels[0], calls["equal"], "Green is blue's equal")
    _one_interval(panels[1], calls["one point"], "Green is worse by 1 point")
    panels[0].set_ylabel("green's error rate - blue's, points")
    right = panels[1].get_yaxis_transform()
    panels[1].text(1.02, 100 * MARGIN, "margin", color=MARGIN_COLOUR, va="center", transform=right)
    panels[1].text(1.02, 0, "no difference", color=GREY, va="center", transform=right)
    return figure


def _one_interval(axes: Axes, calls: Calls, title: str) -> None:
    """The scenario's first run, a point every thousand calls until its decision."""
    path = ours.interval_path(calls, 0)
    low, high, blue = -2.0, 4.5, COLOURS[-1]
    lower = np.clip(100 * np.nan_to_num(path.lower, nan=-1.0), low, high)
    upper = np.clip(100 * np.nan_to_num(path.upper, nan=1.0), low, high)
    axes.fill_between(path.calls, lower, upper, color=blue, alpha=0.18, lw=0)
    axes.plot(path.calls, 100 * path.estimate, color=blue, lw=1.8)
    axes.axhline(0, color=GREY, lw=1)
    axes.axhline(100 * MARGIN, color=MARGIN_COLOUR, lw=1, ls=DASHES)
    last = float(path.calls[-1])
    axes.set(xlim=(0, last), ylim=(low, high), xlabel="calls")
    axes.set_title(f"{title}: {path.decision}", fontsize=11)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    middle, top = len(path.calls) // 2, int(np.argmax(path.estimate))
    axes.text(path.calls[middle], upper[middle] - 0.5, "interval", color=blue, ha="center", va="top")
    side = "left" if top < middle else "right"
    axes.text(path.calls[top], 100 * path.estimate[top] + 0.1, "estimate", color=blue, ha=side, va="bottom")
