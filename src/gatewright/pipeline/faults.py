"""What an upstream's error answer means: its kind, what the client may see, whether to try elsewhere."""

from __future__ import annotations

import re
from typing import Final

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import Dialect

_PASSED_ON: Final = frozenset(
    (b"retry-after", b"retry-after-ms", b"x-should-retry", b"openai-processing-ms", b"openai-version")
)
_COMMON: Final = frozenset(
    (b"server", b"date", b"content-type", b"content-length", b"connection", b"transfer-encoding")
)
_LIMITS: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")
_SECONDS: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)?\Z")
_OVERLOADED: Final = frozenset((503, 529))
_TIMED_OUT: Final = frozenset((408, 504))


def passed_on_headers(headers: dict[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an upstream's answer that a client can use; the rest describe the gateway's own account or hop."""
    for name in headers:
        if name not in _COMMON:
            break
    else:
        return ()
    return tuple([(name, value) for name, value in headers.items() if name in _PASSED_ON or name.startswith(_LIMITS)])


def read_failure(
    dialect: Dialect,
    provider: str,
    status: int,
    headers: dict[bytes, bytes],
    body: bytes,
    *,
    is_identity: bool = True,
) -> GatewayError:
    """The error for an upstream answer with a status other than 200.

    `dialect` is the upstream's; its own body is passed on only to a client that speaks the same (`is_identity`).
    """
    if status < 400:
        return GatewayError(
            Kind.UPSTREAM_BAD_RESPONSE,
            f"The provider `{provider}` answered with status {status}, which its API does not use. Check its `url`.",
        )
    if status in (401, 403):
        # Never their words: vendors echo parts of the key, and the key is the gateway's, not the client's.
        return GatewayError(
            Kind.UPSTREAM_CREDENTIAL_REJECTED,
            f"The provider `{provider}` refused the gateway's credential (status {status}). "
            "An operator must check its `key`.",
        )
    fault = dialect.read_fault(body, headers)
    kind, client_status = _kind_of(status)
    if fault.kind is not None:
        kind, client_status = fault.kind, status if fault.kind is Kind.UPSTREAM_REJECTED else None
    seconds = fault.retry_after_s
    retry_after = headers.get(b"retry-after", b"")
    if _SECONDS.match(retry_after):
        seconds = float(retry_after)
    return GatewayError(
        kind,
        f"The provider `{provider}` answered {status}: {fault.message}",
        status=client_status,
        code=fault.code if is_identity else None,
        retry_after_s=seconds,
        body=body if is_identity and status < 500 and body[:1] == b"{" else None,
        headers=passed_on_headers(headers),
    )


def _kind_of(status: int) -> tuple[Kind, int | None]:
    if status == 429:
        return Kind.UPSTREAM_RATE_LIMITED, None
    if status in _OVERLOADED:
        return Kind.UPSTREAM_OVERLOADED, None
    if status in _TIMED_OUT:
        return Kind.UPSTREAM_TIMEOUT, None
    if status >= 500:
        return Kind.UPSTREAM_FAILED, None
    return Kind.UPSTREAM_REJECTED, status
