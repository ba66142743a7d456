"""Recorded Responses traffic, of OpenAI and of those who copy the API, through the hub and back: nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.truth.recordings import Recording, in_pieces, of, recorded

from gatewright.core.chat import ChatRequest, Extension, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Event, Failure, Finish, KeepAlive, fold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.openai.responses import RESPONSES

pytestmark = pytest.mark.truth

assert RESPONSES.chat is not None
CODEC = RESPONSES.chat
CUTS = (1, 7, 64)
LAST = ("response.completed", "response.incomplete", "response.failed")


FOUND = of("openai.responses")


def events_in(text: bytes) -> list[dict[str, Any]]:
    """What a stream's events say, read slowly and plainly."""
    found = []
    for piece in in_pieces(text):
        data = "\n".join(line[5:].strip() for line in piece.decode().splitlines() if line.startswith("data:"))
        if data.startswith("{"):
            found.append(json.loads(data))
    return found


def is_broken(recording: Recording) -> bool:
    """Whether an event of the stream is not JSON."""
    lines = [line[5:].strip() for line in recording.text.decode().splitlines() if line.startswith("data:")]
    return not all(is_json(line) for line in lines if line != "[DONE]")


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def chosen(kind: str) -> pytest.MarkDecorator:
    is_case: Callable[[Recording], Any] = {
        "request": lambda each: each.request is not None,
        "answer": lambda each: each.answer is not None and "output" in each.answer and each.status == 200,
        "stream": lambda each: bool(each.text) and not is_broken(each),
        "broken": is_broken,
    }[kind]
    return recorded([each for each in FOUND if is_case(each)])


def plain(value: Any, name: str = "") -> Any:
    """Values without what the vendor defines as the same."""
    if isinstance(value, dict):
        return {key: plain(entry, key) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        if name in ("content", "output") and len(value) == 1 and isinstance(value[0], dict):
            only = value[0]
            if only.keys() == {"type", "text"} and only["type"] in ("input_text", "output_text"):
                return only["text"]  # a list of one text is that text
        entries = [plain(entry) for entry in value]
        return sorted(entries) if name == "include" else entries
    if name == "arguments":
        return value or "{}"
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def plain_request(body: dict[str, Any]) -> Any:
    body = plain(body)
    for name, default in (("stream", False), ("tools", []), ("text", {})):
        if body.get(name) == default:
            del body[name]
    return body


def context() -> StreamContext:
    request = ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="resp_made_up", created=1, report=LossReport())


def decoded(text: bytes, size: int = 1_000_000_000) -> list[Event]:
    decoder = CODEC.stream_decoder()
    events: list[Event] = []
    for at in range(0, len(text), size):
        events += decoder.feed(text[at : at + size])
    events += decoder.end()
    return [event for event in events if not isinstance(event, KeepAlive)]


def spelled(extra: Extension | None) -> Any:
    """What an extension says, however it is spaced."""
    return None if extra is None else {name: json.loads(bytes(value)) for name, value in extra.members.items()}


def content(response: ChatResponse) -> list[Any]:
    """What an answer says, without the blobs and ids that a server makes anew each time it tells of an item."""
    said: list[Any] = []
    for part in response.choices[0].parts:
        match part:
            case Text(text=text, citations=citations):
                said.append((text, [(one.url, one.start, one.end) for one in citations]))
            case Refusal(text=text):
                said.append(("refusal", text))
            case Reasoning():
                said.append((part.text, part.is_summary, part.encrypted is None))
            case ToolCall():
                said.append((part.id, part.name, part.arguments, part.is_custom))
            case _:
                said.append(getattr(part, "kind", type(part).__name__))
    return said


@chosen("request")
def test_requests_go_through_the_hub(recording: Recording) -> None:
    fields = msgspec.json.decode(json.dumps(recording.request).encode(), type=dict[str, msgspec.Raw])
    model = recording.request.get("model", "")
    try:
        request = CODEC.decode_request(fields, model, bool(recording.request.get("stream")))
    except GatewayError:
        # What the provider refused, the gateway may refuse as well.
        if recording.status < 400:
            raise
        return
    report = LossReport("strict")
    again = json.loads(msgspec.json.encode(CODEC.encode_request(request, DEFAULT, report)))
    assert plain_request(again) == plain_request({"model": model, **recording.request})
    assert report.entries == []


