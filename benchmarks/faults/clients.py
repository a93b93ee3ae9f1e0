"""Clients: the three that are compared, each as one makes it for two regions. Nothing of Crossfade is imported but by
its own: LiteLLM's may live in another environment.

All have the caller's patience of `PATIENCE` seconds, and `ATTEMPT` for one attempt, so that a second one still fits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 10.0
ATTEMPT = 5.0
POOL = 600
KEYS = {"aws_access_key_id": "benchmark", "aws_secret_access_key": "benchmark"}

Ask = Callable[[str, bool, bool], str]
"""One call: the text asked, whether it is streamed, whether it belongs to green. The text answered, or raises."""


def model_id(client: str, cell: str, *, green: bool = False) -> str:
    """Every client has models of its own in each cell: quotas and what is known of a target are never shared."""
    return f"crossfade.echo-{client}-{cell}{'-green' if green else ''}-v1:0"


def boto(endpoints: dict[str, str], _controller: dict[str, Any]) -> Callable[[str], Ask]:
    """Plain boto3 in the first region, with its default retries."""
    client = _client(endpoints)

    def of_cell(cell: str) -> Ask:
        ids = {green: model_id("boto3", cell, green=green) for green in (False, True)}
        return lambda text, streaming, green: _converse(client, ids[green], text, streaming)

    return of_cell


def crossfade(endpoints: dict[str, str], controller: dict[str, Any]) -> Callable[[str], Ask]:
    """boto3 with the shim, the default policy but for its deadlines. A route a cell; the rollout splits the calls."""
    import crossfade

    client = crossfade.enable(_client(endpoints), **{**controller, "state_dir": Path(controller["state_dir"])})

    def of_cell(cell: str) -> Ask:
        keys = _keys(cell)

        def ask(text: str, streaming: bool, green: bool) -> str:
            with crossfade.context(key=keys[green]):
                return _converse(client, cell, text, streaming)

        return ask

    return of_cell


def litellm(endpoints: dict[str, str], _controller: dict[str, Any]) -> Callable[[str], Ask]:
    """LiteLLM's Router: both regions behind one name, default retries and cooldowns; then the second region by name.
    For green the same, and blue after it."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it asks the network at its start otherwise
    logging.disable(logging.CRITICAL)
    import litellm

    litellm.suppress_debug_info = True

    def of_cell(cell: str) -> Ask:
        def deployment(name: str, region: str, green: bool) -> dict[str, Any]:
            model = f"bedrock/converse/{model_id('litellm', cell, green=green)}"
            where = {"aws_region_name": region, "aws_bedrock_runtime_endpoint": endpoints[region]}
            return {"model_name": name, "litellm_params": {"model": model, "timeout": ATTEMPT, **where, **KEYS}}

        regions = list(endpoints)
        router = litellm.Router(
            model_list=[
                *(deployment("blue", region, False) for region in regions),
                *(deployment("green", region, True) for region in regions),
                deployment("blue elsewhere", regions[-1], False),
            ],
            fallbacks=[{"blue": ["blue elsewhere"]}, {"green": ["blue"]}],
        )

        def ask(text: str, streaming: bool, green: bool) -> str:
            messages = [{"role": "user", "content": text}]
            name = "green" if green else "blue"
            answer = router.completion(model=name, messages=messages, max_tokens=64, stream=streaming)
            if streaming:
                return "".join(chunk.choices[0].delta.content or "" for chunk in answer)
            return str(answer.choices[0].message.content)

        return ask

    return of_cell


CLIENTS = {"boto3": boto, "litellm": litellm, "crossfade": crossfade}


def _client(endpoints: dict[str, str]) -> Any:
    import boto3
    from botocore.config import Config

    region, endpoint = next(iter(endpoints.items()))
    session = boto3.session.Session(region_name=region, **KEYS)
    config = Config(read_timeout=ATTEMPT, max_pool_connections=POOL)
    return session.client("bedrock-runtime", endpoint_url=endpoint, config=config)


def _converse(client: Any, model: str, text: str, streaming: bool) -> str:
    asked = {
        "modelId": model,
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": 64},
    }
    if not streaming:
        return str(client.converse(**asked)["output"]["message"]["content"][0]["text"])
    events = client.converse_stream(**asked)["stream"]
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


def _keys(cell: str) -> dict[bool, str]:
    """A key that the rollout of this cell assigns to blue, and one to green."""
    from crossfade.core.split import Variant, assign

    found: dict[bool, str] = {}
    number = 0
    while len(found) < 2:
        key = f"user-{number}"
        found.setdefault(assign(cell, key, 50.0) is Variant.GREEN, key)
        number += 1
    return found
