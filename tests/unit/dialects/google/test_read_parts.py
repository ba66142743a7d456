from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import answer, candidate, model, read, read_one, user

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import (
    Audio,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.signatures import write_signature

SIGNED = Opaque(NAME, "c2ln")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "hi"}, Text(text="hi")),
        ({"text": ""}, Text(text="")),
        ({"text": "hi", "thoughtSignature": "c2ln"}, Text(text="hi", signature=SIGNED)),
        ({"text": "hi", "thought_signature": "c2ln"}, Text(text="hi", signature=SIGNED)),
        ({"text": "hi", "thought": False, "x": 1}, Text(text="hi", extra=Extension(NAME, {"x": Raw(b"1")}))),
        ({"text": "hm", "thought": True}, Reasoning(text="hm", is_summary=True)),
        (
            {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
            Reasoning(text="hm", signature=SIGNED, is_summary=True),
        ),
        ({"thoughtSignature": "c2ln"}, Reasoning(signature=SIGNED)),
        (
            {"inlineData": {"mimeType": "image/png", "data": "ab-_"}},
            Image(source=Source(data="ab+/", media_type="image/png")),
        ),
        (
            {"inline_data": {"mime_type": "audio/wav", "data": "AAAA"}},
            Audio(source=Source(data="AAAA", media_type="audio/wav")),
        ),
        (
            {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
            Video(source=Source(data="AAAA", media_type="video/mp4")),
        ),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
            File(source=Source(data="AAAA", media_type="application/pdf")),
        ),
        (
            {"fileData": {"fileUri": "gs://b/x.png", "mimeType": "image/png"}},
            Image(source=Source(url="gs://b/x.png", media_type="image/png")),
        ),
        ({"fileData": {"fileUri": "https://youtu.be/x"}}, Video(source=Source(url="https://youtu.be/x"))),
        ({"fileData": {"fileUri": "https://x.example/y"}}, File(source=Source(url="https://x.example/y"))),
    ],
)
def test_a_part_in_the_words_of_the_hub(part: dict[str, Any], expected: object) -> None:
    assert read_one(part) == expected


def test_an_uploaded_file_is_known_to_google_alone() -> None:
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    part = read_one({"fileData": {"fileUri": uri, "mimeType": "image/png", "displayName": "x.png"}})
    assert isinstance(part, Image)
    assert part.source == Source(file_id=uri, dialect=NAME, media_type="image/png", filename="x.png")


@pytest.mark.parametrize("name", ["executableCode", "codeExecutionResult", "toolCall", "tool_response"])
def test_parts_of_hosted_tools_stay_as_they_are(name: str) -> None:
    part = read_one({name: {"x_y": 1}, "thoughtSignature": "c2ln"})
    assert isinstance(part, Native)
    assert part.dialect == NAME
    assert bytes(part.raw) == b'{"%b":{"x_y":1},"thoughtSignature":"c2ln"}' % name.encode()


def test_a_part_of_an_unknown_kind_stays_as_it_is() -> None:
    part = read_one({"hologram": {}})
    assert isinstance(part, Native)
    assert bytes(part.raw) == b'{"hologram":{}}'


def test_a_call_with_everything() -> None:
    part = read_one({"functionCall": {"id": "1", "name": "f", "args": {"a": 0.10}, "x": 2}, "thoughtSignature": "c2ln"})
    assert part == ToolCall(
        id="1",
        name="f",
        arguments='{"a":0.1}',
        signature=SIGNED,
        extra=Extension(NAME, {"functionCall": Raw(b'{"x":2}')}),
    )


def test_a_call_without_arguments_or_id() -> None:
    part = read_one({"functionCall": {"name": "f", "id": ""}})
    assert isinstance(part, ToolCall)
    assert part.arguments == "{}"
    assert is_made_up(part.id)


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"result": "sunny"}, "sunny", None),
        ({"error": "no such city"}, "no such city", True),
        ({"output": "sunny"}, '{"output":"sunny"}', None),
        ({"result": 5}, '{"result":5}', None),
        ({"result": '{"a":1}'}, '{"result":"{\\"a\\":1}"}', None),
        ({"error": {"code": 1}}, '{"error":{"code":1}}', None),
        ({"a": 1, "b": [2]}, '{"a":1,"b":[2]}', None),
        ({}, "{}", None),
    ],
)
def test_what_a_tool_answered(response: object, text: str, is_error: bool | None) -> None:
    part = read_one({"functionResponse": {"id": "1", "name": "f", "response": response}})
    assert part == ToolResult(call_id="1", name="f", content=(Text(text=text),), is_error=is_error)


def test_a_tool_may_answer_with_media() -> None:
    media = [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    part = read_one({"functionResponse": {"id": "1", "name": "f", "response": {"result": "x"}, "parts": media}})
    assert isinstance(part, ToolResult)
    assert part.content == (Text(text="x"), Image(source=Source(data="AAAA", media_type="image/png")))


def test_results_find_their_calls() -> None:
    calls = model({"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}, {"functionCall": {"name": "f"}})
    results = user(*({"functionResponse": {"name": name, "response": {}}} for name in ("g", "f", "f")))
    first, second = read({"contents": [user({"text": "go"}), calls, results]}).messages[1:]
    made = [part.id for part in first.parts if isinstance(part, ToolCall)]
    answered = [part.call_id for part in second.parts if isinstance(part, ToolResult)]
    assert answered == [made[1], made[0], made[2]]
    assert len(set(made)) == 3


def test_calls_of_an_answer_are_told_apart_by_the_answer() -> None:
    call = {"functionCall": {"name": "f"}}
    ids = [
        part.id
        for response_id in ("r1", "r2")
        for part in answer({**candidate(call, call), "responseId": response_id}).choices[0].parts
        if isinstance(part, ToolCall)
    ]
    assert len(set(ids)) == 4
    assert all(map(is_made_up, ids))


def test_a_foreign_signature_comes_home() -> None:
    foreign = Opaque("openai.responses", "gAAA")
    for body in ({"text": "x"}, {"functionCall": {"name": "f"}}, {"inlineData": {"mimeType": "image/png", "data": ""}}):
        part = read_one({**body, "thoughtSignature": write_signature(foreign)})
        assert getattr(part, "signature", None) == foreign


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"text": 1}, "text"),
        ({"functionCall": {"args": {}}}, "functionCall.name"),
        ({"functionCall": {"name": "f", "args": []}}, "functionCall.args"),
        ({"functionResponse": {"response": {}}}, "functionResponse.name"),
        ({"functionResponse": {"name": "f", "response": "x"}}, "functionResponse.response"),
        ({"fileData": {}}, "fileData.fileUri"),
        ({"inlineData": []}, "inlineData"),
        ([], ""),
    ],
)
def test_what_is_no_part_is_named(part: object, path: str) -> None:
    where = f"contents[0].parts[0].{path}".rstrip(".")
    with pytest.raises(GatewayError) as caught:
        read_one(part)
    assert caught.value.kind is Kind.MALFORMED_REQUEST
    assert f"`{where}`" in caught.value.message
