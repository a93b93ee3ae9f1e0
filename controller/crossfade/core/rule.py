"""Rule: when a request looks so, use another route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossfade.core.reading import Reader
from crossfade.core.request import Request

SIZES = ("complexity", "characters", "tokens", "turns")
COUNTS = ("tools", "images", "documents", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Conditions, all of which must hold. Bounds are `least <= value < below`; a tier is one of `tiers`."""

    least: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)
    has: Mapping[str, bool] = field(default_factory=dict)
    tiers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def holds(self, request: Request) -> bool:
        return (
            all(getattr(request, name) >= bound for name, bound in self.least.items())
            and all(getattr(request, name) < bound for name, bound in self.below.items())
            and all(bool(getattr(request, name)) is wanted for name, wanted in self.has.items())
            and (not self.tiers or request.tier in self.tiers)
            and all(request.labels.get(name) == value for name, value in self.labels.items())
        )


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
    reader.close()
    if when == When():
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
