"""Client: the REST API as the command line uses it. A refusal carries the API's own problem lines."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from crossfade import __version__
from crossfade.errors import CrossfadeError, SetupError, Unavailable

CONNECT_SECONDS = 5.0
READ_SECONDS = 300.0
"""Long enough for the replay of a rollout that ran for a month."""


class Refused(CrossfadeError):  # noqa: N818
    """The controller said no. `lines` are what it said, one problem each, `path: message`."""

    def __init__(self, status: int, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.status = status
        self.lines = lines


class Client:
    """One controller at `url`, spoken to as the holder of `token`."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise SetupError(
                f"{url!r} is not an address of a controller; give --url or CROSSFADE_URL, http(s)://HOST:PORT"
            )
        self.url = url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": f"crossfade-cli/{__version__}",
        }
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        )

    def close(self) -> None:
        self._pool.clear()

    def get(self, path: str, **query: object) -> Any:
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: object, **query: object) -> Any:
        return self._ask("POST", path, body=body, query=query)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def login_link(self) -> dict[str, Any]:
        """{"url", "seconds"}: what signs its opener in as us, and for how long it may be opened."""
        made = self.post("/v1/login-link", {})
        return {"url": self.url + made["path"], "seconds": made["seconds"]}

    def _ask(self, method: str, path: str, *, body: object = None, query: dict[str, object] | None = None) -> Any:
        """The reply's JSON; text for a reply that is not JSON. Raises `Refused` or `Unavailable`."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}{path}{'?' + urlencode(given) if given else ''}"
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            reply = self._pool.request(
                method, url, body=json.dumps(body).encode() if body is not None else None, headers=headers
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(
                f"the controller at {self.url} cannot be reached ({_why(error)}); is it running, is --url right?"
            ) from None
        is_json = "json" in reply.headers.get("Content-Type", "")
        try:
            document = json.loads(reply.data) if is_json and reply.data else None
        except ValueError:
            document = None
        if reply.status >= 400:
            raise self._refusal(reply.status, document)
        if is_json or not reply.data:
            return document
        return reply.data.decode(errors="replace")

    def _refusal(self, status: int, document: Any) -> CrossfadeError:
        said = document if isinstance(document, dict) else {}
        lines = [
            f"{p['path']}: {p['message']}" if p.get("path") else str(p.get("message", ""))
            for p in said.get("problems") or []
            if isinstance(p, dict)
        ]
        detail = str(said.get("detail") or said.get("title") or f"the controller at {self.url} answered {status}")
        if status >= 500:
            return Unavailable(detail)
        return Refused(status, lines or [detail])


def segment(name: str) -> str:
    """A name as one part of an address; `:` and `/` may stand in it, as in an ARN."""
    return quote(name, safe=":/")


def _why(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "no answer in time" if isinstance(error, urllib3.exceptions.TimeoutError) else type(error).__name__
