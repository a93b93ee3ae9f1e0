"""Metrics: what calls did since the sidecar began, as Prometheus reads it (text format 0.0.4).

What callers got is that of calls alone; what Bedrock was asked, and is paid for, is that of green's copies, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from crossfade.core.histogram import bin_seconds
from crossfade.core.observation import Row
from crossfade.core.snapshot import Snapshot

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_Labels = tuple[tuple[str, str], ...]
_HELP = {
    "calls": "Calls, by the variant they were assigned to and what became of them.",
    "attempts": "Attempts at targets, copies' too, by what became of them.",
    "served": "Answered calls, by the Model and region that served.",
    "tokens": "Tokens of answered calls and copies.",
    "cost_dollars": "What answered calls and copies cost, in US dollars.",
    "busy": "Calls that got the busy answer.",
    "raised": "Calls that got an error.",
    "retries": "Further tries at the same target.",
    "failovers": "Moves to another target.",
}
_TIMES = {"call_seconds": "Duration of answered calls.", "first_token_seconds": "Time to the first token of streams."}


class Totals:
    """Sums of rows; only ever grows, with routes, variants, Models and regions."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[_Labels]] = {name: Counter() for name in _HELP}
        self._times: dict[str, dict[_Labels, list[int]]] = {name: {} for name in _TIMES}
        self._seconds: dict[str, Counter[_Labels]] = {name: Counter() for name in _TIMES}

    def add(self, rows: Iterable[Row], snapshot: Snapshot | None) -> None:
        names = {entry.id: name for name, entry in snapshot.entries.items()} if snapshot else {}
        for row in rows:
            where: _Labels = (("route", names.get(row.route, str(row.route))), ("variant", str(row.variant)))
            for outcome, count in row.attempts.items():
                self._counts["attempts"][*where, ("outcome", outcome)] += count
            self._counts["tokens"][*where, ("direction", "input")] += row.tokens_in
            self._counts["tokens"][*where, ("direction", "output")] += row.tokens_out
            self._counts["cost_dollars"][where] += row.cost_sum  # type: ignore[assignment]
            if row.copies:  # at a shadow step green has no calls of its own
                continue
            for outcome, count in row.outcomes.items():
                self._counts["calls"][*where, ("outcome", outcome)] += count
            if row.model:
                self._counts["served"][*where, ("model", row.model), ("region", row.region)] += row.calls
            for name in ("busy", "raised", "retries", "failovers"):
                self._counts[name][where] += getattr(row, name)
            self._time("call_seconds", where, row.latency)
            self._time("first_token_seconds", where, row.first_token)

    def _time(self, name: str, where: _Labels, bins: Mapping[int, int]) -> None:
        table = self._times[name].setdefault(where, [0] * (len(BOUNDS) + 1))
        for index, count in bins.items():
            seconds = bin_seconds(index)
            table[bisect_left(BOUNDS, seconds)] += count
            self._seconds[name][where] += seconds * count  # type: ignore[assignment]

    def text(self, gauges: Mapping[str, tuple[str, float]], copies: Mapping[str, int]) -> str:
        """All of it; `gauges` maps further names to what they are and their values, `copies` what became of them to how
        many."""
        lines: list[str] = []
        for name, about in _HELP.items():
            lines += [f"# HELP crossfade_{name}_total {about}", f"# TYPE crossfade_{name}_total counter"]
            lines += [f"crossfade_{name}_total{_put(labels)} {n}" for labels, n in self._counts[name].items()]
        lines += ["# HELP crossfade_copies_total Copies of calls for green.", "# TYPE crossfade_copies_total counter"]
        lines += [f"crossfade_copies_total{_put((('result', name),))} {n}" for name, n in copies.items()]
        for name, about in _TIMES.items():
            lines += [f"# HELP crossfade_{name} {about}", f"# TYPE crossfade_{name} histogram"]
            for labels, table in self._times[name].items():
                reached = 0
                for bound, count in zip((*map(str, BOUNDS), "+Inf"), table, strict=True):
                    reached += count
                    lines.append(f"crossfade_{name}_bucket{_put((*labels, ('le', bound)))} {reached}")
                lines.append(f"crossfade_{name}_sum{_put(labels)} {self._seconds[name][labels]}")
                lines.append(f"crossfade_{name}_count{_put(labels)} {reached}")
        for name, (about, value) in gauges.items():
            lines += [
                f"# HELP crossfade_{name} {about}",
                f"# TYPE crossfade_{name} gauge",
                f"crossfade_{name} {value}",
            ]
        return "\n".join(lines) + "\n"


def _put(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
