"""Providers that are not OpenAI-compatible, scripted: healthy answers, their streams event by event, their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from fault_cases import MIB

from gatewright.testing import answers
from gatewright.testing.received import Received
from gatewright.testing.steps import Send, Step
from gatewright.wire.aws_event_stream import render_headers, render_message

_encode = msgspec.json.Encoder().encode
TEXT: Final = "Hello from the vendor."
WORDS: Final = ("Hello", " from", " the", " vendor.")
JSON: Final = "application/json"
SSE: Final = "text/event-stream"
FRAMES: Final = "application/vnd.amazon.eventstream"


class Vendor(NamedTuple):
    """One kind of provider."""

    name: str
    """The provider's `type`, and the name of its model in the suite."""
    root: str
    """The path of its `url`."""
    answer: bytes
    """A healthy answer, whole."""
    events: tuple[bytes, ...]
    """A healthy answer, streamed."""
    begun_after: int
    """How many events a client must have seen before the gateway has anything to tell."""
    finished_after: int
    """How many events a client must have seen to know that the answer is complete."""
    stream_type: str
    is_stream: Callable[[Received], bool]

    def head(self, **more: str) -> bytes:
        """The head of a streamed answer, in chunked coding."""
        own = {"content-type": self.stream_type, "transfer-encoding": "chunked", **more}
        return answers.render_head(200, own.items())

    def play(self, request: Received) -> tuple[Step, ...]:
        """What it answers when it is healthy."""
        if not self.is_stream(request):
            return answers.reply(200, self.answer)
        return (Send(self.head() + b"".join(map(answers.chunk, self.events)) + answers.LAST_CHUNK),)


def _member_stream(request: Received) -> bool:
    return b'"stream":true' in request.body


def anthropic_event(kind: str, **members: Any) -> bytes:
    """An event of the Messages API."""
    return f"event: {kind}\n".encode() + answers.sse(_encode({"type": kind, **members}))


def google_event(document: Any) -> bytes:
    """A chunk of `streamGenerateContent?alt=sse`."""
    return b"data: " + _encode(document) + b"\r\n\r\n"


def bedrock_event(kind: str, payload: Any, *, is_exception: bool = False) -> bytes:
    """A frame of `converse-stream`."""
    word = "exception" if is_exception else "event"
    headers = {f":{word}-type": kind, ":content-type": JSON, ":message-type": word}
    return render_message(render_headers(headers), _encode(payload))


_ANTHROPIC_MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
ANTHROPIC: Final = Vendor(
    "anthropic",
    "/v1",
    _encode({**_ANTHROPIC_MESSAGE, "content": [{"type": "text", "text": TEXT}], "stop_reason": "end_turn"}),
    (
        anthropic_event("message_start", message=_ANTHROPIC_MESSAGE),
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        anthropic_event("ping"),
        *(
            anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            for word in WORDS
        ),
        anthropic_event("content_block_stop", index=0),
        anthropic_event(
            "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 5}
        ),
        anthropic_event("message_stop"),
    ),
    2,
    9,
    SSE,
    _member_stream,
)


def _candidate(text: str, **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}


