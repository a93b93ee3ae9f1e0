"""Expectations: how a scenario must end, checked against the facts. Each check returns what differs, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from crossfade.demo.cast import REGIONS
from crossfade.demo.facts import Facts
from crossfade.demo.scenarios import Scenario

_PRIMARY, _SECOND, _ = REGIONS
LEAST_P = 1e-5
"""Below this the observed weight is not the weight. Six scenarios of three steps: wrong once in 5,000 runs of all."""


def differences(scenario: Scenario, facts: Facts) -> list[str]:
    """Everything in which the run did not end as the scenario must; empty if it did."""
    checks: Iterable[Callable[[Scenario, Facts], Iterator[str]]] = (_always, _OF[scenario.name])
    return [difference for check in checks for difference in check(scenario, facts)]


def _always(scenario: Scenario, facts: Facts) -> Iterator[str]:
    if facts.phase not in scenario.phases:
        yield f"the rollout is {facts.phase}, not {' or '.join(scenario.phases)}: {facts.sentence}"
    if facts.calls_recorded != facts.calls_made:
        yield f"the services made {facts.calls_made:,} calls, but {facts.calls_recorded:,} are recorded"
    if facts.scores_recorded != facts.scores_sent:
        yield f"the services sent {facts.scores_sent:,} scores, but {facts.scores_recorded:,} are recorded"
    if not facts.calls_made or not facts.scores_sent:
        yield "no calls were made"
    for text, count in facts.errors.most_common(3):
        yield f"an exception reached a service {count} times: {text}"
    if scenario.most_green_calls is not None and facts.green_calls > scenario.most_green_calls:
        yield f"{facts.green_calls:,} calls were spent on green, more than {scenario.most_green_calls:,}"
    yield from _past(facts)
    from crossfade.demo.report import observed_weights

    for seen in observed_weights(facts.totals, facts.rollout["plan"]["steps"]):
        if seen["p"] < LEAST_P:
            yield (
                f"step {seen['step']} sent {seen['observed']:g} % of {seen['calls']:,} calls to green instead of"
                f" {seen['weight']:g} % (p = {seen['p']:.1g})"
            )


def _past(facts: Facts) -> Iterator[str]:
    """Replayed under its own plan the rollout decides what was decided, and every decision is explained."""
    for differs in facts.replay["differs"][:3]:
        yield f"the replay is not the journal: {differs}"
    for entry, again in zip(facts.decisions, facts.replay["decisions"], strict=False):
        if (entry["at"], entry["sentence"]) != (again["at"], again["sentence"]):
            yield f"the replay decides at {again['at']}: {again['sentence']} (recorded: {entry['sentence']})"
    for told in facts.explanations:
        for differs in told["differs"][:3]:
            yield f"the explanation of decision {told['decision']} is not what was recorded: {differs}"


def _better(scenario: Scenario, facts: Facts) -> Iterator[str]:
    if facts.phase == "promoted" and facts.route_blue != scenario.green:
        yield f"the route's blue is {facts.route_blue}, not {scenario.green}"
    yield from _shown_at_every_step(scenario, facts)
    if facts.busy_at:
        yield f"{len(facts.busy_at)} polite answers, though nothing was wrong"


def _shown_at_every_step(scenario: Scenario, facts: Facts) -> Iterator[str]:
    passed = [entry for entry in facts.decisions if entry["act"] in ("advance", "promote")]
    if len(passed) != len(scenario.plan["steps"]):
        yield f"{len(passed)} gates were passed, not {len(scenario.plan['steps'])}"
    for entry in passed:
        if entry["reason"] != "gate_passed":
            yield f"a step was left for {entry['reason']}, not for shown non-inferiority"


def _worse(scenario: Scenario, facts: Facts) -> Iterator[str]:
    yield from _rolled_back_on("score.accuracy", facts)
    if facts.route_blue != scenario.blue:
        yield f"the route's blue is {facts.route_blue}, not {scenario.blue}"


def _broken(scenario: Scenario, facts: Facts) -> Iterator[str]:
    yield from _rolled_back_on("error_rate", facts)
    if facts.route_blue != scenario.blue:
        yield f"the route's blue is {facts.route_blue}, not {scenario.blue}"
    if not facts.served("green", scenario.blue):
        yield "no call of green's got its answer from the fallback"


def _rolled_back_on(metric: str, facts: Facts) -> Iterator[str]:
    for entry in facts.decisions:
        if entry["act"] == "roll_back":
            if entry["numbers"].get("failed") != metric:
                yield f"it was rolled back, but not on {metric}: {entry['sentence']}"
            return
    yield "the controller did not roll back"


def _throttled(_: Scenario, facts: Facts) -> Iterator[str]:
    yield from _never_rolled_back(facts)
    during = facts.within("quota")
    refused = [a for a in during if a["region"] == _PRIMARY and a["status"] == 429]
    if len(refused) < 10:
        yield f"only {len(refused)} attempts met 429 in {_PRIMARY}"
    if _share(during, _SECOND) < 0.2:
        yield f"only {_share(during, _SECOND):.0%} of the answers came from {_SECOND} during the quota"
    # A throttled target is used again bit by bit: it is skipped by what it granted in the last 30 s.
    if not _share(facts.within("lifted", skip=5.0), _PRIMARY):
        yield f"{_PRIMARY} was not used again after the quota was lifted"
    if facts.busy_at:
        yield f"{len(facts.busy_at)} polite answers, though two regions were well"


def _outage(_: Scenario, facts: Facts) -> Iterator[str]:
    yield from _never_rolled_back(facts)
    if (left := _asked(facts.within("slow", skip=12.0), _PRIMARY)) > 0.5:
        yield f"{left:.0%} of attempts still went to {_PRIMARY}, slow for 12 s"
    if _share(facts.within("unavailable", skip=2.0), _SECOND) < 0.5:
        yield f"{_SECOND} did not take over from {_PRIMARY} when that answered 503"
    down, well = facts.stages["down"], facts.stages["well"]
    if not any(down <= at <= well for at in facts.busy_at):
        yield "no polite answer was given while every region was down"
    if any(at < down for at in facts.busy_at):
        yield "a polite answer was given while a region was well"
    late = [at for at in facts.busy_at if at > well + 12.0]
    if late:
        yield f"{len(late)} polite answers 12 s after all was well"
    if not _share(facts.within("well", skip=12.0), _PRIMARY):
        yield f"{_PRIMARY} was not used again"


def _never_rolled_back(facts: Facts) -> Iterator[str]:
    for entry in facts.decisions:
        if entry["act"] == "roll_back":
            yield f"it was rolled back: {entry['sentence']}"


def _same(_: Scenario, facts: Facts) -> Iterator[str]:
    yield from _never_rolled_back(facts)
    if facts.phase == "progressing" and "more" not in facts.sentence:
        yield f"where it stands is not said with the calls still needed: {facts.sentence}"


def _share(attempts: Iterable[object], region: str) -> float:
    """The region's share of good answers."""
    good = [a["region"] for a in attempts if a["outcome"] == "answered"]  # type: ignore[index]
    return good.count(region) / len(good) if good else 0.0


def _asked(attempts: Iterable[object], region: str) -> float:
    """The region's share of attempts."""
    asked = [a["region"] for a in attempts]  # type: ignore[index]
    return asked.count(region) / len(asked) if asked else 0.0


_OF: dict[str, Callable[[Scenario, Facts], Iterator[str]]] = {
    "better": _better,
    "worse": _worse,
    "broken": _broken,
    "throttled": _throttled,
    "outage": _outage,
    "same": _same,
}
