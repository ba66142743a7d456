"""Surfaces that are passed through, by the OpenAI SDK and by hand: what goes to the provider, what comes back, and that
nothing escapes keys, limits and the log on any of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import openai
import pytest
from openai import OpenAI
from suite import AUTH, KEY, UPSTREAM_KEY, build_config, check_error, render_call, run_gateway

from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Reset, Send, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

PNG = b"\x89PNG\r\n\x1a\n\x00\xff--\r\n"
SPEECH = bytes(range(256)) * 4_000
"""A megabyte, as a minute of speech is."""
LINES = b'{"custom_id":"1","response":{"status_code":200}}\n' * 3
encode = msgspec.json.encode
FILE = {
    "id": "file-1",
    "object": "file",
    "bytes": 3,
    "created_at": 1,
    "filename": "in.jsonl",
    "purpose": "batch",
    "status": "processed",
}
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "in_progress",
    "created_at": 1,
    "model": "up-chat",
    "usage": {"input_tokens": 7, "output_tokens": 7, "total_tokens": 14},
}
IMAGES = {
    "created": 1,
    "data": [{"b64_json": base64.b64encode(PNG).decode()}],
    "usage": {
        "input_tokens": 20,
        "input_tokens_details": {"image_tokens": 12, "text_tokens": 8},
        "output_tokens": 30,
        "total_tokens": 50,
    },
}
TRANSCRIPT = {"text": "hello", "usage": {"type": "duration", "seconds": 3}}
RERANK = {
    "id": "r",
    "model": "up-rank",
    "results": [{"index": 1, "relevance_score": 0.9}],
    "meta": {"billed_units": {"search_units": 1}},
}
MODERATION = {"id": "modr-1", "model": "up-mod", "results": []}


def _event(document: dict[str, Any]) -> bytes:
    return f"event: {document['type']}\n".encode() + answers.sse(encode(document))


def _stream(*documents: dict[str, Any], framing: Any = "chunked") -> tuple[Step, ...]:
    head = (("content-type", "text/event-stream; charset=utf-8"),)
    return answers.reply(200, b"".join(map(_event, documents)), headers=head, framing=framing)


def _typed(content_type: str, body: bytes, **more: Any) -> tuple[Step, ...]:
    return answers.reply(200, body, headers=[("content-type", content_type), *more.pop("headers", ())], **more)


def _images(request: Received) -> tuple[Step, ...]:
    if request.header("content-type") == "application/json" and request.json().get("stream"):
        usage = IMAGES["usage"]
        partial = {"type": "image_generation.partial_image", "b64_json": "A" * 100_000, "partial_image_index": 0}
        return _stream(partial, {"type": "image_generation.completed", "b64_json": "AAAA", "usage": usage})
    return answers.reply(200, encode(IMAGES))


def _transcription(request: Received) -> tuple[Step, ...]:
    body = request.body
    if b'name="stream"' in body:
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 2, "total_tokens": 16}
        usage["input_token_details"] = {"audio_tokens": 10, "text_tokens": 4}
        deltas: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": text} for text in ("hel", "lo")]
        return _stream(*deltas, {"type": "transcript.text.done", "text": "hello", "usage": usage})
    if b"\r\nvtt\r\n" in body:
        return _typed("text/vtt; charset=utf-8", b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n")
    return answers.reply(200, encode(TRANSCRIPT))


def _held(request: Received) -> tuple[Step, ...]:
    match request.method, request.path.removeprefix("/v1/").split("/"):
        case "GET", ["files"]:
            return answers.reply(200, encode({"object": "list", "data": [FILE], "has_more": False}))
        case "DELETE", ["files", "file-1"]:
            return answers.reply(200, encode({"id": "file-1", "object": "file", "deleted": True}))
        case "GET", ["files", "file-1", "content"]:
            named = [("content-disposition", 'attachment; filename="out.jsonl"')]
            return _typed("application/octet-stream", LINES, headers=named)
        case "GET", ["files", "lines", "content"]:
            return _typed("application/x-ndjson", LINES, framing="chunked")
        case _, ["files"] | ["files", "file-1"]:
            return answers.reply(200, encode(FILE))
        case "GET", ["batches"]:
            return answers.reply(200, encode({"object": "list", "data": [BATCH], "has_more": False}))
        case _, ["batches", *rest] if rest[:1] in ([], ["batch_1"]):
            return answers.reply(200, encode(BATCH | ({"status": "cancelling"} if "cancel" in rest else {})))
        case _:
            return answers.reply(404, answers.error("No such File object.", "invalid_request_error", param="id"))


def _provide(request: Received) -> tuple[Step, ...]:
    surface = request.path.removeprefix("/v1/")
    if surface.startswith("images/"):
        return _images(request)
    if surface == "audio/transcriptions" or surface == "audio/translations":
        return _transcription(request)
    if surface == "audio/speech":
        if request.json().get("stream_format") == "sse":
            done = {"type": "speech.audio.done", "usage": {"input_tokens": 2, "output_tokens": 9, "total_tokens": 11}}
            return _stream({"type": "speech.audio.delta", "audio": "AAAA"}, done)
        return _typed("audio/mpeg", SPEECH, framing="chunked")
    if surface == "moderations":
        return answers.reply(200, encode(MODERATION))
    if surface == "rerank":
        return answers.reply(200, encode(RERANK))
    return _held(request)


class Parts(NamedTuple):
    """A gateway, the provider behind it, and a client."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream
    client: OpenAI


