"""Route: the name a service puts in `modelId`, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.core.model import Model
from crossfade.core.policy import Settings, read_settings, settings_to_dict
from crossfade.core.reading import Reader
from crossfade.core.request import Request
from crossfade.core.rule import Rule, read_rule, rule_to_dict
from crossfade.core.validator import Validator, read_validator, validator_to_dict

BUSY_TEXT = "I am very busy at the moment and could not answer. Please try again in a minute."
DEFAULT_SETTINGS = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A name that services call, with the Model that serves it (blue), rules, fallbacks and a call policy.

    The name may be the very model id services already send. `fallbacks` are Models, tried in order when the
    assigned Model cannot answer.
    """

    name: str
    blue: str
    rules: tuple[Rule, ...] = ()
    fallbacks: tuple[str, ...] = ()
    policy: Settings = DEFAULT_SETTINGS
    busy_text: str = BUSY_TEXT
    validator: Validator | None = None

    def follow(self, request: Request) -> str | None:
        """The route the first holding rule names, or None if none holds."""
        for rule in self.rules:
            if rule.when.holds(request):
                return rule.use
        return None


def read_route(reader: Reader) -> Route:
    """Reads a declared Route; problems go to the reader. Names are checked by `check_references`."""
    route = Route(
        name=reader.text("name", most=500, pattern=r"[^\s?#]+", like="no spaces, ? or #"),
        blue=reader.text("blue"),
        rules=tuple(read_rule(item) for item in reader.sections("rules", most=50)),
        fallbacks=tuple(reader.texts("fallbacks", most=10)),
        policy=read_settings(reader.section("policy")),
        busy_text=reader.text("busy_text", BUSY_TEXT, most=2000),
        validator=read_validator(reader.section("validator")) if reader.has("validator") else None,
    )
    reader.raw("validator")
    reader.close()
    return route


def route_to_dict(route: Route) -> dict[str, Any]:
    """The Route as `read_route` takes it back."""
    return {
        "name": route.name,
        "blue": route.blue,
        "rules": [rule_to_dict(rule) for rule in route.rules],
        "fallbacks": list(route.fallbacks),
        "policy": settings_to_dict(route.policy),
        "busy_text": route.busy_text,
    } | ({"validator": validator_to_dict(route.validator)} if route.validator else {})


def check_references(route: Route, models: Mapping[str, Model], routes: Mapping[str, Route], reader: Reader) -> None:
    """Reports names that stand for nothing, fallbacks of another body family, and rules that lead in a circle."""
    for key, name in (("blue", route.blue), *((f"fallbacks[{i}]", m) for i, m in enumerate(route.fallbacks))):
        if name and name not in models:
            reader.problem(key, f"no Model is named {name!r}; known: {', '.join(sorted(models)) or 'none yet'}")
    for index, rule in enumerate(route.rules):
        if rule.use and rule.use not in routes:
            reader.problem(f"rules[{index}].use", f"no route is named {rule.use!r}")
        elif _leads_to(route.name, rule.use, routes):
            reader.problem(f"rules[{index}].use", f"{rule.use!r} leads back to {route.name!r}; rules must not circle")


def _leads_to(goal: str, start: str, routes: Mapping[str, Route]) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen and name in routes:
            seen.add(name)
            waiting.extend(rule.use for rule in routes[name].rules)
    return False
