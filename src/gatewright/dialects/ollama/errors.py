"""The error object of the Ollama API: `{"error": "text"}` with the status that fits (docs.ollama.com/api/errors).

In a stream that began well the same object comes as a line of its own, and nothing follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gatewright.core.errors import GatewayError
from gatewright.core.surface import UpstreamFault

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer; the request id travels in the `x-request-id` header."""
    return _encoder.encode({"error": error.public_message})


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The line that ends a failed stream; no line with `done` follows, so no client can take it for a finish."""
    return render_error(error, request_id) + b"\n"


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What a server's error answer says; a proxy before it may say it in other shapes."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFault(_excerpt(body))
    message = fault_message(document.get("error", document)) if isinstance(document, dict) else None
    return UpstreamFault(message or _excerpt(body))


def fault_message(error: Any) -> str | None:
    """The words of an `error` member: text, or an object that holds some."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error")
    return error if isinstance(error, str) and error else None


def _excerpt(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return text or "(empty body)"
