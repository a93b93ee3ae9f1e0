"""Story: the paragraph at the end: what happened and why, in numbers."""

from __future__ import annotations

from collections.abc import Sequence

from crossfade.demo.facts import Facts
from crossfade.demo.scenarios import Scenario


def story(scenario: Scenario, facts: Facts, differences: Sequence[str], page: str) -> list[str]:
    """The last words of a run, paragraph by paragraph."""
    paragraphs = [
        f"{facts.sentence} {_spent(facts)} {_callers(facts)} {_counted(facts)}",
        _verdict(scenario, differences),
        f"The page that shows it: {page}",
    ]
    return [paragraph for paragraph in paragraphs if paragraph]


def _spent(facts: Facts) -> str:
    return (
        f"In {facts.seconds:.0f} s the services made {facts.calls_made:,} calls,"
        f" {facts.green_calls:,} of them on green."
    )


def _callers(facts: Facts) -> str:
    trouble = {
        region: sum(count for outcome, count in counts.items() if outcome != "answered")
        for region, counts in facts.outcomes().items()
    }
    met = ", ".join(f"{count:,} in {region}" for region, count in trouble.items() if count)
    busy, errors = len(facts.busy_at), facts.errors.total()
    heard = (
        f"{errors:,} exceptions and {busy:,} polite answers reached the callers"
        if errors
        else f"no exception reached a caller, {busy:,} got the polite answer"
        if busy
        else "no exception and no polite answer reached a caller"
    )
    return f"Of the attempts on Bedrock {f'these failed: {met}' if met else 'none failed'}; {heard}."


def _counted(facts: Facts) -> str:
    if facts.calls_recorded == facts.calls_made and facts.scores_recorded == facts.scores_sent:
        return f"Every call and each of the {facts.scores_sent:,} scores is recorded once."
    return f"Recorded are {facts.calls_recorded:,} calls and {facts.scores_recorded:,} of {facts.scores_sent:,} scores."


def _verdict(scenario: Scenario, differences: Sequence[str]) -> str:
    if not differences:
        return f"That is how {scenario.name!r} must end: {scenario.must}."
    listed = "".join(f"\n  - {difference}" for difference in differences)
    return f"{scenario.name!r} had to {scenario.must}. What differed:{listed}"
