"""Upstream: the requests the sidecar makes of Bedrock, and which outcome their failures are."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
from botocore.exceptions import ClientError
from yarl import URL

from crossfade import __version__
from crossfade.core.model import Target
from crossfade.core.outcome import Outcome
from crossfade.core.validator import Validator
from crossfade.shim.answer import Told, read_answer
from crossfade.shim.classify import Failure, NotOurs, classify
from crossfade.sidecar.identity import Identity
from crossfade.sidecar.request import Request, path_of

_IDLE = 60.0
_AT_ONCE = 2**20
"""Bytes of a body: a longer one is written in pieces, between which others have their turn."""
_PASSED_ON = ("content-type", "retry-after", "x-amzn-", "x-amz-")


class Upstream:
    """One pool of connections to all regions. `own` is an endpoint instead of AWS's in the identity's region."""

    def __init__(self, identity: Identity, own: str | None = None) -> None:
        self.identity = identity
        self._own = own
        self._endpoints: dict[str, str] = {}
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, target: Target, request: Request, params: dict[str, Any], *, connect: float
    ) -> aiohttp.ClientResponse:
        """Sends a request with these parameters to a target; the answer's body is not read yet."""
        url = target.endpoint_url or self.endpoint(target.region)
        path = path_of(target.model_id, request.operation)
        body = request.body_of(params, target.model_id)
        return await self.send("POST", url, path, "", request.headers, body, target.region, connect=connect)

    async def send(
        self,
        method: str,
        url: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        region: str,
        *,
        connect: float,
    ) -> aiohttp.ClientResponse:
        url = url.rstrip("/")
        signed = await self.identity.authorize(method, url, path, query, headers, body, region)
        # Neither is signed: what compresses or rewrites them on the way must not break the signature.
        signed |= {"user-agent": f"crossfade-sidecar/{__version__}", "accept-encoding": "identity"}
        whole = URL(f"{url}{path}?{query}" if query else f"{url}{path}", encoded=True)
        limits = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect)
        data = io.BytesIO(body) if len(body) > _AT_ONCE else body or None
        return await self.session().request(
            method, whole, data=data, headers=signed, timeout=limits, allow_redirects=False
        )

    def endpoint(self, region: str) -> str:
        if self._own and region == self.identity.region:
            return self._own
        found = self._endpoints.get(region)
        if found is None:
            found = self._endpoints[region] = self.identity.endpoint(region)
        return found

    def session(self) -> aiohttp.ClientSession:
        """Made by the first request, since it belongs to the loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("content-type",),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """What of an answer's headers is for the caller: those in ASCII, since granian takes no others."""
    found = ((name.lower(), value) for name, value in headers.items() if value.isascii())
    return [(name, value) for name, value in found if name.startswith(_PASSED_ON)]


def refusal(operation: str, response: aiohttp.ClientResponse, body: bytes) -> ClientError:
    """Bedrock's error, as boto3 would raise it, with the answer itself beside it (`answer`: status, headers, body)."""
    code, message = response.headers.get("x-amzn-errortype", ""), ""
    try:
        told = json.loads(body)
        message = str(told.get("message") or told.get("Message") or "")
        code = code or str(told.get("__type") or told.get("code") or "")
    except (ValueError, AttributeError, RecursionError):
        pass
    error = ClientError(
        {
            "Error": {"Code": code.partition(":")[0] or str(response.status), "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": response.status,
                "HTTPHeaders": {name.lower(): value for name, value in response.headers.items()},
            },
        },
        operation,
    )
    error.answer = (response.status, passed_on(response.headers), body)
    return error


def read_whole(
    operation: str, headers: Mapping[str, str], body: bytes, family: str | None, validator: Validator | None
) -> Told:
    """What a whole answer says of itself; raises `Incomplete`."""
    if operation.startswith("InvokeModel"):
        told = {name.lower(): value for name, value in headers.items()}
        response = {"body": io.BytesIO(body), "ResponseMetadata": {"HTTPHeaders": told}}
        return read_answer(operation, response, family, validator)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return read_answer(operation, document if isinstance(document, dict) else {}, family, validator)


def failure_of(error: BaseException) -> Failure:
    """The failure that an error of ours or of aiohttp's is."""
    if not isinstance(error, Exception):
        raise error
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return Failure(outcome=Outcome.OUTAGE, error=error, connect=True)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Failure(outcome=Outcome.TIMED_OUT, error=error)
    if isinstance(error, aiohttp.ClientPayloadError):
        # aiohttp tells a reset from an end that came too early in its message alone.
        reset = "ConnectionResetError" in str(error)
        return Failure(outcome=Outcome.OUTAGE if reset else Outcome.TRUNCATED, error=error)
    if isinstance(error, aiohttp.ClientError):
        return Failure(outcome=Outcome.OUTAGE, error=error)
    try:
        return classify(error)
    except NotOurs:
        return Failure(outcome=Outcome.UNKNOWN, error=error)
