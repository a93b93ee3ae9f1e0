"""Floor: what the sidecar is made of, granian, aiohttp and a signature with the day's key kept, and nothing besides.

`python -m benchmarks.sidecar.floor UPSTREAM` listens on loopback at a port it says, and passes every POST on.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

import aiohttp
from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from yarl import URL

from crossfade.sidecar.signing import sign

_UPSTREAM = "BENCHMARK_UPSTREAM"


class Floor:
    """The RSGI application, one for a process."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._host = upstream.removeprefix("http://")
        self._session: aiohttp.ClientSession | None = None

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        body = bytes(await protocol())
        headers = {
            "content-type": "application/json",
            "host": self._host,
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        }
        headers["authorization"] = sign(
            "POST", scope.path, "", headers, body, region="us-east-1", access_key="benchmark", secret="benchmark"
        )
        url = URL(self._upstream + scope.path, encoded=True)
        async with self._session.post(url, data=body, headers=headers) as response:
            told = [("content-type", response.headers["content-type"])]
            if "eventstream" not in told[0][1]:
                protocol.response_bytes(response.status, told, await response.read())
                return
            transport = protocol.response_stream(response.status, told)
            async for data in response.content.iter_any():
                await transport.send_bytes(data)

    def __rsgi_del__(self, loop: Any) -> None:
        if self._session is not None:
            loop.run_until_complete(self._session.close())


def worker() -> Floor:
    """What granian calls in its worker process, once."""
    return Floor(os.environ[_UPSTREAM])


def main() -> None:
    os.environ[_UPSTREAM] = sys.argv[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Granian(
        "benchmarks.sidecar.floor:worker",
        factory=True,
        interface=Interfaces.RSGI,
        port=port,
        loop=Loops.auto,
        http=HTTPModes.auto,
        websockets=False,
        log_level=LogLevels.warning,
    )
    print(f"http://127.0.0.1:{port}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
