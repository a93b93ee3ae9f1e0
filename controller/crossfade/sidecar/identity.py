"""Identity: whom the sidecar is to AWS: a bearer token, or credentials of botocore's provider chain, kept fresh."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, NoAuthTokenError, NoCredentialsError

from crossfade.shim.credentials import renew
from crossfade.sidecar.signing import sign

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Identity:
    """Signs requests. `region` is the sidecar's own, where calls go that are none of any route's."""

    def __init__(self, session: Any = None) -> None:
        self._session = session or botocore.session.get_session()
        # As botocore does: Bedrock's bearer token, where there is one, comes before all other credentials.
        self._bearer = os.environ.get("AWS_BEARER_TOKEN_BEDROCK")
        self._credentials: Any = None if self._bearer else self._session.get_credentials()
        self.region: str = self._session.get_config_variable("region") or "us-east-1"

    @property
    def nobody(self) -> bool:
        """Whether there is nothing to sign with, so that every call will be refused."""
        return not self._bearer and self._credentials is None

    def endpoint(self, region: str) -> str:
        """AWS's own endpoint in a region: FIPS's or a dual-stack one where the AWS set-up says so."""
        resolver, said = self._session.get_component("endpoint_resolver"), self._session.get_config_variable
        fips, dual = bool(said("use_fips_endpoint")), bool(said("use_dualstack_endpoint"))
        found = resolver.construct_endpoint(
            "bedrock-runtime", region, use_fips_endpoint=fips, use_dualstack_endpoint=dual
        )
        service = "bedrock-runtime-fips" if fips else "bedrock-runtime"
        return f"https://{(found or {}).get('hostname') or f'{service}.{region}.amazonaws.com'}"

    async def authorize(
        self, method: str, url: str, path: str, query: str, headers: dict[str, str], body: bytes, region: str
    ) -> dict[str, str]:
        """The headers with those that say who asks. Raises botocore's errors where nobody can be named."""
        place = urlsplit(url)
        if self._bearer:
            if place.scheme != "https" and place.hostname not in _LOOPBACK:
                raise NoAuthTokenError()  # as botocore: a bearer token is not sent in clear text
            return {**headers, "authorization": f"Bearer {self._bearer}"}
        found = self._credentials
        if found is None:
            raise NoCredentialsError()
        if isinstance(found, RefreshableCredentials) and found.refresh_needed():
            try:
                frozen = await asyncio.get_running_loop().run_in_executor(None, found.get_frozen_credentials)
            except Exception as error:  # of STS, the container, the instance: it says nothing of Bedrock
                raise CredentialRetrievalError(provider=found.method, error_msg=str(error)) from error
        else:
            frozen = found.get_frozen_credentials()
        signed = {
            **headers,
            "host": place.netloc,
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        }
        if frozen.token:
            signed["x-amz-security-token"] = frozen.token
        signed["authorization"] = sign(
            method,
            path,
            query,
            signed,
            body,
            region=region,
            access_key=frozen.access_key,
            secret=frozen.secret_key,
        )
        return signed

    async def renew(self) -> bool:
        """Fetches new credentials; False where they cannot be."""
        return await asyncio.get_running_loop().run_in_executor(None, renew, self._credentials)
