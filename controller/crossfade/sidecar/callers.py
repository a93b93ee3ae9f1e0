"""Callers: who may use the sidecar. It holds AWS credentials, so whoever may call it may spend them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address

from crossfade.core.model import as_region
from crossfade.sidecar.request import BadRequest, raw_path
from crossfade.sidecar.signing import ALGORITHM, SERVICE, signature

SKEW = 300.0
"""Seconds a signature's time may be off."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request is looked at. Header names are in lower case; one given twice is joined by commas."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """`tokens` may be shown as bearer or in `x-crossfade-token`; `keys` (access key -> secret) verify signatures.

    Without either, whoever reaches the port is let in: settings allow that on loopback and on a Unix socket only.
    `pages` says whether a page in a browser may reach it too, as it does loopback.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    pages: bool = True

    @property
    def open(self) -> bool:
        return not self.tokens and not self.keys

    def admit(self, asked: Asked) -> str | None:
        """Raises `BadRequest` with 401 or 403 for a request that is not let in, before its body is read.

        Returns the signature it must have, still without its body; None where nothing is left to verify.
        """
        if self.open:
            # A page in a browser on this machine reaches loopback too, and sends where it came from.
            if "origin" in asked.headers:
                raise BadRequest("browsers are not let in without a token", 403)
            # It does not when it reads from where it came: then its own name stands for loopback.
            if self.pages and not _is_local(asked.headers.get("host", "")):
                raise BadRequest(
                    "without a token the sidecar is called by an address, localhost, or a name without dots", 403
                )
            return None
        shown = asked.headers.get("x-crossfade-token")
        authorization = asked.headers.get("authorization", "")
        if shown is None and authorization[:7].lower() == "bearer ":
            shown = authorization[7:].strip()
        if shown is not None:
            if any(hmac.compare_digest(shown.encode(), token.encode()) for token in self.tokens):
                return None
            raise BadRequest("the token is not known here", 403)
        if not authorization.startswith(ALGORITHM):
            raise BadRequest(
                "a token (Authorization: Bearer, or x-crossfade-token) or a known signature is needed", 401
            )
        if not _is_meant(asked, authorization, self.keys):
            raise BadRequest(_UNKNOWN, 403)
        return authorization

    def verify(self, asked: Asked, authorization: str, body: bytes) -> None:
        """Raises `BadRequest` with 403 unless the body, too, is what was signed."""
        key, region, names, given = _parts(authorization)
        digest, stamp = hashlib.sha256(body).hexdigest(), asked.headers["x-amz-date"]
        path, secret = raw_path(asked.path), self.keys[key]
        for written in (path, path.replace("%3A", ":")):  # a colon may stand as it is: anthropic's SDK leaves it so
            wanted = signature(
                asked.method, written, asked.query, asked.headers, names, digest, stamp, region=region, secret=secret
            )
            if hmac.compare_digest(wanted.encode(), given.encode()):
                return
        raise BadRequest(_UNKNOWN, 403)


@lru_cache(maxsize=64)
def _is_local(host: str) -> bool:
    """Whether a `Host` is no name of the internet's, which anybody may have stand for loopback."""
    name = (host.rpartition(":")[0] or host).strip("[]").rstrip(".").lower()
    return "." not in name or name.rpartition(".")[2] in _PRIVATE or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


_PRIVATE = ("localhost", "local", "internal")
"""Domains that nobody can register."""
_UNKNOWN = "the signature is not by a key known here, or not of this request, or not of now"


def _parts(authorization: str) -> tuple[str, str, list[str], str]:
    """Access key, region, names of the signed headers, signature."""
    parts = dict(part.strip().partition("=")[::2] for part in authorization.removeprefix(ALGORITHM).split(","))
    scope = parts.get("Credential", "").split("/")
    names = parts.get("SignedHeaders", "").split(";")
    return scope[0], scope[2] if len(scope) == 5 else "", names, parts.get("Signature", "")


def _is_meant(asked: Asked, authorization: str, keys: Mapping[str, str]) -> bool:
    """Whether a signature is by a known key, of now, and over what names a request."""
    key, region, names, _ = _parts(authorization)
    stamp = asked.headers.get("x-amz-date", "")
    scope = f"Credential={key}/{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    return (
        key in keys
        and scope in authorization
        and "x-amz-date" in names
        and ("host" in names or ":authority" in names)
        and all(name in asked.headers for name in names)
        and _is_now(stamp)
    )


def signed_region(headers: Mapping[str, str]) -> str | None:
    """The region a caller signed for: where it would have gone by itself."""
    scope = headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
    return as_region(scope[2]) if len(scope) == 5 else None


def _is_now(stamp: str) -> bool:
    try:
        then = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    return abs(time.time() - then) <= SKEW
