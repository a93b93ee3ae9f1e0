"""A Bedrock of several regions: from a request to the steps of its answer, and into the log."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from itertools import chain
from urllib.parse import unquote

from crossfade.sandbox import catalog, jobs, runtime
from crossfade.sandbox.answer import Answer, Headers, error, with_headers
from crossfade.sandbox.fault import Board, Fault
from crossfade.sandbox.ledger import Entry, Ledger
from crossfade.sandbox.model import Model, estimate_tokens, find_model
from crossfade.sandbox.play import whole
from crossfade.sandbox.prompt import BadPrompt
from crossfade.sandbox.quota import Quotas, Reservation
from crossfade.sandbox.wire import Exchange, Request, Wait

TEST_HEADER = "x-crossfade-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which operation on which model; `verb` is the last part of the runtime's path, or a job's ARN."""

    operation: str
    model_id: str
    verb: str = ""


def read_path(method: str, target: str) -> Asked | None:
    """Read a rest-json path. Model ids and ARNs may be url-encoded or not; None for a path that is no operation."""
    path = target.partition("?")[0]
    if method == "POST" and path.startswith("/model/"):
        encoded, _, verb = path.removeprefix("/model/").rpartition("/")
        if verb == "count-tokens":
            return Asked(operation="CountTokens", model_id=unquote(encoded), verb=verb)
        if verb in runtime.BY_VERB:
            return Asked(operation=runtime.BY_VERB[verb].name, model_id=unquote(encoded), verb=verb)
    if method == "POST" and path == "/async-invoke":
        return Asked(operation="StartAsyncInvoke", model_id="")
    if method == "POST" and path.startswith("/guardrail/") and path.endswith("/apply"):
        return Asked(operation="ApplyGuardrail", model_id="")
    if method == "GET":
        if path == "/async-invoke":
            return Asked(operation="ListAsyncInvokes", model_id="")
        if path.startswith("/async-invoke/"):
            return Asked(operation="GetAsyncInvoke", model_id="", verb=unquote(path.removeprefix("/async-invoke/")))
        if path == "/foundation-models":
            return Asked(operation="ListFoundationModels", model_id="")
        if path.startswith("/foundation-models/"):
            model_id = unquote(path.removeprefix("/foundation-models/"))
            return Asked(operation="GetFoundationModel", model_id=model_id)
        if path.startswith("/inference-profiles/"):
            model_id = unquote(path.removeprefix("/inference-profiles/"))
            return Asked(operation="GetInferenceProfile", model_id=model_id)
    return None


def signed_region(authorization: str | None) -> str | None:
    """The region in SigV4's credential scope (KEY/DATE/REGION/SERVICE/aws4_request). Nothing is verified."""
    if authorization is None:
        return None
    scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    return scope[2] if len(scope) == 5 else None


class Bedrock:
    """What all regions share: models, faults, quotas, log."""

    def __init__(self, models: dict[str, Model], *, seed: int) -> None:
        self.models = models
        self.board = Board(random.Random(seed))
        self.quotas = Quotas()
        self.ledger = Ledger()
        self.jobs = jobs.Jobs()
        self._calls = 0

    def handle(self, region: str, request: Request) -> Exchange:
        """Answer one request made to a region."""
        at, started = time.time(), time.perf_counter()
        self._calls += 1
        request_id = f"{int(at):08x}-0000-4000-8000-{self._calls:012x}"
        asked = read_path(request.method, request.target) or Asked(operation="unknown", model_id="")
        if asked.operation == "StartAsyncInvoke":
            asked = replace(asked, model_id=jobs.asked_model(request.body))
        call = _Call(self, region, asked, request, request_id)
        delay, fault = self.board.meet(region, asked.model_id, asked.operation)
        play = whole(call.answer()) if fault is None else fault.kind.play(call, fault.params)
        self.ledger.in_flight += 1

        def ended(played: bool) -> None:
            self.ledger.in_flight -= 1
            if call.reservation is not None:
                call.reservation.settle(call.input_tokens + call.output_tokens)
            self.ledger.add(
                Entry(
                    seq=self.ledger.next_seq(),
                    at=at,
                    region=region,
                    signed_region=signed_region(request.headers.get("authorization")),
                    operation=asked.operation,
                    model=asked.model_id[:2048],  # an ARN's longest
                    status=play.status,
                    fault=_fault_name(fault, delay, call),
                    outcome=play.outcome if played else "left",
                    request_id=request_id,
                    seconds=time.perf_counter() - started,
                    input_tokens=call.input_tokens,
                    output_tokens=call.output_tokens,
                    test=request.headers.get(TEST_HEADER, "")[:200] or None,
                )
            )

        return Exchange(chain((Wait(delay),), play.steps) if delay else play.steps, ended)