@pytest.fixture(scope="module")
def running() -> Iterator[Parts]:
    with ScriptedUpstream() as upstream:
        config = build_config(
            {
                "first": {"url": upstream.url, "share_account": True},
                "second": {"url": upstream.url, "share_account": True},
                "closed": {"url": upstream.url},
            },
            {
                "closed": {"targets": [{"provider": "closed", "model": "up"}]},
                "painter": {"targets": [{"provider": "first", "model": "up-image"}]},
                "listener": {"targets": [{"provider": "first", "model": "up-listen"}]},
                "speaker": {"targets": [{"provider": "first", "model": "up-speak"}]},
                "judge": {"targets": [{"provider": "first", "model": "up-mod"}]},
                "ranker": {"targets": [{"provider": "first", "model": "up-rank"}]},
                "other": {"targets": [{"provider": "second", "model": "up-chat"}]},
                "twice": {
                    "targets": [{"provider": "first", "model": "up-1"}],
                    "fallback": [{"provider": "second", "model": "up-2"}],
                },
                "own-*": {"targets": [{"provider": "first"}]},
                "limited": {"targets": [{"provider": "first"}]},
            },
            limits={"body_bytes": 30_000_000},
            policies=[
                {"filter": "rate_limit", "on": {"models": ["limited"]}, "config": {"requests": 1, "per": "hour"}},
                {"filter": "rate_limit", "config": {"tokens": 1_000_000, "per": "hour"}},
            ],
        )
        with run_gateway(config) as gateway, OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
            yield Parts(gateway, upstream, client)


@pytest.fixture
def parts(running: Parts) -> Parts:
    """The module's parts, with nothing recorded."""
    running.upstream.reset()
    running.upstream.always(_provide)
    return running


def last(parts: Parts) -> Received:
    """The only request the provider got."""
    (request,) = parts.upstream.requests
    assert request.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert not parts.upstream.errors
    return request


