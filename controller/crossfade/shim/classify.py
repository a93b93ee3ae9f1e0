"""Classify: which outcome an exception or an answer is. Every signal the call path knows stands in this module."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import botocore.eventstream
import botocore.exceptions as boto
import botocore.parsers
import urllib3.exceptions as wire

from crossfade.core.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt gave no answer. `retry_after` is in seconds; `connect` says that no connection was made."""

    outcome: Outcome
    error: Exception
    retry_after: float | None = None
    connect: bool = False


class Incomplete(Exception):  # noqa: N818
    """A 200 without its members, cut, or not to be parsed: botocore itself says nothing about it."""


class NotOurs(Exception):  # noqa: N818
    """Carries an exception that says nothing about a target: a parameter error, or a hook's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


CODES: dict[Outcome, tuple[str, ...]] = {
    Outcome.THROTTLED: (
        "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
    ),
    Outcome.QUOTA: ("ServiceQuotaExceededException",),
    Outcome.UNAVAILABLE: ("ServiceUnavailableException",),
    Outcome.OUTAGE: ("InternalServerException", "InternalFailure"),
    Outcome.TIMED_OUT: ("ModelTimeoutException", "RequestTimeoutException"),
    Outcome.NOT_READY: ("ModelNotReadyException",),
    Outcome.MODEL_ERROR: ("ModelErrorException", "ModelStreamErrorException"),
    Outcome.MISCONFIGURED: ("ResourceNotFoundException",),
    Outcome.DENIED: ("AccessDeniedException",),
    Outcome.CREDENTIALS: (
        "ExpiredTokenException", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch",
        "IncompleteSignature", "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken",
        "MissingAuthentication",
    ),
    Outcome.REJECTED: ("ValidationException",),
}  # fmt: skip
"""Errors by their code, in an answer or inside a stream, where they come in camelCase."""
STATUSES = {
    400: Outcome.REJECTED,
    401: Outcome.CREDENTIALS,
    403: Outcome.DENIED,
    404: Outcome.MISCONFIGURED,
    408: Outcome.TIMED_OUT,
    413: Outcome.REJECTED,
    424: Outcome.MODEL_ERROR,
    429: Outcome.THROTTLED,
    500: Outcome.OUTAGE,
    502: Outcome.OUTAGE,
    503: Outcome.UNAVAILABLE,
    504: Outcome.OUTAGE,
}
"""Errors without a code that is known: a bare 429, a proxy's page."""
MISCONFIGURED_TEXTS = ("identifier is invalid", "on-demand throughput")
"""What a ValidationException says when it is the route that is wrong."""
MALFORMED_REASONS = ("malformed_model_output", "malformed_tool_use")
BESIDES: dict[Outcome, str] = {
    Outcome.OUTAGE: "no connection, TLS, DNS, a reset, a frame with a wrong checksum",
    Outcome.TIMED_OUT: "no whole answer, no first token or no further event in time",
    Outcome.TRUNCATED: "a 200 without its members, cut short or unreadable; a stream without its end",
    Outcome.MALFORMED: "the stop reasons "
    + " and ".join(f"`{r}`" for r in MALFORMED_REASONS)
    + "; the route's `validator`",
    Outcome.MISCONFIGURED: "a ValidationException that says " + " or ".join(f'"{t}"' for t in MISCONFIGURED_TEXTS),
    Outcome.CREDENTIALS: "no credentials to be had",
    Outcome.UNKNOWN: "any other error that an answer brings",
}
"""In words: what is told neither by a code nor by a status. The exceptions below are what they come as."""

_CONNECT = (boto.ConnectTimeoutError, boto.EndpointConnectionError, boto.ProxyConnectionError, boto.SSLError)
_ENDED_EARLY = "ended prematurely"  # urllib3's words for a chunked body without its last chunk
_TIMEOUTS = (boto.ReadTimeoutError, wire.ReadTimeoutError, TimeoutError)
_CUT = (boto.IncompleteReadError, botocore.parsers.ResponseParserError, wire.IncompleteRead, http.client.IncompleteRead)
_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.NoAuthTokenError,
)
_BROKEN = (
    boto.HTTPClientError,  # reset, closed, and whatever else went wrong on the way
    boto.ResponseStreamingError,
    wire.HTTPError,
    botocore.eventstream.ParserError,  # a checksum or a length in a frame is wrong
    ssl.SSLError,
    OSError,
)
_PYTHONS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What comes of an answer that makes no sense, or of a socket that is gone under the reader's feet."""
_LIBRARIES = (boto.BotoCoreError, boto.ClientError, Incomplete, *_CUT, *_BROKEN, *_PYTHONS, http.client.HTTPException)


