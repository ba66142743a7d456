"""Recorded exchanges of every chat dialect through every other: the vendors' clients take them, and read the same.

Each recording goes through two other dialects, chosen so that all pairs are met; through all of them with
`TRUTH_PAIRS=all`. What a dialect cannot hold is in the loss report, and only then may it be missing.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from tests.truth.recordings import Recording, of
from tests.truth.sdk_judges import JUDGES, View

from gatewright.core.chat import ChatRequest, Reasoning, Refusal, Text, Tool, ToolCall, ToolResult
from gatewright.core.codec import ChatCodec
from gatewright.core.errors import GatewayError
from gatewright.core.events import ChatResponse, FinishReason, fold
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS
from gatewright.translate.framing import framing_of
from gatewright.translate.hub import Translation, read_wish, translate

pytestmark = [pytest.mark.truth, pytest.mark.sdks]

CHAT = {dialect.name: dialect for dialect in DIALECTS if dialect.chat is not None}
FOUND = {name: of(name) for name in CHAT}
IS_FULL = os.environ.get("TRUTH_PAIRS") == "all"
FINISH: dict[str, dict[FinishReason, str]] = {
    "openai.chat": {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "content_filter": "content_filter",
        "pause": "stop",
        "error": "stop",
    },
    "openai.responses": {
        "stop": "completed",
        "length": "max_output_tokens",
        "tool_calls": "completed",
        "content_filter": "content_filter",
        "pause": "completed",
        "error": "completed",
    },
    "openai.completions": {
        "stop": "stop",
        "length": "length",
        "tool_calls": "stop",
        "content_filter": "content_filter",
        "pause": "stop",
        "error": "stop",
    },
    "anthropic.messages": {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
        "pause": "pause_turn",
        "error": "end_turn",
    },
    "google.generate_content": {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
        "pause": "OTHER",
        "error": "OTHER",
    },
    "bedrock.converse": {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "content_filtered",
        "pause": "end_turn",
        "error": "end_turn",
    },
    "cohere.chat": {
        "stop": "COMPLETE",
        "length": "MAX_TOKENS",
        "tool_calls": "TOOL_CALL",
        "content_filter": "ERROR_TOXIC",
        "pause": "MAX_TOKENS",
        "error": "ERROR",
    },
    "ollama.chat": {
        "stop": "stop",
        "length": "length",
        "tool_calls": "stop",
        "content_filter": "content_filter",
        "pause": "pause",
        "error": "stop",
    },
}
"""The vendors' words for the hub's reasons, from their API references."""
OPENAI_EFFORTS = ("openai.chat", "openai.responses")
REFUSED = {"anthropic.messages": "refusal"}
"""The word for an answer that is a refusal, where the API has no part for the model's words of it."""


