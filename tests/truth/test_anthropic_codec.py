"""Recorded Anthropic traffic through the codec: nothing is lost on the way to the hub and back.

What is compared is reduced first to what the vendor defines as the same: null and absent members, a string and one
text block, consecutive messages of a role, defaults that are spelled out, zeros in usage.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from tests.truth.recordings import Recording, of, recorded

from gatewright.core.chat import ChatRequest, Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Delta, Event, PartBegin, PartEnd, Start, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic import COUNT_TOKENS, MESSAGES

pytestmark = pytest.mark.truth

TRAITS = Traits(has_mid_system=True)
CUTS = (1, 7, 64, 1_000_000_000)
STARTED = re.compile(r'"type":\s*"message_start".*?"id":\s*"([^"]*)"', re.DOTALL)
FOUND = of("anthropic.messages", "anthropic.count_tokens")
ASKED = [r for r in FOUND if r.request is not None and "messages" in r.request and r.status == 200]
"""Requests that the vendor took: what it refused may break the laws too."""


def is_count(recording: Recording) -> bool:
    return recording.dialect == "anthropic.count_tokens"


def reduce(value: Any) -> Any:
    """A JSON value without nulls in objects."""
    if isinstance(value, dict):
        return {name: reduce(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [reduce(inner) for inner in value]
    return value


def blocks(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [
        block | {"content": blocks(block.get("content", ""))} if block["type"] == "tool_result" else block
        for block in content
    ]


def reduce_request(body: Any) -> Any:
    body = reduce(body)
    messages: list[Any] = []
    for message in body["messages"]:
        turn = message | {"content": blocks(message["content"])}
        if messages and messages[-1]["role"] == turn["role"]:
            messages[-1]["content"] += turn["content"]
        else:
            messages.append(turn)
    body["messages"] = messages
    body["system"] = blocks(body.get("system", ""))
    body["tools"] = [
        {name: value for name, value in tool.items() if (name, value) not in (("type", "custom"), ("strict", False))}
        for tool in body.get("tools", [])
    ]
    body["stream"] = body.get("stream", False)
    choice = body.get("tool_choice")
    if choice and not choice.get("disable_parallel_tool_use"):
        choice.pop("disable_parallel_tool_use", None)
    if body.get("metadata") == {}:
        del body["metadata"]
    return body


def reduce_answer(answer: Any) -> Any:
    answer = reduce(answer)
    for block in answer["content"]:
        if block["type"] == "text" and not block.get("citations"):
            block.pop("citations", None)
    usage = answer["usage"]
    creation = usage.pop("cache_creation", {})
    usage["hour"] = creation.get("ephemeral_1h_input_tokens", 0)
    if not usage.get("output_tokens_details", {"thinking_tokens": 0})["thinking_tokens"]:
        usage.pop("output_tokens_details", None)
    for name in ("cache_creation_input_tokens", "cache_read_input_tokens"):
        usage[name] = usage.get(name, 0)
    return answer


def decode_request(body: Any) -> ChatRequest:
    fields = msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])
    assert MESSAGES.chat is not None
    return MESSAGES.chat.decode_request(fields, body.get("model", "m"), bool(body.get("stream")))


def context() -> StreamContext:
    request = ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="msg_made", created=0, report=LossReport())


def decode(data: bytes, size: int) -> list[Event]:
    assert MESSAGES.chat is not None
    decoder = MESSAGES.chat.stream_decoder()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += decoder.feed(data[at : at + size])
    return events + decoder.end()


def whole(response: ChatResponse) -> Any:
    """A response as plain values: what a stream spells in pieces, read."""
    plain = json.loads(msgspec.json.encode(response))
    for part in plain["choices"][0]["parts"]:
        if "arguments" in part:
            part["arguments"] = json.loads(part["arguments"])
        if part["type"] == "native":
            part["raw"] = reduce(part["raw"])
    return plain


@recorded(ASKED)
def test_requests_come_back(recording: Recording) -> None:
    body = recording.request
    report = LossReport("strict")
    request = decode_request(body)
    codec = COUNT_TOKENS.count if is_count(recording) else MESSAGES.chat
    assert codec is not None
    written = codec.encode_request(request, TRAITS, report)
    back = json.loads(msgspec.json.encode(written))
    expected = {"model": "m"} | body
    assert reduce_request(back) == reduce_request(expected)


@recorded(ASKED)
def test_what_is_written_is_read_alike(recording: Recording) -> None:
    request = decode_request(recording.request)
    assert MESSAGES.chat is not None
    written = MESSAGES.chat.encode_request(request, TRAITS, LossReport("permissive"))
    again = MESSAGES.chat.encode_request(
        decode_request(json.loads(msgspec.json.encode(written))), TRAITS, LossReport("permissive")
    )
    assert json.loads(msgspec.json.encode(again)) == json.loads(msgspec.json.encode(written))


@recorded([r for r in FOUND if r.answer is not None and r.status == 200 and not is_count(r)])
def test_answers_come_back(recording: Recording) -> None:
    assert MESSAGES.chat is not None
    response = MESSAGES.chat.decode_response(json.dumps(recording.answer).encode())
    back = json.loads(MESSAGES.chat.encode_response(response, context()))
    assert reduce_answer(back) == reduce_answer(recording.answer)
    usage = recording.answer["usage"]
    assert response.usage is not None
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    assert response.usage.input_total == usage["input_tokens"] + cached
    assert response.usage.output_total == usage["output_tokens"]


@recorded([r for r in FOUND if r.answer is not None and r.status == 200 and not is_count(r)])
def test_answers_stream_alike(recording: Recording) -> None:
    assert MESSAGES.chat is not None
    response = MESSAGES.chat.decode_response(json.dumps(recording.answer).encode())
    encoder = MESSAGES.chat.stream_encoder(context())
    data = b"".join([encoder.encode([event]) for event in unfold(response)]) + encoder.end()
    assert whole(fold(decode(data, 1_000_000_000))) == whole(response)


@recorded([r for r in FOUND if is_count(r) and r.status == 200])
def test_counts(recording: Recording) -> None:
    assert COUNT_TOKENS.count is not None
    count = COUNT_TOKENS.count.decode_response(json.dumps(recording.answer).encode())
    assert json.loads(COUNT_TOKENS.count.encode_response(count)) == {"input_tokens": recording.answer["input_tokens"]}


@recorded([r for r in FOUND if r.answer is not None and r.status >= 400])
def test_faults(recording: Recording) -> None:
    fault = MESSAGES.read_fault(json.dumps(recording.answer).encode(), {})
    assert fault.message == recording.answer["error"]["message"]
    assert fault.code == recording.answer["error"]["type"]


@recorded([r for r in FOUND if r.text])
def test_streams(recording: Recording) -> None:
    events = decode(recording.text, 1_000_000_000)
    for size in CUTS:
        assert decode(recording.text, size) == events
    assert isinstance(events[0], Start)
    begun = {(event.choice, event.part) for event in events if isinstance(event, PartBegin)}
    assert sorted(begun) == [(0, number) for number in range(len(begun))]
    response = fold(events)
    first, end, _ = recording.text.decode().partition('"message_stop"')
    if not end or re.search(r'^data:\s*\{"type":\s*"error"', first, re.MULTILINE) or len({*STARTED.findall(first)}) > 1:
        # Cut, failed, or another answer begun inside this one: never taken for complete.
        assert response.failure is not None
        return
    assert response.failure is None
    assert {(event.choice, event.part) for event in events if isinstance(event, PartEnd)} == begun
    assert_says(first, response, events)
    encoder = MESSAGES.chat.stream_encoder(context()) if MESSAGES.chat else None
    assert encoder is not None
    data = b"".join([encoder.encode([event]) for event in events]) + encoder.end()
    assert whole(fold(decode(data, 64))) == whole(response)


def assert_says(text: str, response: ChatResponse, events: list[Event]) -> None:
    """What the stream says, read plainly, is in the response."""
    documents = [json.loads(line.removeprefix("data:")) for line in re.findall(r"^data:\s*\{.*\}", text, re.MULTILINE)]
    deltas = [document["delta"] for document in documents if document["type"] == "content_block_delta"]
    parts = response.choices[0].parts
    said = "".join([delta["text"] for delta in deltas if delta["type"] == "text_delta"])
    assert "".join([part.text for part in parts if isinstance(part, Text)]) == said
    starts = [document["content_block"] for document in documents if document["type"] == "content_block_start"]
    assert len(starts) == len(parts)
    last = [document for document in documents if document["type"] == "message_delta"][-1]
    usage = response.usage
    assert usage is not None
    assert usage.output_total == last["usage"]["output_tokens"]
    assert response.choices[0].finish is not None
    assert response.choices[0].finish.native == last["delta"]["stop_reason"]
    assert [event.text for event in events if isinstance(event, Delta)].count("") == 0