def _bare(code: str) -> str:
    return code.rsplit("#")[-1].lower().removesuffix("exception").removesuffix("error")


_BY_CODE = {_bare(code): outcome for outcome, codes in CODES.items() for code in codes}


def classify(error: Exception, *, operation: str = "", expired: bool = False) -> Failure:
    """The failure this exception is. `operation` is what was asked, where it may be another's error; `expired`: the
    watchdog had ended the attempt. Raises `NotOurs`."""
    if expired:
        return Failure(outcome=Outcome.TIMED_OUT, error=error)
    if isinstance(error, boto.ClientError):  # EventStreamError is one
        if operation not in ("", error.operation_name):  # AssumeRole's: credentials are fetched within an attempt
            return Failure(outcome=Outcome.CREDENTIALS, error=error)
        return _client_error(error)
    if type(error) is boto.HTTPClientError and is_services_own(getattr(error, "kwargs", {}).get("error")):
        raise NotOurs(error)
    if isinstance(error, Incomplete) or _is_cut(error):
        return Failure(outcome=Outcome.TRUNCATED, error=error)
    if isinstance(error, _CREDENTIALS):
        return Failure(outcome=Outcome.CREDENTIALS, error=error)
    if isinstance(error, _CONNECT):
        return Failure(outcome=Outcome.OUTAGE, error=error, connect=True)
    if isinstance(error, _TIMEOUTS):
        return Failure(outcome=Outcome.TIMED_OUT, error=error)
    if isinstance(error, _BROKEN):
        return Failure(outcome=Outcome.OUTAGE, error=error)
    raise NotOurs(error)


def is_services_own(error: object) -> bool:
    """Whether it is of a class that nobody but the service raises: Celery and others do so by a signal's handler, in
    the middle of anything."""
    return isinstance(error, Exception) and not isinstance(error, _LIBRARIES)


def is_malformed(stop_reason: object) -> bool:
    return isinstance(stop_reason, str) and stop_reason in MALFORMED_REASONS


def _is_cut(error: Exception) -> bool:
    if isinstance(error, _CUT) or (isinstance(error, wire.ProtocolError) and _ENDED_EARLY in str(error)):
        return True
    inner = error.args[1] if isinstance(error, wire.ProtocolError) and len(error.args) > 1 else None
    inner = getattr(error, "kwargs", {}).get("error", inner) if isinstance(error, boto.BotoCoreError) else inner
    if inner is not None and inner is not error and isinstance(inner, Exception):
        return isinstance(inner, _CUT) or _is_cut(inner)
    return False


def _client_error(error: Any) -> Failure:
    told = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    code = _bare(str(told.get("Code") or ""))
    outcome = _BY_CODE.get(code) or STATUSES.get(status) or Outcome.UNKNOWN
    if outcome is Outcome.UNKNOWN and code.isdecimal():
        outcome = STATUSES.get(int(code), Outcome.UNKNOWN)
    if outcome is Outcome.REJECTED:
        message = str(told.get("Message") or told.get("message") or "").lower()
        if any(text in message for text in MISCONFIGURED_TEXTS):
            outcome = Outcome.MISCONFIGURED
    return Failure(outcome=outcome, error=error, retry_after=_retry_after(metadata.get("HTTPHeaders") or {}))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The later of `x-amz-retry-after` (milliseconds) and `Retry-After` (seconds); dates are not read."""
    found = []
    for name, unit in (("x-amz-retry-after", 1000.0), ("retry-after", 1.0)):
        try:
            found.append(float(headers[name]) / unit)
        except (KeyError, TypeError, ValueError):
            continue
    good = [seconds for seconds in found if 0 <= seconds < float("inf")]
    return max(good, default=None)
