"""The control port and the log."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from crossfade.errors import Invalid, NotFound
from crossfade.sandbox.ledger import Entry, Ledger
from crossfade.sandbox.running import Sandbox

from .conftest import ECHO, Ask


def _send(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, str | None, dict[str, Any]]:
    location = urlsplit(sandbox.control_url)
    connection = http.client.HTTPConnection(location.hostname or "", location.port, timeout=5)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("content-type"), json.loads(reply.read())
    finally:
        connection.close()


def _order(sandbox: Sandbox, path: str, document: object, method: str = "POST") -> tuple[int, dict[str, Any]]:
    body = json.dumps(document).encode()
    status, kind, answer = _send(sandbox, method, path, body, **{"content-type": "application/json"})
    if status >= 400:
        assert kind == "application/problem+json"
        assert answer["status"] == status
    return status, answer


def test_every_problem_of_a_fault_is_named(sandbox: Sandbox) -> None:
    status, answer = _order(
        sandbox,
        "/faults",
        {
            "kind": "throttle",
            "region": "mars-north-1",
            "model": 7,
            "operation": "Nothing",
            "count": 0,
            "probability": 1.5,
            "params": {"retry_after": -1, "colour": "red", "message": 3},
            "when": "now",
        },
    )
    assert status == 422
    assert {problem["path"] for problem in answer["problems"]} == {
        "region", "model", "operation", "count", "probability", "params.retry_after", "params.colour",
        "params.message", "when",
    }  # fmt: skip
    assert "us-east-1" in next(p["message"] for p in answer["problems"] if p["path"] == "region")
    assert sandbox.faults() == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ("throttle", ""),
        ({}, "kind"),
        ({"kind": "explode"}, "kind"),
        ({"kind": ["throttle"]}, "kind"),
        ({"kind": "throttle", "params": []}, "params"),
        ({"kind": "throttle", "count": True}, "count"),
        ({"kind": "throttle", "count": 1.5}, "count"),
        ({"kind": "throttle", "probability": float("nan")}, "probability"),
        ({"kind": "throttle", "operation": ["Converse"]}, "operation"),
        ({"kind": "throttle", "region": ["us-east-1"]}, "region"),
        ({"kind": "throttle", "probability": 10**400}, "probability"),
        ({"kind": "latency", "params": {"seconds": 10**400}}, "params.seconds"),
        ({"kind": "bad_checksum", "operation": "Converse"}, "operation"),
        ({"kind": "latency", "params": {"seconds": "1"}}, "params.seconds"),
        ({"kind": "latency", "params": {"seconds": None}}, "params.seconds"),
        ({"kind": "half_frame", "params": {"clean": 1}}, "params.clean"),
        ({"kind": "exception_event", "params": {"exception": "oops"}}, "params.exception"),
        ({"kind": "exception_event", "params": {"after_events": 1.5}}, "params.after_events"),
        ({"kind": "refuse", "model": ECHO}, "model"),
        ({"kind": "refuse", "count": 1}, "count"),
        ({"kind": "refuse", "probability": 0.5}, "probability"),
    ],
)
def test_a_wrong_fault_is_refused(sandbox: Sandbox, document: object, path: str) -> None:
    status, answer = _order(sandbox, "/faults", document)
    assert status == 422
    assert path in [problem["path"] for problem in answer["problems"]]
    assert sandbox.faults() == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, ""),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": 1, "burst": 0.5}, "burst"),
        ({"tokens_per_minute": 100, "burst": 5}, "burst"),
        ({"tokens_per_minute": "many"}, "tokens_per_minute"),
        ({"tokens_per_minute": 1, "region": "nowhere"}, "region"),
        ({"tokens_per_minute": 1, "operation": "Converse"}, "operation"),
    ],
)
def test_a_wrong_quota_is_refused(sandbox: Sandbox, document: object, path: str) -> None:
    status, answer = _order(sandbox, "/quota", document, "PUT")
    assert status == 422
    assert path in [problem["path"] for problem in answer["problems"]]


def test_what_is_not_served_says_so(sandbox: Sandbox) -> None:
    as_json = {"content-type": "application/json"}
    assert _send(sandbox, "GET", "/nothing")[0] == 404
    assert _send(sandbox, "DELETE", "/faults/12345")[0] == 404
    assert _send(sandbox, "DELETE", "/faults/x")[0] == 404
    assert _send(sandbox, "POST", "/faults", b"{", **as_json)[0] == 400
    assert _send(sandbox, "POST", "/faults", b'{"kind":"reset"}')[0] == 415
    assert _send(sandbox, "GET", "/log?since=-1&limit=x&page=2")[0] == 422


def test_a_page_in_a_browser_cannot_set_faults(sandbox: Sandbox) -> None:
    headers = {"content-type": "application/json", "origin": "https://example.org"}
    assert _send(sandbox, "POST", "/faults", b'{"kind":"reset"}', **headers)[0] == 403
    assert sandbox.faults() == []


def test_the_class_raises_what_the_port_says(sandbox: Sandbox) -> None:
    with pytest.raises(Invalid, match=r"params\.nothing"):
        sandbox.fault("throttle", nothing=1)
    with pytest.raises(NotFound):
        sandbox.clear(999_999)


def test_a_fault_is_described_as_it_was_set(sandbox: Sandbox) -> None:
    fault = sandbox.fault("latency", region="us-east-1", model=ECHO, count=3, probability=0.5, seconds=2)
    assert sandbox.faults() == [
        {
            "id": fault,
            "kind": "latency",
            "region": "us-east-1",
            "model": ECHO,
            "operation": None,
            "count": 3,
            "probability": 0.5,
            "params": {"seconds": 2, "jitter": 0},
            "hits": 0,
        }
    ]


# The log


def test_the_log_says_what_was_asked_and_never_the_text(sandbox: Sandbox, ask: Ask) -> None:
    ask("Converse", text="a secret of 24 characters")
    (entry,) = sandbox.log()
    assert entry["operation"] == "Converse"
    assert entry["model"] == ECHO
    assert entry["region"] == entry["signed_region"] == "us-east-1"
    assert (entry["status"], entry["outcome"], entry["fault"]) == (200, "answered", None)
    assert (entry["input_tokens"], entry["output_tokens"]) == (7, 7)
    assert entry["seconds"] > 0
    assert entry["request_id"]
    assert "secret" not in json.dumps(entry)


def test_the_log_tells_a_signature_for_another_region(sandbox: Sandbox) -> None:
    client = sandbox.client("us-east-1")
    client.meta.events.register(
        "provide-client-params.*", lambda context, **_: context.update(signing={"region": "eu-west-1"})
    )
    client.converse(modelId=ECHO, messages=[{"role": "user", "content": [{"text": "x"}]}])
    client.close()
    (entry,) = sandbox.log()
    assert (entry["region"], entry["signed_region"]) == ("us-east-1", "eu-west-1")


def test_a_header_for_tests_is_recorded(sandbox: Sandbox, client: Any, ask: Ask) -> None:
    client.meta.events.register(
        "before-sign.*", lambda request, **_: request.headers.add_header("x-crossfade-test", "case 7")
    )
    ask("Converse")
    assert sandbox.log()[0]["test"] == "case 7"


def test_the_log_is_read_on_from_where_it_was_left(sandbox: Sandbox, ask: Ask) -> None:
    for _ in range(3):
        ask("CountTokens")
    entries = sandbox.log()
    ask("Converse")
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    (new,) = sandbox.log(since=entries[-1]["seq"])
    assert new["operation"] == "Converse"


def test_counts_add_up_by_region_model_operation_and_outcome(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.fault("throttle", count=2)
    for _ in range(5):
        with contextlib.suppress(ClientError):
            ask("Converse")
    counts = sandbox.counts()
    where = {"region": "us-east-1", "model": ECHO, "operation": "Converse"}
    assert counts["in_flight"] == 0
    assert counts["rows"] == [
        {**where, "outcome": "ThrottlingException", "calls": 2},
        {**where, "outcome": "answered", "calls": 3},
    ]
    sandbox.clear_log()
    assert sandbox.counts()["rows"] == []
    assert sandbox.log() == []


def test_the_ring_forgets_the_oldest_and_the_totals_forget_nothing() -> None:
    ledger = Ledger(capacity=3)
    for _ in range(5):
        ledger.add(
            Entry(
                seq=ledger.next_seq(), at=0.0, region="r", signed_region=None, operation="Converse", model="m",
                status=200, fault=None, outcome="answered", request_id="", seconds=0.0, input_tokens=1,
                output_tokens=1, test=None,
            )
        )  # fmt: skip
    assert [entry.seq for entry in ledger.read(since=0, limit=10)] == [3, 4, 5]
    assert [entry.seq for entry in ledger.read(since=3, limit=1)] == [4]
    assert ledger.read(since=5, limit=10) == []
    assert ledger.totals()[0]["calls"] == 5


# HTTP on a region's port


def test_what_is_no_operation_is_an_error_and_not_a_crash(sandbox: Sandbox) -> None:
    location = urlsplit(sandbox.endpoint("us-east-1"))
    connection = http.client.HTTPConnection(location.hostname or "", location.port, timeout=5)
    for method, path in (("GET", "/"), ("POST", "/model/x/dance"), ("GET", f"/model/{ECHO}/converse")):
        connection.request(method, path)
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("x-amzn-errortype", "").partition(":")[0]) == (
            404,
            "UnknownOperationException",
        )
        reply.read()
    connection.close()


def test_requests_sent_at_once_are_answered_in_order(sandbox: Sandbox) -> None:
    import socket

    location = urlsplit(sandbox.endpoint("us-east-1"))
    sandbox.fault("latency", seconds=0.1, count=1)
    with socket.create_connection((location.hostname, location.port), timeout=5) as raw:
        wire = b""
        for text in ("first", "second", "third"):
            body = json.dumps({"messages": [{"role": "user", "content": [{"text": text}]}]}).encode()
            wire += b"POST /model/%b/converse HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
                ECHO.encode(), len(body), body,
            )  # fmt: skip
        raw.sendall(wire)
        received = b""
        while received.count(b'"totalTokens"') < 3:
            received += raw.recv(65536)
    assert received.index(b"first") < received.index(b"second") < received.index(b"third")


def test_bytes_that_are_no_http_get_a_400(sandbox: Sandbox) -> None:
    import socket

    location = urlsplit(sandbox.endpoint("us-east-1"))
    with socket.create_connection((location.hostname, location.port), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 not http at all\r\n\r\n")
        assert raw.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert raw.recv(65536) == b""