def logged(parts: Parts, exchange_id: str) -> dict[str, Any]:
    """The access-log line of an exchange, which is written a moment after it."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [line for line in parts.gateway.access_log() if line["id"] == exchange_id]
        return bool(found)

    parts.gateway.wait_for(look)
    (line,) = found
    return line


FIRST = {"x-gatewright-model": "painter"}


# What names its model.


def test_images(parts: Parts) -> None:
    answer = parts.client.images.generate(model="painter", prompt="a cat", size="1024x1024")
    assert answer.data is not None
    assert base64.b64decode(answer.data[0].b64_json or "") == PNG
    assert answer.usage is not None
    assert last(parts).json() == {"model": "up-image", "prompt": "a cat", "size": "1024x1024"}


def test_an_image_as_it_is_made(parts: Parts) -> None:
    events = list(parts.client.images.generate(model="painter", prompt="a cat", stream=True, partial_images=1))
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert len(events[0].b64_json) == 100_000


def test_an_image_from_uploads(parts: Parts) -> None:
    files: Any = [("a.png", PNG, "image/png"), ("b.png", PNG * 1_000, "image/png")]
    answer = parts.client.images.edit(model="painter", image=files, prompt="a hat — é", mask=("m.png", PNG))
    assert answer.usage is not None
    request = last(parts)
    content_type = request.header("content-type") or ""
    assert content_type.startswith("multipart/form-data; boundary=")
    assert request.body.count(PNG) == 1_002
    assert b'name="model"\r\n\r\nup-image\r\n' in request.body
    assert "a hat — é".encode() in request.body
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert parts.client.images.create_variation(model="painter", image=PNG).data


def test_a_transcript(parts: Parts) -> None:
    clip = ("clip.wav", SPEECH * 10, "audio/wav")
    answer = parts.client.audio.transcriptions.create(model="listener", file=clip)
    assert answer.text == "hello"
    request = last(parts)
    assert request.target == "/v1/audio/transcriptions"
    assert SPEECH * 10 in request.body
    assert b"up-listen" in request.body
    assert b"listener" not in request.body
    vtt = parts.client.audio.transcriptions.create(model="listener", file=clip, response_format="vtt")
    assert str(vtt).startswith("WEBVTT")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert parts.client.audio.translations.create(model="listener", file=clip).text == "hello"


def test_a_transcript_as_it_is_made(parts: Parts) -> None:
    clip = ("clip.wav", b"RIFF", "audio/wav")
    events = list(parts.client.audio.transcriptions.create(model="listener", file=clip, stream=True))
    assert [event.type for event in events] == [
        "transcript.text.delta",
        "transcript.text.delta",
        "transcript.text.done",
    ]


def test_speech(parts: Parts) -> None:
    answer = parts.client.audio.speech.create(model="speaker", voice="alloy", input="hello")
    assert answer.read() == SPEECH
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert last(parts).json()["model"] == "up-speak"


def test_moderations(parts: Parts) -> None:
    assert parts.client.moderations.create(model="judge", input="hm").model == "judge"
    assert last(parts).json() == {"model": "up-mod", "input": "hm"}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_rerank(path: str, parts: Parts) -> None:
    body = {"model": "ranker", "query": "q", "documents": ["a", "b"], "top_n": 1}
    with parts.gateway.connect() as client:
        answer = client.send(render_call(body, path)).receive()
    assert answer.json() == RERANK | {"model": "ranker"}
    assert last(parts).target == "/v1/rerank"


# What names no model.


def test_files(parts: Parts) -> None:
    client = parts.client.with_options(default_headers=FIRST)
    uploaded = client.files.create(file=("in.jsonl", LINES * 100_000), purpose="batch")
    assert uploaded.id == "file-1"
    assert LINES * 100_000 in last(parts).body
    assert last(parts).header("x-gatewright-model") is None
    assert [file.id for file in client.files.list(purpose="batch", limit=5)] == ["file-1"]
    assert sorted(parts.upstream.requests[-1].target.partition("?")[2].split("&")) == ["limit=5", "purpose=batch"]
    assert client.files.retrieve("file-1").filename == "in.jsonl"
    content = client.files.content("file-1")
    assert content.read() == LINES
    assert content.response.headers["content-disposition"] == 'attachment; filename="out.jsonl"'
    assert client.files.delete("file-1").deleted
    methods = [(request.method, request.path) for request in parts.upstream.requests]
    assert methods[2:] == [
        ("GET", "/v1/files/file-1"),
        ("GET", "/v1/files/file-1/content"),
        ("DELETE", "/v1/files/file-1"),
    ]
    assert all(not r.body and r.header("content-type") is None for r in parts.upstream.requests[1:])
    with pytest.raises(openai.NotFoundError, match="No such File"):
        client.files.retrieve("file-2")


def test_a_file_of_json_lines_comes_piece_by_piece(parts: Parts) -> None:
    content = parts.client.with_options(default_headers=FIRST).files.content("lines")
    assert content.read() == LINES
    assert content.response.headers["content-type"] == "application/x-ndjson"


def test_batches(parts: Parts) -> None:
    client = parts.client.with_options(default_headers=FIRST)
    made = client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert made.id == "batch_1"
    assert last(parts).json()["input_file_id"] == "file-1"
    assert client.batches.retrieve("batch_1").model == "up-chat"
    assert client.batches.cancel("batch_1").status == "cancelling"
    assert parts.upstream.requests[-1].method == "POST"
    assert [batch.id for batch in client.batches.list()] == ["batch_1"]


def test_which_provider_is_meant_must_be_said(parts: Parts) -> None:
    with pytest.raises(openai.BadRequestError, match="x-gatewright-model"):
        parts.client.files.list()
    with pytest.raises(openai.NotFoundError, match="no model `nobody`"):
        parts.client.files.list(extra_headers={"x-gatewright-model": "nobody"})
    assert parts.upstream.requests == []


# Nothing escapes.

CALLS: dict[str, tuple[str, str, Any]] = {
    "images": ("POST", "/v1/images/generations", {"json": {"model": "own-a", "prompt": "x"}}),
    "edits": ("POST", "/v1/images/edits", {"data": {"model": "own-a"}, "files": {"image": PNG}}),
    "variations": ("POST", "/v1/images/variations", {"data": {"model": "own-a"}, "files": {"image": PNG}}),
    "transcriptions": ("POST", "/v1/audio/transcriptions", {"data": {"model": "own-a"}, "files": {"file": PNG}}),
    "translations": ("POST", "/v1/audio/translations", {"data": {"model": "own-a"}, "files": {"file": PNG}}),
    "speech": ("POST", "/v1/audio/speech", {"json": {"model": "own-a", "input": "x"}}),
    "moderations": ("POST", "/v1/moderations", {"json": {"model": "own-a", "input": "x"}}),
    "rerank": ("POST", "/v1/rerank", {"json": {"model": "own-a", "query": "x"}}),
    "upload": ("POST", "/v1/files", {"data": {"purpose": "batch"}, "files": {"file": LINES}}),
    "files": ("GET", "/v1/files", {}),
    "file": ("GET", "/v1/files/file-1", {}),
    "content": ("GET", "/v1/files/file-1/content", {}),
    "delete": ("DELETE", "/v1/files/file-1", {}),
    "batch": ("POST", "/v1/batches", {"json": {"input_file_id": "file-1"}}),
    "batches": ("GET", "/v1/batches", {}),
    "one batch": ("GET", "/v1/batches/batch_1", {}),
    "cancel": ("POST", "/v1/batches/batch_1/cancel", {}),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_surface_is_open_without_a_key(call: str, parts: Parts) -> None:
    method, path, more = CALLS[call]
    url = parts.gateway.url.removesuffix("/v1") + path
    headers = {"x-gatewright-model": "own-a"}
    for key in ({}, {"authorization": "Bearer sk-wrong"}):
        assert httpx.request(method, url, headers=headers | key, **more).status_code == 401
    assert parts.upstream.requests == []
    answer = httpx.request(method, url, headers=headers | {"authorization": f"Bearer {KEY}"}, **more)
    assert answer.status_code == 200, answer.text
    assert last(parts).method == method
    assert answer.headers["x-request-id"]
    line = logged(parts, answer.headers["x-request-id"])
    assert (line["consumer"], line["model"], line["provider"]) == ("acme/search/indexer", "own-*", "first")


@pytest.mark.parametrize("call", ["images", "transcriptions", "files", "batch"])
def test_no_surface_escapes_a_limit(call: str, parts: Parts) -> None:
    method, path, more = CALLS[call]
    url = parts.gateway.url.removesuffix("/v1") + path
    body = encode(more).replace(b"own-a", b"limited") if "files" not in more else b""
    sent = msgspec.json.decode(body) if body else more | {"data": {"model": "limited"}}
    headers = {"authorization": f"Bearer {KEY}", "x-gatewright-model": "limited"}
    answers_ = [httpx.request(method, url, headers=headers, **sent).status_code for _ in range(3)]
    assert answers_[1:] == [429, 429]


def raw(parts: Parts, path: str, body: bytes, content_type: str, method: str = "POST", more: bytes = b"") -> Answer:
    """The answer to exactly these bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: {content_type}\r\n".encode()
    with parts.gateway.connect() as client:
        client.send(head + AUTH + more + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return client.receive(method)


FORM = "multipart/form-data; boundary=XbX"
END = b"--XbX--\r\n"


def field(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'--XbX\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name, more, value)


UPLOAD = field(b"file", SPEECH * 10, b'; filename="a \\"model\\".wav"')
"""Ten megabytes with every byte there is."""
HIDDEN = b'x\n--XbX\nContent-Disposition: form-data; name="model"\n\nup-secret\n'


@pytest.mark.parametrize(
    "parts_of_form",
    [
        (field(b"model", b"%b"), UPLOAD),
        (UPLOAD, field(b"model", b"%b")),
        (UPLOAD, field(b"prompt", b"listener"), field(b"model", b"%b"), field(b"timestamp_granularities[]", b"word")),
    ],
)
def test_of_ten_megabytes_only_the_model_changes(parts_of_form: tuple[bytes, ...], parts: Parts) -> None:
    body = b"".join(parts_of_form) + END
    answer = raw(parts, "/v1/audio/transcriptions", body.replace(b"%b", b"listener"), FORM)
    assert (answer.status, answer.json()) == (200, TRANSCRIPT)
    request = last(parts)
    assert request.body == body.replace(b"%b", b"up-listen")
    assert request.header("content-type") == FORM


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", field(b"model", b"listener") + END),
        ("multipart/form-data; boundary=XbX; boundary=YbY", field(b"model", b"listener") + END),
        ("multipart/mixed; boundary=XbX", field(b"model", b"listener") + END),
        ("application/json", field(b"model", b"listener") + END),
        (FORM, b""),
        (FORM, field(b"model", b"listener")),
        (FORM, field(b"model", b"listener") + b"--XbX"),
        (FORM, field(b"model", b"listener") + field(b"model", b"up-secret") + END),
        (FORM, field(b"model", b"listener") + END + field(b"model", b"up-secret") + END),
        (FORM, field(b"model", b"listener") + field(b"file", HIDDEN, b"; filename=a") + END),
        (FORM, field(b"model", b"listener") + field(b"model[]", b"up-secret") + END),
        (FORM, field(b"model", b"listener", b"; filename=a") + END),
        (FORM, field(b"mod\\el", b"listener") + END),
        (FORM, field(b'x"; name="model', b"listener") + END),
        (FORM, field(b"model", b"lis\r\ntener") + END),
        (FORM, (field(b"model", b"listener") + END).replace(b"\r\n", b"\n")),
    ],
)
def test_a_form_that_can_be_read_in_two_ways_goes_nowhere(content_type: str, body: bytes, parts: Parts) -> None:
    answer = raw(parts, "/v1/audio/transcriptions", body, content_type)
    assert answer.status == 400
    assert check_error(answer)["code"] == "malformed_request"
    assert parts.upstream.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/files/%2e%2e", 400),
        ("GET", "/v1/files/a%2f..%2fchat", 400),
        ("DELETE", "/v1/files/a%0d%0ax-injected:%201", 400),
        ("GET", "/v1/files/a/../b", 404),
        ("PUT", "/v1/files", 405),
        ("GET", "/v1/images/generations", 405),
        ("DELETE", "/v1/batches/b", 405),
    ],
)
def test_paths_lead_nowhere_else(method: str, path: str, status: int, parts: Parts) -> None:
    answer = raw(parts, path, b"", "application/json", method, b"x-gatewright-model: painter\r\n")
    assert answer.status == status
    check_error(answer)
    assert parts.upstream.requests == []


