"""Who is let in, and what is let through of what they send."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from crossfade.core.model import region_of
from crossfade.errors import SetupError
from crossfade.sidecar.callers import Callers
from crossfade.sidecar.settings import load
from crossfade.sidecar.signing import sign

from .conftest import EAST, ROUTE, Caller

ARN = "arn:aws:bedrock:us-east-1:123456789012"
ECHO = "crossfade.echo-v1:0"
TOKEN = "a-token-of-a-caller"
KEYS = {"SIDECARKEY": "a-secret-of-a-caller"}
MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]


def client(caller: Caller, key: str, secret: str, region: str = EAST) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=f"http://127.0.0.1:{caller.port}",
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_on_loopback_whoever_reaches_it_is_let_in_but_no_browser(beside, snapshot, model, sandbox, calls) -> None:
    caller = beside(snapshot(model("blue")))
    assert caller.converse().status == 200
    assert caller.converse(origin="http://evil.example").status == 403
    assert len(calls()) == 1


HOSTS = {
    "evil.example": 403,
    "evil.example.:8322": 403,
    "127.0.0.1.evil.example": 403,
    "localhost.evil.example:80": 403,
    "LocalHost:8322": 200,
    "127.0.0.7": 200,
    "[::1]:8322": 200,
    "[::ffff:127.0.0.1]": 200,
    "sidecar": 200,
    "host.docker.internal:8322": 200,
}


@pytest.mark.parametrize("host", HOSTS)
def test_on_loopback_no_page_is_let_in_whose_own_name_stands_for_loopback(beside, snapshot, model, calls, host) -> None:
    caller = beside(snapshot(model("blue")))
    assert caller.converse(host=host).status == HOSTS[host]
    assert caller.ask("GET", "/metrics", host=host).status == HOSTS[host], "a page reads without an Origin"
    assert caller.ask("GET", "/healthz", host=host).status == 200
    assert len(calls()) == (HOSTS[host] == 200)


@pytest.mark.parametrize("callers", [Callers(tokens=(TOKEN,)), Callers(pages=False)], ids=["token", "Unix socket"])
def test_who_shows_a_token_or_comes_by_a_unix_socket_may_call_it_by_any_name(beside, snapshot, model, callers) -> None:
    caller = beside(snapshot(model("blue")), callers=callers)
    assert caller.converse(host="sidecar.example", x_crossfade_token=TOKEN).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"x_crossfade_token": TOKEN}, 200),
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 403),
        ({"x_crossfade_token": "é"}, 401),
        ({"authorization": "Basic abc"}, 401),
    ],
)
def test_with_a_token_only_who_shows_it_is_let_in(beside, snapshot, model, calls, headers, status) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(tokens=("another-token-before", TOKEN)))
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    assert caller.converse(**headers).status == status
    assert len(calls()) == (status == 200)
    assert caller.ask("GET", "/healthz").status == 200
    assert caller.ask("GET", "/metrics").status == 401
    assert caller.ask("GET", "/metrics", authorization=f"Bearer {TOKEN}").status == 200, "as Prometheus shows it"


def test_the_token_goes_no_further(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(tokens=(TOKEN,)))
    assert caller.converse(authorization=f"Bearer {TOKEN}", x_crossfade_token=TOKEN).status == 200
    sandbox.settle()
    [entry] = sandbox.log()
    assert entry["signed_region"] == EAST, "signed anew with the sidecar's own credentials"


@pytest.mark.parametrize("model_id", [ROUTE, f"{ARN}:inference-profile/us.anthropic.x-v1:0"])
def test_a_signature_by_a_known_key_is_verified(beside, snapshot, model, sandbox, model_id) -> None:
    found = snapshot(model("blue"))
    entry = found.entries[ROUTE]
    named = replace(entry, route=replace(entry.route, name=model_id))
    caller = beside(replace(found, entries={model_id: named}), callers=Callers(keys=KEYS))
    good = client(caller, "SIDECARKEY", KEYS["SIDECARKEY"])
    assert good.converse(modelId=model_id, messages=MESSAGES)["stopReason"] == "end_turn"
    for key, secret in (("SIDECARKEY", "a-secret-of-nobody's"), ("OTHERKEY", KEYS["SIDECARKEY"])):
        bad = client(caller, key, secret)
        with pytest.raises(ClientError) as raised:
            bad.converse(modelId=model_id, messages=MESSAGES)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        bad.close()
    good.close()


@pytest.mark.parametrize("written", ["x@127.0.0.1:{}#", "x@127.0.0.1:{}?", "127.0.0.1:{}", "us-east-1@127.0.0.1:{}"])
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_no_region_that_a_caller_names_leads_to_another_host(beside, snapshot, model, sandbox, written, verb) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST))
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        region = written.format(stranger.getsockname()[1])
        scope = f"AWS4-HMAC-SHA256 Credential=A/20260101/{region}/bedrock/aws4_request, SignedHeaders=host, Signature=0"
        path = "/async-invoke" if verb == "GET" else f"/model/{ECHO}/converse"
        reply = caller.ask(verb, path, None if verb == "GET" else {"messages": MESSAGES}, authorization=scope)
        assert reply.status == 200, "of Bedrock in the sidecar's own region"
        stranger.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.parametrize("region", ["x@localhost#", "localhost?", "localhost/", ".", "a.b", "us-east-1\n"])
def test_no_arn_that_a_caller_names_leads_to_another_host(beside, snapshot, model, sandbox, region) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST))
    arn = f"arn:aws:bedrock:{region}:123456789012:async-invoke/a"
    assert region_of(arn) is None
    reply = caller.ask("GET", f"/async-invoke/{quote(arn, safe='')}")
    assert b"cannot be reached" not in reply.body, "it was asked of Bedrock in the sidecar's own region"
    sandbox.settle()
    assert [entry["operation"] for entry in sandbox.log()] == ["GetAsyncInvoke"]


@pytest.mark.parametrize("colon", [":", "%3A"])
def test_a_colon_of_a_model_id_may_be_signed_as_it_is_or_encoded(beside, snapshot, model, sandbox, colon) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST), callers=Callers(keys=KEYS))
    path, body = f"/model/{ECHO.replace(':', colon)}/converse", json.dumps({"messages": MESSAGES}).encode()
    signed = {"host": f"127.0.0.1:{caller.port}", "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())}
    [(key, secret)] = KEYS.items()
    signature = sign("POST", path, "", signed, body, region=EAST, access_key=key, secret=secret)
    headers = signed | {"authorization": signature}
    assert caller.ask("POST", path, body, **headers).status == 200
    assert caller.ask("POST", path, body + b" ", **headers).status == 403


def test_a_guardrail_may_be_named_by_its_arn(beside, snapshot, model, sandbox) -> None:
    caller = beside(snapshot(model("blue")), upstream=sandbox.endpoint(EAST), callers=Callers(keys=KEYS))
    signed = client(caller, "SIDECARKEY", KEYS["SIDECARKEY"])
    for name in ("abc", f"{ARN}:guardrail/abc"):
        answer = signed.apply_guardrail(
            guardrailIdentifier=name, guardrailVersion="1", source="INPUT", content=[{"text": {"text": "hi"}}]
        )
        assert answer["action"] == "NONE"
    signed.close()


def test_a_signature_holds_for_its_own_request_and_its_own_time(beside, snapshot, model, monkeypatch) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(keys=KEYS))
    sent: dict[str, Any] = {}
    signed = client(caller, "SIDECARKEY", KEYS["SIDECARKEY"])
    signed.meta.events.register("before-send.bedrock-runtime", lambda request, **_: sent.update(request=request))
    signed.converse(modelId=ROUTE, messages=MESSAGES)
    signed.close()
    request = sent["request"]
    headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    del headers["Content-Length"]  # of this body, and not signed
    headers["Host"] = f"127.0.0.1:{caller.port}"
    path = f"/model/{ROUTE}/converse"
    again = Caller(caller.port, headers)
    assert again.ask("POST", path, request.body).status == 200
    assert again.ask("POST", path, request.body + b" ").status == 403
    assert again.ask("POST", f"/model/{ROUTE}/invoke", request.body).status == 403
    monkeypatch.setattr(time, "time", lambda now=time.time(): now + 400)  # noqa: B008
    assert again.ask("POST", path, request.body).status == 403


def environment(tmp_path: Any, **more: str) -> dict[str, str]:
    (tmp_path / "tokens").write_text("one-token-of-many\n\nanother-token-of-many\n")
    (tmp_path / "keys").write_text("AKID a-secret-of-a-caller\n")
    (tmp_path / "short").write_text("AKID short\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    return {name: value.replace("TMP", str(tmp_path)) for name, value in more.items()}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"CROSSFADE_SIDECAR_HOST": "0.0.0.0"}, "could spend this machine's AWS credentials"),
        ({"CROSSFADE_SIDECAR_HOST": "::"}, "could spend"),
        ({"CROSSFADE_SIDECAR_HOST": "sidecar.internal"}, "could spend"),
        ({"CROSSFADE_SIDECAR_TOKEN": "short"}, "at least 16"),
        ({"CROSSFADE_SIDECAR_TOKEN_FILE": "TMP/nothing"}, "cannot read"),
        ({"CROSSFADE_SIDECAR_TOKEN_FILE": "TMP/empty"}, "is empty"),
        ({"CROSSFADE_SIDECAR_TOKEN_FILE": "TMP/bytes"}, "is no text"),
        ({"CROSSFADE_SIDECAR_TOKEN": "  short            \n"}, "has 5 characters"),
        ({"CROSSFADE_SIDECAR_TOKEN": " "}, "has 0 characters"),
        ({"CROSSFADE_SIDECAR_KEYS_FILE": "TMP/short"}, "line 1: must be an access key"),
        ({"CROSSFADE_SIDECAR_PORT": "many"}, "CROSSFADE_SIDECAR_PORT is 'many'"),
        ({"CROSSFADE_SIDECAR_WORKERS": "0"}, "from 1 to 256"),
        ({"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://localhost:8322/"}, "the sidecar itself"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_settings_that_would_open_it_or_cannot_be_meant_are_refused(tmp_path, given, words) -> None:
    with pytest.raises(SetupError, match=words):
        load(environment(tmp_path, **given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"CROSSFADE_SIDECAR_HOST": "::1"},
        {"CROSSFADE_SIDECAR_HOST": "127.0.0.7"},
        {"CROSSFADE_SIDECAR_HOST": "0.0.0.0", "CROSSFADE_SIDECAR_TOKEN_FILE": "TMP/tokens"},
        {"CROSSFADE_SIDECAR_HOST": "0.0.0.0", "CROSSFADE_SIDECAR_KEYS_FILE": "TMP/keys"},
        {"CROSSFADE_SIDECAR_SOCKET": "TMP/socket", "CROSSFADE_SIDECAR_HOST": "0.0.0.0"},
    ],
    ids=str,
)
def test_settings_that_keep_strangers_out_are_taken(tmp_path, given) -> None:
    settings = load(environment(tmp_path, **given))
    assert "token-of-many" not in repr(settings)
    assert "a-secret" not in repr(settings)
    assert settings.callers.pages == ("CROSSFADE_SIDECAR_SOCKET" not in given)
    if "CROSSFADE_SIDECAR_TOKEN_FILE" in given:
        assert settings.callers.tokens == ("one-token-of-many", "another-token-of-many")


def test_a_token_is_read_without_the_line_end_that_a_mounted_secret_brings(tmp_path) -> None:
    assert load(environment(tmp_path, CROSSFADE_SIDECAR_TOKEN=f"{TOKEN}\n")).callers.tokens == (TOKEN,)


def test_over_http2_the_authority_may_be_what_is_signed_as_the_sdk_for_javascript_does(beside, snapshot, model) -> None:
    caller = beside(snapshot(model("blue")), callers=Callers(keys=KEYS))
    place, path = f"127.0.0.1:{caller.port}", f"/model/{ROUTE}/converse"
    body = json.dumps({"messages": MESSAGES}).encode()
    signed = {":authority": place, "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())}
    [(key, secret)] = KEYS.items()
    signature = sign("POST", path, "", signed, body, region=EAST, access_key=key, secret=secret)
    headers = {"authorization": signature, "x-amz-date": signed["x-amz-date"]}
    with httpx.Client(http1=False, http2=True, timeout=10, trust_env=False) as http:
        assert http.post(f"http://{place}{path}", content=body, headers=headers).status_code == 200
        assert http.post(f"http://{place}{path}", content=body + b" ", headers=headers).status_code == 403