_GOOGLE_USAGE: Final = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
GEMINI: Final = Vendor(
    "gemini",
    "/v1beta",
    _encode({"candidates": [_candidate(TEXT, finishReason="STOP")], "usageMetadata": _GOOGLE_USAGE}),
    (
        *(google_event({"candidates": [_candidate(word)], "modelVersion": "gemini"}) for word in WORDS[:-1]),
        google_event({"candidates": [_candidate(WORDS[-1], finishReason="STOP")], "usageMetadata": _GOOGLE_USAGE}),
    ),
    1,
    4,
    SSE,
    lambda request: ":streamGenerateContent" in request.target,
)
_BEDROCK_USAGE: Final = {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14}
BEDROCK: Final = Vendor(
    "bedrock",
    "",
    _encode(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
            "stopReason": "end_turn",
            "usage": _BEDROCK_USAGE,
            "metrics": {"latencyMs": 3},
        }
    ),
    (
        bedrock_event("messageStart", {"role": "assistant"}),
        *(bedrock_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS),
        bedrock_event("contentBlockStop", {"contentBlockIndex": 0}),
        bedrock_event("messageStop", {"stopReason": "end_turn"}),
        bedrock_event("metadata", {"usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 3}}),
    ),
    2,
    7,
    FRAMES,
    lambda request: request.path.endswith("/converse-stream"),
)
OPENAI: Final = Vendor(
    "openai_compatible",
    "/v1",
    answers.chat_completion(text=TEXT),
    (*map(answers.sse, answers.chat_chunks(words=WORDS)), answers.sse(b"[DONE]")),
    2,
    6,
    SSE,
    _member_stream,
)
VENDORS: Final = (OPENAI, ANTHROPIC, GEMINI, BEDROCK)


class VendorError(NamedTuple):
    """An error answer as a vendor documents it, and what it must become."""

    name: str
    status: int
    body: bytes
    kind: str
    headers: Mapping[str, str] = MappingProxyType({})
    passed_status: int | None = None
    """The status that reaches the client, where that is not the kind's own."""
    retry_after: str | None = None
    """What the client must be told in `retry-after`."""
    says: str = ""
    """What the message must hold."""

    def steps(self) -> tuple[Step, ...]:
        """The answer."""
        return answers.reply(self.status, self.body, headers={"content-type": JSON, **self.headers}.items())


def _anthropic_error(kind: str, message: str = "vendor words") -> bytes:
    return _encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def _google_error(code: int, status: str, *details: Any, message: str = "vendor words") -> bytes:
    return _encode({"error": {"code": code, "message": message, "status": status, "details": list(details)}})


def _rejected(name: str, status: int, body: bytes, **headers: str) -> VendorError:
    return VendorError(name, status, body, "upstream_rejected", headers, status, says="vendor words")


_HTML: Final = b"<html><body><h1>Bad Gateway</h1></body></html>"
_RETRY: Final = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.2s"}
_BAD_KEY: Final = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
_BEDROCK_WORDS: Final = _encode({"message": "vendor words"})
_CREDENTIAL: Final = "upstream_credential_rejected"
_ODD: Final = (
    VendorError("empty 400", 400, b"", "upstream_rejected", {}, 400),
    VendorError("empty 401", 401, b"", _CREDENTIAL),
    VendorError("empty 429", 429, b"", "upstream_rate_limited"),
    VendorError("empty 500", 500, b"", "upstream_failed"),
    VendorError("empty 503", 503, b"", "upstream_overloaded"),
    VendorError("HTML 403", 403, _HTML, _CREDENTIAL, {"content-type": "text/html"}),
    VendorError("HTML 404", 404, _HTML, "upstream_rejected", {"content-type": "text/html"}, 404),
    VendorError("HTML 502", 502, _HTML, "upstream_failed", {"content-type": "text/html"}),
    VendorError("HTML 504", 504, _HTML, "upstream_timeout", {"content-type": "text/html"}),
    VendorError("bytes 500", 500, bytes(range(256)), "upstream_failed"),
    VendorError("nested 400", 400, b"[" * 50_000, "upstream_rejected", {}, 400),
    VendorError("a megabyte 500", 500, MIB, "upstream_failed"),
    VendorError("an event stream 429", 429, b"data: {}\n\n", "upstream_rate_limited", {"content-type": SSE}),
    VendorError("odd retry-after", 429, b"{}", "upstream_rate_limited", {"retry-after": "soon"}, retry_after="soon"),
    VendorError("null members", 400, b'{"error":null,"message":null}', "upstream_rejected", {}, 400),
    VendorError("odd members", 400, b'{"error":{"message":{"a":1},"code":[]}}', "upstream_rejected", {}, 400),
)
ERRORS: Final[dict[str, tuple[VendorError, ...]]] = {
    "openai_compatible": (
        _rejected("invalid request", 400, answers.error("vendor words", "invalid_request_error")),
        _rejected("no such model", 404, answers.error("vendor words", code="model_not_found")),
        VendorError("bad key", 401, answers.error("sk-upstream is wrong"), _CREDENTIAL),
        VendorError(
            "rate limit",
            429,
            answers.error("vendor words", "requests", "rate_limit_exceeded"),
            "upstream_rate_limited",
            {"retry-after": "7"},
            retry_after="7",
            says="vendor words",
        ),
        *_ODD,
    ),
    "anthropic": (
        _rejected("invalid request", 400, _anthropic_error("invalid_request_error")),
        _rejected("no such model", 404, _anthropic_error("not_found_error")),
        _rejected("too large", 413, _anthropic_error("request_too_large")),
        VendorError("bad key", 401, _anthropic_error("authentication_error", "sk-upstream"), _CREDENTIAL),
        VendorError("no permission", 403, _anthropic_error("permission_error", "sk-upstream"), _CREDENTIAL),
        VendorError(
            "rate limit",
            429,
            _anthropic_error("rate_limit_error"),
            "upstream_rate_limited",
            {"retry-after": "7"},
            retry_after="7",
            says="vendor words",
        ),
        VendorError("inside", 500, _anthropic_error("api_error"), "upstream_failed", says="vendor words"),
        VendorError("overloaded", 529, _anthropic_error("overloaded_error"), "upstream_overloaded"),
        *_ODD,
    ),
    "gemini": (
        _rejected("invalid argument", 400, _google_error(400, "INVALID_ARGUMENT")),
        _rejected("in a list", 400, b"[" + _google_error(400, "INVALID_ARGUMENT") + b"]"),
        _rejected("no such model", 404, _google_error(404, "NOT_FOUND")),
        VendorError("bad key", 400, _google_error(400, "INVALID_ARGUMENT", _BAD_KEY), _CREDENTIAL),
        VendorError("no permission", 403, _google_error(403, "PERMISSION_DENIED"), _CREDENTIAL),
        VendorError(
            "rate limit",
            429,
            _google_error(429, "RESOURCE_EXHAUSTED", _RETRY),
            "upstream_rate_limited",
            retry_after="35",
            says="vendor words",
        ),
        VendorError("inside", 500, _google_error(500, "INTERNAL"), "upstream_failed", says="vendor words"),
        VendorError("overloaded", 503, _google_error(503, "UNAVAILABLE"), "upstream_overloaded"),
        VendorError("too slow", 504, _google_error(504, "DEADLINE_EXCEEDED"), "upstream_timeout"),
        *_ODD,
    ),
    "bedrock": (
        _rejected("invalid", 400, _BEDROCK_WORDS, **{"x-amzn-errortype": "ValidationException:http://x/"}),
        _rejected("no such model", 404, _BEDROCK_WORDS, **{"x-amzn-errortype": "ResourceNotFoundException"}),
        VendorError("no access", 403, _BEDROCK_WORDS, _CREDENTIAL, {"x-amzn-errortype": "AccessDeniedException"}),
        VendorError(
            "throttled",
            429,
            _BEDROCK_WORDS,
            "upstream_rate_limited",
            {"x-amzn-errortype": "ThrottlingException"},
            says="vendor words",
        ),
        VendorError(
            "not ready", 429, _BEDROCK_WORDS, "upstream_overloaded", {"x-amzn-errortype": "ModelNotReadyException"}
        ),
        VendorError("too slow", 408, _BEDROCK_WORDS, "upstream_timeout", {"x-amzn-errortype": "ModelTimeoutException"}),
        VendorError("model", 424, _BEDROCK_WORDS, "upstream_failed", {"x-amzn-errortype": "ModelErrorException"}),
        VendorError(
            "unavailable",
            503,
            _BEDROCK_WORDS,
            "upstream_overloaded",
            {"x-amzn-errortype": "ServiceUnavailableException"},
        ),
        VendorError("inside", 500, _encode({"__type": "InternalServerException"}), "upstream_failed"),
        *_ODD,
    ),
}

_CRC: Final = BEDROCK.events[2]
TOLD: Final[dict[str, tuple[tuple[str, bytes, str], ...]]] = {
    "openai_compatible": (
        ("an error", answers.sse(answers.error("vendor words", code="oops")), "upstream_failed"),
        ("an error of plain text", answers.sse(b'{"error":"vendor words"}'), "upstream_failed"),
        ("no JSON", answers.sse(b"vendor words"), "upstream_bad_response"),
        ("a JSON list", answers.sse(b"[1]"), "upstream_bad_response"),
        ("wrong members", answers.sse(b'{"choices":5}'), "upstream_bad_response"),
    ),
    "anthropic": (
        ("overloaded", b"event: error\n" + answers.sse(_anthropic_error("overloaded_error")), "upstream_overloaded"),
        ("inside", b"event: error\n" + answers.sse(_anthropic_error("api_error")), "upstream_failed"),
        ("rate limit", b"event: error\n" + answers.sse(_anthropic_error("rate_limit_error")), "upstream_rate_limited"),
        ("no JSON", b"event: content_block_delta\n" + answers.sse(b"vendor words"), "upstream_bad_response"),
        ("wrong members", anthropic_event("content_block_delta", index="x", delta=5), "upstream_bad_response"),
    ),
    "gemini": (
        ("overloaded", b"data: " + _google_error(503, "UNAVAILABLE") + b"\r\n\r\n", "upstream_overloaded"),
        ("inside", b"data: " + _google_error(500, "INTERNAL") + b"\r\n\r\n", "upstream_failed"),
        ("rate limit", b"data: " + _google_error(429, "RESOURCE_EXHAUSTED") + b"\r\n\r\n", "upstream_rate_limited"),
        ("no JSON", b"data: vendor words\r\n\r\n", "upstream_bad_response"),
        ("wrong members", google_event({"candidates": 5}), "upstream_bad_response"),
    ),
    "bedrock": (
        (
            "throttled",
            bedrock_event("throttlingException", {"message": "vendor words"}, is_exception=True),
            "upstream_rate_limited",
        ),
        (
            "inside",
            bedrock_event("internalServerException", {"message": "vendor words"}, is_exception=True),
            "upstream_failed",
        ),
        (
            "model",
            bedrock_event("modelStreamErrorException", {"message": "vendor words"}, is_exception=True),
            "upstream_failed",
        ),
        ("broken checksum", _CRC[:-1] + bytes((_CRC[-1] ^ 1,)), "upstream_bad_response"),
        ("broken checksum of the prelude", _CRC[:8] + bytes((_CRC[8] ^ 1,)) + _CRC[9:], "upstream_bad_response"),
        ("broken payload", _CRC[:-10] + b"x" + _CRC[-9:], "upstream_bad_response"),
        ("no JSON", render_message(render_headers({":event-type": "messageStop", ":message-type": "event"}), b"x"), ""),
        ("server-sent events", answers.sse(answers.chat_chunks()[0]), "upstream_bad_response"),
    ),
}
"""Failures told, or made, within a stream that began well: `(name, event, kind)`."""
