"""Model and Target: a named thing that can answer, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from crossfade.core.reading import Reader

TAKES = ("tools", "cache_points", "images", "documents", "reasoning")
"""What a request may hold that not every Model takes."""
BODY_FAMILIES = ("anthropic", "nova", "titan", "llama", "mistral", "cohere", "ai21", "deepseek", "openai")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One (region, model id) of a Model. `endpoint_url` is for private endpoints; None means Bedrock's own."""

    region: str
    model_id: str
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a thousand tokens."""

    input_per_1k: float = 0.0
    output_per_1k: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.input_per_1k + tokens_out * self.output_per_1k) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A named thing that can answer. Targets are in the order they are preferred.

    Without a `price` what its calls cost is not known. `body_family` names the vendor's InvokeModel body; without one
    the Model takes Converse only. `takes` says which of `TAKES` a request may hold; None is not known.
    """

    name: str
    targets: tuple[Target, ...]
    price: Price | None = None
    body_family: str | None = None
    takes: tuple[str, ...] | None = None

    def lacks(self, needs: Iterable[str]) -> list[str]:
        """Those of `needs` that this Model is declared not to take."""
        return [] if self.takes is None else [need for need in needs if need not in self.takes]


_REGIONS = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"
_REGION, _PARTS = 3, 6
"""Of an ARN, arn:partition:service:region:account:resource."""


def as_region(text: str) -> str | None:
    """The text, if it can be a region: a host's name is made of it, and what is sent there bears credentials."""
    return text if re.fullmatch(_REGIONS, text) else None


def region_of(arn: object) -> str | None:
    """The region an ARN names, None if it names none."""
    parts = arn.split(":") if isinstance(arn, str) else []
    return as_region(parts[_REGION]) if len(parts) >= _PARTS and parts[0] == "arn" else None


def read_model(reader: Reader) -> Model:
    """Reads a declared Model; problems go to the reader."""
    model = Model(
        name=reader.text("name", most=200, pattern=r"[^\s?#]+", like="no spaces, ? or #"),
        targets=tuple(_read_target(item) for item in reader.sections("targets", least=1, most=20)),
        price=_read_price(reader.section("price")) if reader.has("price") else None,
        body_family=reader.choice("body_family", BODY_FAMILIES) if reader.has("body_family") else None,
        takes=reader.choices("takes", TAKES) if reader.has("takes") else None,
    )
    reader.raw("price")
    reader.raw("body_family")
    reader.raw("takes")
    places = [(target.region, target.model_id) for target in model.targets]
    for index, place in enumerate(places):
        if place in places[:index]:
            reader.problem(f"targets[{index}]", f"{place[1]} in {place[0]} stands twice; keep one")
    reader.close()
    return model


def _read_target(reader: Reader) -> Target:
    target = Target(
        region=reader.text("region", pattern=_REGIONS, like="an AWS region such as us-east-1"),
        model_id=reader.text(
            "model_id",
            pattern=r"[A-Za-z0-9:/._-]+",
            like="a model id, an inference-profile id or an ARN",
        ),
        endpoint_url=reader.text("endpoint_url", "", pattern=r"https?://[^\s]+", like="an http(s) URL") or None,
    )
    reader.close()
    return target


def _read_price(reader: Reader) -> Price:
    price = Price(
        input_per_1k=reader.number("input_per_1k", 0.0, least=0, unit="US dollars"),
        output_per_1k=reader.number("output_per_1k", 0.0, least=0, unit="US dollars"),
    )
    reader.close()
    return price


def model_to_dict(model: Model) -> dict[str, Any]:
    """The Model as `read_model` takes it back."""
    # A price that nobody declared is left out, which shims of every version read.
    price = None if model.price is None else asdict(model.price)
    return {
        "name": model.name,
        "targets": [
            {"region": t.region, "model_id": t.model_id} | ({"endpoint_url": t.endpoint_url} if t.endpoint_url else {})
            for t in model.targets
        ],
        **({} if price is None else {"price": price}),
        "body_family": model.body_family,
        **({} if model.takes is None else {"takes": list(model.takes)}),
    }
