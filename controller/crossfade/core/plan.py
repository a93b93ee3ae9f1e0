"""Plan, Step and Check: the script of a rollout, and the thresholds under which green may be promoted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from crossfade.core.metric import ALLOWED, ERROR_RATE, PATTERN, SCORE_PREFIX, is_metric, metric_of
from crossfade.core.reading import Reader

CALLS_MATURE = 150.0
"""Seconds: a call is recorded when it ends, and one that hangs for two minutes must still be judged, or a green that
hangs would be compared by its survivors."""
LEAST_MARGIN = 0.001
"""Points. No traffic tells less apart."""
LEAST_WEIGHT = 0.001
"""Percent."""
MOST_GATE_MARGIN = 0.5
"""No gate asks for less than this, as a fraction: margin / weight is cut here."""

MOST_OVERDISPERSION = 100.0
"""With more every call would tell next to nothing."""


class Breach(StrEnum):
    """What a failed check does."""

    ROLL_BACK = "roll_back"
    PAUSE = "pause"
    TELL = "tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A metric and how much worse green may be on it and still be promoted.

    `margin` is in points, above 0: a score's mean may fall, every other metric may rise, by at most that.
    `limit` is what latency, first token and cost are held against, in seconds or US dollars; None until it is fixed.
    `overdispersion` is what the judge starts with: how many times more than independent calls the difference jumps.
    `maturity` is how long after a bucket's end, in seconds, its calls are judged: what arrives later is kept and
    shown, never judged. A check that does not gate can still fail.
    `since` and `share` are written by an amendment alone (`core.amendment`): the check's evidence begins with the
    calls from `since` on (seconds since 1970; None: with the rollout), and it has `share` of alpha (None: as much as
    every other check).
    """

    metric: str
    margin: float
    on_breach: Breach = Breach.ROLL_BACK
    gating: bool = True
    maturity: float = 60.0
    limit: float | None = None
    overdispersion: float = 1.0
    since: float | None = None
    share: float | None = None

    @property
    def identity(self) -> tuple[str, float | None]:
        """What tells its evidence from any other's within one rollout: its metric, and since when."""
        return self.metric, self.since

    @property
    def loss_margin(self) -> float:
        """The margin as a difference of mean losses, in (0, 1)."""
        return self.margin / 100

    @property
    def said(self) -> str:
        """The metric's name aloud: "error rate", "calls slower than 1.8 s"."""
        return metric_of(self.metric).said(self.limit)

    @property
    def is_score(self) -> bool:
        return self.metric.startswith(SCORE_PREFIX)

    @property
    def score_name(self) -> str:
        """The name scores are sent under; `accuracy` for the metric `score.accuracy`."""
        return self.metric.removeprefix(SCORE_PREFIX)

    def gate_margin(self, next_weight: float) -> float:
        """The margin asked for before a step to `next_weight` percent, as a loss difference.

        Proportional to harm: the harm to the whole traffic, weight x margin, never exceeds the check's margin.
        """
        return min(MOST_GATE_MARGIN, self.loss_margin / (next_weight / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage: green's weight in percent, its shortest stay in seconds, and whether a person opens its gate.

    The weight lies below 100: at 100 no blue call is left to compare with. Promotion is what comes after the last.
    With `shadow` above 0 the weight is 0: blue serves every call, and of that many percent of them green gets a copy
    that nobody waits for.
    """

    weight: float
    bake: float = 600.0
    approve: bool = False
    shadow: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The script of a rollout.

    `alpha` bounds the chance that a green no worse than blue is ever rolled back, over the whole rollout and all
    checks; `beta` the chance that a green worse by a margin or more passes the last gate. `time_limit` (seconds)
    is when an undecided rollout asks for a person; None means never.
    """

    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    alpha: float = 0.05
    beta: float = 0.05
    least_buckets: int = 6
    least_green_calls: int = 30
    time_limit: float | None = None
    evaluate_every: float = 10.0
    most_throttled: float = 0.05
    """Share of green's calls that may meet throttling before the ramp waits."""

    @property
    def shares(self) -> tuple[float, ...]:
        """Each check's share of alpha; all together at most 1."""
        return tuple(1 / len(self.checks) if check.share is None else check.share for check in self.checks)

    @property
    def split_maturity(self) -> float:
        """How long after a bucket's end the split of its calls is tested: as the error rate, checked or not."""
        return next((check.maturity for check in self.checks if check.metric == ERROR_RATE), CALLS_MATURE)

    @property
    def paired(self) -> frozenset[int]:
        """The steps whose calls are compared in pairs: blue's call and green's copy of it."""
        return frozenset(position for position, step in enumerate(self.steps) if step.shadow)

    @property
    def unshadowed(self) -> Plan:
        """The same without its shadow step."""
        return replace(self, steps=tuple(step for step in self.steps if not step.shadow)) if self.paired else self

    def gate_weight(self, step: int) -> float:
        """The weight the gate at the end of `step` leads to, in percent; 100 is promotion."""
        return self.steps[step + 1].weight if step + 1 < len(self.steps) else 100.0

    def is_last(self, step: int) -> bool:
        return step + 1 >= len(self.steps)


DEFAULT_WEIGHTS = (1.0, 5.0, 25.0, 50.0)


def read_plan(reader: Reader, *, kept: bool = False) -> Plan:
    """Reads a plan; problems go to the reader. Steps may be left out: 1, 5, 25, 50 % at ten minutes each.

    `kept` is one that was written by `plan_to_dict`: it may have been amended.
    """
    if reader.has("steps"):
        steps = tuple(_read_step(item) for item in reader.sections("steps", least=1, most=50))
    else:
        reader.raw("steps")
        steps = tuple(Step(weight=weight) for weight in DEFAULT_WEIGHTS)
    for position in range(1, len(steps)):
        if steps[position].weight <= steps[position - 1].weight and steps[position].weight > 0:
            reader.problem(
                f"steps[{position}].weight",
                f"is {steps[position].weight:g}; weights must rise, and the step before has"
                f" {steps[position - 1].weight:g}",
            )
    _check_shadow(reader, steps)
    plan = Plan(
        steps=steps,
        checks=read_checks(reader, kept=kept),
        alpha=reader.number("alpha", 0.05, above=0, most=0.5),
        beta=reader.number("beta", 0.05, above=0, most=0.5),
        least_buckets=reader.integer("least_buckets", 6, least=2, most=10_000),
        least_green_calls=reader.integer("least_green_calls", 30, least=1),
        time_limit=reader.number("time_limit", above=0, unit="seconds") if reader.has("time_limit") else None,
        evaluate_every=reader.number("evaluate_every", 10.0, least=1, most=3600, unit="seconds"),
        most_throttled=reader.number("most_throttled", 0.05, above=0, most=1),
    )
    reader.raw("time_limit")
    reader.close()
    return plan


def read_checks(reader: Reader, *, kept: bool = False) -> tuple[Check, ...]:
    """Reads the list under `checks`."""
    checks = tuple(_read_check(item, kept) for item in reader.sections("checks", least=1, most=20))
    metrics = [check.metric for check in checks]
    for position, metric in enumerate(metrics):
        if metric in metrics[:position]:
            reader.problem(f"checks[{position}].metric", f"{metric!r} is checked twice; keep one")
    if checks and not any(check.gating for check in checks):
        reader.problem("checks", "none of them gates; at least one check must have gating = true")
    return checks


def _check_shadow(reader: Reader, steps: tuple[Step, ...]) -> None:
    for position, step in enumerate(steps):
        if step.shadow and position:
            reader.problem(
                f"steps[{position}].shadow",
                "only the first step may be a shadow: once green serves users, compare it on their calls",
            )
    if len(steps) == 1 and steps[0].shadow:
        reader.problem(
            "steps",
            "a shadow step alone shows green to nobody; add a step with a weight before green serves all calls",
        )


def _read_step(reader: Reader) -> Step:
    shadow = reader.number("shadow", above=0, most=100, unit="percent of calls") if reader.has("shadow") else 0.0
    reader.raw("shadow")
    if reader.has("shadow"):
        weight = reader.number("weight", 0.0, least=0, below=100, unit="percent")
        if weight:
            reader.problem("weight", f"is {weight:g}; while green gets copies only (shadow) it is 0: leave it out")
    else:
        weight = reader.number("weight", least=LEAST_WEIGHT, below=100, unit="percent")
    step = Step(
        weight=weight,
        bake=reader.number("bake", 600.0, least=0, most=90 * 86_400, unit="seconds"),
        approve=reader.flag("approve", False),
        shadow=shadow,
    )
    reader.close()
    return step


def _read_check(reader: Reader, kept: bool) -> Check:
    name = reader.text("metric", pattern=PATTERN, like=ALLOWED)
    usual = 60.0 if name.startswith(SCORE_PREFIX) else CALLS_MATURE
    check = Check(
        metric=name,
        margin=reader.number("margin", least=LEAST_MARGIN, most=50, unit="percentage points"),
        on_breach=Breach(reader.choice("on_breach", list(Breach), Breach.ROLL_BACK)),
        gating=reader.flag("gating", True),
        maturity=reader.number("maturity", usual, least=0, most=30 * 86_400, unit="seconds"),
        limit=_read_limit(reader, name),
        overdispersion=reader.number("overdispersion", 1.0, least=1, most=MOST_OVERDISPERSION),
        since=reader.number("since") if kept and reader.has("since") else None,
        share=reader.number("share", above=0, most=1) if kept and reader.has("share") else None,
    )
    reader.close()
    return check


def _read_limit(reader: Reader, name: str) -> float | None:
    metric = metric_of(name)
    reader.raw("limit")
    if not reader.has("limit") or not is_metric(name):
        return None
    if metric.limit_unit is None:
        reader.problem("limit", f"{name} is held against no limit; leave it out")
        return None
    return reader.number("limit", above=0, most=metric.most_limit, unit=metric.limit_unit)


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as `read_plan` takes it back."""
    return {
        "steps": [_step_to_dict(step) for step in plan.steps],
        "checks": [check_to_dict(check) for check in plan.checks],
        "alpha": plan.alpha,
        "beta": plan.beta,
        "least_buckets": plan.least_buckets,
        "least_green_calls": plan.least_green_calls,
        "time_limit": plan.time_limit,
        "evaluate_every": plan.evaluate_every,
        "most_throttled": plan.most_throttled,
    }


def _step_to_dict(step: Step) -> dict[str, Any]:
    shadow = {"shadow": step.shadow} if step.shadow else {}
    return {"weight": step.weight, "bake": step.bake, "approve": step.approve} | shadow


def check_to_dict(check: Check) -> dict[str, Any]:
    """One check of it. What only an amendment writes is there only where one did."""
    amended = {name: value for name, value in (("since", check.since), ("share", check.share)) if value is not None}
    return {
        "metric": check.metric,
        "margin": check.margin,
        "on_breach": str(check.on_breach),
        "gating": check.gating,
        "maturity": check.maturity,
        "limit": check.limit,
        "overdispersion": check.overdispersion,
    } | amended
