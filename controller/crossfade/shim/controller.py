"""Controller: what the shim says to the controller and hears from it, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import urllib3

from crossfade import __version__
from crossfade.core.snapshot import is_signed
from crossfade.errors import CrossfadeError


class Away(CrossfadeError):  # noqa: N818
    """The controller could not be reached, or could not answer now: try again later."""


class Refused(CrossfadeError):  # noqa: N818
    """The controller answered 4xx. `problems` are its own, as (path, message)."""

    def __init__(self, status: int, detail: str, problems: list[tuple[str, str]]) -> None:
        self.status = status
        self.problems = problems
        super().__init__(f"{status} {detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A snapshot as received: its bytes and their signature, which has been checked."""

    body: bytes
    signature: str
    etag: str


class Controller:
    """One controller, one token. Every method raises `Away` or `Refused`, nothing else."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._pool = urllib3.PoolManager(maxsize=2, retries=False)

    def snapshot(self, etag: str | None, *, wait: float, timeout: float) -> Fetched | None:
        """The current snapshot, or None if the one behind `etag` is still current after `wait` seconds."""
        headers = {"If-None-Match": etag} if etag else {}
        response = self._send("GET", f"/v1/snapshot?wait={wait:g}", None, headers, timeout)
        if response.status == 304:
            return None
        signature = response.headers.get("X-Crossfade-Signature", "")
        if not response.data or not is_signed(self._token, response.data, signature):
            raise Refused(response.status, "the snapshot is empty, or not signed for this token", [])
        return Fetched(body=response.data, signature=signature, etag=response.headers.get("ETag", ""))

    def post(self, path: str, body: bytes, *, timeout: float) -> None:
        """Delivers an observations batch or scores."""
        self._send("POST", path, body, {"Content-Type": "application/json"}, timeout)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> Any:
        headers = {
            **headers,
            "Authorization": f"Bearer {self._token}",
            "User-Agent": f"crossfade-shim/{__version__}",
            "Accept": "application/json",
        }
        limits = urllib3.Timeout(connect=min(timeout, 3.0), read=timeout)
        try:
            response = self._pool.request(method, self._url + path, body=body, headers=headers, timeout=limits)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Away(f"{self._url} cannot be reached: {error}") from error
        if response.status in (200, 201, 204, 304):
            return response
        detail, problems = _read_problem(response)
        if 400 <= response.status < 500 and response.status not in (408, 425, 429):
            raise Refused(response.status, detail, problems)
        raise Away(f"{self._url} answered {response.status} {detail}")


def _read_problem(response: Any) -> tuple[str, list[tuple[str, str]]]:
    try:
        document = response.json()
        problems = [(str(p["path"]), str(p["message"])) for p in document.get("problems", [])]
        return str(document.get("detail") or document.get("title") or ""), problems
    except (ValueError, AttributeError, KeyError, TypeError):
        return "", []
