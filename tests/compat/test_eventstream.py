"""SDKs that have a decoder of their own, not botocore's, read the frames that are written here."""

from __future__ import annotations

from typing import Any

import pytest

from .frameworks import THROUGH_SIDECAR, find
from .test_frameworks import CALLERS, EAST, TEXT, framework, models, rollout, session, sidecar  # noqa: F401

ECHO = "crossfade.echo-v1:0"
STREAMING = [name for name in THROUGH_SIDECAR if "stream" not in find(name).cannot]


@pytest.fixture
def rust(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that asks the sandbox itself, by the AWS SDK for Rust; Crossfade is not between them. (The one for
    JavaScript would by HTTP/2, which the sandbox does not speak: it reads the same frames through the sidecar.)"""
    asking = find("BAML")
    for variable, value in (CALLERS | {asking.environment[0]: sandbox.endpoint(EAST)}).items():
        monkeypatch.setenv(variable, value)
    return asking(ECHO)


def test_an_sdk_with_a_decoder_of_its_own_reads_the_sandboxs_frames(rust: Any) -> None:
    assert rust.stream(TEXT) == TEXT


@pytest.mark.parametrize(
    ("kind", "params"),
    [("bad_checksum", {"after_events": 3}), ("exception_event", {"exception": "modelStreamErrorException"})],
)
def test_and_it_notices_those_that_are_broken_on_purpose(
    rust: Any, sandbox: Any, kind: str, params: dict[str, Any]
) -> None:
    sandbox.fault(kind, **params)
    with pytest.raises(AssertionError):  # it ended with an error
        rust.stream(TEXT)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", STREAMING, indirect=True)
@pytest.mark.parametrize("kind", ["no_message_stop", "reset", "half_frame"])
def test_a_stream_that_breaks_behind_the_sidecar_is_an_error_in_every_sdk(
    framework: Any,  # noqa: F811
    calls: Any,
    sandbox: Any,
    kind: str,
) -> None:
    sandbox.fault(kind, **({"after_events": 4} if kind == "reset" else {}))
    with pytest.raises(Exception):  # noqa: B017, PT011 (each has one of its own)
        framework.stream(TEXT)
    assert len(calls()) == 1, "asked again after its first content"
