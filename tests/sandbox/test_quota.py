"""Token buckets: by hand, and as a client meets them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from crossfade.sandbox.fault import Scope
from crossfade.sandbox.quota import Quota, Quotas
from crossfade.sandbox.running import Sandbox

from .conftest import ECHO, Ask


def test_requests_beyond_the_burst_are_throttled_until_the_bucket_fills() -> None:
    quotas = Quotas()
    quotas.put(Quota(scope=Scope(), requests_per_second=2, burst=3))
    taken = [quotas.reserve("r", "m", 10, now=0.0) is not None for _ in range(4)]
    assert taken == [True, True, True, False]
    assert quotas.reserve("r", "m", 10, now=0.4) is None
    assert quotas.reserve("r", "m", 10, now=0.5) is not None


def test_tokens_are_reserved_with_max_tokens_and_given_back() -> None:
    quotas = Quotas()
    quotas.put(Quota(scope=Scope(), tokens_per_minute=6000))
    first = quotas.reserve("r", "m", 4100, now=0.0)
    assert first is not None
    assert quotas.reserve("r", "m", 4100, now=0.0) is None
    first.settle(20)
    assert quotas.reserve("r", "m", 4100, now=0.0) is not None


def test_each_region_and_model_has_its_own_bucket() -> None:
    quotas = Quotas()
    quotas.put(Quota(scope=Scope(), requests_per_second=1))
    for region, model in (("a", "m"), ("b", "m"), ("a", "n")):
        assert quotas.reserve(region, model, 1, now=0.0) is not None
        assert quotas.reserve(region, model, 1, now=0.0) is None


def test_a_short_bucket_leaves_the_others_untouched() -> None:
    quotas = Quotas()
    quotas.put(Quota(scope=Scope(), requests_per_second=10, tokens_per_minute=100))
    assert quotas.reserve("r", "m", 101, now=0.0) is None
    (described,) = quotas.describe(now=0.0)
    assert [level["level"] for level in described["levels"]] == [10, 100]  # type: ignore[attr-defined]


def test_a_client_over_its_quota_is_throttled(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.quota(region="us-east-1", requests_per_second=0.01, burst=2)
    ask("Converse")
    ask("ConverseStream")
    with pytest.raises(ClientError) as caught:
        ask("InvokeModel")
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    ask("CountTokens")  # is free
    assert [entry["fault"] for entry in sandbox.log()] == [None, None, "bucket", None]
    sandbox.clear()
    ask("InvokeModel")


def test_an_unset_max_tokens_reserves_the_models_maximum(sandbox: Sandbox, client: Any) -> None:
    sandbox.quota(model=ECHO, tokens_per_minute=4000)
    messages = [{"role": "user", "content": [{"text": "x"}]}]
    with pytest.raises(ClientError, match="ThrottlingException"):
        client.converse(modelId=ECHO, messages=messages)
    client.converse(modelId=ECHO, messages=messages, inferenceConfig={"maxTokens": 3000})
    client.converse(modelId=ECHO, messages=messages, inferenceConfig={"maxTokens": 3000})
