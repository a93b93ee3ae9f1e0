"""Whom the sidecar is to AWS."""

from __future__ import annotations

import asyncio
import datetime
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoAuthTokenError,
    NoCredentialsError,
)

from crossfade.core.outcome import Outcome
from crossfade.sidecar.identity import Identity
from crossfade.sidecar.upstream import failure_of

AWS = "https://bedrock-runtime.us-east-1.amazonaws.com"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return botocore.session.get_session()


def headers_for(identity: Identity, url: str = AWS) -> dict[str, str]:
    asked = identity.authorize("POST", url, "/model/m/converse", "", {"accept": "application/json"}, b"{}", "us-east-1")
    with ThreadPoolExecutor(1) as pool:  # in this thread a browser's event loop may run already
        return pool.submit(asyncio.run, asked).result()


def test_bedrocks_bearer_token_comes_first_and_never_goes_out_in_clear_text(bare, monkeypatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x")
    bare.set_credentials("AKID", "secret")
    identity = Identity(bare)
    assert headers_for(identity)["authorization"] == "Bearer bedrock-api-key-x"
    assert headers_for(identity, "http://127.0.0.1:1234")["authorization"].startswith("Bearer")
    with pytest.raises(NoAuthTokenError):
        headers_for(identity, "http://bedrock.internal")


def test_nobody_is_an_error_in_botocores_words(bare) -> None:
    with pytest.raises(NoCredentialsError):
        headers_for(Identity(bare))


def test_credentials_are_fetched_anew_before_they_run_out_and_carry_their_session_token(bare) -> None:
    fetched: list[int] = []

    def fetch() -> dict[str, str]:
        fetched.append(1)
        later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5 if len(fetched) == 1 else 60)
        return {
            "access_key": f"AKID{len(fetched)}", "secret_key": "s", "token": f"t{len(fetched)}",
            "expiry_time": later.isoformat(),
        }  # fmt: skip

    bare._credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
    identity = Identity(bare)
    found = headers_for(identity)
    assert (found["x-amz-security-token"], "Credential=AKID2/" in found["authorization"]) == ("t2", True)
    headers_for(identity)
    assert len(fetched) == 2


REFUSED = ClientError({"Error": {"Code": "AccessDenied", "Message": "not this role"}}, "AssumeRole")


@pytest.mark.parametrize(
    "trouble", [REFUSED, EndpointConnectionError(endpoint_url="https://sts"), RuntimeError("still expired")], ids=str
)
def test_credentials_that_cannot_be_fetched_anew_are_no_word_of_bedrocks(bare, trouble) -> None:
    def fetch() -> dict[str, str]:
        raise trouble

    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)
    bare._credentials = RefreshableCredentials("AKID", "s", "t", soon, fetch, "test")
    with pytest.raises(CredentialRetrievalError) as raised:
        headers_for(Identity(bare))
    assert failure_of(raised.value).outcome is Outcome.CREDENTIALS


def test_a_call_does_not_wait_for_new_credentials_beyond_its_deadline(
    beside, snapshot, model, sandbox, session
) -> None:
    given_up = threading.Event()

    def fetch() -> dict[str, str]:
        given_up.wait(30)
        raise REFUSED

    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    session._session._credentials = RefreshableCredentials("AKID", "s", "t", later, fetch, "test")
    caller = beside(snapshot(model("blue")))
    sandbox.fault("expired_token")
    began = time.monotonic()
    try:
        reply = caller.converse(x_crossfade_deadline="0.5")
        assert time.monotonic() - began < 10
    finally:
        given_up.set()
    assert (reply.status, reply.headers["x-amzn-errortype"].partition(":")[0]) == (403, "ExpiredTokenException")


def test_endpoints_are_those_of_each_regions_partition(bare) -> None:
    identity = Identity(bare)
    assert identity.endpoint("us-east-1") == AWS
    assert identity.endpoint("cn-north-1").endswith(".amazonaws.com.cn")
    assert identity.endpoint("xx-nowhere-1") == "https://bedrock-runtime.xx-nowhere-1.amazonaws.com"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "bedrock-runtime-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "bedrock-runtime.us-east-1.api.aws"),
    ],
)
def test_what_the_aws_set_up_says_of_endpoints_holds(bare, monkeypatch, variable, name) -> None:
    monkeypatch.setenv(variable, "true")
    identity = Identity(botocore.session.get_session())
    assert identity.endpoint("us-east-1") == f"https://{name}"
    if "FIPS" in variable:
        assert "-fips." in identity.endpoint("xx-nowhere-1")
