"""Quotas as Bedrock counts them: token buckets for each region and model, with maxTokens reserved at the start."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.sandbox.fault import Scope


class Bucket:
    """Fills at `rate` a second up to `capacity`; starts full."""

    def __init__(self, *, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._level = capacity
        self._at = now

    def level(self, now: float) -> float:
        """What is there at `now`."""
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        """Take, or with a negative amount give back, never above the capacity."""
        self._level = min(self._capacity, self._level - amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota as asked for. The tokens' bucket holds a minute's worth, the requests' bucket `burst` requests
    (default: a second's worth, one at least)."""

    scope: Scope
    tokens_per_minute: float | None = None
    requests_per_second: float | None = None
    burst: float | None = None


@dataclass(slots=True, kw_only=True)
class Reservation:
    """What a call took out of the buckets and may get back."""

    reserved: int = 0
    token_buckets: list[Bucket] = field(default_factory=list)

    def settle(self, used: int) -> None:
        """Give back what was reserved and not used."""
        for bucket in self.token_buckets:
            bucket.take(used - self.reserved)
        self.token_buckets = []


class Quotas:
    """All quotas in force. A scope with region or model null has a bucket of its own for each (region, model) seen."""

    def __init__(self) -> None:
        self._quotas: dict[Scope, Quota] = {}
        self._buckets: dict[tuple[Scope, str, str, str], Bucket] = {}

    def put(self, quota: Quota) -> None:
        """Set or replace the quota of a scope; its buckets start full."""
        self._quotas[quota.scope] = quota
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] != quota.scope}

    def clear(self) -> None:
        """Lift all quotas."""
        self._quotas.clear()
        self._buckets.clear()

    def reserve(self, region: str, model: str, tokens: int, now: float) -> Reservation | None:
        """Take one request and `tokens` (input + maxTokens) from every bucket; nothing, and None, if one is short."""
        reservation = Reservation(reserved=tokens)
        if not self._quotas:
            return reservation
        wanted: list[tuple[Bucket, float]] = []
        for quota in self._quotas.values():
            if not quota.scope.covers(region, model, ""):
                continue
            if quota.requests_per_second is not None:
                capacity = quota.burst if quota.burst is not None else max(1.0, quota.requests_per_second)
                key = (quota.scope, region, model, "requests")
                wanted.append((self._bucket(key, quota.requests_per_second, capacity, now), 1))
            if quota.tokens_per_minute is not None:
                key = (quota.scope, region, model, "tokens")
                bucket = self._bucket(key, quota.tokens_per_minute / 60, quota.tokens_per_minute, now)
                wanted.append((bucket, tokens))
                reservation.token_buckets.append(bucket)
        if any(bucket.level(now) < amount for bucket, amount in wanted):
            return None
        for bucket, amount in wanted:
            bucket.take(amount)
        return reservation

    def _bucket(self, key: tuple[Scope, str, str, str], rate: float, capacity: float, now: float) -> Bucket:
        if key not in self._buckets:
            self._buckets[key] = Bucket(rate=rate, capacity=capacity, now=now)
        return self._buckets[key]

    def describe(self, now: float) -> list[dict[str, object]]:
        """All quotas, with the level of each bucket in use."""
        return [
            {
                "region": quota.scope.region,
                "model": quota.scope.model,
                "tokens_per_minute": quota.tokens_per_minute,
                "requests_per_second": quota.requests_per_second,
                "burst": quota.burst,
                "levels": [
                    {"region": region, "model": model, "of": unit, "level": round(bucket.level(now), 1)}
                    for (scope, region, model, unit), bucket in self._buckets.items()
                    if scope == quota.scope
                ],
            }
            for quota in self._quotas.values()
        ]
