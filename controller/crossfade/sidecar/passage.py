"""Passage: what is none of any route's goes to Bedrock untouched, signed anew, and comes back as it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import botocore.exceptions

from crossfade.shim.trouble import Trouble
from crossfade.sidecar.drive import Whole, error_answer
from crossfade.sidecar.frames import BadFrame, Splitter, frame
from crossfade.sidecar.upstream import Upstream, failure_of, passed_on, refusal

_CONNECT = 3.0
_SILENCE = 120.0
"""Seconds Bedrock may be silent; the caller's own deadline is usually shorter."""


async def pass_on(
    upstream: Upstream,
    trouble: Trouble,
    method: str,
    url: str,
    path: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    region: str,
) -> tuple[Whole, AsyncIterator[bytes] | None]:
    """The answer; for a stream its head, and its frames."""
    try:
        async with asyncio.timeout(_SILENCE):
            response = await upstream.send(method, url, path, query, headers, body, region, connect=_CONNECT)
            told = passed_on(response.headers)
            if response.status == 200 and "eventstream" in response.headers.get("content-type", ""):
                return Whole(200, told, b""), _frames(response)
            found = await response.read()
            if response.status >= 400:
                trouble.failed(failure_of(refusal(path, response, found)), region, time.monotonic())
            return Whole(response.status, told, found), None
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        trouble.failed(failure_of(error), region, time.monotonic())
        message = f"Bedrock in {region} cannot be reached: {error or 'no answer in time'}"
        return error_answer(503, "ServiceUnavailableException", message), None
    except botocore.exceptions.BotoCoreError as error:
        trouble.failed(failure_of(error), region, time.monotonic())
        return error_answer(403, "UnrecognizedClientException", f"the sidecar's own credentials: {error}"), None


async def _frames(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole frames only, and an exception where the connection broke."""
    splitter, why = Splitter(), ""
    try:
        while True:
            async with asyncio.timeout(_SILENCE):
                data = await response.content.readany()
            if not data:
                why = "it ended inside a frame" if splitter.inside else ""
                break
            while found := splitter.feed(data):
                yield b"".join(one.raw for one in found)
                data = b""
    except (TimeoutError, aiohttp.ClientError, OSError, BadFrame) as error:
        why = str(error) or "silence"
    finally:
        response.close()
    if why:
        yield frame("exception", "serviceUnavailableException", {"message": f"the stream broke off: {why}"}).raw
