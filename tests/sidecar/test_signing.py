"""Our signatures are botocore's, and its requests verify by ours."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote, unquote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from crossfade.sidecar.request import path_of, raw_path, read_path
from crossfade.sidecar.signing import sign

STAMP = "20260102T030405Z"
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def by_botocore(method: str, url: str, headers: dict[str, str], body: bytes, *, region: str) -> str:
    request = AWSRequest(method=method, url=url, data=body, headers={k: v for k, v in headers.items() if k != "host"})
    credentials = Credentials("AKID", "secret", headers.get("x-amz-security-token"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOW)
        botocore.auth.SigV4Auth(credentials, "bedrock", region).add_auth(request)
    return str(request.headers["Authorization"])


@given(
    st.sampled_from(["us-east-1", "eu-west-1"]),
    st.sampled_from(["anthropic.claude-3-haiku-20240307-v1:0", "arn:aws:bedrock:us-east-1:123:inference-profile/x.y"]),
    st.binary(max_size=200),
    st.none() | printable,
    st.dictionaries(st.sampled_from(["accept", "content-type", "x-amzn-bedrock-trace", "x-amzn-trace-id"]), printable),
    st.sampled_from(["", "maxResults=10&statusEquals=Completed", "b=2&a=1%202&a=0"]),
)
def test_a_request_is_signed_as_botocore_signs_it(
    region: str, model_id: str, body: bytes, token: str | None, more: dict[str, str], query: str
) -> None:
    path = path_of(model_id, "Converse")
    host = f"bedrock-runtime.{region}.amazonaws.com"
    headers = more | {"host": host, "x-amz-date": STAMP} | ({"x-amz-security-token": token} if token else {})
    ours = sign("POST", path, query, headers, body, region=region, access_key="AKID", secret="secret")
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    assert ours == by_botocore("POST", url, headers, body, region=region)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80))
def test_a_path_is_written_as_it_was_read(model_id: str) -> None:
    guardrail = f"/guardrail/{quote(model_id, safe='')}/version/DRAFT/apply"
    assert raw_path(unquote(guardrail)) == guardrail
    path = path_of(model_id, "InvokeModelWithResponseStream")
    assert raw_path(unquote(path)) == path
    found: Any = read_path(unquote(path))
    assert found == ("InvokeModelWithResponseStream", model_id)
