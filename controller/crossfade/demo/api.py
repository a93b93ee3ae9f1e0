"""Api: the controller's REST API, as the demo uses it: like any user, with a token."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import urllib3

from crossfade.errors import CrossfadeError, Unavailable


class Api:
    """One controller at `address`."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(retries=urllib3.Retry(2, read=0), timeout=30.0)

    def close(self) -> None:
        self._pool.clear()

    def login_link(self, page: str) -> str:
        """An address that signs whoever opens it in, and shows `page`."""
        return f"{self._address}{self._ask('POST', '/v1/login-link', {})['path']}&next={quote(page)}"

    def apply(self, document: dict[str, Any]) -> None:
        self._ask("POST", "/v1/apply", document)

    def register(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", f"/v1/routes/{quote(route)}/rollouts", body)

    def rollout(self, number: int) -> dict[str, Any]:
        return self._ask("GET", f"/v1/rollouts/{number}")

    def route(self, name: str) -> dict[str, Any]:
        return self._ask("GET", f"/v1/routes/{quote(name)}")

    def journal(self, number: int) -> list[dict[str, Any]]:
        """Newest first."""
        entries: list[dict[str, Any]] = self._ask("GET", f"/v1/rollouts/{number}/journal")["journal"]
        return entries

    def replay(self, number: int) -> dict[str, Any]:
        """The rollout under its own plan once more."""
        return self._ask("POST", f"/v1/rollouts/{number}/replay", {})

    def explanation(self, number: int, decision: int) -> dict[str, Any]:
        return self._ask("GET", f"/v1/rollouts/{number}/decisions/{decision}/explanation?buckets=1")

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            reply = self._pool.request(
                method,
                f"{self._address}{path}",
                body=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"the controller does not answer {method} {path}: {error}") from None
        if reply.status >= 400:
            raise CrossfadeError(f"the controller answered {reply.status} to {method} {path}: {reply.data.decode()}")
        document: dict[str, Any] = json.loads(reply.data)
        return document
