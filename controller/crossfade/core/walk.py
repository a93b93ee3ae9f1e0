"""Walk: how a request goes from the route it names to the route that serves it, and to the Models asked there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crossfade.core.model import Model
from crossfade.core.request import Request
from crossfade.core.snapshot import Entry, Snapshot
from crossfade.core.split import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One route on the way. `to` is the route it sends the request on to, None where it serves it itself.

    `rule` is the position of the rule that holds; `place` in [0, 1) is where the call lies among the shares. None: no
    rule holds; it did not come to the shares, or there are none.
    """

    entry: Entry
    rule: int | None = None
    place: float | None = None
    to: str | None = None


def walk(snapshot: Snapshot, entry: Entry, key: str | None, features: Callable[[], Request]) -> list[Leg]:
    """The way of a call with this stickiness key; the last leg's route serves it.

    Names that are gone and circles, which registration refuses, end it. `features` is asked once at most, and only
    where there are rules.
    """
    legs = []
    seen = set()
    request: Request | None = None
    while True:
        route = entry.route
        seen.add(route.name)
        rule = place = to = None
        if route.rules:
            request = request or features()
            rule = route.rule_for(request)
        if rule is not None:
            to = route.rules[rule].use
        elif route.shares:
            place = route.place(key)
            to = route.share_at(place)
        if to is not None and (to in seen or to not in snapshot.entries):
            to = None
        legs.append(Leg(entry=entry, rule=rule, place=place, to=to))
        if to is None:
            return legs
        entry = snapshot.entries[to]


def order(snapshot: Snapshot, entry: Entry, variant: Variant, operation: str) -> list[Model]:
    """The Models a call of this variant asks, in order, before anything is known of their health.

    Tokens are counted by no fallback, whose count would be another; InvokeModel bodies are as blue takes them, and
    go to its body family only.
    """
    names = [entry.model(variant), entry.route.blue]
    if operation != "CountTokens":
        names += entry.route.fallbacks
    models = [snapshot.models[name] for name in dict.fromkeys(names)]
    if operation.startswith("InvokeModel"):
        family = snapshot.models[entry.route.blue].body_family
        models = [model for model in models if model.body_family == family]
    return models
