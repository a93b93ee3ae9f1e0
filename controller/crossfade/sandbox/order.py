"""Reading what the control port is asked for: every problem of a document is named, none is guessed around."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from crossfade.errors import Invalid, Problem
from crossfade.sandbox.fault import Fault, Scope
from crossfade.sandbox.kinds import EVERY, KINDS, Kind, Param
from crossfade.sandbox.quota import Quota

_FAULT = ("kind", "region", "model", "operation", "count", "probability", "params")
_LARGEST = 1e12  # also shuts out NaN and infinity
_QUOTA = ("region", "model", "tokens_per_minute", "requests_per_second", "burst")


def read_fault(document: object, regions: Set[str]) -> Fault:
    """A fault from `POST /faults`. Raises Invalid."""
    given, problems = _members(document, _FAULT)
    kind = KINDS.get(given["kind"]) if isinstance(given.get("kind"), str) else None
    if kind is None:
        problems.append(Problem("kind", f"must be one of {', '.join(KINDS)}"))
    _check_region(given, regions, problems)
    _check_model(given, problems)
    operation = given.get("operation")
    applies = EVERY if kind is None else kind.operations
    if operation is not None and (not isinstance(operation, str) or operation not in applies):
        where = "" if kind is None else f" for {kind.name}"
        problems.append(Problem("operation", f"must be null or one of {', '.join(sorted(applies))}{where}"))
    count = given.get("count")
    if count is not None and (not _is_integer(count) or count < 1):
        problems.append(Problem("count", "must be null (no limit) or a whole number of at least 1"))
    probability = given.get("probability", 1.0)
    if not _is_number(probability) or not 0 <= probability <= 1:
        problems.append(Problem("probability", "must be a number from 0 to 1"))
    if kind is not None and kind.name == "refuse":
        problems += [
            Problem(name, "must be left out for refuse, which closes the whole region")
            for name in ("model", "operation", "count")
            if given.get(name) is not None
        ]
        if probability != 1.0:
            problems.append(Problem("probability", "must be left out for refuse, which closes the whole region"))
    params = _read_params(given.get("params"), kind, problems)
    if problems or kind is None:
        raise Invalid(problems)
    return Fault(
        scope=Scope(region=given.get("region"), model=given.get("model"), operation=operation),
        kind=kind,
        count=count,
        probability=probability,
        params=params,
    )


def read_quota(document: object, regions: Set[str]) -> Quota:
    """A quota from `PUT /quota`. Raises Invalid."""
    given, problems = _members(document, _QUOTA)
    _check_region(given, regions, problems)
    _check_model(given, problems)
    for name in ("tokens_per_minute", "requests_per_second", "burst"):
        value = given.get(name)
        if value is not None and (not _is_number(value) or value <= 0):
            problems.append(Problem(name, "must be null or a number above 0"))
    if given.get("tokens_per_minute") is None and given.get("requests_per_second") is None:
        problems.append(Problem("", "needs tokens_per_minute, requests_per_second or both"))
    if given.get("burst") is not None and given.get("requests_per_second") is None:
        problems.append(Problem("burst", "is the size of the requests' bucket; it needs requests_per_second"))
    if _is_number(given.get("burst")) and 0 < given["burst"] < 1:
        problems.append(Problem("burst", "must be at least 1, or no request ever fits"))
    if problems:
        raise Invalid(problems)
    return Quota(
        scope=Scope(region=given.get("region"), model=given.get("model")),
        tokens_per_minute=given.get("tokens_per_minute"),
        requests_per_second=given.get("requests_per_second"),
        burst=given.get("burst"),
    )


def _members(document: object, allowed: tuple[str, ...]) -> tuple[dict[str, Any], list[Problem]]:
    if not isinstance(document, dict):
        raise Invalid([Problem("", f"must be a JSON object with {', '.join(allowed)}")])
    unknown = [name for name in document if name not in allowed]
    return document, [Problem(name, f"is not known; allowed are {', '.join(allowed)}") for name in unknown]


def _check_region(given: dict[str, Any], regions: Set[str], problems: list[Problem]) -> None:
    region = given.get("region")
    if region is not None and (not isinstance(region, str) or region not in regions):
        problems.append(Problem("region", f"must be null (any) or one of {', '.join(sorted(regions))}"))


def _check_model(given: dict[str, Any], problems: list[Problem]) -> None:
    model = given.get("model")
    if model is not None and (not isinstance(model, str) or not model):
        problems.append(Problem("model", "must be null (any) or a model id, inference profile id or ARN"))


def _read_params(given: object, kind: Kind | None, problems: list[Problem]) -> dict[str, Any]:
    if given is None:
        given = {}
    if not isinstance(given, dict):
        problems.append(Problem("params", "must be a JSON object"))
        return {}
    if kind is None:
        return {}
    known = {param.name: param for param in kind.params}
    allowed = f"allowed are {', '.join(known)}" if known else f"{kind.name} has none"
    problems += [Problem(f"params.{name}", f"is not known; {allowed}") for name in given if name not in known]
    read: dict[str, Any] = {}
    for name, param in known.items():
        read[name] = given.get(name, param.default)
        wrong = None if read[name] is None and param.default is None else _wrong(read[name], param)
        if wrong is not None:
            problems.append(Problem(f"params.{name}", wrong))
    return read


def _wrong(value: object, param: Param) -> str | None:
    """What is wrong with a parameter's value, None if nothing."""
    span = f"from {param.low:g} to {param.high:g}"
    match param.type:
        case "number" if not (_is_number(value) and param.low <= value <= param.high):  # type: ignore[operator]
            return f"must be a number {span}"
        case "integer" if not (_is_integer(value) and param.low <= value <= param.high):  # type: ignore[operator]
            return f"must be a whole number {span}"
        case "flag" if not isinstance(value, bool):
            return "must be true or false"
        case "text" if not isinstance(value, str) or len(value) > 1000:
            return "must be a text of at most 1000 characters"
        case "choice" if value not in param.choices:
            return f"must be one of {', '.join(param.choices)}"
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