# When the provider fails.


def test_another_provider_draws_what_the_first_could_not(parts: Parts) -> None:
    parts.upstream.next(*answers.reply(503, answers.error("full")))
    assert parts.client.images.generate(model="twice", prompt="x").data
    assert [request.json()["model"] for request in parts.upstream.requests] == ["up-1", "up-2"]


@pytest.mark.parametrize("call", ["upload", "batch", "delete", "file"])
def test_what_is_held_is_asked_for_once(call: str, parts: Parts) -> None:
    parts.upstream.next(*answers.reply(503, answers.error("full")))
    method, path, more = CALLS[call]
    headers = {"authorization": f"Bearer {KEY}", "x-gatewright-model": "twice"}
    answer = httpx.request(method, parts.gateway.url.removesuffix("/v1") + path, headers=headers, **more)
    assert answer.status_code == 503
    assert len(parts.upstream.requests) == 1


HEAD = "transfer-encoding", "chunked"


def _cut(content_type: str, data: bytes) -> tuple[Step, ...]:
    head = answers.render_head(200, [("content-type", content_type), HEAD])
    return Send(head + answers.chunk(data)), Pause(0.05), Reset()


def test_a_stream_that_breaks_off_is_no_finish(parts: Parts) -> None:
    delta = _event({"type": "transcript.text.delta", "delta": "hel"})
    for steps in (
        _cut("text/event-stream", delta),
        answers.reply(200, delta, headers=[("content-type", "text/event-stream")]),
    ):
        parts.upstream.next(*steps)
        clip = ("clip.wav", b"RIFF", "audio/wav")
        events = parts.client.audio.transcriptions.create(model="listener", file=clip, stream=True)
        with pytest.raises(openai.APIError, match="provider"):
            list(events)


