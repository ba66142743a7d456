"""The Gemini codecs over recorded traffic of the Gemini API and Vertex AI.

What is compared is JSON in a normal form that takes nothing away which the API's definition tells apart: proto JSON
reads snake_case, URL-safe base64, enum numbers and one object for a list, and leaves out members of default value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import pytest
from tests.truth.recordings import Recording, of

from gatewright.core.chat import ChatRequest, Reasoning, Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Event, Failure, Finish, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.google import COUNT_TOKENS, EMBED_CONTENT, GENERATE_CONTENT

pytestmark = pytest.mark.truth

C = TypeVar("C")


def _given(codec: C | None) -> C:
    assert codec is not None
    return codec


CHAT, EMBEDDINGS, COUNT = (
    _given(GENERATE_CONTENT.chat),
    _given(EMBED_CONTENT.embeddings),
    _given(COUNT_TOKENS.count),
)

_USER_DATA = frozenset(("args", "response", "labels", "parameters", "parametersJsonSchema", "responseSchema"))
_FINISH_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY"}


def _method(recording: Recording) -> str:
    """The call that was made."""
    if recording.dialect == "google.generate_content":
        return "streamGenerateContent" if recording.text or "stream" in recording.url else "generateContent"
    return recording.dialect.removeprefix("google.")


FOUND = of("google.generate_content", "google.count_tokens", "google.batch_embed_contents")


def _having(
    *methods: str, request: bool = False, answer: bool = False, text: bool = False, error: bool = False
) -> list[Any]:
    return [
        pytest.param(each, id=each.path)
        for each in FOUND
        if _method(each) in methods
        and (not request or (isinstance(each.request, dict) and not _is_refused(each)))
        and (not answer or (isinstance(each.answer, dict) and "error" not in each.answer))
        and (not text or each.text)
        and (not error or (isinstance(each.answer, dict) and "error" in each.answer))
    ]


def _is_refused(exchange: Recording) -> bool:
    """A request that the server itself found malformed, for a role that does not exist."""
    return any(each.get("role") not in ("user", "model") for each in exchange.request.get("contents", ()))


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _normal(value: Any, name: str = "") -> Any:
    """Proto JSON in one spelling."""
    if name in _USER_DATA or name == "responseJsonSchema":
        return value
    if isinstance(value, dict):
        members = {_camel(key): member for key, member in value.items() if member is not None}
        if "contents" in members and "tools" in members:
            members["tools"] = list(_tools(members["tools"]))
        if members.get("role") == "model" and members.get("parts") == []:
            del members["parts"]
        return {key: _normal(member, key) for key, member in members.items()}
    if isinstance(value, list):
        return [_normal(member, name) for member in value]
    if name == "data" and isinstance(value, str):
        return value.replace("-", "+").replace("_", "/").rstrip("=")
    if name == "finishReason" and isinstance(value, int):
        return _FINISH_NUMBERS[value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _tools(tools: Any) -> Iterator[Any]:
    """Every function and every hosted tool by itself: how they are grouped means nothing."""
    for group in [tools] if isinstance(tools, dict) else tools:
        for key, member in group.items():
            if _camel(key) == "functionDeclarations":
                yield from ({"function": each} for each in member)
            else:
                yield {key: member}


def _answer(value: dict[str, Any]) -> Any:
    members = _normal(value)
    for candidate in members.get("candidates", ()):
        candidate.setdefault("index", 0.0)
        candidate["content"] = {"role": "model", **candidate.get("content", {})}
    usage = members.get("usageMetadata")
    if usage is not None:
        members["usageMetadata"] = {key: member for key, member in usage.items() if member != 0}
    members.setdefault("responseId", "made-up")
    return members


def _context(request: ChatRequest | None = None) -> StreamContext:
    asked = request or ChatRequest(model="m", messages=())
    return StreamContext(request=asked, response_id="made-up", created=0, report=LossReport())


def _fields(body: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])


@pytest.mark.parametrize("exchange", _having("generateContent", "streamGenerateContent", request=True))
def test_a_request_survives_the_hub(exchange: Recording) -> None:
    report = LossReport("strict")
    request = CHAT.decode_request(_fields(exchange.request), "m", False)

    written = CHAT.encode_request(request, DEFAULT, report)

    assert _normal(_plain(written)) == _normal(exchange.request)
    assert not report.entries


@pytest.mark.parametrize("exchange", _having("generateContent", answer=True))
def test_an_answer_survives_the_hub(exchange: Recording) -> None:
    response = CHAT.decode_response(json.dumps(exchange.answer).encode())
    context = _context()

    written = json.loads(CHAT.encode_response(response, context))

    assert _answer(written) == _answer(exchange.answer)
    assert not context.report.entries
    assert fold(unfold(response)) == response


@pytest.mark.parametrize("exchange", _having("generateContent", answer=True))
def test_an_answer_means_the_same_as_a_stream_of_one_chunk(exchange: Recording) -> None:
    body = json.dumps(exchange.answer).encode()

    events = _events(b"data: " + body + b"\r\n\r\n", 0)

    assert _merged(fold(events)) == _merged(CHAT.decode_response(body))


@pytest.mark.parametrize("exchange", _having("generateContent", answer=True))
def test_an_answer_written_as_a_stream_is_read_the_same(exchange: Recording) -> None:
    # Without an id the answer gets one, by which calls without ids are named.
    response = CHAT.decode_response(json.dumps({"responseId": "r", **exchange.answer}).encode())

    again = _events(_written(unfold(response)), 0)

    assert _merged(fold(again)) == _merged(response)


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_stream_may_be_cut_anywhere(exchange: Recording, size: int) -> None:
    assert _events(exchange.text, size) == _events(exchange.text, 0)


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
def test_a_stream_may_be_a_json_array(exchange: Recording) -> None:
    array = b"[" + b",\r\n".join(_data(exchange)) + b"\n]\n"

    assert _events(array, 0) == _events(exchange.text, 0)
    assert _events(array, 5) == _events(exchange.text, 0)


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
def test_a_stream_is_read_whole(exchange: Recording) -> None:
    chunks = list(_chunks(exchange))
    parts = [
        part
        for chunk in chunks
        for candidate in chunk.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    ]
    response = fold(_events(exchange.text, 0))

    assert response.failure is None
    texts = [part for choice in response.choices for part in choice.parts if isinstance(part, Text)]
    said = "".join(part["text"] for part in parts if "text" in part and not part.get("thought"))
    assert "".join(part.text for part in texts) == said
    usage = chunks[-1]["usageMetadata"]
    assert response.usage is not None
    assert response.usage.input_total + response.usage.output_total == usage["totalTokenCount"]


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
def test_a_stream_survives_the_hub(exchange: Recording) -> None:
    events = _events(exchange.text, 0)

    assert _merged(fold(_events(_written(events), 0))) == _merged(fold(events))


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
def test_a_stream_means_the_same_as_its_complete_answer(exchange: Recording) -> None:
    response = fold(_events(exchange.text, 0))

    whole = CHAT.decode_response(CHAT.encode_response(response, _context()))

    assert _merged(whole) == _merged(response)


@pytest.mark.parametrize("exchange", _having("streamGenerateContent", text=True))
def test_a_stream_that_breaks_off_fails(exchange: Recording) -> None:
    events = [event for event in exchange.text.replace(b"\r\n", b"\n").split(b"\n\n") if b"finishReason" not in event]
    cut = b"".join(event + b"\n\n" for event in events)

    ended = _events(cut, 0)

    assert isinstance(ended[-1], Failure)
    assert not any(isinstance(event, Finish) for event in ended)


@pytest.mark.parametrize("exchange", _having("generateContent", "streamGenerateContent", error=True))
def test_an_error_is_read(exchange: Recording) -> None:
    fault = GENERATE_CONTENT.read_fault(json.dumps(exchange.answer).encode(), {})

    assert fault.message == exchange.answer["error"]["message"]


@pytest.mark.parametrize("exchange", _having("count_tokens", request=True, answer=True))
def test_a_count_survives_the_hub(exchange: Recording) -> None:
    request = COUNT.decode_request(_fields(exchange.request), "m")

    assert _normal(_plain(COUNT.encode_request(request, DEFAULT, LossReport("strict")))) == _normal(exchange.request)
    count = COUNT.decode_response(json.dumps(exchange.answer).encode())
    assert json.loads(COUNT.encode_response(count))["totalTokens"] == exchange.answer["totalTokens"]


@pytest.mark.parametrize("exchange", _having("batch_embed_contents", request=True, answer=True))
def test_embeddings_survive_the_hub(exchange: Recording) -> None:
    model = exchange.request["requests"][0]["model"]
    request = EMBEDDINGS.decode_request(_fields(exchange.request), model)

    written = EMBEDDINGS.encode_request(request, DEFAULT, LossReport("strict"))
    response = EMBEDDINGS.decode_response(json.dumps(exchange.answer).encode())

    assert _normal(_plain(written)) == _normal(exchange.request)
    assert json.loads(EMBEDDINGS.encode_response(response, request)) == exchange.answer


def _chunks(exchange: Recording) -> Iterator[Any]:
    yield from map(json.loads, _data(exchange))


def _data(exchange: Recording) -> Iterator[bytes]:
    for line in re.split(rb"\r?\n", exchange.text):
        if line.startswith(b"data:"):
            yield line.removeprefix(b"data:").strip()


def _events(data: bytes, size: int) -> list[Event]:
    """The events of a stream cut into pieces of `size` bytes (0: uncut), up to a failure."""
    decoder = CHAT.stream_decoder()
    events: list[Event] = []
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        events += decoder.feed(data[start : start + step])
    return events + decoder.end()


def _written(events: list[Event]) -> bytes:
    encoder = CHAT.stream_encoder(_context())
    return b"".join(encoder.encode([event]) for event in events) + encoder.end()


def _merged(response: ChatResponse) -> Any:
    """A response, as JSON values, with the texts joined that a stream cannot tell apart."""
    replace = msgspec.structs.replace
    choices = []
    for choice in response.choices:
        parts: list[Any] = []
        for part in choice.parts:
            if isinstance(part, Text) and not part.text and part.signature is None:
                continue
            if isinstance(part, Text | Reasoning) and parts and type(parts[-1]) is type(part):
                last = parts[-1]
                if last.signature is None and last.extra is None and (part.signature is None or not part.text):
                    parts[-1] = replace(
                        last, text=last.text + part.text, signature=part.signature, **_cited(last, part)
                    )
                    continue
            parts.append(part)
        choices.append(replace(choice, parts=tuple(parts)))
    return _plain(replace(response, choices=tuple(choices), id=response.id or "made-up"))


def _cited(last: Any, part: Any) -> dict[str, Any]:
    return {"citations": last.citations + part.citations} if isinstance(part, Text) else {}
