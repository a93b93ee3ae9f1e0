"""Semconv: the names under which telemetry shows calls: OpenTelemetry's own, and Crossfade's where it has none.

Written down here because OpenTelemetry's package of names moves between versions and is no part of its API.
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
BEDROCK = "aws.bedrock"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105
ERROR_TYPE = "error.type"

FLAG_KEY = "feature_flag.key"
FLAG_PROVIDER = "feature_flag.provider.name"
FLAG_VARIANT = "feature_flag.result.variant"
FLAG_REASON = "feature_flag.result.reason"
FLAG_VERSION = "feature_flag.version"
SPLIT, STATIC = "split", "static"

CALL_ID = "crossfade.call_id"
ROLLOUT = "crossfade.rollout"
STEP = "crossfade.step"
MODEL = "crossfade.model"
REGION = "crossfade.region"
OUTCOME = "crossfade.outcome"
ATTEMPTS = "crossfade.attempts"
RETRIES = "crossfade.retries"
FAILOVERS = "crossfade.failovers"
BUSY = "crossfade.busy"
HEDGED = "crossfade.hedged"

ATTEMPT = "crossfade.attempt"
"""The event of an attempt."""
STREAM_ENDED = "crossfade.stream_ended"
"""The event of a stream that came to something else than its attempt had at the first content."""

DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105
ATTEMPT_COUNT = "crossfade.client.attempts"

DURATION_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds; as the conventions advise, and so are the two below."""
FIRST_CHUNK_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
TOKEN_BOUNDS = tuple(4**power for power in range(14))
