"""Targets are looked up in Bedrock's control plane: here the sandbox, asked by a genuine boto3 client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crossfade.core.model import Model, Target
from crossfade.sandbox.running import Sandbox
from crossfade.server.lookup import BedrockLookup, Found, find_all

REGION = "us-west-2"
ECHO = "crossfade.echo-v1:0"
ARN = "arn:aws:bedrock:us-west-2"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(models=("echo",)) as running:
        yield running


@pytest.fixture
def lookup(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockLookup]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "demo")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "demo")
    lookup = BedrockLookup()
    yield lookup
    lookup.close()


@pytest.mark.parametrize(
    ("model_id", "found"),
    [
        (ECHO, Found.YES),
        ("us." + ECHO, Found.YES),
        (f"{ARN}::foundation-model/{ECHO}", Found.YES),
        ("nobody.here-v1:0", Found.NO),
        ("us.nobody.here-v1:0", Found.NO),
        (f"{ARN}:123456789012:provisioned-model/abc", Found.UNKNOWN),
    ],
)
def test_what_is_there_is_told_from_what_is_not(
    sandbox: Sandbox, lookup: BedrockLookup, model_id: str, found: Found
) -> None:
    answer = lookup.find(Target(region=REGION, model_id=model_id, endpoint_url=sandbox.endpoint(REGION)))
    assert (answer.found, answer.region, answer.model_id) == (found, REGION, model_id)
    assert answer.detail


def test_a_refusal_to_answer_is_not_a_no(sandbox: Sandbox, lookup: BedrockLookup) -> None:
    sandbox.fault("access_denied", operation="GetFoundationModel")
    try:
        answer = lookup.find(Target(region=REGION, model_id=ECHO, endpoint_url=sandbox.endpoint(REGION)))
    finally:
        sandbox.clear()
    assert answer.found is Found.UNKNOWN
    assert "AccessDenied" in answer.detail


def test_nobody_there_and_no_credentials_are_unknown(
    sandbox: Sandbox, lookup: BedrockLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Target(region=REGION, model_id=ECHO, endpoint_url="http://127.0.0.1:1")
    assert lookup.find(away).found is Found.UNKNOWN
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    here = Target(region=REGION, model_id=ECHO, endpoint_url=sandbox.endpoint(REGION))
    assert lookup.find(here).found is Found.UNKNOWN


def test_all_targets_of_a_model_are_looked_up_each_in_its_place(sandbox: Sandbox, lookup: BedrockLookup) -> None:
    names = (ECHO, "nobody.here-v1:0", "us." + ECHO)
    targets = tuple(Target(region=REGION, model_id=name, endpoint_url=sandbox.endpoint(REGION)) for name in names)
    answers = find_all(lookup, Model(name="m", targets=targets))
    assert [answer.found for answer in answers] == [Found.YES, Found.NO, Found.YES]
