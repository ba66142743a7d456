"""The one table of everything that can go wrong, and the one exception that carries it.

Every failure of an exchange is a `GatewayError` with a `Kind`. What a kind means (whose fault it is, which status the
client sees, whether another attempt may help, whether its message may leave the gateway) stands in `KINDS` and nowhere
else. Dialects render a kind in their own error shape; logs and metrics carry `kind` and `source`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class Source(StrEnum):
    """Whose fault a failure is."""

    CLIENT = "client"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class Retry(StrEnum):
    """Whether another attempt, before the first byte was sent to the client, may help."""

    NEVER = "never"
    OTHER_UPSTREAM = "other_upstream"
    """Another target may answer; the same one would fail again."""
    IF_UNTOUCHED = "if_untouched"
    """The same target may answer, if a reused connection died before the upstream took anything."""


class Kind(StrEnum):
    """What went wrong."""

    MALFORMED_REQUEST = "malformed_request"
    UNSUPPORTED_FEATURE = "unsupported_feature"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODEL_NOT_FOUND = "model_not_found"
    REQUEST_TIMEOUT = "request_timeout"
    TOO_LARGE = "too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    DISCONNECTED = "disconnected"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    GUARDRAIL_BLOCKED = "guardrail_blocked"
    OVERLOADED = "overloaded"
    NO_HEALTHY_UPSTREAM = "no_healthy_upstream"
    DRAINING = "draining"
    INTERNAL = "internal"
    UPSTREAM_CONNECT_FAILED = "upstream_connect_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_RESET = "upstream_reset"
    UPSTREAM_CREDENTIAL_REJECTED = "upstream_credential_rejected"
    UPSTREAM_BAD_RESPONSE = "upstream_bad_response"
    UPSTREAM_CUT = "upstream_cut"
    UPSTREAM_REJECTED = "upstream_rejected"


class KindFacts(Struct, frozen=True):
    """What a kind means."""

    source: Source
    status: int
    """The HTTP status the client sees; 499 marks a client that is gone and sees nothing."""
    retry: Retry
    exposed: bool
    """Whether the error's own message may reach the client; otherwise it reads `summary` alone."""
    summary: str
    """One sentence for people: the reference page of errors is made of these."""


_NEVER, _OTHER = Retry.NEVER, Retry.OTHER_UPSTREAM