def chosen(kind: str) -> list[tuple[Recording, str]]:
    """Recordings with the dialects each goes through."""
    found: list[tuple[Recording, str]] = []
    for name, recordings in FOUND.items():
        others = [other for other in CHAT if other != name]
        usable = [each for each in recordings if is_usable(each, kind)]
        count = len(others) if IS_FULL else max(2, -(-len(others) // max(1, len(usable))))
        for index, recording in enumerate(usable):
            found += [(recording, others[(index * count + step) % len(others)]) for step in range(count)]
    return found


def pairs(kind: str) -> pytest.MarkDecorator:
    """A test of each of them."""
    found = chosen(kind)
    names = [f"{recording.path}-{other}" for recording, other in found]
    return pytest.mark.parametrize(("recording", "other"), found or [(None, "")], ids=names or ["none"])


def is_usable(recording: Recording, kind: str) -> bool:
    if kind == "request":
        return recording.request is not None and recording.status == 200
    if kind == "stream":
        return bool(recording.text) and recording.status == 200
    return recording.answer is not None and recording.status == 200


def codec_of(name: str) -> ChatCodec:
    codec = CHAT[name].chat
    assert codec is not None
    return codec


def asked(client: str, upstream: str, *, stream: bool = False) -> Translation:
    """The translation of a plain request of one dialect for a provider of another."""
    request = ChatRequest(model="m", messages=(), stream=stream)
    wish = read_wish(
        CHAT[client],
        {"messages": msgspec.Raw(b"[]"), "input": msgspec.Raw(b'""'), "contents": msgspec.Raw(b"[]")},
        "published",
        stream=stream,
        response_id="made-1",
        created=1,
        fidelity="permissive",
    )
    wish = msgspec.structs.replace(wish, request=request)
    return translate(wish, CHAT[upstream], "m", DEFAULT)


def view_of(response: ChatResponse) -> View:
    """What an answer in the hub says; of several, the first."""
    parts = response.choices[0].parts if response.choices else ()
    calls = [part for part in parts if isinstance(part, ToolCall)]
    usage = response.usage
    finish = response.choices[0].finish if response.choices else None
    return View(
        text="".join(part.text for part in parts if isinstance(part, Text | Refusal)),
        reasoning="".join(part.text for part in parts if isinstance(part, Reasoning)),
        calls=[(call.name, arguments_of(call)) for call in calls],
        finish=finish.reason if finish else "",
        tokens=(usage.input_total, usage.output_total) if usage else (0, 0),
        ids=[call.id for call in calls],
        is_refused=any(isinstance(part, Refusal) for part in parts),
    )


def arguments_of(call: ToolCall) -> Any:
    return call.arguments if call.is_custom else json.loads(call.arguments or "{}")


def assert_same(found: View, expected: View, dialect: str) -> None:
    assert squeezed(found.text) == squeezed(expected.text)
    if dialect != "openai.completions":
        assert squeezed(found.reasoning) == squeezed(expected.reasoning)
        assert [plain_call(call) for call in found.calls] == [plain_call(call) for call in expected.calls]
        assert len(set(found.ids)) == len(found.ids)
    reason: Any = expected.finish
    assert found.finish == FINISH[dialect][reason] or (expected.is_refused and found.finish == REFUSED.get(dialect))
    assert found.tokens == expected.tokens


def squeezed(text: str) -> str:
    """Without white space: between thoughts that become one some dialects put blank lines."""
    return re.sub(r"\s", "", text)


def plain_call(call: tuple[str, Any]) -> tuple[str, Any]:
    """Free text goes as the argument `input` where tools take JSON alone."""
    name, arguments = call
    if isinstance(arguments, dict) and arguments.keys() == {"input"}:
        return name, arguments["input"]
    return name, arguments


@pairs("answer")
def test_answers(recording: Recording, other: str) -> None:
    body = json.dumps(recording.answer).encode()
    translation = asked(other, recording.dialect)
    try:
        response = codec_of(recording.dialect).decode_response(body)
    except GatewayError:
        response = None
    if response is None or response.failure is not None:
        with pytest.raises(GatewayError):
            translation.render_answer(body)
        return
    written, usage = translation.render_answer(body)
    assert usage == response.usage
    assert_same(JUDGES[other].answer(written), view_of(response), other)
    if recording.dialect != other:
        assert json.loads(written).get("model", "published") == "published"


@pairs("stream")
def test_streams(recording: Recording, other: str) -> None:
    decoder = codec_of(recording.dialect).stream_decoder()
    try:
        response = fold([*decoder.feed(recording.text), *decoder.end()])
    except GatewayError:
        return  # a stream that is no JSON; the codec's own suite holds it to raise
    translation = asked(other, recording.dialect, stream=True)
    stream = translation.open_stream()
    pieces = [recording.text[at : at + 100] for at in range(0, len(recording.text), 100)]
    data = b"".join([*[stream.feed(piece) for piece in pieces], stream.end()])
    framing = framing_of(CHAT[other].stream_type)
    is_binary = CHAT[other].stream_type == b"application/vnd.amazon.eventstream"
    for event in framing.split(framing.feed(data)):
        payload = event if is_binary else framing.data(event)
        if payload and payload != b"[DONE]":
            JUDGES[other].event(payload)
    if response.failure is not None:
        assert stream.error is not None
        assert not stream.done
        return
    assert stream.done
    assert stream.finished
    assert stream.usage == response.usage
    reader = codec_of(other).stream_decoder()
    again = fold([*reader.feed(data), *reader.end()])
    whole = asked(other, other).render_answer(codec_of(other).encode_response(again, translation._context()))[0]  # type: ignore[attr-defined]
    assert_same(JUDGES[other].answer(whole), view_of(response), other)


@pairs("request")
def test_requests(recording: Recording, other: str) -> None:
    fields = msgspec.json.decode(json.dumps(recording.request).encode(), type=dict[str, msgspec.Raw])
    wish = read_wish(
        CHAT[recording.dialect],
        fields,
        "published",
        stream=False,
        response_id="made-1",
        created=1,
        fidelity="permissive",
    )
    request = wish.request
    assert isinstance(request, ChatRequest)
    translation = translate(wish, CHAT[other], "m", DEFAULT)
    try:
        body = translation.render_request()
    except GatewayError:
        assert request.bound or unanswered(request), "only what the vendor keeps may be missing"
        return
    if other in OPENAI_EFFORTS and request.reasoning is not None and request.reasoning.effort == "default":
        # Groq's word for no wish at all goes on as it is, since new words of OpenAI's must: its types refuse it.
        with pytest.raises(ValidationError, match="effort"):
            JUDGES[other].request(json.loads(body))
    else:
        JUDGES[other].request(json.loads(body))
    back = codec_of(other).decode_request(msgspec.json.decode(body, type=dict[str, msgspec.Raw]), "m", False)
    found, expected = said(back), said(request)
    heard = "".join([*found.texts.values(), *[text for _, text in found.results]])
    assert [text for text in expected.pieces if text not in heard] == []
    if other == "openai.completions":  # a transcript, without tools
        return
    assert [text for _, text in expected.results if text not in heard] == []
    assert found.calls == expected.calls
    assert [number for number, _ in found.results] == [number for number, _ in expected.results]
    losses = {loss.path.partition("[")[0].partition(".")[0]: loss for loss in translation.report.entries}
    if not losses.keys() & {"messages", "response_format"}:
        assert found.texts == expected.texts
    if not losses.keys() & {"tools", "tool_choice", "response_format"} and not is_choice_none(request):
        assert found.tools == expected.tools


@dataclass
class Said:
    """What a conversation says: every text by who says it, every call, and every result by the call it answers."""

    texts: dict[str, str]
    pieces: list[str]
    calls: list[tuple[str, Any]]
    results: list[tuple[int, str]]
    tools: list[str]


def said(request: ChatRequest) -> Said:
    found = Said({}, [], [], [], [tool.name for tool in request.tools if isinstance(tool, Tool)])
    numbers: dict[str, int] = {}
    for message in request.messages:
        speaker = "system" if message.role == "developer" else message.role
        for part in message.parts:
            match part:
                case Text(text=text) | Refusal(text=text) if text.strip():
                    found.texts[speaker] = found.texts.get(speaker, "") + squeezed(text)
                    found.pieces.append(squeezed(text))
                case ToolCall():
                    numbers[part.id] = len(found.calls)
                    found.calls.append(plain_call((part.name, arguments_of(part))))
                case ToolResult():
                    text = squeezed("".join(inner.text for inner in part.content if isinstance(inner, Text)))
                    found.results.append((numbers.get(part.call_id, -1), text))
                case _:
                    pass
    found.results.sort(key=lambda result: result[0])  # they answer the calls of one turn, in any order
    return found


def unanswered(request: ChatRequest) -> bool:
    """Whether a result answers a call that is not in the conversation, because the vendor keeps it."""
    return any(number < 0 for number, _ in said(request).results)


def is_choice_none(request: ChatRequest) -> bool:
    """Converse has no word for it: no tools are offered, which is the same."""
    return request.tool_choice is not None and request.tool_choice.mode == "none"


def test_every_pair_is_met() -> None:
    """Every dialect's recordings go through every other, answers and requests, wherever there are any."""
    for kind in ("request", "answer"):
        met = {(recording.dialect, other) for recording, other in chosen(kind)}
        for name, recordings in FOUND.items():
            if any(is_usable(each, kind) for each in recordings):
                assert {other for client, other in met if client == name} == CHAT.keys() - {name}
