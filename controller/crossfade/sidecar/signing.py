"""Signing: AWS Signature Version 4 for the requests we send, and of those we receive.

Source: "Create a signed AWS API request", docs.aws.amazon.com/IAM/latest/UserGuide. botocore signs requests of
any shape, in 60 us; ours have one shape, and the key derived for a day is kept. The tests hold it against botocore.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, quote

SERVICE = "bedrock"
ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset({"x-amzn-trace-id"})
"""Headers that what is on the way to AWS, or AWS itself, may write anew. botocore leaves them out as well."""


def sign(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    region: str,
    access_key: str,
    secret: str,
) -> str:
    """The Authorization header. `headers` are signed but for a few: lower-case names, `host` and `x-amz-date` among
    them."""
    stamp = headers["x-amz-date"]
    names = sorted(name for name in headers if name not in _UNSIGNED)
    digest = hashlib.sha256(body).hexdigest()
    wanted = signature(method, path, query, headers, names, digest, stamp, region=region, secret=secret)
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    return f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={wanted}"


def signature(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    names: Sequence[str],
    body_hash: str,
    stamp: str,
    *,
    region: str,
    secret: str,
) -> str:
    """The signature in hex over the headers `names`. `path` and `query` are as sent."""
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            _canonical(query) if query else "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            body_hash,
        )
    )
    day = stamp[:8]
    text = (
        f"{ALGORITHM}\n{stamp}\n{day}/{region}/{SERVICE}/aws4_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    return hmac.new(_key(secret, day, region), text.encode(), hashlib.sha256).hexdigest()


def _canonical(query: str) -> str:
    pairs = ((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(query, True))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=64)
def _key(secret: str, day: str, region: str) -> bytes:
    """The signing key of a day."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
