"""Trial: the way a call with a given request would take now: rules, share, variant, Models, targets. Sends nothing.

It walks as the call path does, by `core.walk`, over the snapshot the shims have; what single processes know of the
targets' health it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Engine

from crossfade.core.amount import exact
from crossfade.core.model import Model
from crossfade.core.reading import Reader
from crossfade.core.request import Request
from crossfade.core.route import DEFAULT_SETTINGS
from crossfade.core.rule import rule_to_dict
from crossfade.core.snapshot import Entry, Snapshot
from crossfade.core.split import Variant
from crossfade.core.walk import Leg, order, walk
from crossfade.errors import NotFound
from crossfade.server.usecases.snapshot import current_snapshot
from crossfade.shim.context import Said, with_metadata
from crossfade.shim.features import held, read_request

NOT_KNOWN = (
    "Breakers and latency are not known here: each process keeps its own and reports none. This is the order in one"
    " that has seen no failure; in others a target may be asked later."
)
OPERATIONS = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream", "CountTokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One Model of the way, why it is asked when it is, and which of its targets; `lacks` is what it would refuse."""

    model: Model
    why: str
    targets: int
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a call would meet. `place` is where it lies in the live rollout's split, None without one; `by` says what
    the split goes by: key, conversation or chance."""

    operation: str
    request: Request
    holds: tuple[str, ...]
    by: str
    legs: tuple[Leg, ...]
    variant: Variant
    place: float | None
    asked: tuple[Asked, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def entry(self) -> Entry:
        """The route that serves the call."""
        return self.legs[-1].entry

    def to_dict(self) -> dict[str, Any]:
        live = self.entry.live
        return {
            "sentence": " ".join(self._sentences()),
            "request": {
                "characters": self.request.characters,
                "tokens": self.request.tokens,
                "complexity": round(self.request.complexity, 4),
                "turns": self.request.turns,
                "tools": self.request.tools,
                "images": self.request.images,
                "documents": self.request.documents,
                "code": self.request.code,
                "tier": self.request.tier,
                "labels": dict(self.request.labels),
                "key": self.request.key,
                "holds": list(self.holds),
            },
            "legs": [_leg_to_dict(leg, self.request) for leg in self.legs],
            "route": self.entry.route.name,
            "terms": self._terms(),
            "by": self.by,
            "variant": str(self.variant),
            "place": self.place,
            "rollout": live.rollout if live else None,
            "weight": live.weight if live else None,
            "models": [{"model": each.model.name, "why": each.why, "lacks": list(each.lacks)} for each in self.asked],
            "targets": [
                {
                    "model": each.model.name,
                    "region": target.region,
                    "model_id": target.model_id,
                    "why": f"{each.model.name} in its next region" if position else each.why,
                }
                for each in self.asked
                for position, target in enumerate(each.model.targets[: each.targets])
            ],
            "left_out": list(self.left_out),
            "warnings": list(self.warnings),
            "not_known": NOT_KNOWN,
        }

    def _terms(self) -> dict[str, Any]:
        """What the call has by the route that serves it: its deadline in seconds, its fallbacks, and both in words."""
        route = self.entry.route
        setting = "stream_deadline" if self.operation.endswith("Stream") else "deadline"
        deadline = getattr(route.policy, setting)
        default = " (default)" if deadline == getattr(DEFAULT_SETTINGS, setting) else ""
        named = f"fallback{'s' if len(route.fallbacks) > 1 else ''} {', '.join(route.fallbacks)}"
        said = f"{route.name}: deadline {exact(deadline)} s{default}, {named if route.fallbacks else 'no fallback'}"
        if len(self.legs) > 1:
            said += f"; those of {self.legs[0].entry.route.name} do not count"
        return {"deadline": deadline, "fallbacks": list(route.fallbacks), "text": f"{said}."}

    def _sentences(self) -> list[str]:
        said = []
        for leg in self.legs:
            name = leg.entry.route.name
            if leg.to is None:
                continue
            if leg.rule is not None:
                said.append(f"Rule {leg.rule + 1} of {name} holds: {leg.to} is used.")
            else:
                percent = leg.entry.route.shares[leg.to]
                said.append(f"The call lies in the {percent:g} % of {name} that {leg.to} gets.")
        live, name = self.entry.live, self.entry.route.name
        if live is None:
            said.append(f"{name} has no rollout that runs: its blue, {self.asked[0].model.name}, is asked.")
        else:
            side = "below" if self.variant is Variant.GREEN else "not below"
            by = "By chance, drawn anew for every call without a key," if self.by == "chance" else f"By its {self.by}"
            said.append(
                f"{by} the call lies at {self.place:.4f}, {side} green's weight of {live.weight:g} %:"
                f" {self.variant}, {self.asked[0].model.name}, is asked."
            )
        return said


def try_route(engine: Engine, name: str, body: object, *, now: datetime, secret: str) -> Trial:
    """`body` is {"prompt" or "request" (the operation's parameters), "operation", "key", "conversation", "tier",
    "labels"}. Raises `NotFound` for the route, `Invalid` for the body."""
    reader = Reader(body)
    operation = reader.choice("operation", OPERATIONS, "Converse")
    params = _params(reader, operation)
    said = Said(
        key=_text(reader, "key"),
        conversation=_text(reader, "conversation"),
        tier=_text(reader, "tier"),
        labels=reader.table("labels"),
    )
    reader.finish()
    snapshot = current_snapshot(engine, now=now, secret=secret)
    if name not in snapshot.entries:
        raise NotFound(f"no route is named {name!r}; services that call it reach Bedrock itself, unrouted")
    return trial(snapshot, name, operation, params, with_metadata(said, params.get("requestMetadata")))


def trial(snapshot: Snapshot, name: str, operation: str, params: Mapping[str, Any], said: Said) -> Trial:
    """The way of this call through the route of this name, which must be there."""
    request = read_request(operation, params, said)
    legs = walk(snapshot, snapshot.entries[name], said.sticky, lambda: request)
    entry = legs[-1].entry
    place = entry.place(said.sticky)
    variant = entry.variant_at(place)
    holds = held(operation, params)
    models = order(snapshot, entry, variant, operation)
    asked, beyond = _asked(entry, variant, models, holds)
    family = models[0].body_family
    others = [each for each in order(snapshot, entry, variant, "Converse") if each not in models]
    why = "tokens are counted by blue alone" if operation == "CountTokens" else f"its body family is not {family}"
    return Trial(
        operation=operation,
        request=request,
        holds=tuple(holds),
        by="key" if said.key else "conversation" if said.conversation else "chance",
        legs=tuple(legs),
        variant=variant,
        place=place,
        asked=tuple(asked),
        left_out=(*(f"{model.name}: {why}" for model in others), *beyond),
        warnings=tuple(_warnings(entry, asked, operation, params)),
    )


def _asked(entry: Entry, variant: Variant, models: list[Model], holds: list[str]) -> tuple[list[Asked], list[str]]:
    """The Models with as many of their targets as a call may try, and what it does not come to."""
    left = most = int(entry.route.policy.most_targets)
    asked, beyond = [], []
    for position, model in enumerate(models):
        if position == 0:
            why = f"{variant}, which the call is assigned to"
        elif model.name == entry.route.blue:
            why = "blue, where green gives no answer"
        else:
            why = "a fallback, where the ones before give no answer"
        count = min(left, len(model.targets))
        left -= count
        beyond += [
            f"{model.name} in {target.region}: a call tries {most} targets at most" for target in model.targets[count:]
        ]
        asked.append(Asked(model=model, why=why, targets=count, lacks=tuple(model.lacks(holds))))
    return asked, beyond


def _warnings(entry: Entry, asked: list[Asked], operation: str, params: Mapping[str, Any]) -> list[str]:
    said = []
    for position, each in enumerate(asked):
        for what in each.lacks:
            named = what.replace("_", " ")
            if what == "reasoning":
                then = "the reasoning of earlier turns is taken out for it"
            elif position == 0 and each.model.name != entry.route.blue:
                then = "it will refuse the call, and blue is asked for a second opinion"
            else:
                then = "it will refuse the call"
            said.append(f"{each.model.name} is declared not to take {named}: {then}")
    inference = params.get("inferenceConfig")
    if operation.startswith("Converse") and not (isinstance(inference, Mapping) and inference.get("maxTokens")):
        said.append("maxTokens is not set: Bedrock holds the model's maximum against your quota while the call runs")
    return said


def _leg_to_dict(leg: Leg, request: Request) -> dict[str, Any]:
    route = leg.entry.route
    rules = []
    for position, rule in enumerate(route.rules):
        asked = leg.rule is None or position <= leg.rule
        rules.append(
            rule_to_dict(rule)
            | {"holds": position == leg.rule if asked else None}
            | {"unmet": list(rule.when.unmet(request)) if asked else []}
        )
    return {"route": route.name, "rules": rules, "shares": dict(route.shares), "place": leg.place, "to": leg.to}


def _params(reader: Reader, operation: str) -> dict[str, Any]:
    """The operation's parameters; `prompt` is one more message of the user's, in Converse's shape."""
    given = reader.raw("request")
    if given is not None and not isinstance(given, Mapping):
        reader.problem("request", "must be an object: the parameters of the call, as given to boto3")
    params = dict(given) if isinstance(given, Mapping) else {}
    if isinstance(params.get("body"), Mapping):
        params["body"] = json.dumps(params["body"])
    prompt = reader.text("prompt", "", most=1_000_000)
    if prompt and not operation.startswith("Converse"):
        reader.problem("prompt", f"is of Converse; for {operation} give request")
    elif prompt:
        messages = params.get("messages")
        before = list(messages) if isinstance(messages, list) else []
        params["messages"] = [*before, {"role": "user", "content": [{"text": prompt}]}]
    elif reader.has("prompt"):
        reader.problem("prompt", "is empty; give some text")
    elif given is None:
        reader.problem("prompt", "is missing; give prompt, or request with the parameters of a call")
    for refused in _refused(operation, params):
        reader.problem("request", f"boto3 would not send it: {refused}")
    return params


def _refused(operation: str, params: Mapping[str, Any]) -> list[str]:
    """What boto3 has against the parameters of a call: a misspelt one would else be tested as none at all."""
    from botocore.validate import ParamValidator

    shape = _bedrock().operation_model(operation).input_shape
    report = ParamValidator().validate({"modelId": "route", **params}, shape)
    return report.generate_report().splitlines() if report.has_errors() else []


@cache
def _bedrock() -> Any:
    # Not by a session, which reads the configuration and breaks on a profile that is not there.
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def _text(reader: Reader, key: str) -> str | None:
    return reader.text(key, "", most=2048) or None
