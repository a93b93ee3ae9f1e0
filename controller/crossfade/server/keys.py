"""Keys: what is derived from the server's secret. One secret, the same for every controller of an installation."""

from __future__ import annotations

import hashlib
import hmac


def call_id_key(secret: str) -> bytes:
    """The key that signs call ids; it travels to the shims in the snapshot."""
    return hmac.new(secret.encode(), b"call-id", hashlib.sha256).digest()


def token_hash(secret: str, token: str) -> bytes:
    """What is stored of a token. Tokens are random 256 bits, so one fast keyed hash is enough."""
    return hmac.new(secret.encode(), b"token|" + token.encode(), hashlib.sha256).digest()


def session_key(secret: str) -> bytes:
    """The key that signs the pages' session cookies."""
    return hmac.new(secret.encode(), b"session", hashlib.sha256).digest()
