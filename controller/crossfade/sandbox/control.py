"""The control port: faults, quotas and the log over HTTP, JSON in and out.

    POST /faults            {"kind", "region", "model", "operation", "count", "probability", "params"} -> 201 {"id"}
    GET /faults             all, with how often each was met
    DELETE /faults/ID       one · DELETE /faults  all
    PUT /quota              {"region", "model", "tokens_per_minute", "requests_per_second", "burst"}
    GET /quota · DELETE /quota
    GET /log?since=&limit=  entries numbered above `since`, oldest first, at most `limit` (1000; up to 10000)
    GET /counts             totals, never truncated
    DELETE /log             empties both
    GET /health             regions, models

Errors are RFC 9457 problem documents; bad input is 422 and names every problem.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from urllib.parse import parse_qsl, unquote

from crossfade.errors import Invalid, NotFound, Problem
from crossfade.sandbox import order
from crossfade.sandbox.bedrock import Bedrock
from crossfade.sandbox.listener import Listener
from crossfade.sandbox.wire import Exchange, Request, Send, Step, Until, response

_LIMIT = 1000
_MOST = 10_000


class Refusal(Exception):  # noqa: N818
    """A request the control port does not serve, with its status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Control:
    """Answers the control port for a Bedrock and its regions' listeners."""

    def __init__(self, bedrock: Bedrock, regions: dict[str, Listener]) -> None:
        self._bedrock = bedrock
        self._regions = regions
        self._lock = asyncio.Lock()

    def handle(self, request: Request) -> Exchange:
        """Answer one request."""
        try:
            steps = self._route(request)
        except Invalid as invalid:
            steps = _problem(422, str(invalid), invalid.problems)
        except NotFound as missing:
            steps = _problem(404, str(missing))
        except Refusal as refusal:
            steps = _problem(refusal.status, str(refusal))
        return Exchange(steps, lambda _: None)

    def _route(self, request: Request) -> Iterator[Step]:
        # A browser sends Origin; no page of any site has business here.
        if "origin" in request.headers:
            raise Refusal(403, "the control port does not serve browsers")
        path, _, query = request.target.partition("?")
        bedrock = self._bedrock
        match request.method, path.strip("/").split("/"):
            case "GET", ["health"]:
                return _json(200, {"regions": sorted(self._regions), "models": sorted(bedrock.models)})
            case "GET", ["faults"]:
                return _json(200, {"faults": bedrock.board.describe()})
            case "POST", ["faults"]:
                fault = order.read_fault(_body(request), set(self._regions))
                fault_id = bedrock.board.add(fault)
                return self._settled(201, {"id": fault_id})
            case "DELETE", ["faults"]:
                bedrock.board.clear()
                return self._settled(200, {})
            case "DELETE", ["faults", text]:
                bedrock.board.remove(_id(text))
                return self._settled(200, {})
            case "GET", ["quota"]:
                return _json(200, {"quotas": bedrock.quotas.describe(time.monotonic())})
            case "PUT", ["quota"]:
                bedrock.quotas.put(order.read_quota(_body(request), set(self._regions)))
                return _json(200, {})
            case "DELETE", ["quota"]:
                bedrock.quotas.clear()
                return _json(200, {})
            case "GET", ["log"]:
                since, limit = _page(query)
                entries = bedrock.ledger.read(since=since, limit=limit)
                return _json(200, {"entries": [asdict(entry) for entry in entries]})
            case "DELETE", ["log"]:
                bedrock.ledger.clear()
                return _json(200, {})
            case "GET", ["counts"]:
                return _json(200, {"in_flight": bedrock.ledger.in_flight, "rows": bedrock.ledger.totals()})
        raise Refusal(404, f"{request.method} {path} is not served; see the sandbox's README")

    def _settled(self, status: int, value: dict[str, object]) -> Iterator[Step]:
        """Answer once every port is open or refusing, as the faults in force say."""
        task = asyncio.ensure_future(self._settle())
        yield Until(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None:
            yield from _problem(500, f"cannot open or close a region's port: {failure}")
        else:
            yield from _json(status, value)

    async def _settle(self) -> None:
        async with self._lock:  # two orders at once must not open one port twice
            for name, listener in self._regions.items():
                if self._bedrock.board.refused(name):
                    listener.refuse()
                else:
                    await listener.open()


def _json(status: int, value: dict[str, object]) -> Iterator[Step]:
    yield Send(response(status, json.dumps(value).encode()))


def _problem(status: int, detail: str, problems: tuple[Problem, ...] = ()) -> Iterator[Step]:
    document = {
        "type": "about:blank",
        "title": "The request was not carried out",
        "status": status,
        "detail": detail,
        "problems": [asdict(problem) for problem in problems],
    }
    yield Send(response(status, json.dumps(document).encode(), "application/problem+json"))


def _body(request: Request) -> object:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the body must be JSON, with Content-Type: application/json")
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise Refusal(400, f"the body is not valid JSON: {error}") from None


def _id(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise NotFound(f"fault {unquote(text)} is not there; an id is a number")
    return int(text)


def _page(query: str) -> tuple[int, int]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    problems = [
        Problem(name, "is not known; allowed are since and limit") for name in given.keys() - {"since", "limit"}
    ]
    values = {"since": 0, "limit": _LIMIT}
    for name, highest in (("since", 2**53), ("limit", _MOST)):
        text = given.get(name)
        if text is None:
            continue
        if text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= highest:
            values[name] = int(text)
        else:
            problems.append(Problem(name, f"must be a whole number from 0 to {highest}"))
    if problems:
        raise Invalid(problems)
    return values["since"], values["limit"]