KINDS: Final[dict[Kind, KindFacts]] = {
    Kind.MALFORMED_REQUEST: KindFacts(
        Source.CLIENT, 400, _NEVER, True, "The request is not valid HTTP, not valid JSON, or lacks a required member."
    ),
    Kind.UNSUPPORTED_FEATURE: KindFacts(
        Source.CLIENT, 400, _NEVER, True, "The request asks for something the chosen model or dialect cannot express."
    ),
    Kind.UNAUTHENTICATED: KindFacts(Source.CLIENT, 401, _NEVER, True, "No key was sent, or it is not a valid one."),
    Kind.FORBIDDEN: KindFacts(Source.CLIENT, 403, _NEVER, True, "The key is valid but may not do this."),
    Kind.ROUTE_NOT_FOUND: KindFacts(Source.CLIENT, 404, _NEVER, True, "No surface of the gateway has this path."),
    Kind.METHOD_NOT_ALLOWED: KindFacts(
        Source.CLIENT, 405, _NEVER, True, "The path exists, but not with this HTTP method."
    ),
    Kind.MODEL_NOT_FOUND: KindFacts(
        Source.CLIENT, 404, _NEVER, True, "No model of this name is published to the caller."
    ),
    Kind.REQUEST_TIMEOUT: KindFacts(Source.CLIENT, 408, _NEVER, True, "The client took too long to send its request."),
    Kind.TOO_LARGE: KindFacts(Source.CLIENT, 413, _NEVER, True, "The request body is larger than the gateway accepts."),
    Kind.HEADERS_TOO_LARGE: KindFacts(
        Source.CLIENT, 431, _NEVER, True, "The request line and headers are larger or more than the gateway accepts."
    ),
    Kind.DISCONNECTED: KindFacts(
        Source.CLIENT, 499, _NEVER, False, "The client went away before the answer was complete (only in the log)."
    ),
    Kind.RATE_LIMITED: KindFacts(Source.GATEWAY, 429, _NEVER, True, "A rate limit of the consumer is used up for now."),
    Kind.QUOTA_EXCEEDED: KindFacts(Source.GATEWAY, 429, _NEVER, True, "A budget or quota of the consumer is used up."),
    Kind.GUARDRAIL_BLOCKED: KindFacts(Source.GATEWAY, 403, _NEVER, True, "A content policy refused the exchange."),
    Kind.OVERLOADED: KindFacts(
        Source.GATEWAY, 503, _NEVER, True, "The gateway has as many requests in flight as it is configured for."
    ),
    Kind.NO_HEALTHY_UPSTREAM: KindFacts(
        Source.GATEWAY, 503, _NEVER, True, "Every target of the model is known to be failing at the moment."
    ),
    Kind.DRAINING: KindFacts(
        Source.GATEWAY, 503, _NEVER, True, "The gateway is shutting down and takes no new requests."
    ),
    Kind.INTERNAL: KindFacts(
        Source.GATEWAY, 500, _NEVER, False, "The gateway failed; its log has the cause under the request id."
    ),
    Kind.UPSTREAM_CONNECT_FAILED: KindFacts(
        Source.UPSTREAM, 502, _OTHER, True, "The provider could not be reached: DNS, refused, TLS or proxy failure."
    ),
    Kind.UPSTREAM_TIMEOUT: KindFacts(
        Source.UPSTREAM, 504, _OTHER, True, "The provider did not connect, answer or continue in time."
    ),
    Kind.UPSTREAM_OVERLOADED: KindFacts(Source.UPSTREAM, 503, _OTHER, True, "The provider says it is overloaded."),
    Kind.UPSTREAM_RATE_LIMITED: KindFacts(
        Source.UPSTREAM, 429, _OTHER, True, "The provider limits the rate of the gateway's own credential."
    ),
    Kind.UPSTREAM_FAILED: KindFacts(
        Source.UPSTREAM, 502, _OTHER, True, "The provider failed inside: it answered 500 or another 5xx."
    ),
    Kind.UPSTREAM_RESET: KindFacts(
        Source.UPSTREAM, 502, Retry.IF_UNTOUCHED, True, "The provider closed the connection before it answered."
    ),
    Kind.UPSTREAM_CREDENTIAL_REJECTED: KindFacts(
        Source.UPSTREAM, 502, _NEVER, True, "The provider refused the gateway's own credential (never the client's)."
    ),
    Kind.UPSTREAM_BAD_RESPONSE: KindFacts(
        Source.UPSTREAM, 502, _NEVER, True, "The provider's answer is not what its API promises, or is too large."
    ),
    Kind.UPSTREAM_CUT: KindFacts(
        Source.UPSTREAM, 502, _NEVER, True, "The provider broke off in the middle of a streamed answer (told in-band)."
    ),
    Kind.UPSTREAM_REJECTED: KindFacts(
        Source.UPSTREAM, 502, _NEVER, True, "The provider refused the request; its status and error are passed through."
    ),
}


class GatewayError(Exception):
    """A failure of an exchange, with everything a dialect, a log line or a retry decision needs.

    `message` says what was wrong and how to mend it. It reaches the client only if the kind is `exposed`; it never
    holds a secret or an upstream's address with credentials.
    """

    __slots__ = (
        "body",
        "budget",
        "cause",
        "code",
        "headers",
        "kind",
        "message",
        "param",
        "retry_after_s",
        "status",
        "untouched",
    )

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        cause: BaseException | None = None,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        body: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.cause = cause
        """The lower error, for the log only."""
        self.param = param
        """The request member that was wrong, as the client spelled its path (`messages[0].role`)."""
        self.code = code
        """A finer machine-readable code, where the client's dialect has one; otherwise the kind's name serves."""
        self.status = KINDS[kind].status if status is None else status
        """The status the client sees; differs from the table's only when an upstream's own is passed through."""
        self.retry_after_s = retry_after_s
        """When trying again may help, in seconds from now."""
        self.body = body
        """The upstream's own error body, when it is passed through in the client's dialect instead of `message`."""
        self.untouched = False
        """Whether it is certain that the upstream took nothing of the request, so sending it again is safe."""
        self.budget: Any = None
        """The budget that refused (`pipeline.claims.BudgetGroup`), whose alerts tell of it."""
        self.headers = headers
        """Headers that go with the error (an upstream's rate-limit headers)."""

    @property
    def source(self) -> Source:
        return KINDS[self.kind].source

    @property
    def retry(self) -> Retry:
        return KINDS[self.kind].retry

    @property
    def public_message(self) -> str:
        """The message as the client may read it."""
        facts = KINDS[self.kind]
        return self.message if facts.exposed else facts.summary
