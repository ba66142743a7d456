"""How the client of each dialect asks and reads: paths, a plain request, the shape of errors, the end of a stream.

Written from the vendors' documentation and SDKs, not from the gateway's own codecs, except for the framing of bytes
(server-sent events, AWS event streams), which `tests/unit/wire` covers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from suite import render_call

from gatewright.testing.client import Answer
from gatewright.wire.aws_event_stream import MessageDecoder

STREAM_TYPES: Final = {
    "bedrock.converse": "application/vnd.amazon.eventstream",
    "ollama.chat": "application/x-ndjson",
}


class Seen(NamedTuple):
    """What a client of a dialect makes of an answer."""

    status: int
    text: str = ""
    error: str | None = None
    """The message of the error: of the answer's body, or of the event within the stream."""
    is_finished: bool = False
    """Whether the client takes the answer for complete."""


class Client(NamedTuple):
    """One dialect as its clients speak it."""

    dialect: str
    path: Callable[[str, bool], str]
    body: Callable[[str, str, bool], dict[str, Any]]
    """`(model, text of the only message, stream)`."""
    read_text: Callable[[Any], str]
    """The text of a complete answer."""
    read_error: Callable[[Any], str]
    """The message of an error body, whose shape is checked."""
    read_stream: Callable[[bytes], Seen]

    def render(self, model: str, text: str = "hi", *, stream: bool = False) -> bytes:
        """A plain call."""
        return render_call(self.body(model, text, stream), self.path(model, stream))

    def read(self, answer: Answer, *, stream: bool) -> Seen:
        """What the client makes of an answer. Raises AssertionError when it is not in the dialect's form."""
        assert answer.header("x-request-id")
        content_type = (answer.header("content-type") or "").partition(";")[0]
        if answer.status != 200:
            assert answer.status >= 400
            assert content_type == "application/json"
            return Seen(answer.status, error=self.check_error(answer))
        if not stream:
            assert content_type == "application/json"
            return Seen(200, self.read_text(answer.json()), is_finished=True)
        assert content_type == STREAM_TYPES.get(self.dialect, "text/event-stream")
        return self.read_stream(answer.body)

    def check_error(self, answer: Answer) -> str:
        """The message of an error answer, in the dialect's shape and with the headers its SDKs look for."""
        if self.dialect == "bedrock.converse":
            assert (answer.header("x-amzn-errortype") or "").endswith("Exception")
            assert answer.header("x-amzn-requestid") == answer.header("x-request-id")
        elif self.dialect == "anthropic.messages":
            assert answer.header("request-id") == answer.header("x-request-id")
        message = self.read_error(answer.json())
        assert isinstance(message, str)
        assert 10 < len(message) < 2_000
        return message


# The bodies of errors.


def _openai_error(body: Any) -> str:
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert isinstance(error["type"], str)
    assert isinstance(error["message"], str)
    return error["message"]


def _anthropic_error(body: Any) -> str:
    assert body["type"] == "error"
    assert body["request_id"]
    assert set(body["error"]) == {"type", "message"}
    assert body["error"]["type"].endswith("_error") or body["error"]["type"] == "request_too_large"
    return str(body["error"]["message"])


def _google_error(body: Any) -> str:
    error = body["error"]
    assert isinstance(error["code"], int)
    assert error["status"].isupper()
    return str(error["message"])


def _bedrock_error(body: Any) -> str:
    assert set(body) == {"message"}
    return str(body["message"])


def _cohere_error(body: Any) -> str:
    assert set(body) == {"id", "message"}
    return str(body["message"])


def _ollama_error(body: Any) -> str:
    assert set(body) == {"error"}
    assert isinstance(body["error"], str)
    return body["error"]


# Streams. Each reader stops at nothing: what follows an error or an end is read as well, and would be told.


def _sse(body: bytes) -> list[Any]:
    body = body.replace(b"\r\n", b"\n")
    assert body.endswith(b"\n\n"), body[-200:]
    return [
        msgspec.json.decode(line[5:])
        for event in body.split(b"\n\n")
        for line in event.split(b"\n")
        if line.startswith(b"data:") and line != b"data: [DONE]"
    ]


def _read_openai(body: bytes) -> Seen:
    text, error = "", None
    for event in _sse(body):
        if "error" in event:
            error = _openai_error(event)
            continue
        text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    return Seen(200, text, error, body.endswith(b"data: [DONE]\n\n"))


def _read_anthropic(body: bytes) -> Seen:
    text, error, is_finished = "", None, False
    for event in _sse(body):
        if event["type"] == "error":
            error = _anthropic_error(event)
        elif event["type"] == "content_block_delta":
            text += event["delta"].get("text", "")
        elif event["type"] == "message_stop":
            is_finished = True
    return Seen(200, text, error, is_finished)


