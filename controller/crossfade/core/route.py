"""Route: the name a service puts in `modelId`, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfade.core.model import TAKES, Model
from crossfade.core.policy import Settings, read_settings, settings_to_dict
from crossfade.core.reading import Reader
from crossfade.core.request import Request
from crossfade.core.rule import Rule, read_rule, rule_to_dict
from crossfade.core.split import drawn
from crossfade.core.validator import Validator, read_validator, validator_to_dict

BUSY_TEXT = "I am very busy at the moment and could not answer. Please try again in a minute."
DEFAULT_SETTINGS = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A name that services call, with the Model that serves it (blue), rules, fallbacks and a call policy.

    The name may be the very model id services already send. `fallbacks` are Models, tried in order when the
    assigned Model cannot answer. `shares` are other routes that each get so many percent of the calls no rule has
    sent on; the rest is the route's own, and its rollouts are about that rest alone. `needs` says which of `TAKES` its
    requests hold: every Model of it must take them.
    """

    name: str
    blue: str
    rules: tuple[Rule, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    policy: Settings = DEFAULT_SETTINGS
    busy_text: str = BUSY_TEXT
    validator: Validator | None = None

    @property
    def sends_on(self) -> bool:
        """Whether a call may be sent on to another route."""
        return bool(self.rules or self.shares)

    @property
    def uses(self) -> tuple[str, ...]:
        """The routes that calls may be sent on to."""
        return (*(rule.use for rule in self.rules), *self.shares)

    def rule_for(self, request: Request) -> int | None:
        """The position of the first rule that holds, or None."""
        for position, rule in enumerate(self.rules):
            if rule.when.holds(request):
                return position
        return None

    def place(self, key: str | None) -> float:
        """Where a stickiness key lies in [0, 1) among the shares; at random without one."""
        return drawn(f"shares|{self.name}", key)

    def share_at(self, place: float) -> str | None:
        """The route whose share covers this place; None where it is the route's own. In the order of their names."""
        end = 0.0
        for name in sorted(self.shares):
            end += self.shares[name]
            if place < end / 100:
                return name
        return None


def read_route(reader: Reader) -> Route:
    """Reads a declared Route; problems go to the reader. Names are checked by `check_references`."""
    route = Route(
        name=reader.text("name", most=500, pattern=r"[^\s?#]+", like="no spaces, ? or #"),
        blue=reader.text("blue"),
        rules=tuple(read_rule(item) for item in reader.sections("rules", most=50)),
        shares=reader.numbers("shares", above=0, below=100, unit="percent"),
        fallbacks=tuple(reader.texts("fallbacks", most=10)),
        needs=reader.choices("needs", TAKES),
        policy=read_settings(reader.section("policy")),
        busy_text=reader.text("busy_text", BUSY_TEXT, most=2000),
        validator=read_validator(reader.section("validator")) if reader.has("validator") else None,
    )
    reader.raw("validator")
    if (total := sum(route.shares.values())) >= 100:
        reader.problem("shares", f"sum to {total:g} %, which leaves nothing to blue; name a rule's route instead")
    reader.close()
    return route


def route_to_dict(route: Route) -> dict[str, Any]:
    """The Route as `read_route` takes it back."""
    document: dict[str, Any] = {
        "name": route.name,
        "blue": route.blue,
        "rules": [rule_to_dict(rule) for rule in route.rules],
        "fallbacks": list(route.fallbacks),
        "policy": settings_to_dict(route.policy),
        "busy_text": route.busy_text,
    }
    # Left out where empty: a shim of the version before refuses a snapshot with a field it does not know.
    if route.shares:
        document["shares"] = dict(sorted(route.shares.items()))
    if route.needs:
        document["needs"] = list(route.needs)
    if route.validator:
        document["validator"] = validator_to_dict(route.validator)
    return document


def check_references(route: Route, models: Mapping[str, Model], routes: Mapping[str, Route], reader: Reader) -> None:
    """Reports names that stand for nothing, Models that do not take what the route needs, rules that cannot hold, and
    ways that lead in a circle."""
    for key, name in (("blue", route.blue), *((f"fallbacks[{i}]", m) for i, m in enumerate(route.fallbacks))):
        if name and name not in models:
            reader.problem(key, f"no Model is named {name!r}; known: {', '.join(sorted(models)) or 'none yet'}")
        elif name and (lacking := models[name].lacks(route.needs)):
            reader.problem(key, not_taken(name, lacking, route.name))
    for index, rule in enumerate(route.rules):
        for field_, why in rule.when.hopeless():
            reader.problem(f"rules[{index}].when.{field_}", why)
        alike = [place for place, other in enumerate(route.rules[: index + 1]) if other.when == rule.when]
        earlier = alike[:-1]
        if earlier and not any(reader.faulty(f"rules[{place}].when") for place in alike):
            reader.problem(f"rules[{index}].when", f"asks what rules[{earlier[0]}] asks, which comes first: keep one")
    for key, use in (
        *((f"rules[{i}].use", rule.use) for i, rule in enumerate(route.rules)),
        *((f"shares.{name}", name) for name in route.shares),
    ):
        if use and use not in routes:
            reader.problem(key, f"no route is named {use!r}")
        elif _leads_to(route.name, use, routes):
            reader.problem(key, f"{use!r} leads back to {route.name!r}; routes must not circle")


def not_taken(model: str, lacking: Sequence[str], route: str) -> str:
    """Why a Model cannot serve a route that needs what it lacks."""
    what = " and ".join(need.replace("_", " ") for need in lacking)
    return (
        f"{model!r} is declared not to take {what}, which route {route!r} needs: choose another Model, or add it to the"
        f" Model's takes, or take it out of the route's needs"
    )


def _leads_to(goal: str, start: str, routes: Mapping[str, Route]) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen and name in routes:
            seen.add(name)
            waiting.extend(routes[name].uses)
    return False
