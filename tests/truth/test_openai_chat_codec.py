"""Recorded chat completions of every compatible host through the hub and back: nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.truth.recordings import Recording, of
from tests.truth.recordings import recorded as recorded_of

from gatewright.core.chat import ChatRequest, Part, Reasoning, Text, ToolCall
from gatewright.core.codec import ChatCodec, EmbeddingCodec, StreamContext
from gatewright.core.embedding import EmbeddingRequest
from gatewright.core.errors import GatewayError
from gatewright.core.events import ChatResponse, Event, Failure, Finish, KeepAlive, fold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS

pytestmark = pytest.mark.truth

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
FOUND = of("openai.chat", "openai.completions", "openai.embeddings")
CUTS = (1, 7, 64, 1_000_000_000)


def recorded(choose: Callable[[Recording], Any]) -> pytest.MarkDecorator:
    return recorded_of([recording for recording in FOUND if choose(recording)])


def chat_codec(recording: Recording) -> ChatCodec:
    codec = BY_NAME[recording.dialect].chat
    assert codec is not None
    return codec


def embedding_codec(recording: Recording) -> EmbeddingCodec:
    codec = BY_NAME[recording.dialect].embeddings
    assert codec is not None
    return codec


def as_sent(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def plain(value: Any) -> Any:
    """Values without what the vendor defines as the same: members that are null, the spelling of numbers."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def one_text(content: Any) -> Any:
    """A string for a list of one text."""
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
        return content[0]["text"]
    return content


def plain_calls(calls: list[dict[str, Any]], *, is_position_kept: bool = False) -> list[dict[str, Any]]:
    """Tool calls with the type they have when none is told, without their position in the list, which repeats it, and
    without an empty object of the kind they are not of."""
    found = []
    for call in calls:
        call = {"type": "function", **call}
        call.pop("index", None)
        if call["type"] == "function":
            call.pop("custom", None)
            call["function"] = call["function"] | {"arguments": arguments(call["function"].get("arguments"))}
        if not call.get("id"):
            call.pop("id", None)
        found.append(call)
    return found


def arguments(value: Any) -> str:
    """No arguments are an empty object; an object says what its JSON says."""
    if isinstance(value, dict):
        return json.dumps(value)
    return value or "{}"


def plain_message(message: dict[str, Any]) -> dict[str, Any]:
    message = message | {"content": one_text(message.get("content"))}
    if "tool_calls" in message:
        message["tool_calls"] = plain_calls(message["tool_calls"])
    plainer: dict[str, Any] = plain(message)
    return plainer


def plain_request(body: dict[str, Any]) -> dict[str, Any]:
    body = plain(body)
    if "messages" in body:
        body["messages"] = [plain_message(message) for message in body["messages"]]
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    if "max_tokens" in body and "max_completion_tokens" not in body and "messages" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")  # the newer name of the same
    if body.get("tools") == []:
        del body["tools"]
    for tool in body.get("tools", ()):
        tool.setdefault("type", "function")
    if body.get("stream"):
        body["stream_options"] = body.get("stream_options", {}) | {"include_usage": True}  # always asked for
    else:
        body.pop("stream", None)
    return body


def plain_answer(body: dict[str, Any]) -> dict[str, Any]:
    body = dict(plain(body))
    body.pop("object", None)
    for choice in body["choices"]:
        choice.setdefault("index", 0.0)
        if "message" in choice:
            choice["message"] = plain_message({"role": "assistant", **choice["message"]})
        for token in ((choice.get("logprobs") or {}).get("content") or []) if "message" in choice else []:
            token.setdefault("top_logprobs", [])
    return body


def context(recording: Recording, response: ChatResponse | None = None) -> StreamContext:
    request = ChatRequest(model=response.model if response else "m", messages=())
    return StreamContext(request=request, response_id="made-up", created=1, report=LossReport())


def decoded(codec: ChatCodec, text: bytes, size: int = 1_000_000_000) -> list[Event]:
    """The events of a stream that comes in pieces, without signs of life."""
    decoder = codec.stream_decoder()
    events: list[Event] = []
    for at in range(0, len(text), size):
        events += decoder.feed(text[at : at + size])
    events += decoder.end()
    return [event for event in events if not isinstance(event, KeepAlive)]


def without_names(parts: tuple[Part, ...]) -> list[Part]:
    """A thought's name comes with its entry, when the thought has begun long ago."""
    return [msgspec.structs.replace(part, id=None) if isinstance(part, Reasoning) else part for part in parts]


def is_embeddings(recording: Recording) -> bool:
    return recording.dialect == "openai.embeddings"


def is_chat(recording: Recording) -> bool:
    """Not embeddings; nor the answers without a request that are of legacy completions but were filed under chat."""
    if recording.dialect == "openai.chat" and recording.request is None:
        if b'"text_completion"' in recording.text or (recording.answer or {}).get("object") == "text_completion":
            return False
    return recording.dialect != "openai.embeddings"


