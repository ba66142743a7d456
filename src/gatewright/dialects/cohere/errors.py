"""The error object of Cohere's API: `{"id", "message"}` (docs.cohere.com/reference/errors).

In a stream that began well, the closing `message-end` says `ERROR` and holds an `error` text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import UpstreamFault

_CREDENTIAL: Final = re.compile(r"invalid api (?:token|key)|no api key", re.IGNORECASE)
_BILLING: Final = re.compile(r"/ ?month|per month|billing|payment", re.IGNORECASE)
"""Trial keys have so many calls a month: waiting a little does not help."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer."""
    return _encoder.encode({"id": request_id, "message": error.public_message})


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a failed stream: an end that says so, as the API has no other event for it."""
    delta = {"error": error.public_message, "finish_reason": "ERROR"}
    event = {"type": "message-end", "id": request_id, "delta": delta}
    return b"event: message-end\ndata: " + _encoder.encode(event) + b"\n\n"


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an error answer says; hosts that copy the API may say it in other shapes."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFault(_excerpt(body))
    message = None
    if isinstance(document, dict):
        error = document.get("error")
        inner = error if isinstance(error, dict) else document
        message = inner.get("message") or inner.get("detail") or error or _stream_error(document)
    if not isinstance(message, str) or not message:
        return UpstreamFault(_excerpt(body))
    # The API answers 498 to a key it does not know, a status no table of errors has.
    kind = Kind.UPSTREAM_CREDENTIAL_REJECTED if _CREDENTIAL.search(message) else None
    return UpstreamFault(message, kind=kind, billing=_BILLING.search(message) is not None)


def _stream_error(document: dict[str, object]) -> object:
    delta = document.get("delta")
    return delta.get("error") if isinstance(delta, dict) else None


def _excerpt(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return text or "(empty body)"
