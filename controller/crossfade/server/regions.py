"""Regions: those that botocore knows, to tell a misspelt one from one that is new."""

from __future__ import annotations

import difflib
import functools

_SERVICES = ("bedrock-runtime", "bedrock")
_CLOSE = 0.8
"""Of difflib's ratio: one letter left out, added or changed, or two that changed places, in a short name."""


def misspelt(region: str) -> str | None:
    """The region of Bedrock's that was meant, if botocore knows no such region of AWS but one with nearly that name."""
    bedrock, every = _known()
    near = difflib.get_close_matches(region, sorted(bedrock), cutoff=_CLOSE) if region not in every else []
    # us-esat-1 is as near to us-west-1 as to us-east-1, whose letters it has.
    return min(near, key=lambda name: sorted(name) != sorted(region), default=None)


@functools.cache
def _known() -> tuple[frozenset[str], frozenset[str]]:
    """(regions with Bedrock, all regions of AWS), of every partition."""
    # Not by a session, which reads the configuration and breaks on a profile that is not there.
    from botocore.loaders import Loader
    from botocore.regions import EndpointResolver

    resolver = EndpointResolver(Loader().load_data("endpoints"))
    regions = {
        service: {
            region
            for partition in resolver.get_available_partitions()
            for region in resolver.get_available_endpoints(service, partition)
        }
        for service in (*_SERVICES, "ec2")
    }
    bedrock = frozenset().union(*(regions[service] for service in _SERVICES))
    return bedrock, bedrock | regions["ec2"]
