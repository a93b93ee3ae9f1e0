"""Cast: the Models and the route of the demo, as a user would declare them.

Model ids differ by region, as Bedrock's inference profiles do. The route bears the very model id that the services
already send, so they need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
_PROFILES = {"us-east-1": "us", "us-west-2": "us", "eu-west-1": "eu"}
_BASES = {
    "langdetect": "crossfade.langdetect-v1:0",
    "py3langid": "crossfade.py3langid-v1:0",
    "langdetect-again": "crossfade.langdetect-v1:0",
}
_PRICES = {"langdetect": (0.0030, 0.0150), "py3langid": (0.0008, 0.0040), "langdetect-again": (0.0030, 0.0150)}
"""US dollars for a thousand tokens in and out: made up, as the models are."""

POLICY = {
    "deadline": 6.0,
    "stream_deadline": 6.0,
    "first_token": 3.0,
    "stall": 3.0,
    "connect": 1.0,
    "throttled_base": 0.05,
    "backoff_cap": 0.5,
    "breaker_window": 10.0,
    "breaker_open": 2.0,
    "breaker_open_most": 4.0,
}
"""The call policy's numbers, scaled down to a show of four minutes."""

BUSY_TEXT = "busy"


def model_id(model: str) -> str:
    """The id that services send for a Model, and so the name of its route."""
    return _BASES[model]


def served_id(model: str, region: str) -> str:
    """The inference profile that a Model is called by in a region."""
    return f"{_PROFILES[region]}.{_BASES[model]}"


def declarations(blue: str, green: str, endpoints: Mapping[str, str]) -> dict[str, Any]:
    """What `crossfade apply` is given: both Models in three regions, and the route that blue serves."""
    return {
        "models": [_model(name, endpoints) for name in (blue, green)],
        "routes": [
            {
                "name": model_id(blue),
                "blue": blue,
                "fallbacks": [blue],
                "policy": POLICY,
                "busy_text": BUSY_TEXT,
            }
        ],
    }


def _model(name: str, endpoints: Mapping[str, str]) -> dict[str, Any]:
    price_in, price_out = _PRICES[name]
    return {
        "name": name,
        "targets": [
            {"region": region, "model_id": served_id(name, region), "endpoint_url": endpoints[region]}
            for region in REGIONS
        ],
        "price": {"input_per_1k": price_in, "output_per_1k": price_out},
        "body_family": "anthropic",
    }
