"""Answers an OpenAI-compatible provider gives, ready for a scripted upstream: bodies, streams and their framing."""

from __future__ import annotations

import base64
import gzip as gzip_codec
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from gatewright.testing.received import Received
from gatewright.testing.steps import Close, Send, Step

Framing = Literal["length", "chunked", "close"]
"""How the end of a body is marked: Content-Length, chunked coding, or the end of the connection."""

TEXT: Final = "Hello from the scripted upstream."
WORDS: Final = ("Hello", " from", " the", " scripted", " upstream.")
"""`TEXT` as the parts a stream sends it in."""
PROMPT_TOKENS: Final = 9
COMPLETION_TOKENS: Final = 5
VECTOR: Final = (0.25, -0.5, 0.125, 1.0)
"""The embedding of every input; exact in 32 bits."""
MODELS: Final = ("scripted-1", "scripted-2")

_CREATED: Final = 1_700_000_000
_encode = msgspec.json.Encoder().encode


class _StreamOptions(Struct):
    include_usage: bool = False


class _Asked(Struct):
    """What of a request the answer depends on; everything else may be anything."""

    model: str
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    input: str | list[Any] = ""
    encoding_format: str | None = None


_decode_asked = msgspec.json.Decoder(_Asked).decode


def usage() -> dict[str, Any]:
    """The usage every answer reports."""
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }


def chat_completion(model: str = MODELS[0], text: str = TEXT) -> bytes:
    """A complete chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    return _encode(_envelope("chat.completion", model) | {"choices": [choice], "usage": usage()})


def chat_chunks(
    model: str = MODELS[0], words: Sequence[str] = WORDS, *, include_usage: bool = False
) -> tuple[bytes, ...]:
    """The chunks of a streamed chat completion; with `include_usage` each says `usage` and one more carries it."""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words]
    deltas.append(({}, "stop"))
    choices = [[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}] for delta, end in deltas]
    return _chunks("chat.completion.chunk", model, choices, include_usage)


def text_completion(model: str = MODELS[0], text: str = TEXT) -> bytes:
    """A complete (legacy) text completion."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    return _encode(_envelope("text_completion", model) | {"choices": [choice], "usage": usage()})


def text_chunks(
    model: str = MODELS[0], words: Sequence[str] = WORDS, *, include_usage: bool = False
) -> tuple[bytes, ...]:
    """The chunks of a streamed text completion."""
    texts: list[tuple[str, str | None]] = [*((word, None) for word in words), ("", "stop")]
    choices = [[{"index": 0, "text": text, "logprobs": None, "finish_reason": end}] for text, end in texts]
    return _chunks("text_completion", model, choices, include_usage)


def embeddings(model: str = MODELS[0], inputs: int = 1, *, in_base64: bool = False) -> bytes:
    """`VECTOR` for each input, as numbers or as base64 of little-endian 32-bit floats."""
    packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    vector: str | list[float] = packed if in_base64 else list(VECTOR)
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(inputs)]
    spent = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
    return _encode({"object": "list", "data": data, "model": model, "usage": spent})


def model_list(names: Sequence[str] = MODELS) -> bytes:
    """A list of models."""
    rows = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "scripted"} for name in names]
    return _encode({"object": "list", "data": rows})


def error(message: str, kind: str = "server_error", code: str | None = None, param: str | None = None) -> bytes:
    """An error body in OpenAI's shape."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def reply(
    status: int = 200,
    body: bytes = b"",
    *,
    headers: Iterable[tuple[str, str]] = (("content-type", "application/json"),),
    framing: Framing = "length",
    gzip: bool = False,
    interim: Sequence[int] = (),
) -> tuple[Step, ...]:
    """A complete response; `interim` are the 1xx statuses sent before it."""
    if gzip:
        body = gzip_codec.compress(body, mtime=0)
        headers = [*headers, ("content-encoding", "gzip")]
    before = b"".join(b"HTTP/1.1 %d Interim\r\n\r\n" % number for number in interim)
    if framing == "length":
        head = render_head(status, [*headers, ("content-length", str(len(body)))])
        return (Send(before + head + body),)
    if framing == "chunked":
        head = render_head(status, [*headers, ("transfer-encoding", "chunked")])
        return (Send(before + head + chunk(body) + LAST_CHUNK),)
    head = render_head(status, [*headers, ("connection", "close")])
    return Send(before + head + body), Close()


def stream(events: Iterable[bytes], *, done: bool = True, framing: Framing = "chunked") -> tuple[Step, ...]:
    """A complete SSE response, each event in a write (and chunk) of its own; `done` adds `data: [DONE]`."""
    pieces = [sse(event) for event in events] + ([sse(b"[DONE]")] if done else [])
    if framing == "length":
        extra = [("content-length", str(sum(map(len, pieces))))]
    else:
        extra = [("transfer-encoding", "chunked")] if framing == "chunked" else [("connection", "close")]
    steps: list[Step] = [Send(render_head(200, [*STREAM_HEADERS, *extra]))]
    steps += [Send(chunk(piece) if framing == "chunked" else piece) for piece in pieces]
    if framing == "chunked":
        steps.append(Send(LAST_CHUNK))
    if framing == "close":
        steps.append(Close())
    return tuple(steps)


def as_openai(request: Received) -> tuple[Step, ...]:
    """What a healthy provider answers to this request: the default of a scripted upstream."""
    if request.method == "GET" and request.path.endswith("/models"):
        return reply(200, model_list())
    surface = request.path.rpartition("/")[2]
    if request.method != "POST" or surface not in ("completions", "embeddings"):
        return reply(404, error(f"no such path: {request.method} {request.path}", "invalid_request_error"))
    try:
        asked = _decode_asked(request.body)
    except msgspec.DecodeError as wrong:
        return reply(400, error(str(wrong), "invalid_request_error"))
    model = asked.model
    if surface == "embeddings":
        inputs = len(asked.input) if isinstance(asked.input, list) else 1
        return reply(200, embeddings(model, inputs, in_base64=asked.encoding_format == "base64"))
    is_chat = request.path.endswith("/chat/completions")
    if not asked.stream:
        return reply(200, chat_completion(model) if is_chat else text_completion(model))
    include_usage = asked.stream_options is not None and asked.stream_options.include_usage
    return stream((chat_chunks if is_chat else text_chunks)(model, include_usage=include_usage))


STREAM_HEADERS: Final = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
LAST_CHUNK: Final = b"0\r\n\r\n"


def render_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A response's status line and headers, up to and including the empty line."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def sse(data: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + data + b"\n\n"


def chunk(data: bytes) -> bytes:
    """One chunk of chunked transfer coding; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _envelope(kind: str, model: str) -> dict[str, Any]:
    return {"id": "scripted-0001", "object": kind, "created": _CREATED, "model": model}


def _chunks(kind: str, model: str, choices: Iterable[list[Any]], include_usage: bool) -> tuple[bytes, ...]:
    nothing: dict[str, Any] = {"usage": None} if include_usage else {}
    documents = [_envelope(kind, model) | {"choices": choice} | nothing for choice in choices]
    if include_usage:
        documents.append(_envelope(kind, model) | {"choices": [], "usage": usage()})
    return tuple(map(_encode, documents))
