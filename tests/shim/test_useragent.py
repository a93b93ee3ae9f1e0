"""The User-Agent that is kept is the one botocore would have built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.context import start_as_current_context
from botocore.useragent import UserAgentString, register_feature_id

ROUTE = "support-chat"


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[tuple[str, str]]]:
    """Notes, for each request a client sends from now on: its User-Agent, and what botocore builds at that moment."""

    def watch(client: Any) -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []

        def note(request: Any, **_: Any) -> None:
            built = UserAgentString.to_string(client._user_agent_creator)
            seen.append((request.headers["User-Agent"].decode(), built))

        client.meta.events.register("before-send", note)
        return seen

    return watch


def test_what_goes_out_is_what_botocore_builds(
    routed: Callable[..., Any],
    snapshot: Callable[..., Any],
    model: Callable[..., Any],
    ask: Callable[..., Any],
    agents: Callable[[Any], list[tuple[str, str]]],
) -> None:
    client = routed(snapshot(model("blue")), user_agent_extra="of-the-service/1")
    ask(client)  # adopts it
    seen = agents(client)
    ask(client)
    client.converse_stream(modelId=ROUTE, messages=[{"role": "user", "content": [{"text": "a b"}]}])["stream"].close()
    with start_as_current_context():
        register_feature_id("PAGINATOR")
        ask(client)
    client._client_config.user_agent_extra = "of-the-service/2"
    ask(client)
    assert [sent for sent, _ in seen] == [built for _, built in seen]
    sent = [agent for agent, _ in seen]
    assert sent[0].endswith("of-the-service/1")
    assert sent[-1].endswith("of-the-service/2")
    assert sent[2] != sent[0], "the feature is not told"


def test_it_is_built_once_for_calls_that_are_alike(
    routed: Callable[..., Any],
    snapshot: Callable[..., Any],
    model: Callable[..., Any],
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    built = []
    monkeypatch.setattr(UserAgentString, "_build_sdk_metadata", lambda self: built.append(self) or [])
    for _ in range(3):
        ask(client)
    assert built == []
