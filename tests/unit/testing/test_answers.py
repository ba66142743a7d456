"""The canned answers are what an OpenAI-compatible provider sends, in every framing."""

from __future__ import annotations

import base64
import gzip
import struct

import msgspec
import pytest

from gatewright.testing import answers
from gatewright.testing.received import Received
from gatewright.testing.steps import Close, Send


def _request(path: str, body: dict[str, object] | None, method: str = "POST") -> Received:
    content = b"" if body is None else msgspec.json.encode(body)
    return Received(method, path, "HTTP/1.1", (), content, b"")


def _sent(script: tuple[object, ...]) -> bytes:
    return b"".join(step.data for step in script if isinstance(step, Send))


def test_a_chat_completion_has_text_and_usage() -> None:
    document = msgspec.json.decode(answers.chat_completion("m"))
    assert document["model"] == "m"
    assert document["choices"][0]["message"]["content"] == answers.TEXT
    assert document["usage"]["total_tokens"] == answers.PROMPT_TOKENS + answers.COMPLETION_TOKENS


@pytest.mark.parametrize("chunks", [answers.chat_chunks, answers.text_chunks])
def test_a_stream_says_the_same_text(chunks: object) -> None:
    assert callable(chunks)
    for include_usage in (False, True):
        documents = [msgspec.json.decode(chunk) for chunk in chunks("m", include_usage=include_usage)]
        choices = [choice for document in documents for choice in document["choices"]]
        text = "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)
        assert text == answers.TEXT
        assert choices[-1]["finish_reason"] == "stop"
        assert ("usage" in documents[0]) is include_usage
        assert bool(documents[-1].get("usage")) is include_usage


def test_embeddings_come_as_numbers_or_base64() -> None:
    numbers = msgspec.json.decode(answers.embeddings("m", 2))
    assert [row["embedding"] for row in numbers["data"]] == [list(answers.VECTOR)] * 2
    packed = msgspec.json.decode(answers.embeddings("m", 1, in_base64=True))["data"][0]["embedding"]
    assert struct.unpack("<4f", base64.b64decode(packed)) == answers.VECTOR


def test_framings() -> None:
    (whole,) = answers.reply(200, b"{}", interim=[103])
    assert isinstance(whole, Send)
    assert whole.data.startswith(b"HTTP/1.1 103 Interim\r\n\r\nHTTP/1.1 200 ")
    assert whole.data.endswith(b"content-length: 2\r\n\r\n{}")
    assert _sent(answers.reply(200, b"{}", framing="chunked")).endswith(b"2\r\n{}\r\n0\r\n\r\n")
    closing = answers.reply(200, b"{}", framing="close")
    assert closing[-1] == Close()
    assert b"content-length" not in _sent(closing)
    packed = _sent(answers.reply(200, b"{}", gzip=True)).partition(b"\r\n\r\n")[2]
    assert gzip.decompress(packed) == b"{}"


def test_stream_framings() -> None:
    events = [b'{"a":1}', b'{"a":2}']
    assert len(answers.stream(events)) == 1 + 2 + 1 + 1
    plain = _sent(answers.stream(events, framing="length"))
    head, _, body = plain.partition(b"\r\n\r\n")
    assert body == b'data: {"a":1}\n\ndata: {"a":2}\n\ndata: [DONE]\n\n'
    assert b"content-length: %d" % len(body) in head
    assert not _sent(answers.stream(events, done=False, framing="close")).endswith(b"[DONE]\n\n")


def test_a_healthy_provider_answers_by_path() -> None:
    ask: dict[str, object] = {"model": "m", "messages": []}
    assert b"chat.completion" in _sent(answers.as_openai(_request("/v1/chat/completions", ask)))
    assert b"text_completion" in _sent(answers.as_openai(_request("/v1/completions", ask)))
    streamed = _sent(answers.as_openai(_request("/v1/chat/completions", ask | {"stream": True})))
    assert b"text/event-stream" in streamed
    assert b'"usage"' not in streamed
    counted = ask | {"stream": True, "stream_options": {"include_usage": True}}
    assert b'"usage":{' in _sent(answers.as_openai(_request("/v1/completions", counted)))
    vectors = _request("/v1/embeddings", {"model": "m", "input": ["a", "b"], "encoding_format": "base64"})
    assert _sent(answers.as_openai(vectors)).count(b'"embedding":"') == 2
    assert b"scripted-2" in _sent(answers.as_openai(_request("/v1/models", None, "GET")))
    assert b"HTTP/1.1 400" in _sent(answers.as_openai(_request("/v1/completions", {"model": 5})))
    assert b"HTTP/1.1 404" in _sent(answers.as_openai(_request("/v1/other", None, "GET")))


def test_an_empty_chunk_is_never_sent() -> None:
    assert answers.chunk(b"") == b""
