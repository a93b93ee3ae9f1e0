"""Figures: what is measured, all gateways in turn, round by round, so that their ratios hold on a busy machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import uvloop

from benchmarks.sidecar import load
from benchmarks.sidecar.gateways import FLOOR, KEY, LITELLM, SIDECAR, Gateway
from benchmarks.sidecar.upstream import EVENTS, LATE, TEXT
from benchmarks.sidecar.wire import Request

CALLERS = 64
SHARE = 0.4
"""Of what a gateway can do on one core, and of what the callers can ask, the rate at which times are measured."""
CONVERSE, CHAT = "Converse", "chat completion"
SPEAKS = {FLOOR: (CONVERSE,), SIDECAR: (CONVERSE, CHAT), LITELLM: (CHAT,)}
_LOADING = 16
"""Callers at a time while processor time is counted."""
_FEWER = 10
"""Of LiteLLM's calls, which cost many times the others', one in so many is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Whose processor time is counted: a call's, or of `streams` streams a round an event's."""

    of: str
    model: str
    http2: bool = False
    streams: int = 0


CASES = (
    Case(of="a call, HTTP/1.1", model="instant"),
    Case(of="a call, HTTP/2", model="instant", http2=True),
    Case(of="an event, one at a time", model="paced", streams=_LOADING),
    Case(of="an event, all at once", model="burst", streams=4 * _LOADING),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor time in microseconds, and its ratio to the floor's: the medians of all rounds, and the quartiles of the
    ratio."""

    of: str
    face: str
    gateway: str
    microseconds: float
    ratio: float
    low: float
    high: float

    @property
    def a_core(self) -> float:
        """As many a second one core does."""
        return 1e6 / self.microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Milliseconds of calls at `rate` a second: straight to the upstream, and what the gateway adds."""

    face: str
    gateway: str
    rate: float
    calls: int
    straight_p50: float
    straight_p99: float
    added_p50: float
    added_p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Kilobytes (1,000 bytes) of memory an open stream holds."""

    face: str
    gateway: str
    streams: int
    kilobytes: float


def held(gateways: Sequence[Gateway], streams: int) -> Iterator[Held]:
    """To be asked first: memory that earlier load has left free would be used again, and not seen."""
    for gateway in gateways:
        face = SPEAKS[gateway.name][0]
        yield uvloop.run(_held(gateway, face, _request(face, "held", stream=True), streams))


async def _held(gateway: Gateway, face: str, request: Request, streams: int) -> Held:
    async with load.streaming(gateway.port, request, 8):  # what the first ones load stays
        before = gateway.resident()
        async with load.streaming(gateway.port, request, streams):
            kilobytes = (gateway.resident() - before) / streams / 1e3
    return Held(face=face, gateway=gateway.name, streams=streams, kilobytes=kilobytes)


def costs(gateways: Sequence[Gateway], *, rounds: int, calls: int) -> Iterator[Cost]:
    for case in CASES:
        taken: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds + 1):
            for gateway in gateways:
                for face in SPEAKS[gateway.name]:
                    if case.http2 and face == CHAT:  # OpenAI's SDKs do not speak it without TLS
                        continue
                    spent = _spent(case, gateway, face, calls)
                    if number:  # the first round only warms up
                        taken.setdefault((face, gateway.name), []).append(spent)
        for (face, name), times in taken.items():
            ratios = [mine / least for mine, least in zip(times, taken[CONVERSE, FLOOR], strict=True)]
            low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            yield Cost(
                of=case.of, face=face, gateway=name, microseconds=median(times), ratio=middle, low=low, high=high
            )


def _spent(case: Case, gateway: Gateway, face: str, calls: int) -> float:
    """Microseconds of one call, or of one event."""
    fewer = _FEWER if gateway.name == LITELLM else 1
    count = max(1, (case.streams or calls) // fewer)
    request = _request(face, case.model, stream=bool(case.streams))
    before = gateway.cpu()
    uvloop.run(load.closed(gateway.port, request, http2=case.http2, callers=_LOADING, calls=count))
    return (gateway.cpu() - before) * 1e6 / count / (EVENTS if case.streams else 1)


def added(
    gateways: Sequence[Gateway], upstream: int, costs: Sequence[Cost], *, rounds: int, seconds: float, seed: int
) -> Iterator[Added]:
    """Calls of 20 ms through each gateway, at a share of what its `costs` let one core do, in turn with straight ones
    at the same rate. Connections are kept for one round."""
    capacity = {cost.gateway: cost.a_core for cost in reversed(costs) if cost.of == CASES[0].of}
    for gateway in gateways:
        face, rate = SPEAKS[gateway.name][0], SHARE * min(capacity[gateway.name], CALLERS / LATE)
        ways = ((upstream, _request(CONVERSE, "late")), (gateway.port, _request(face, "late")))
        took: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds + 1):
            for found, (port, request) in zip(took, ways, strict=True):
                asked = load.opened(port, request, callers=CALLERS, rate=rate, seconds=seconds, seed=seed + number)
                times = uvloop.run(asked)
                if number:  # the first round only warms up
                    found += times
        (p50, p99), (through_p50, through_p99) = map(_middle_and_tail, took)
        yield Added(
            face=face,
            gateway=gateway.name,
            rate=rate,
            calls=len(took[1]),
            straight_p50=p50,
            straight_p99=p99,
            added_p50=through_p50 - p50,
            added_p99=through_p99 - p99,
        )


def _middle_and_tail(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1e3, ordered[int(0.99 * len(ordered))] * 1e3


_SDK = {
    "content-type": "application/json",
    "user-agent": "aws-sdk-js/3.1000.0 ua/2.1 os/linux#6.8 lang/js md/nodejs#24.1.0 api/bedrock-runtime#3.1000.0 m/E,N",
    "amz-sdk-invocation-id": "00000000-0000-4000-8000-000000000000",
    "amz-sdk-request": "attempt=1; max=3",
    "x-amz-date": "20260101T000000Z",
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/bedrock/aws4_request, "
    f"SignedHeaders=content-type;host;x-amz-date, Signature={'0' * 64}",
    "x-crossfade-key": "user-1234",
}
"""What an SDK sends; the signature is none that anybody checks here."""


def _request(face: str, model: str, *, stream: bool = False) -> Request:
    if face == CONVERSE:
        messages: dict[str, object] = {"messages": [{"role": "user", "content": [{"text": TEXT}]}]}
        body = json.dumps({**messages, "inferenceConfig": {"maxTokens": 1000}}).encode()
        path = f"/model/{model}/converse{'-stream' if stream else ''}"
        return Request(path=path, headers=_SDK, body=body, expects=b"messageStop" if stream else TEXT.encode())
    asked = {"model": model, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 1000, "stream": stream}
    return Request(
        path="/v1/chat/completions",
        headers={"content-type": "application/json", "authorization": f"Bearer {KEY}"},
        body=json.dumps(asked).encode(),
        expects=b"[DONE]" if stream else TEXT.encode(),
    )
