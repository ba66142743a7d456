"""A provider that plays recordings: exchanges kept from a real one, given again byte for byte through a socket.

A recording is a JSON document, in memory or in a file of its own:

    {"request":  {"method": "POST", "url": "https://…/v1/messages", "headers": {…}, "body": {…}} or null,
     "response": {"status": 200, "headers": {…}, and one of "body" (JSON) | "text" | "b64"},
     "stream":   true when the response was streamed}

`text` is a stream of server-sent events or of lines of JSON, `b64` an AWS event stream. Everything else in the document
is ignored, so that a file may say where it comes from. With this an operator can hold a configuration to the answers of
the models it is made for, without a key and without a network:

    with ScriptedUpstream() as upstream:
        replay = Replay(upstream, load_recordings(Path("recordings")))
        ...  # a gateway whose provider has upstream.url, and a client
        assert not replay.misses
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from gatewright.testing import answers
from gatewright.testing.received import Received
from gatewright.testing.steps import Send, Step
from gatewright.testing.upstream import ScriptedUpstream

_EVENTS: Final = "text/event-stream"
_LINES: Final = "application/x-ndjson"
_AWS_EVENTS: Final = "application/vnd.amazon.eventstream"
_JSON: Final = "application/json"
_FRAMING: Final = frozenset(("content-length", "transfer-encoding", "content-encoding", "connection", "content-type"))
"""Headers that belong to the connection they were recorded on, or are told anew."""
_IN_PATH: Final = re.compile(r"/(?:models|model)/([^/:]+)(?=[/:])")


class _Request(Struct):
    url: str = ""
    body: Any = None


class _Response(Struct):
    status: int | None = None
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    text: str | None = None
    b64: str | None = None


class _Document(Struct):
    response: _Response
    request: _Request | None = None
    stream: bool = False


_decode = msgspec.json.Decoder(_Document).decode


class Recording(Struct, frozen=True, kw_only=True):
    """One exchange with a provider."""

    name: str
    """By which messages tell it from others."""
    operation: str
    """What was called, as `operation_of` says it; empty when only the response was recorded."""
    model: str | None
    request: Any
    """The request's body; None when it was not recorded."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """The response's body as it goes over the wire."""
    stream: bool


def read_recording(document: bytes, name: str = "recording") -> Recording:
    """One recording from its JSON document. Raises ValueError when it is none."""
    try:
        found = _decode(document)
    except msgspec.DecodeError as wrong:
        raise ValueError(f"{name}: {wrong}") from None
    request, response = found.request or _Request(), found.response
    target = urlsplit(request.url).path
    kind, body = _body_of(response, target, name)
    return Recording(
        name=name,
        operation=operation_of(target) if target else "",
        model=model_of(target, request.body),
        request=request.body,
        status=response.status or 200,
        headers=(
            ("content-type", kind),
            *((key, value) for key, value in response.headers.items() if key.lower() not in _FRAMING),
        ),
        body=body,
        stream=found.stream,
    )


def load_recordings(folder: Path) -> list[Recording]:
    """Every recording (`*.json`) in a folder and those below it, in the order of their names. Raises ValueError."""
    files = sorted(folder.rglob("*.json"))
    return [read_recording(file.read_bytes(), str(file.relative_to(folder))) for file in files]


def operation_of(path: str) -> str:
    """What a request path calls, whatever host, version and model it names: `/messages`, `:generateContent`."""
    _, colon, verb = path.rpartition(":")
    if colon and "/" not in verb:
        return f":{verb}"
    parent, _, last = path.rstrip("/").rpartition("/")
    # Cohere's `/v2/chat` and Ollama's `/api/chat` differ in what stands before.
    return f"/{parent.rpartition('/')[2]}/{last}" if last in ("chat", "completions", "embed") else f"/{last}"


def model_of(path: str, body: Any) -> str | None:
    """The model that a request names, in its path or its body."""
    named = _IN_PATH.search(path)
    if named is not None:
        return unquote(named[1])
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None


def _body_of(response: _Response, target: str, name: str) -> tuple[str, bytes]:
    """Content type and bytes of a response."""
    told = next((value for key, value in response.headers.items() if key.lower() == "content-type"), "")
    if response.b64 is not None:
        return told or _AWS_EVENTS, base64.b64decode(response.b64)
    if bytes(response.body):
        return _JSON, bytes(response.body)
    if response.text is None:
        raise ValueError(f"{name}: the response has none of `body`, `text` and `b64`")
    text = response.text
    if not text.startswith("{") or told.startswith(_LINES) or target.endswith("/api/chat"):
        return told or (_LINES if text.startswith("{") else _EVENTS), text.encode()
    return _EVENTS, b"".join(_frame(line) for line in text.encode().splitlines() if line)


def _frame(line: bytes) -> bytes:
    """An event that was kept without its framing. Its name is its type, where it has one."""
    document = msgspec.json.decode(line)
    kind = document.get("type") if isinstance(document, dict) else None
    return (f"event: {kind}\n".encode() if isinstance(kind, str) else b"") + answers.sse(line)


class Replay:
    """Plays recordings to whoever asks a scripted upstream, and tells what was asked.

    A request gets the recordings of its operation and model, one after another and the last of them again and again.
    With `any_model` the model does not count. What nothing was recorded for is answered with 404 and kept in `misses`.
    `piece_bytes` cuts every body into chunks of that size; 0 sends it in one.
    """

    def __init__(
        self,
        upstream: ScriptedUpstream,
        recordings: Iterable[Recording] = (),
        *,
        any_model: bool = False,
        piece_bytes: int = 0,
    ) -> None:
        self._upstream = upstream
        self._any_model = any_model
        self._piece_bytes = piece_bytes
        self._waiting: dict[tuple[str, str | None], list[Recording]] = {}
        self.misses: list[str] = []
        """What was asked for in vain."""
        for recording in recordings:
            self.add(recording)
        upstream.always(self.answer)

    def add(self, recording: Recording, *, model: str | None = None) -> None:
        """Play one more; under another model's name, if one is given."""
        self._waiting.setdefault((recording.operation, self._key(model or recording.model)), []).append(recording)

    @property
    def received(self) -> list[Received]:
        """Every request so far, in order."""
        return self._upstream.requests

    def answer(self, request: Received) -> tuple[Step, ...]:
        """What is played for a request."""
        try:
            body = request.json() if request.body else None
        except msgspec.DecodeError:
            body = None
        operation, model = operation_of(request.path), self._key(model_of(request.path, body))
        # What has no request recorded fits every operation.
        waiting = self._waiting.get((operation, model)) or self._waiting.get(("", model))
        if not waiting:
            self.misses.append(f"{operation} of {model}")
            return answers.reply(404, answers.error(f"nothing was recorded for {operation} of {model}"))
        recording = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return tuple(render(recording, self._piece_bytes))

    def _key(self, model: str | None) -> str | None:
        return None if self._any_model else model


def render(recording: Recording, piece_bytes: int = 0) -> Iterator[Step]:
    """The HTTP response of a recording, each piece of its body in a chunk and a write of its own."""
    yield Send(answers.render_head(recording.status, [*recording.headers, ("transfer-encoding", "chunked")]))
    size = piece_bytes or len(recording.body) or 1
    for start in range(0, len(recording.body), size):
        yield Send(answers.chunk(recording.body[start : start + size]))
    yield Send(answers.LAST_CHUNK)
