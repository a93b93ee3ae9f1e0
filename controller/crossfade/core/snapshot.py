"""Snapshot: everything the call path needs, whole, versioned, immutable."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crossfade.core.model import Model, model_to_dict, read_model
from crossfade.core.reading import Reader
from crossfade.core.route import Route, read_route, route_to_dict
from crossfade.core.split import Variant, assign, drawn, group, variant_at

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The live rollout of a route, as the call path needs it. `weight` is green's share in percent, `shadow` is of how
    many percent of blue's calls green gets a copy."""

    rollout: int
    step: int
    weight: float
    salt: str
    green: str
    shadow: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A route in the snapshot: its number, its declaration, and its live rollout if there is one."""

    id: int
    route: Route
    live: Live | None = None

    def place(self, key: str | None) -> float | None:
        """Where a call with this stickiness key lies in [0, 1) in the live rollout; None without one."""
        return drawn(self.live.salt, key) if self.live else None

    def assign(self, key: str | None) -> Variant:
        """The variant of a call with this stickiness key; blue without a live rollout."""
        return assign(self.live.salt, key, self.live.weight) if self.live else Variant.BLUE

    def variant_at(self, place: float | None) -> Variant:
        """The variant of a call that lies there."""
        return Variant.BLUE if self.live is None or place is None else variant_at(place, self.live.weight)

    def group(self, key: str | None) -> int | None:
        """The group of a stickiness key, anew in every rollout; None without a key."""
        return None if key is None else group(self.live.salt if self.live else self.route.name, key)

    def model(self, variant: Variant) -> str:
        """The name of the Model that stands behind a variant."""
        return self.live.green if self.live and variant is Variant.GREEN else self.route.blue


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All routes and Models at one version. `signing_key` signs call ids; keep a stored copy private."""

    version: int
    issued_at: float
    bucket_seconds: int
    signing_key: bytes
    entries: Mapping[str, Entry]
    models: Mapping[str, Model]


def snapshot_to_bytes(snapshot: Snapshot) -> bytes:
    """The snapshot as it goes over the wire and to disk; `read_snapshot` takes it back."""
    document = {
        "format": FORMAT,
        "version": snapshot.version,
        "issued_at": snapshot.issued_at,
        "bucket_seconds": snapshot.bucket_seconds,
        "signing_key": snapshot.signing_key.hex(),
        "models": [model_to_dict(model) for model in snapshot.models.values()],
        "routes": [
            {
                "id": entry.id,
                "route": route_to_dict(entry.route),
                "live": None if entry.live is None else _live_to_dict(entry.live),
            }
            for entry in snapshot.entries.values()
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _live_to_dict(live: Live) -> dict[str, Any]:
    # A shim of before shadow steps refuses a field it does not know: it gets one only while there is such a step.
    return asdict(live) if live.shadow else {name: value for name, value in asdict(live).items() if name != "shadow"}


def read_snapshot(body: bytes) -> Snapshot:
    """Reads and checks a snapshot; raises `Invalid` with every problem. One without routes is refused too."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        data = None
    reader = Reader(data, "snapshot")
    if reader.integer("format", least=1) != FORMAT:
        reader.problem("format", f"this version of Crossfade reads format {FORMAT}")
    models = {m.name: m for m in (read_model(item) for item in reader.sections("models", most=100_000))}
    entries = {
        e.route.name: e for e in (_read_entry(item) for item in reader.sections("routes", least=1, most=100_000))
    }
    for entry in entries.values():
        for name in (entry.route.blue, *entry.route.fallbacks, *([entry.live.green] if entry.live else [])):
            if name not in models:
                reader.problem("models", f"route {entry.route.name!r} needs {name!r}, which is not there")
    key = reader.text("signing_key", pattern=r"([0-9a-f]{2}){16,64}", like="16 bytes or more in hex")
    snapshot = Snapshot(
        version=reader.integer("version", least=0),
        issued_at=reader.number("issued_at"),
        bucket_seconds=reader.integer("bucket_seconds", least=1, most=3600),
        signing_key=bytes.fromhex(key) if not reader.problems else b"",
        entries=entries,
        models=models,
    )
    reader.finish()
    return snapshot


def _read_entry(reader: Reader) -> Entry:
    live = None
    if reader.has("live"):
        part = reader.section("live")
        live = Live(
            rollout=part.integer("rollout", least=1, most=2**32 - 1),
            step=part.integer("step", least=0, most=255),
            weight=part.number("weight", least=0, most=100),
            salt=part.text("salt"),
            green=part.text("green"),
            shadow=part.number("shadow", 0.0, least=0, most=100),
        )
        part.close()
    reader.raw("live")
    entry = Entry(
        id=reader.integer("id", least=1, most=2**32 - 1), route=read_route(reader.section("route")), live=live
    )
    reader.close()
    return entry


def sign(token: str, body: bytes) -> str:
    """The signature of a snapshot for the shim that holds `token`: HMAC-SHA256 in hex."""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


def is_signed(token: str, body: bytes, signature: str) -> bool:
    return hmac.compare_digest(sign(token, body).encode(), signature.encode())
