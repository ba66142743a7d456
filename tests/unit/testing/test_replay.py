"""Recordings are read, matched to requests and given again byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gatewright.testing.client import RawClient
from gatewright.testing.received import Received
from gatewright.testing.replay import Recording, Replay, load_recordings, model_of, operation_of, read_recording
from gatewright.testing.steps import Send
from gatewright.testing.upstream import ScriptedUpstream


def document(response: dict[str, Any], url: str = "https://host/v1/messages", **more: Any) -> bytes:
    request = {"method": "POST", "url": url, "headers": {}, "body": {"model": "m"}}
    return json.dumps({"request": request, "response": response, "tags": ["unknown"], **more}).encode()


def asked(path: str = "/v1/messages", model: str = "m") -> Received:
    return Received("POST", path, "HTTP/1.1", (), json.dumps({"model": model}).encode(), b"")


def sent(replay: Replay, request: Received) -> bytes:
    return b"".join(step.data for step in replay.answer(request) if isinstance(step, Send))


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/chat/completions", "/chat/completions"),
        ("/openai/v1/completions", "/v1/completions"),
        ("/v1/responses", "/responses"),
        ("/anthropic/v1/messages", "/messages"),
        ("/v1/messages/count_tokens", "/count_tokens"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", ":generateContent"),
        ("/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent", ":streamGenerateContent"),
        ("/model/eu.amazon.nova%3A0/converse-stream", "/converse-stream"),
        ("/model/eu.amazon.nova:0/converse", "/converse"),
        ("/v2/chat", "/v2/chat"),
        ("/api/chat", "/api/chat"),
        ("", "/"),
    ],
)
def test_operations(path: str, operation: str) -> None:
    assert operation_of(path) == operation


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/v1/messages", {"model": "claude"}, "claude"),
        ("/v1beta/models/gemini:generateContent", {}, "gemini"),
        ("/model/eu.amazon.nova%3A0/converse", None, "eu.amazon.nova:0"),
        ("/v1/messages", {"model": 5}, None),
        ("/v1/messages", "multipart", None),
    ],
)
def test_models(path: str, body: Any, model: str | None) -> None:
    assert model_of(path, body) == model


LINES = '{"a":1}\n{"type":"b"}\n'


@pytest.mark.parametrize(
    ("response", "url", "kind", "body"),
    [
        ({"body": {"a": [1, 0.70]}}, "/v1/messages", "application/json", b'{"a": [1, 0.7]}'),
        ({"text": "data: {}\r\n\r\n"}, "/v1/messages", "text/event-stream", b"data: {}\r\n\r\n"),
        ({"text": LINES}, "/api/chat", "application/x-ndjson", LINES.encode()),
        ({"text": LINES}, "/v1/messages", "text/event-stream", b'data: {"a":1}\n\nevent: b\ndata: {"type":"b"}\n\n'),
        (
            {"b64": base64.b64encode(b"\0\xff").decode()},
            "/model/m/converse-stream",
            "application/vnd.amazon.eventstream",
            b"\0\xff",
        ),
    ],
)
def test_bodies(response: dict[str, Any], url: str, kind: str, body: bytes) -> None:
    recording = read_recording(document(response, url))
    assert recording.body == body
    assert recording.headers == (("content-type", kind),)
    assert recording.status == 200


def test_headers_of_the_recorded_connection_are_left_out() -> None:
    headers = {"Content-Length": "5", "content-encoding": "gzip", "request-id": "req_1", "content-type": "text/plain"}
    recording = read_recording(document({"status": 429, "headers": headers, "body": {}}))
    assert recording.headers == (("content-type", "application/json"), ("request-id", "req_1"))
    assert recording.status == 429


@pytest.mark.parametrize("wrong", [b"", b"{}", b'{"response":{}}', b'{"response":{"text":5}}', b"[1]"])
def test_what_is_no_recording_is_refused_by_name(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="mine"):
        read_recording(wrong, "mine")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/2.json").write_bytes(document({"body": 2}))
    (tmp_path / "a.json").write_bytes(document({"body": 1}))
    (tmp_path / "README.md").write_text("not one")
    assert [(one.name, one.body) for one in load_recordings(tmp_path)] == [("a.json", b"1"), ("b/2.json", b"2")]


def recording(body: int, url: str = "https://host/v1/messages") -> Recording:
    return read_recording(document({"body": body}, url))


def test_recordings_are_played_in_order_and_the_last_one_for_ever() -> None:
    replay = Replay(ScriptedUpstream(), [recording(1), recording(2)])
    answers = [sent(replay, asked()).partition(b"\r\n\r\n")[2] for _ in range(3)]
    assert answers == [b"1\r\n1\r\n0\r\n\r\n", b"1\r\n2\r\n0\r\n\r\n", b"1\r\n2\r\n0\r\n\r\n"]


def test_what_was_not_recorded_is_a_miss() -> None:
    replay = Replay(ScriptedUpstream(), [recording(1)])
    for request in (asked(model="other"), asked("/v1/responses"), Received("GET", "/", "HTTP/1.1", (), b"", b"")):
        assert sent(replay, request).startswith(b"HTTP/1.1 404 ")
    assert replay.misses == ["/messages of other", "/responses of m", "/ of None"]


def test_models_need_not_be_those_of_the_recordings() -> None:
    assert b"200" in sent(Replay(ScriptedUpstream(), [recording(1)], any_model=True), asked(model="other"))
    replay = Replay(ScriptedUpstream())
    replay.add(recording(1), model="mine")
    assert b"200" in sent(replay, asked(model="mine"))
    assert not replay.misses


def test_a_response_alone_fits_every_operation() -> None:
    only = read_recording(b'{"request":null,"response":{"body":{}}}')
    replay = Replay(ScriptedUpstream(), [only], any_model=True)
    assert b"200" in sent(replay, asked("/v1/responses"))
    assert b"200" in sent(replay, Received("POST", "/x", "HTTP/1.1", (), b"not JSON", b""))


def test_bodies_are_cut_into_pieces() -> None:
    replay = Replay(ScriptedUpstream(), [recording(12345)], piece_bytes=2)
    assert sent(replay, asked()).endswith(b"\r\n\r\n2\r\n12\r\n2\r\n34\r\n1\r\n5\r\n0\r\n\r\n")


@pytest.mark.sockets
def test_over_a_socket() -> None:
    with ScriptedUpstream() as upstream:
        replay = Replay(upstream, [recording(7)])
        with RawClient((upstream.host, upstream.port)) as client:
            content = b'{"model":"m"}'
            client.send(b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
            assert client.receive().json() == 7
        assert [request.path for request in replay.received] == ["/v1/messages"]