def _read_google(body: bytes) -> Seen:
    text, error, is_finished = "", None, False
    for chunk in _sse(body):
        if "error" in chunk:
            error = _google_error(chunk)
            continue
        text += _google_text(chunk)
        is_finished |= any("finishReason" in candidate for candidate in chunk.get("candidates", ()))
    return Seen(200, text, error, is_finished)


def _read_bedrock(body: bytes) -> Seen:
    decoder = MessageDecoder()
    text, error, is_finished = "", None, False
    for message in decoder.feed(body):
        event = msgspec.json.decode(message.payload)
        if message.headers[":message-type"] == "exception":
            assert str(message.headers[":exception-type"]).endswith("Exception")
            error = _bedrock_error(event)
        elif message.headers[":event-type"] == "contentBlockDelta":
            text += event["delta"].get("text", "")
        elif message.headers[":event-type"] == "messageStop":
            is_finished = True
    assert decoder.end() == b""
    return Seen(200, text, error, is_finished)


def _read_responses(body: bytes) -> Seen:
    text, error, is_finished = "", None, False
    for event in _sse(body):
        kind = event["type"]
        if kind == "response.failed":
            error = event["response"]["error"]["message"]
        elif kind == "error":
            error = event["message"]
        elif kind == "response.output_text.delta":
            text += event["delta"]
        elif kind in ("response.completed", "response.incomplete"):
            is_finished = True
    return Seen(200, text, error, is_finished)


def _read_ollama(body: bytes) -> Seen:
    assert body.endswith(b"\n")
    text, error, is_finished = "", None, False
    for line in body.splitlines():
        event = msgspec.json.decode(line)
        if "error" in event:
            error = _ollama_error(event)
            continue
        text += event["message"]["content"]
        is_finished |= event["done"]
    return Seen(200, text, error, is_finished)


def _read_cohere(body: bytes) -> Seen:
    text, error, is_finished = "", None, False
    for event in _sse(body):
        if event["type"] == "content-delta":
            text += event["delta"]["message"]["content"].get("text", "")
        elif event["type"] == "message-end":
            if event["delta"]["finish_reason"] == "ERROR":
                error = event["delta"]["error"]
            else:
                is_finished = True
    return Seen(200, text, error, is_finished)


# Requests.


def _messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def _google_text(answer: Any) -> str:
    return "".join(
        part.get("text", "")
        for candidate in answer.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    )


def _at(path: str) -> Callable[[str, bool], str]:
    return lambda model, stream: path


OPENAI: Final = Client(
    "openai.chat",
    _at("/v1/chat/completions"),
    lambda model, text, stream: {"model": model, "stream": stream, "messages": _messages(text)},
    lambda answer: str(answer["choices"][0]["message"]["content"]),
    _openai_error,
    _read_openai,
)
RESPONSES: Final = Client(
    "openai.responses",
    _at("/v1/responses"),
    lambda model, text, stream: {"model": model, "stream": stream, "input": text, "store": False},
    lambda answer: "".join(part["text"] for item in answer["output"] for part in item["content"]),
    _openai_error,
    _read_responses,
)
ANTHROPIC: Final = Client(
    "anthropic.messages",
    _at("/v1/messages"),
    lambda model, text, stream: {"model": model, "stream": stream, "max_tokens": 64, "messages": _messages(text)},
    lambda answer: "".join(block["text"] for block in answer["content"]),
    _anthropic_error,
    _read_anthropic,
)
GOOGLE: Final = Client(
    "google.generate_content",
    lambda model, stream: f"/v1beta/models/{model}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}",
    lambda model, text, stream: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    _google_text,
    _google_error,
    _read_google,
)
BEDROCK: Final = Client(
    "bedrock.converse",
    lambda model, stream: f"/model/{model}/converse{'-stream' if stream else ''}",
    lambda model, text, stream: {"messages": [{"role": "user", "content": [{"text": text}]}]},
    lambda answer: "".join(block["text"] for block in answer["output"]["message"]["content"]),
    _bedrock_error,
    _read_bedrock,
)
COHERE: Final = Client(
    "cohere.chat",
    _at("/v2/chat"),
    lambda model, text, stream: {"model": model, "stream": stream, "messages": _messages(text)},
    lambda answer: "".join(block["text"] for block in answer["message"]["content"]),
    _cohere_error,
    _read_cohere,
)
OLLAMA: Final = Client(
    "ollama.chat",
    _at("/api/chat"),
    lambda model, text, stream: {"model": model, "stream": stream, "messages": _messages(text)},
    lambda answer: str(answer["message"]["content"]),
    _ollama_error,
    _read_ollama,
)
CLIENTS: Final = (OPENAI, RESPONSES, ANTHROPIC, GOOGLE, BEDROCK, COHERE, OLLAMA)
"""Every chat dialect."""