def _fault_name(fault: Fault | None, delay: float, call: _Call) -> str | None:
    if fault is not None:
        return fault.kind.name
    if call.over_quota:
        return "bucket"
    return "latency" if delay else None


class _Call:
    """One request on its way to its answer; remembers what it reserved and used."""

    def __init__(self, bedrock: Bedrock, region: str, asked: Asked, request: Request, request_id: str) -> None:
        self._bedrock = bedrock
        self._region = region
        self._asked = asked
        self._request = request
        self._request_id = request_id
        self.headers: Headers = (
            ("x-amzn-RequestId", request_id),
            ("x-crossfade-region", region),
            ("x-crossfade-model", asked.model_id.encode("ascii", "replace").decode()),
        )
        self.reservation: Reservation | None = None
        self.over_quota = False
        self.input_tokens = 0
        self.output_tokens = 0

    def answer(self, stop_reason: str | None = None) -> Answer:
        """The true answer, good or an error of Bedrock's own."""
        return with_headers(self._answer(stop_reason), self.headers)

    def _answer(self, stop_reason: str | None) -> Answer:
        models, asked = self._bedrock.models, self._asked
        match asked.operation:
            case "unknown":
                return error(404, "UnknownOperationException", "The sandbox does not know this operation.")
            case "ListFoundationModels":
                return catalog.list_foundation_models(models, self._region)
            case "GetFoundationModel":
                return catalog.get_foundation_model(models, self._region, asked.model_id)
            case "GetInferenceProfile":
                return catalog.get_inference_profile(models, self._region, asked.model_id)
            case "ApplyGuardrail":
                return runtime.apply_guardrail()
            case "GetAsyncInvoke":
                return self._bedrock.jobs.get(self._region, asked.verb)
            case "ListAsyncInvokes":
                return self._bedrock.jobs.list(self._region)
        model = find_model(models, asked.model_id)
        if model is None and asked.model_id.startswith("arn:"):
            return error(404, "ResourceNotFoundException", "The specified resource ARN was not found.")
        if model is None:
            return error(400, "ValidationException", "The provided model identifier is invalid.")
        try:
            if asked.operation == "StartAsyncInvoke":
                return self._bedrock.jobs.start(self._region, asked.model_id, self._request.body)
            if asked.operation == "CountTokens":
                return runtime.count_tokens(self._request.body)
            return self._ask(model, runtime.BY_VERB[asked.verb], stop_reason)
        except BadPrompt as bad:
            return error(400, "ValidationException", str(bad))

    def _ask(self, model: Model, operation: runtime.Operation, stop_reason: str | None) -> Answer:
        prompt = operation.read(self._request.body)
        wanted = estimate_tokens(prompt.everything) + prompt.max_tokens
        now = time.monotonic()
        self.reservation = self._bedrock.quotas.reserve(self._region, self._asked.model_id, wanted, now)
        if self.reservation is None:
            self.over_quota = True
            return error(429, "ThrottlingException", "Too many tokens or requests, please wait before trying again.")
        said = runtime.say(
            model, prompt, model_id=self._asked.model_id, request_id=self._request_id, clock=time.perf_counter
        )
        self.input_tokens, self.output_tokens = said.input_tokens, said.output_tokens
        return operation.put(said, stop_reason)
