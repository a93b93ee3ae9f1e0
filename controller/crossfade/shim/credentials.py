"""Credentials: one refresh after AWS said that they are expired or wrong."""

from __future__ import annotations

from typing import Any

from botocore.credentials import RefreshableCredentials


def refresh(client: Any) -> bool:
    """Fetches new credentials for this client; False where they cannot be: then trying again is of no use."""
    return renew(getattr(getattr(client, "_request_signer", None), "_credentials", None))


def renew(credentials: Any) -> bool:
    """The same for botocore's credentials themselves."""
    if not isinstance(credentials, RefreshableCredentials):
        return False
    try:
        refused = credentials._frozen_credentials
        with credentials._refresh_lock:
            if credentials._frozen_credentials is refused:  # else another call, refused as well, was here before
                credentials._protected_refresh(is_mandatory=True)
    except Exception:
        return False
    return True
