"""Case: what `crossfade simulate` is to play, read from its options. Every problem at once, each with its option."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crossfade.core.metric import ERROR_RATE, SCORE_NAME, SCORE_PREFIX
from crossfade.core.plan import DEFAULT_WEIGHTS, Plan, read_plan
from crossfade.core.reading import Reader, number_in, rate_in
from crossfade.errors import Problem, SetupError

if TYPE_CHECKING:
    from crossfade.simulation.simulate import Case, Kind
    from crossfade.simulation.truth import Truth

KINDS = ("--burst", "--sticky", "--late", "--graded")
MOST_RUNS = 1_000_000
MOST_BUCKET = 100_000
MOST_CALLS = 100_000_000
MOST_USERS = 100_000


def read_case(given: Mapping[str, Any]) -> Case:
    """The case that the options (by click's names, values as typed) ask for; raises `SetupError`, a line a problem."""
    from crossfade.simulation.simulate import Case

    reader = Reader({_option(name): value for name, value in given.items() if value not in (None, False)})
    metric = str(reader.raw("--metric"))
    if metric != ERROR_RATE and not re.fullmatch(rf"{re.escape(SCORE_PREFIX)}{SCORE_NAME}", metric):
        reader.problem(
            "--metric",
            f"{metric!r} cannot be simulated; allowed: {ERROR_RATE}, or score.NAME with a name of a-z, 0-9 and _ such"
            " as score.accuracy",
        )
        raise SetupError(str(reader.problems[0]))
    plan = _plan(reader)
    calls = _whole(reader, "--calls-per-bucket", least=1, most=MOST_BUCKET)
    case = Case(
        plan=plan,
        truths=(_truth(reader, is_score=metric != ERROR_RATE),),
        traffic=_traffic(reader, calls),
        calls=calls,
        most_calls=_whole(reader, "--most-calls", least=calls, most=MOST_CALLS),
        runs=_whole(reader, "--runs", least=1, most=MOST_RUNS),
        seed=_whole(reader, "--seed", least=0),
    )
    if reader.problems:
        raise SetupError("\n".join(str(problem) for problem in reader.problems))
    return case


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _plan(reader: Reader) -> Plan:
    """By the rules of registration; what they find wrong bears the option's name."""
    if reader.has("--steps") and reader.has("--weight"):
        reader.problem("--weight", "cannot be given together with --steps; leave one out")
    asked = "--weight" if reader.has("--weight") else "--steps"
    document: dict[str, Any] = {
        "checks": [{"metric": reader.raw("--metric"), "margin": number_in(reader.raw("--margin"))}],
        "alpha": _rate(reader, "--alpha", above=0, most=0.5),
        "beta": _rate(reader, "--beta", above=0, most=0.5),
    }
    if reader.has(asked):
        weights = str(reader.raw(asked)).split(",") if asked == "--steps" else [reader.raw(asked)]
        document["steps"] = [
            {"weight": number_in(str(weight).strip().removesuffix("%")), "bake": 0} for weight in weights
        ]
    else:
        document["steps"] = [{"weight": weight, "bake": 0} for weight in DEFAULT_WEIGHTS]
    found = Reader(document)
    plan = read_plan(found)
    options = {"steps": asked, "checks[0].metric": "--metric", "checks[0].margin": "--margin"}
    for problem in found.problems:
        path = next((option for start, option in options.items() if problem.path.startswith(start)), problem.path)
        reader.problems.append(Problem(path, problem.message))
    return plan


def _truth(reader: Reader, *, is_score: bool) -> Truth:
    """In losses: a score s counts as 1 - s."""
    from crossfade.simulation.truth import Truth

    def loss(option: str) -> float:
        if is_score:
            return 1 - _rate(reader, option, above=0, most=1)
        return _rate(reader, option, least=0, below=1)

    blue, green = loss("--base"), loss("--green")
    turn, turns_at = _pair(reader, "--turn", "@", "POINTS@CALLS, such as 4@50000") or (0.0, math.inf)
    if not 0 <= turn <= 100:
        reader.problem("--turn", f"is {turn:g} points; must be at least 0 and at most 100")
    outage = _pair(reader, "--outage", ":", "FROM:TO in calls, such as 5000:6000") or (math.inf, math.inf)
    if outage[0] > outage[1] or outage[0] == outage[1] < math.inf:
        reader.problem("--outage", f"ends at {outage[1]:g} and begins at {outage[0]:g}; give FROM below TO")
    return Truth(
        blue=blue,
        green=green,
        drift=loss("--drift") if reader.has("--drift") else None,
        turns_at=turns_at,
        turn=turn / 100,
        outage=outage,
    )


def _traffic(reader: Reader, calls: int) -> Kind:
    from crossfade.simulation.simulate import Users
    from crossfade.simulation.traffic import Graded, Independent, Late

    asked = [option for option in KINDS if reader.has(option)]
    for option in asked[1:]:
        reader.problem(option, f"cannot be given together with {asked[0]}; one kind of traffic at a time")
    if reader.has("--burst"):
        size = _whole(reader, "--burst", least=2, most=calls)
        if calls % size:
            reader.problem("--burst", f"is {size}; groups of that size do not fill the {calls} calls of a bucket")
        return Independent(size, keyed=True)
    if reader.has("--sticky"):
        return Users(count=_whole(reader, "--sticky", least=2, most=MOST_USERS))
    if reader.has("--graded"):
        if reader.raw("--metric") == ERROR_RATE:
            reader.problem("--graded", "needs --metric score.NAME: an error is there or not")
        return Graded()
    return Late() if reader.has("--late") else Independent()


def _whole(reader: Reader, option: str, *, least: int, most: int = 2**63 - 1) -> int:
    return Reader({option: number_in(reader.raw(option))}, "", reader.problems).integer(option, least=least, most=most)


def _rate(
    reader: Reader,
    option: str,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """A fraction, written as 0.01 or as 1%."""
    text = str(reader.raw(option)).strip()
    try:
        value = rate_in(text)
    except ValueError:
        reader.problem(option, f"{text!r} is not a rate; write 0.01 or 1%")
        return 0.01
    found: list[Problem] = []
    fraction = Reader({option: value}, "", found).number(option, above=above, below=below, least=least, most=most)
    hint = f"; {value:g} in a hundred is {value:g}%" if 1 <= value <= 100 and not text.endswith("%") else ""
    reader.problems.extend(Problem(option, problem.message + hint) for problem in found)
    return 0.01 if found else fraction


def _pair(reader: Reader, option: str, sign: str, like: str) -> tuple[float, float] | None:
    """Two numbers with a sign between them, the calls at least 0; None where it was not given or is wrong."""
    if not reader.has(option):
        return None
    first, found, second = str(reader.raw(option)).partition(sign)
    try:
        pair = float(first), float(second)
    except ValueError:
        pair = math.nan, math.nan
    if not found or not all(math.isfinite(number) and number >= 0 for number in pair):
        reader.problem(option, f"{reader.raw(option)!r} is not {like}")
        return None
    return pair
