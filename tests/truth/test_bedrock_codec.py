"""Recorded Converse exchanges, through the hub and back: nothing is lost, however the bytes are cut.

What is expected is worked out here with the standard library from the recording itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from tests.truth.recordings import Recording, of, recorded

from gatewright.core.chat import ChatRequest
from gatewright.core.codec import ChatCodec, StreamContext
from gatewright.core.errors import Kind
from gatewright.core.events import Event, Failure, Finish, UsageReport, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.bedrock import CONVERSE
from gatewright.wire.aws_event_stream import MessageDecoder

fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


FOUND = of("bedrock.converse")


def cases(kind: str) -> pytest.MarkDecorator:
    is_case: Callable[[Recording], Any] = {
        "request": lambda each: each.request is not None,
        "answer": lambda each: each.answer is not None and "output" in each.answer,
        "error": lambda each: each.status >= 400,
        "stream": lambda each: bool(each.text),
    }[kind]
    return recorded([each for each in FOUND if is_case(each)])


def codec() -> ChatCodec:
    assert CONVERSE.chat is not None
    return CONVERSE.chat


def context() -> StreamContext:
    request = ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="r", created=0, report=LossReport("strict"))


def plain_request(body: dict[str, Any]) -> dict[str, Any]:
    """A request without what means nothing: empty members, and the border between two messages of a role."""
    body = {name: value for name, value in body.items() if value not in ([], {}, None)}
    turns: list[dict[str, Any]] = []
    for message in body.get("messages", []):
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += message["content"]
        else:
            turns.append({**message, "content": [*message["content"]]})
    return {**body, "messages": turns}


@pytest.mark.truth
@cases("request")
def test_requests_come_back(recording: Recording) -> None:
    body = recording.request
    model = unquote(urlsplit(recording.url).path.split("/")[2])
    stream = recording.url.endswith("-stream")
    request = codec().decode_request(fields.decode(json.dumps(body)), model, stream)
    assert request.stream is stream
    report = LossReport("strict")
    written = json.loads(msgspec.json.encode(codec().encode_request(request, DEFAULT, report)))
    assert written == plain_request(body)
    assert not report.entries


@pytest.mark.truth
@cases("answer")
def test_answers_come_back(recording: Recording) -> None:
    body = recording.answer
    data = json.dumps(body).encode()
    response = codec().decode_response(data)
    assert json.loads(codec().encode_response(response, context())) == body
    _, usage = CONVERSE.read_answer(data)
    assert usage == response.usage
    assert (usage is None) is ("usage" not in body)
    assert usage is None or usage.input_total + usage.output_total == body["usage"]["totalTokens"]
    encoder = codec().stream_encoder(context())
    streamed = encoder.encode(unfold(response)) + encoder.end()
    assert json.loads(codec().encode_response(fold(read(streamed, 64)), context())) == plain_answer(body)


def plain_answer(body: dict[str, Any]) -> dict[str, Any]:
    """An answer without what a stream has no place for: empty text, and the `type` some test fixtures put beside it."""
    content = [
        {"text": block["text"]} if "text" in block else block
        for block in body["output"]["message"]["content"]
        if block.get("text") != ""
    ]
    return {**body, "output": {"message": {**body["output"]["message"], "content": content}}}


def read(data: bytes, size: int) -> list[Event]:
    decoder = codec().stream_decoder()
    out = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return out + decoder.end()


def whole(data: bytes) -> dict[str, Any]:
    """The complete answer that a stream stands for, put together step by step."""
    blocks: dict[int, dict[str, Any]] = {}
    done: list[dict[str, Any]] = []
    answer: dict[str, Any] = {}
    for message in MessageDecoder().feed(data):
        payload = json.loads(message.payload)
        index = payload.get("contentBlockIndex")
        match message.headers[":event-type"]:
            case "contentBlockStart":
                start = payload["start"]
                if start:
                    blocks[index] = json.loads(json.dumps(start))
                    done.append(blocks[index])
            case "contentBlockDelta":
                if index not in blocks:
                    blocks[index] = {}
                    done.append(blocks[index])
                put(blocks[index], payload["delta"])
            case "contentBlockStop":
                blocks.pop(index, None)
            case "messageStop":
                answer["stopReason"] = payload["stopReason"]
                if "additionalModelResponseFields" in payload:
                    answer["additionalModelResponseFields"] = payload["additionalModelResponseFields"]
            case "metadata":
                payload.pop("p", None)
                answer |= payload
    content = [block for block in map(cited, done) if block != {"text": ""}]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"].get("input") or "{}")
    return {"output": {"message": {"role": "assistant", "content": content}}, **answer}


def put(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] = block["toolUse"].get("input", "") + delta["toolUse"]["input"]
    elif "toolResult" in delta:
        block["toolResult"].setdefault("content", []).extend(delta["toolResult"])
    elif "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])
    elif "image" in delta:
        block["image"].update(delta["image"])
    elif "redactedContent" in delta.get("reasoningContent", {}):
        block["reasoningContent"] = delta["reasoningContent"]
    elif "reasoningContent" in delta:
        thought = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        for name, value in delta["reasoningContent"].items():
            thought[name] = thought.get(name, "") + value


def cited(block: dict[str, Any]) -> dict[str, Any]:
    """A block of words with citations has another shape in a complete answer."""
    if "citations" not in block:
        return block
    return {"citationsContent": {"content": [{"text": block.get("text", "")}], "citations": block["citations"]}}


@pytest.mark.truth
@cases("stream")
def test_streams_are_their_answers(recording: Recording) -> None:
    data = recording.text
    events = read(data, len(data))
    for size in (1, 7, 64):
        assert read(data, size) == events
    response = fold(events)
    assert response.failure is None
    answer = whole(data)
    assert json.loads(codec().encode_response(response, context())) == answer
    complete = codec().decode_response(json.dumps(answer).encode())
    assert complete.usage == response.usage
    assert [choice.finish for choice in complete.choices] == [choice.finish for choice in response.choices]
    encoder = codec().stream_encoder(context())
    again = encoder.encode(events) + encoder.end()
    assert whole(again) == answer
    assert json.loads(codec().encode_response(fold(read(again, 64)), context())) == answer


@pytest.mark.truth
@cases("stream")
def test_cut_streams_fail(recording: Recording) -> None:
    data = recording.text
    for end in range(0, len(data), max(len(data) // 40, 1)):
        events = read(data[:end], 512)
        has_finish = any(isinstance(event, Finish) for event in events)
        failures = [event for event in events if isinstance(event, Failure)]
        assert [failure.kind for failure in failures] == ([] if has_finish else [Kind.UPSTREAM_CUT])
        assert has_finish or not any(isinstance(event, UsageReport) for event in events) or recording.is_lines


@pytest.mark.truth
@cases("error")
def test_errors_are_read(recording: Recording) -> None:
    headers = {name.encode(): value.encode() for name, value in recording.headers.items()}
    fault = CONVERSE.read_fault(json.dumps(recording.answer).encode(), headers)
    body = recording.answer
    assert fault.message == (body.get("message") or body.get("Message"))
    named = headers.get(b"x-amzn-errortype", b"").decode().partition(":")[0]
    assert fault.code == (named or None)
    assert fault.kind is None or named not in ("", "ValidationException")
