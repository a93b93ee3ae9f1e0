"""Rule: when a request looks so, use another route."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossfade.core.amount import exact
from crossfade.core.reading import Reader
from crossfade.core.request import Request

SIZES = ("complexity", "characters", "tokens", "turns", "tools", "images", "documents")
"""What a rule may bound: `NAME_least`, `NAME_below`."""
_BOUNDS = {"under": "below", "most": "below", "max": "below", "above": "least", "over": "least", "min": "least"}
"""What people write for them."""
COUNTS = ("tools", "images", "documents", "code")
"""What a rule may ask for, or for none of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Conditions, all of which must hold. Bounds are `least <= value < below`; a tier is one of `tiers`."""

    least: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    has: Mapping[str, bool] = field(default_factory=dict)
    tiers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def holds(self, request: Request) -> bool:
        return next(self.unmet(request), None) is None

    def hopeless(self) -> Iterator[tuple[str, str]]:
        """The bounds that no request can meet: (field, why)."""
        for name, bound in self.least.items():
            if name == "complexity" and bound > 1:
                yield f"{name}_least", f"is {exact(bound)}, and complexity is at most 1: the rule would never hold"
            elif bound >= self.below.get(name, math.inf):
                yield (
                    f"{name}_below",
                    f"is {exact(self.below[name])}, and {name}_least is {exact(bound)}: the rule would never hold",
                )
        for name, bound in self.below.items():
            if bound == 0:
                yield f"{name}_below", f"is 0, and {name} never is below 0: the rule would never hold"

    def unmet(self, request: Request) -> Iterator[str]:
        """What does not hold of this request, one condition after the other, each with the value that is there."""
        for name, bound in self.least.items():
            if (value := getattr(request, name)) < bound:
                yield f"{name} is {_number(value)}, below {exact(bound)}"
        for name, bound in self.below.items():
            if (value := getattr(request, name)) >= bound:
                yield f"{name} is {_number(value)}, not below {exact(bound)}"
        for name, wanted in self.has.items():
            if bool(getattr(request, name)) is not wanted:
                yield f"has no {name}" if wanted else f"has {name}"
        if self.tiers and request.tier not in self.tiers:
            yield _other("tier", request.tier, _either(self.tiers))
        for name, wanted_value in self.labels.items():
            if (given := request.labels.get(name)) != wanted_value:
                yield _other(f"label {name}", given, repr(wanted_value))

    def __str__(self) -> str:
        """The conditions in words: "characters below 100, no tools"."""
        said = [f"{name} at least {exact(bound)}" for name, bound in self.least.items()]
        said += [f"{name} below {exact(bound)}" for name, bound in self.below.items()]
        said += [f"{'has' if wanted else 'no'} {name}" for name, wanted in self.has.items()]
        said += [f"tier {_either(self.tiers)}"] if self.tiers else []
        said += [f"label {name} {value!r}" for name, value in self.labels.items()]
        return ", ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The first rule whose `when` holds sends the request to the route named `use`."""

    when: When
    use: str


def read_rule(reader: Reader) -> Rule:
    rule = Rule(when=_read_when(reader.section("when")), use=reader.text("use"))
    reader.close()
    return rule


def _read_when(reader: Reader) -> When:
    least: dict[str, float] = {}
    below: dict[str, float] = {}
    for name in SIZES:
        for suffix, bounds in (("least", least), ("below", below)):
            key = f"{name}_{suffix}"
            if reader.has(key):
                bounds[name] = reader.number(key, least=0)
            else:
                reader.raw(key)
    has = {name: reader.flag(name, False) for name in COUNTS if reader.has(name)}
    for name in COUNTS:
        reader.raw(name)
    when = When(
        least=least,
        below=below,
        has=has,
        tiers=tuple(reader.texts("tiers")),
        labels=reader.table("labels"),
    )
    reader.close({f"{name}_{word}": f"{name}_{bound}" for name in SIZES for word, bound in _BOUNDS.items()})
    if when == When() and not reader.faulty():
        reader.problem("", "has no condition; a rule that always holds would hide the route itself")
    return when


def rule_to_dict(rule: Rule) -> dict[str, Any]:
    when: dict[str, Any] = {f"{name}_least": bound for name, bound in rule.when.least.items()}
    when |= {f"{name}_below": bound for name, bound in rule.when.below.items()}
    when |= dict(rule.when.has)
    if rule.when.tiers:
        when["tiers"] = list(rule.when.tiers)
    if rule.when.labels:
        when["labels"] = dict(rule.when.labels)
    return {"when": when, "use": rule.use}


def _either(values: tuple[str, ...]) -> str:
    return " or ".join(map(repr, values))


def _other(what: str, given: str | None, wanted: str) -> str:
    """What is said of another value than the one wanted."""
    return f"no {what} is given, {wanted} is wanted" if given is None else f"{what} is {given!r}, not {wanted}"


def _number(value: float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
