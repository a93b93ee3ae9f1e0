"""What people do with boto3 besides calling it: copying, pickling, forking, service models of their own."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.exceptions import ClientError

import crossfade
from crossfade.errors import SetupError
from crossfade.shim import plugin

ROUTE = "support-chat"
EAST = "us-east-1"
ECHO = "crossfade.echo-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


def test_a_session_is_copied_and_refuses_pickling_as_it_does_without_crossfade(
    routed, snapshot, model, session
) -> None:
    with pytest.raises(AttributeError, match="pickle") as before:
        pickle.dumps(boto3.session.Session())
    routed(snapshot(model("blue")))
    with pytest.raises(AttributeError, match="pickle") as after:
        pickle.dumps(session)
    assert str(after.value) == str(before.value)
    for copied in (copy.copy(session), copy.deepcopy(session)):
        client = copied.client("bedrock-runtime")
        answer = client.converse(modelId=ROUTE, messages=MESSAGES)
        assert answer["ResponseMetadata"]["Crossfade"]["model"] == "blue"
        client.close()


def test_clients_of_other_services_are_none_of_ours(routed, snapshot, model, session, sandbox) -> None:
    routed(snapshot(model("blue")))
    bedrock = session.client("bedrock", endpoint_url=sandbox.endpoint(EAST))
    assert bedrock.get_foundation_model(modelIdentifier=ECHO)["modelDetails"]["modelId"] == ECHO
    with pytest.raises(SetupError, match="takes a client for 'bedrock-runtime'"):
        crossfade.enable(bedrock)
    bedrock.close()


def test_an_operation_this_version_does_not_know_goes_through_untouched(
    controller, settings, snapshot, model, sandbox, tmp_path, monkeypatch
) -> None:
    """A newer service model, found through AWS_DATA_PATH as botocore offers."""
    place = Path("bedrock-runtime") / "2023-09-30"
    shipped = Path(botocore.__file__).parent / "data" / place / "service-2.json.gz"
    document = json.loads(gzip.decompress(shipped.read_bytes()))
    document["operations"]["Summon"] = {
        "name": "Summon",
        "http": {"method": "POST", "requestUri": "/model/{modelId}/summon"},
        "input": {"shape": "CountTokensRequest"},
    }
    del document["operations"]["CountTokens"]
    newer = tmp_path / "data" / place / "service-2.json"
    newer.parent.mkdir(parents=True)
    newer.write_text(json.dumps(document))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "data"))
    session = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=EAST)
    controller.serve_snapshot(snapshot(model("blue")))
    crossfade.install(session, **settings)
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    with pytest.raises(ClientError) as raised:
        client.summon(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    assert raised.value.response["Error"]["Code"] == "UnknownOperationException"
    assert not hasattr(client, "count_tokens")
    assert client.converse(modelId=ROUTE, messages=MESSAGES)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert crossfade.flush()
    assert controller.total("calls") == 1
    client.close()


def test_a_client_whose_own_method_is_patched_answers_as_patched(routed, snapshot, model, calls, monkeypatch) -> None:
    client = routed(snapshot(model("blue")))
    monkeypatch.setattr(client, "_make_api_call", lambda operation, params: {"patched": operation}, raising=False)
    assert client.converse(modelId=ROUTE, messages=MESSAGES) == {"patched": "Converse"}
    assert calls() == []


def test_a_client_in_adaptive_mode_is_refused_by_enable_and_left_alone_by_the_plugin(
    routed, snapshot, model, session, sandbox, monkeypatch, caplog
) -> None:
    routed(snapshot(model("blue")))
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    plain = boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=EAST)
    client = plain.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    with pytest.raises(SetupError, match=r"'adaptive'.*set the mode to 'standard'"):
        crossfade.enable(client)
    plugin.initialize_client_plugin(client)
    assert "Crossfade is not switched on" in caplog.text
    assert "Crossfade" not in client.converse(modelId=ECHO, messages=MESSAGES)["ResponseMetadata"]
    client.close()


class AsyncBase:
    """What aiobotocore's client class is to us: the call is a coroutine."""

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> Any: ...


def test_an_async_client_is_left_alone_with_a_sentence(routed, snapshot, model, session, sandbox, caplog) -> None:
    routed(snapshot(model("blue")))
    bases: list[type] = [AsyncBase]
    emitter = session.events
    emitter.emit("creating-client-class.bedrock-runtime", class_attributes={}, base_classes=bases)
    emitter.emit("creating-client-class.bedrock-runtime", class_attributes={}, base_classes=bases)
    assert bases == [AsyncBase]
    assert caplog.text.count("is an async one") == 1
    client = sandbox.client(EAST)
    client.__class__ = type("AsyncClient", (AsyncBase, type(client)), {})
    with pytest.raises(SetupError, match=r"async.*aiobotocore"):
        crossfade.enable(client)
    client.close()
