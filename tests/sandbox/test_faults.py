"""Each kind of fault, as a real boto3 client without retries meets it."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import botocore.exceptions as botocore_errors
import pytest
import urllib3.exceptions as urllib3_errors
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError

import crossfade.sandbox
from crossfade.sandbox.kinds import ASKING, CONVERSES, EVERY, KINDS, RUNTIME, STREAMS, Param
from crossfade.sandbox.running import Sandbox

from .conftest import ECHO, Ask

ERRORS = {
    "throttle": (429, "ThrottlingException"),
    "bare_429": (429, "429"),
    "unavailable": (503, "ServiceUnavailableException"),
    "internal": (500, "InternalServerException"),
    "model_timeout": (408, "ModelTimeoutException"),
    "model_error": (424, "ModelErrorException"),
    "not_ready": (429, "ModelNotReadyException"),
    "validation": (400, "ValidationException"),
    "quota": (400, "ServiceQuotaExceededException"),
    "access_denied": (403, "AccessDeniedException"),
    "not_found": (404, "ResourceNotFoundException"),
    "expired_token": (403, "ExpiredTokenException"),
    "bad_signature": (403, "InvalidSignatureException"),
    "html_502": (502, "502"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_come_with_their_status_and_name(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    status, code = ERRORS[kind]
    sandbox.fault(kind)
    for operation in sorted(RUNTIME):
        with pytest.raises(ClientError) as caught:
            ask(operation)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert {(entry["status"], entry["outcome"], entry["fault"]) for entry in sandbox.log()} == {(status, code, kind)}


@pytest.mark.parametrize("kind", ["throttle", "bare_429", "unavailable"])
def test_retry_after_is_sent_only_when_asked(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    sandbox.fault(kind, count=1)
    sandbox.fault(kind, count=1, retry_after=2, retry_after_ms=1500)
    headers = []
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            ask("Converse")
        headers.append(caught.value.response["ResponseMetadata"]["HTTPHeaders"])
    assert "retry-after" not in headers[0]
    assert "x-amz-retry-after" not in headers[0]
    assert headers[1]["retry-after"] == "2"
    assert headers[1]["x-amz-retry-after"] == "1500"


def test_an_html_page_may_have_another_status(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("html_502", status=504)
    with pytest.raises(ClientError) as caught:
        ask("InvokeModel")
    assert caught.value.response["Error"]["Code"] == "504"


def test_messages_can_be_chosen(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("validation", message="on-demand throughput isn’t supported")
    with pytest.raises(ClientError, match="on-demand throughput isn’t supported"):
        ask("Converse")


@pytest.mark.parametrize("operation", sorted(RUNTIME))
def test_a_reset_comes_before_any_answer(sandbox: Sandbox, ask: Ask, operation: str) -> None:
    sandbox.fault("reset")
    with pytest.raises(botocore_errors.ConnectionClosedError):
        ask(operation)
    (entry,) = sandbox.log()
    assert (entry["status"], entry["outcome"]) == (None, "reset")


def test_a_reset_may_come_inside_a_stream(sandbox: Sandbox, client: Any) -> None:
    sandbox.fault("reset", after_events=2)
    assert _events_before_trouble(client, urllib3_errors.ProtocolError) == ["messageStart", "contentBlockDelta"]
    assert sandbox.log()[-1]["outcome"] == "reset"


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream", "InvokeModel"])
def test_a_hang_lasts_until_the_client_leaves(sandbox: Sandbox, ask: Ask, operation: str) -> None:
    sandbox.fault("hang")
    with pytest.raises(botocore_errors.ReadTimeoutError):
        ask(operation)
    sandbox.settle()
    (entry,) = sandbox.log()
    assert (entry["outcome"], entry["fault"]) == ("left", "hang")


def test_a_hang_may_end_in_a_close(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("hang", seconds=0.1)
    with pytest.raises(botocore_errors.ConnectionClosedError):
        ask("Converse")
    assert sandbox.log()[-1]["outcome"] == "hang"


def test_latency_only_delays(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("latency", seconds=0.2, jitter=0.1)
    started = time.perf_counter()
    assert ask("Converse")["stopReason"] == "end_turn"
    assert time.perf_counter() - started >= 0.2
    (entry,) = sandbox.log()
    assert (entry["outcome"], entry["fault"]) == ("answered", "latency")
    assert entry["seconds"] >= 0.2


def test_latency_adds_to_another_fault(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("unavailable")
    sandbox.fault("latency", seconds=0.1)
    sandbox.fault("latency", seconds=0.1)
    started = time.perf_counter()
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        ask("Converse")
    assert time.perf_counter() - started >= 0.2


def test_a_slow_first_token_comes_after_the_head(sandbox: Sandbox, client: Any) -> None:
    sandbox.fault("slow_first_token", seconds=0.9)
    started = time.perf_counter()
    answer = client.converse_stream(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "a b"}]}])
    events = iter(answer["stream"])
    assert "messageStart" in next(events)
    assert time.perf_counter() - started < 0.85
    assert "contentBlockDelta" in next(events)
    assert time.perf_counter() - started >= 0.6
    assert [next(iter(event)) for event in events][-1] == "metadata"


@pytest.mark.parametrize("kind", ["slow_first_token", "stall"])
@pytest.mark.parametrize("operation", sorted(STREAMS))
def test_silence_inside_a_stream_is_a_urllib3_timeout(sandbox: Sandbox, ask: Ask, kind: str, operation: str) -> None:
    sandbox.fault(kind)
    with pytest.raises(urllib3_errors.ReadTimeoutError):
        ask(operation)
    sandbox.settle()
    assert sandbox.log()[-1]["outcome"] == "left"


def test_a_stall_may_end(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("stall", seconds=0.2)
    assert "metadata" in ask("ConverseStream")[-1]
    assert ask("Converse")["stopReason"] == "end_turn"
    assert json.loads(ask("InvokeModel"))["stop_reason"] == "end_turn"
    assert all(entry["seconds"] >= 0.2 for entry in sandbox.log())


def test_a_drip_outlasts_every_read_timeout(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("drip", seconds=0.25, parts=6)
    for operation in ("ConverseStream", "Converse"):
        started = time.perf_counter()
        ask(operation)  # the client's read timeout is 1 s
        assert time.perf_counter() - started > 1.2


@pytest.mark.parametrize("operation", sorted(STREAMS))
@pytest.mark.parametrize(
    "exception", ["throttlingException", "modelStreamErrorException", "serviceUnavailableException"]
)
def test_an_exception_inside_a_stream_has_a_camel_case_code(
    sandbox: Sandbox, ask: Ask, operation: str, exception: str
) -> None:
    sandbox.fault("exception_event", exception=exception, after_events=0)
    with pytest.raises(EventStreamError) as caught:
        ask(operation)
    assert caught.value.response["Error"]["Code"] == exception
    assert "HTTPStatusCode" not in caught.value.response.get("ResponseMetadata", {})


def _events_before_trouble(client: Any, trouble: type[BaseException]) -> list[str]:
    answer = client.converse_stream(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "a b c"}]}])
    names: list[str] = []
    with contextlib.closing(answer["stream"]) as stream, pytest.raises(trouble):
        names.extend(next(iter(event)) for event in stream)
    return names


def test_an_exception_comes_after_the_first_token_by_default(sandbox: Sandbox, client: Any) -> None:
    sandbox.fault("exception_event")
    assert _events_before_trouble(client, EventStreamError) == ["messageStart", "contentBlockDelta"]


def test_a_bad_checksum_raises_what_no_client_error_handler_catches(sandbox: Sandbox, client: Any) -> None:
    sandbox.fault("bad_checksum")
    assert _events_before_trouble(client, ChecksumMismatch) == ["messageStart", "contentBlockDelta"]
    assert not issubclass(ChecksumMismatch, ClientError | urllib3_errors.HTTPError)


@pytest.mark.parametrize("kind", ["half_frame", "no_message_stop"])
def test_a_stream_that_ends_early_and_cleanly_just_ends(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    sandbox.fault(kind)
    names = [next(iter(event)) for event in ask("ConverseStream")]
    assert "contentBlockDelta" in names
    assert "messageStop" not in names
    chunks = [json.loads(chunk)["type"] for chunk in ask("InvokeModelWithResponseStream")]
    assert "content_block_delta" in chunks
    assert "message_stop" not in chunks


@pytest.mark.parametrize("kind", ["half_frame", "no_message_stop"])
def test_a_stream_cut_with_its_connection_is_a_protocol_error(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    sandbox.fault(kind, clean=False)
    for operation in sorted(STREAMS):
        with pytest.raises(urllib3_errors.ProtocolError):
            ask(operation)


def test_a_truncated_body_loses_its_members_or_fails_on_read(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("truncated_body")
    assert set(ask("Converse")) == {"ResponseMetadata"}
    with pytest.raises(botocore_errors.ResponseStreamingError):
        ask("InvokeModel")
    with pytest.raises(urllib3_errors.ProtocolError):
        ask("ConverseStream")


@pytest.mark.parametrize("kind", ["malformed_body", "missing_members"])
def test_a_body_without_its_members_raises_nothing(sandbox: Sandbox, ask: Ask, kind: str) -> None:
    sandbox.fault(kind)
    assert set(ask("Converse")) == {"ResponseMetadata"}
    assert "inputTokens" not in ask("CountTokens")
    assert ask("ConverseStream") == [{"contentBlockDelta": {}}] * 2
    assert ask("InvokeModelWithResponseStream") == [None, None]
    assert ask("InvokeModel") in (b"{}", b'{"output": {"mess')


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_a_stop_reason(sandbox: Sandbox, ask: Ask, reason: str) -> None:
    sandbox.fault("malformed_output", stop_reason=reason)
    assert ask("Converse")["stopReason"] == reason
    assert {"messageStop": {"stopReason": reason}} in ask("ConverseStream")
    assert json.loads(ask("InvokeModel"))["stop_reason"] == "end_turn"
    assert [entry["outcome"] for entry in sandbox.log()] == [reason, reason, "answered"]


def test_other_stop_reasons_reach_every_shape(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("stop_reason", stop_reason="content_filtered")
    assert ask("Converse")["stopReason"] == "content_filtered"
    assert json.loads(ask("InvokeModel"))["stop_reason"] == "content_filtered"
    stop = [json.loads(chunk) for chunk in ask("InvokeModelWithResponseStream")][-2]
    assert stop["delta"]["stop_reason"] == "content_filtered"


def test_a_region_can_refuse_connections_and_come_back_on_its_port(sandbox: Sandbox, ask: Ask) -> None:
    ask("Converse")  # leaves a connection open, which must not go on serving
    endpoint = sandbox.endpoint("us-east-1")
    fault = sandbox.fault("refuse", region="us-east-1")
    for _ in range(3):
        with pytest.raises((botocore_errors.EndpointConnectionError, botocore_errors.ConnectionClosedError)):
            ask("Converse")
    other = sandbox.client("us-west-2")
    assert other.converse(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "x"}]}])["stopReason"]
    other.close()
    sandbox.clear(fault)
    assert sandbox.endpoint("us-east-1") == endpoint
    assert ask("Converse")["stopReason"] == "end_turn"


def test_every_region_can_refuse_at_once_twice(sandbox: Sandbox, ask: Ask) -> None:
    for _ in range(2):
        sandbox.fault("refuse")
        sandbox.fault("refuse", region="us-east-1")
        with pytest.raises((botocore_errors.EndpointConnectionError, botocore_errors.ConnectionClosedError)):
            ask("Converse")
        sandbox.clear()
        assert ask("Converse")["stopReason"] == "end_turn"


def test_damage_leaves_a_refusal_as_it_is(sandbox: Sandbox, ask: Ask) -> None:
    for kind in sorted(set(KINDS) - set(ERRORS) - {"reset", "hang", "latency", "refuse"}):
        sandbox.clear()
        sandbox.fault(kind)
        for operation in sorted(KINDS[kind].operations & (ASKING | {"CountTokens", "StartAsyncInvoke"})):
            with pytest.raises(ClientError, match="model identifier is invalid"):
                ask(operation, "nobody")


# Which calls a fault meets


def test_a_fault_meets_only_what_it_names(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("internal", region="us-east-1", model="crossfade.echo-a-v1:0", operation="InvokeModel")
    sandbox.fault("internal", region="us-west-2")
    ask("InvokeModel")
    ask("Converse", "crossfade.echo-a-v1:0")
    with pytest.raises(ClientError):
        ask("InvokeModel", "crossfade.echo-a-v1:0")


def test_a_models_fault_meets_its_profiles_and_not_the_reverse(sandbox: Sandbox, ask: Ask) -> None:
    base = sandbox.fault("internal", model=ECHO)
    with pytest.raises(ClientError):
        ask("Converse", "us." + ECHO)
    sandbox.clear(base)
    sandbox.fault("internal", model="us." + ECHO)
    ask("Converse", ECHO)
    with pytest.raises(ClientError):
        ask("Converse", "us." + ECHO)


def test_a_count_runs_out(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("internal", count=2)
    outcomes = []
    for _ in range(4):
        try:
            ask("Converse")
            outcomes.append("ok")
        except ClientError:
            outcomes.append("error")
    assert outcomes == ["error", "error", "ok", "ok"]
    (fault,) = sandbox.faults()
    assert fault["hits"] == 2


def test_a_probability_is_kept_over_many_calls(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("internal", probability=0.3)
    for _ in range(200):
        with contextlib.suppress(ClientError):
            ask("CountTokens")
    (fault,) = sandbox.faults()
    assert 30 <= fault["hits"] <= 90  # five standard deviations about 60


def test_the_first_fault_that_fits_meets_the_call(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("validation", operation="Converse", count=1)
    sandbox.fault("internal")
    codes = []
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            ask("Converse")
        codes.append(caught.value.response["Error"]["Code"])
    assert codes == ["ValidationException", "InternalServerException"]


# The table in the README


def test_the_readme_has_the_table_of_kinds() -> None:
    operations = {
        EVERY: "all",
        RUNTIME: "runtime",
        STREAMS: "streams",
        CONVERSES: "Converse, ConverseStream",
        ASKING: "asking",
    }

    def default(param: Param) -> str:
        match param.default:
            case _ if param.type == "text":
                return ""
            case None:
                return " (none)"
            case bool(flag):
                return f" ({str(flag).lower()})"
            case value:
                return f" ({value})"

    rows = [
        f"| `{kind.name}` | {operations[kind.operations]} | {kind.wire} | "
        + ", ".join(f"`{param.name}`{default(param)}" for param in kind.params)
        + " |"
        for kind in KINDS.values()
    ]
    readme = (Path(crossfade.sandbox.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in readme