@chosen("answer")
def test_answers_go_through_the_hub(recording: Recording) -> None:
    response = CODEC.decode_response(json.dumps(recording.answer).encode())
    again = json.loads(CODEC.encode_response(response, context()))
    assert plain(again) == plain(recording.answer)
    assert response.choices
    assert response.choices[0].finish is not None
    usage = recording.answer.get("usage")
    if usage:
        assert response.usage is not None
        assert response.usage.input_total == usage["input_tokens"]
        assert response.usage.output_total == usage["output_tokens"]
        _, read = RESPONSES.read_answer(json.dumps(recording.answer).encode())
        assert read == response.usage


@chosen("stream")
def test_streams_give_the_same_events_however_they_are_cut(recording: Recording) -> None:
    whole = decoded(recording.text)
    for size in CUTS:
        assert decoded(recording.text, size) == whole
    assert isinstance(whole[-1], Finish | Failure)


@chosen("stream")
def test_streams_fold_to_the_complete_answer(recording: Recording) -> None:
    last = next((event for event in events_in(recording.text) if event.get("type") in (*LAST, "error")), None)
    response = fold(decoded(recording.text))
    if last is None or last["type"] in ("error", "response.failed"):
        assert response.failure is not None
        return
    complete = CODEC.decode_response(json.dumps(last["response"]).encode())
    if are_deltas_true(recording):
        assert content(response) == content(complete)
    assert (response.model, response.created, response.usage) == (complete.model, complete.created, complete.usage)
    assert spelled(response.usage_extra) == spelled(complete.usage_extra)
    ended, expected = response.choices[0].finish, complete.choices[0].finish
    assert ended is not None
    assert expected is not None
    assert (ended.reason, ended.native, spelled(ended.extra)) == (
        expected.reason,
        expected.native,
        spelled(expected.extra),
    )
    assert [(token.token, token.bytes) for token in response.choices[0].logprobs] == [
        (token.token, token.bytes) for token in complete.choices[0].logprobs
    ]


def are_deltas_true(recording: Recording) -> bool:
    """Whether the deltas spell the texts that are told at their end; a few recordings were cut by hand."""
    deltas: dict[Any, str] = {}
    for event in events_in(recording.text):
        slot, _, kind = event.get("type", "").rpartition(".")
        place = slot, *(event.get(name) for name in ("output_index", "content_index", "summary_index"))
        if kind == "delta" and slot.endswith("_text"):
            deltas[place] = deltas.get(place, "") + event["delta"]
        elif kind == "done" and slot.endswith("_text") and deltas.get(place, event["text"]) != event["text"]:
            return False
    return True


@chosen("stream")
def test_streams_go_through_the_hub(recording: Recording) -> None:
    """What is written for a client folds to the same answer, and ends with it."""
    events = decoded(recording.text)
    if isinstance(events[-1], Failure):
        return
    encoder = CODEC.stream_encoder(context())
    text = b"".join([encoder.encode([event]) for event in events]) + encoder.end()
    again, response = fold(decoded(text)), fold(events)
    assert content(again) == content(response)
    assert again.usage == response.usage
    ended, expected = again.choices[0].finish, response.choices[0].finish
    assert ended is not None
    assert expected is not None
    assert (ended.reason, spelled(ended.extra)) == (expected.reason, spelled(expected.extra))
    assert again.choices[0].logprobs == response.choices[0].logprobs
    numbers = [event["sequence_number"] for event in events_in(text)]
    assert numbers == list(range(len(numbers)))


@chosen("stream")
def test_streams_that_are_cut_short_fail(recording: Recording) -> None:
    pieces = list(in_pieces(recording.text))
    ends = [at for at, event in enumerate(events_in(recording.text)) if event.get("type") in (*LAST, "error")]
    last = min(ends, default=len(events_in(recording.text)))
    for count in {0, 1, last // 2, last}:
        *_, end = decoded(b"".join(pieces[:count]))
        assert isinstance(end, Failure)
        assert end.kind is Kind.UPSTREAM_CUT


@chosen("broken")
def test_streams_that_are_not_json_are_bad_answers(recording: Recording | None) -> None:
    if recording is None:
        return
    with pytest.raises(GatewayError) as caught:
        decoded(recording.text)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