def test_lines_that_break_off_end_with_the_failure(parts: Parts) -> None:
    parts.upstream.next(*_cut("application/x-ndjson", LINES))
    content = parts.client.with_options(default_headers=FIRST).files.content("lines").read()
    assert content.startswith(LINES)
    assert "provider" in msgspec.json.decode(content.splitlines()[-1])["error"]["message"]


def test_speech_that_breaks_off_is_an_error(parts: Parts) -> None:
    parts.upstream.next(*_cut("audio/mpeg", SPEECH))
    with pytest.raises(openai.InternalServerError):
        parts.client.audio.speech.create(model="speaker", voice="alloy", input="hello")


# What it cost.


@pytest.mark.parametrize(
    ("path", "body", "used"),
    [
        ("/v1/images/generations", {"model": "painter", "prompt": "x"}, {"input_tokens": 20, "output_tokens": 30}),
        (
            "/v1/images/generations",
            {"model": "painter", "prompt": "x", "stream": True},
            {"input_tokens": 20, "output_tokens": 30},
        ),
        (
            "/v1/audio/speech",
            {"model": "speaker", "input": "x", "stream_format": "sse"},
            {"input_tokens": 2, "output_tokens": 9},
        ),
        ("/v1/audio/speech", {"model": "speaker", "input": "x"}, {}),
        ("/v1/moderations", {"model": "judge", "input": "x"}, {}),
        ("/v1/rerank", {"model": "ranker", "query": "x"}, {"search_units": 1.0}),
        ("/v1/audio/transcriptions", {"model": "listener", "file": "https://a.test/a.wav"}, {"audio_s": 3.0}),
    ],
)
def test_usage_is_settled_where_it_is_reported(
    path: str, body: dict[str, Any], used: dict[str, float], parts: Parts
) -> None:
    with parts.gateway.connect() as client:
        answer = client.send(render_call(body, path)).receive()
    assert answer.status == 200
    line = logged(parts, answer.header("x-request-id") or "")
    names = {"input_tokens", "output_tokens", "audio_s", "search_units"}
    assert {name: line[name] for name in names & line.keys()} == used
    assert line.get("stream", False) is ("stream" in str(body))


def test_a_transcripts_usage_is_in_its_last_event(parts: Parts) -> None:
    body = field(b"model", b"listener") + field(b"stream", b"true") + field(b"file", b"x", b"; filename=a") + END
    answer = raw(parts, "/v1/audio/transcriptions", body, FORM)
    line = logged(parts, answer.header("x-request-id") or "")
    assert (line["input_tokens"], line["output_tokens"], line["stream"]) == (14, 2, True)


def test_an_account_that_was_not_opened_stays_closed(parts: Parts) -> None:
    with pytest.raises(openai.BadRequestError, match="share_account"):
        parts.client.files.list(extra_headers={"x-gatewright-model": "closed"})