@recorded(lambda recording: is_chat(recording) and recording.request is not None)
def test_requests_go_through_the_hub(recording: Recording) -> None:
    codec = chat_codec(recording)
    fields = msgspec.json.decode(as_sent(recording.request), type=dict[str, msgspec.Raw])
    try:
        request = codec.decode_request(fields, recording.request["model"], bool(recording.request.get("stream")))
    except GatewayError:
        # What the provider refused, the gateway may refuse as well.
        if recording.status < 400:
            raise
        return
    report = LossReport("strict")
    again = json.loads(msgspec.json.encode(codec.encode_request(request, DEFAULT, report)))
    assert plain_request(again) == plain_request(recording.request)
    assert report.entries == []


@recorded(lambda recording: is_chat(recording) and not recording.stream and recording.status == 200)
def test_answers_go_through_the_hub(recording: Recording) -> None:
    codec = chat_codec(recording)
    response = codec.decode_response(as_sent(recording.answer))
    if "error" in recording.answer:
        assert response.failure is not None
        return
    again = json.loads(codec.encode_response(response, context(recording, response)))
    expected = plain_answer(recording.answer)
    for name, value in (("id", "made-up"), ("created", 1.0)):  # made up only where the host gave none
        expected[name] = expected.get(name) or value
    assert plain_answer(again) == expected
    for choice in response.choices:
        assert choice.finish is not None


@recorded(lambda recording: is_chat(recording) and recording.stream)
def test_streams_give_the_same_events_however_they_are_cut(recording: Recording) -> None:
    codec = chat_codec(recording)
    whole = decoded(codec, recording.text)
    for size in CUTS[:-1]:
        assert decoded(codec, recording.text, size) == whole
    if not isinstance(whole[-1], Failure):
        folded = fold(whole)
        assert folded.choices
        assert all(choice.finish is not None for choice in folded.choices)


@recorded(lambda recording: is_chat(recording) and recording.stream)
def test_streams_say_what_their_chunks_say(recording: Recording) -> None:
    """The fold has the texts, calls and finish reasons that a slow reading of the chunks finds."""
    response = fold(decoded(chat_codec(recording), recording.text))
    texts: dict[int, str] = {}
    calls: dict[int, str] = {}
    for line in recording.text.decode().splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or not data.startswith("{"):
            continue
        for choice in json.loads(data).get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            index = choice.get("index", 0)
            text = delta.get("content") or choice.get("text") or ""
            if isinstance(text, list):
                text = "".join(part["text"] for part in text if part["type"] == "text")
            texts[index] = texts.get(index, "") + text
            for call in delta.get("tool_calls") or ():
                calls[index] = calls.get(index, "") + (call["function"].get("arguments") or "")
    for found in response.choices:
        assert "".join(part.text for part in found.parts if isinstance(part, Text)) == texts[found.index]
        made = "".join(part.arguments for part in found.parts if isinstance(part, ToolCall))
        assert made.replace("{}", "") == calls.get(found.index, "").replace("{}", "")


@recorded(lambda recording: is_chat(recording) and recording.stream)
def test_streams_go_through_the_hub(recording: Recording) -> None:
    """What is written for a client folds to the same answer."""
    codec = chat_codec(recording)
    events = decoded(codec, recording.text)
    if isinstance(events[-1], Failure):
        return
    response = fold(events)
    ask = msgspec.structs.replace(context(recording, response), request=ChatRequest(model=response.model, messages=()))
    encoder = codec.stream_encoder(ask)
    text = b"".join([encoder.encode([event]) for event in events]) + encoder.end()
    again = fold(decoded(codec, text))
    assert [without_names(choice.parts) for choice in again.choices] == [
        without_names(choice.parts) for choice in response.choices
    ]
    assert [choice.logprobs for choice in again.choices] == [choice.logprobs for choice in response.choices]
    assert again.usage == response.usage
    for one, other in zip(again.choices, response.choices, strict=True):
        assert one.finish is not None
        assert other.finish is not None
        assert one.finish.reason == other.finish.reason
        assert one.finish.native == (other.finish.native or other.finish.reason)


@recorded(lambda recording: is_chat(recording) and recording.stream)
def test_streams_that_are_cut_short_fail(recording: Recording) -> None:
    """Whatever stands before the first finish reason is no answer."""
    codec = chat_codec(recording)
    end = min(
        (
            at
            for at in (recording.text.find(b'"finish_reason":"'), recording.text.find(b'"finish_reason": "'))
            if at > 0
        ),
        default=0,
    )
    cut = recording.text[:end]
    events = decoded(codec, cut)
    assert isinstance(events[-1], Failure)
    assert not any(isinstance(event, Finish) for event in events)


@recorded(lambda recording: is_embeddings(recording) and recording.request is not None and recording.status == 200)
def test_embeddings_go_through_the_hub(recording: Recording) -> None:
    codec = embedding_codec(recording)
    fields = msgspec.json.decode(as_sent(recording.request), type=dict[str, msgspec.Raw])
    request: EmbeddingRequest = codec.decode_request(fields, recording.request["model"])
    report = LossReport("strict")
    again = json.loads(msgspec.json.encode(codec.encode_request(request, DEFAULT, report)))
    expected = plain(recording.request)
    again = plain(again)
    for body in (expected, again):
        if body.get("encoding_format") == "float":
            del body["encoding_format"]  # the default
    assert again == expected
    response = codec.decode_response(as_sent(recording.answer))
    assert len(response.vectors) == len(recording.answer["data"])
    written = json.loads(codec.encode_response(response, request))
    assert plain(written) == plain(recording.answer)
