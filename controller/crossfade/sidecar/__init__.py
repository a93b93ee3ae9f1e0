"""The sidecar: the shim over HTTP, for services that do not use boto3. Needs the extra `crossfade[sidecar]`."""
