from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import plain, write_messages

from gatewright.core.call_ids import make_call_id
from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.write_parts import PartWriter

OWN, FOREIGN = Opaque(NAME, "c2ln"), Opaque("anthropic.messages", "sig")
PNG = Source(data="AAAA", media_type="image/png")


def written(part: Part) -> tuple[Any, list[str]]:
    """One part, and what was lost of it."""
    report = LossReport("permissive")
    found = PartWriter((), report).write(part, "p")
    return plain(found), [str(loss).split(" (")[0] for loss in report.entries]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text(text="hi"), {"text": "hi"}),
        (Text(text="hi", signature=OWN), {"text": "hi", "thoughtSignature": "c2ln"}),
        (Reasoning(text="hm"), {"text": "hm", "thought": True}),
        (Reasoning(text="hm", signature=OWN), {"text": "hm", "thought": True, "thoughtSignature": "c2ln"}),
        (Image(source=PNG), {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        (
            Image(source=PNG, detail="auto", signature=OWN),
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "c2ln"},
        ),
        (
            Image(source=Source(url="https://x/y.PNG?z#w")),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.PNG?z#w"}},
        ),
        (
            Audio(source=Source(url="gs://b/a", media_type="audio/flac")),
            {"fileData": {"mimeType": "audio/flac", "fileUri": "gs://b/a"}},
        ),
        (Video(source=Source(url="https://youtu.be/x")), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (
            File(source=Source(file_id="https://g/files/1", dialect=NAME)),
            {"fileData": {"fileUri": "https://g/files/1"}},
        ),
        (
            ToolCall(id="c1", name="f", arguments='{"a": 1}'),
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}},
        ),
        (ToolCall(id=make_call_id("x"), name="f", arguments=""), {"functionCall": {"name": "f", "args": {}}}),
        (
            Native(dialect=NAME, kind="executableCode", raw=Raw(b'{"executableCode":{"code":"1"}}')),
            {"executableCode": {"code": "1"}},
        ),
    ],
)
def test_a_part_with_nothing_lost(part: Part, expected: object) -> None:
    assert written(part) == (expected, [])


@pytest.mark.parametrize(
    ("part", "expected", "loss"),
    [
        (Refusal(text="no"), {"text": "no"}, "approximated"),
        (Text(text="x", signature=FOREIGN), {"text": "x"}, "dropped"),
        (Text(text="x", citations=(Citation(url="u"),)), {"text": "x"}, "dropped"),
        (Text(text="x", cache=CacheMark()), {"text": "x"}, "dropped"),
        (Reasoning(text="hm", signature=FOREIGN), None, "dropped"),
        (Reasoning(encrypted=FOREIGN), None, "dropped"),
        (
            ToolCall(id="c", name="f", arguments="{}", signature=FOREIGN),
            {"functionCall": {"name": "f", "args": {}, "id": "c"}},
            "dropped",
        ),
        (
            ToolCall(id="c", name="f", arguments="[1]"),
            {"functionCall": {"name": "f", "args": {"_raw": "[1]"}, "id": "c"}},
            "approximated",
        ),
        (
            ToolCall(id="c", name="f", arguments='{"a":'),
            {"functionCall": {"name": "f", "args": {"_raw": '{"a":'}, "id": "c"}},
            "approximated",
        ),
        (
            ToolCall(id="c", name="f", arguments="ls", is_custom=True),
            {"functionCall": {"name": "f", "args": {"input": "ls"}, "id": "c"}},
            "approximated",
        ),
        (Image(source=PNG, detail="high"), {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "dropped"),
        (Image(source=PNG, signature=FOREIGN), {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "dropped"),
        (Image(source=Source(data="AAAA")), {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}}, "approximated"),
        (Image(source=Source(url="https://x/y")), {"fileData": {"fileUri": "https://x/y"}}, "approximated"),
        (File(source=Source(file_id="file-1", dialect="openai.chat")), None, "refused"),
        (Image(source=Source()), None, "refused"),
        (
            File(source=Source(data="AAAA", media_type="text/plain"), title="T"),
            {"inlineData": {"mimeType": "text/plain", "data": "AAAA"}},
            "dropped",
        ),
        (
            File(source=Source(data="AAAA", media_type="text/plain"), is_cited=True),
            {"inlineData": {"mimeType": "text/plain", "data": "AAAA"}},
            "dropped",
        ),
        (Native(dialect="openai.responses", kind="web_search_call", raw=Raw(b"{}")), None, "refused"),
    ],
)
def test_a_part_of_which_something_is_lost(part: Part, expected: object, loss: str) -> None:
    assert written(part) == (expected, [f"p: {loss}"])


def test_marks_are_told_once() -> None:
    report = LossReport()
    writer = PartWriter((), report)
    for number in range(3):
        writer.write(Text(text="x", cache=CacheMark()), f"p{number}")
    assert [loss.path for loss in report.entries] == ["p0"]


@pytest.mark.parametrize(
    ("content", "is_error", "response"),
    [
        ((Text(text="sunny"),), None, {"result": "sunny"}),
        ((Text(text="sunny"),), False, {"result": "sunny"}),
        ((Text(text="no city"),), True, {"error": "no city"}),
        ((Text(text='{"t": 1}'),), None, {"t": 1}),
        ((Text(text='{"t": 1}'),), True, {"error": {"t": 1}}),
        ((Text(text='{"error": 1}'),), True, {"error": 1}),
        ((Text(text="[1]"),), None, {"result": "[1]"}),
        ((Text(text='{"t": '),), None, {"result": '{"t": '}),
        ((Text(text="a"), Text(text="b")), None, {"result": "a\nb"}),
        ((Text(text=""),), None, {"result": ""}),
        ((), None, {}),
        ((), True, {}),
    ],
)
def test_what_a_tool_answered_is_an_object(content: tuple[Part, ...], is_error: bool | None, response: object) -> None:
    part = ToolResult(call_id="c", name="f", content=content, is_error=is_error)
    assert written(part) == ({"functionResponse": {"name": "f", "response": response, "id": "c"}}, [])


def test_media_of_a_result_stand_beside_its_words() -> None:
    part = ToolResult(call_id="c", name="f", content=(Text(text="see"), Image(source=PNG), Refusal(text="no")))
    found, losses = written(part)
    assert found["functionResponse"]["response"] == {"result": "see\nno"}
    assert found["functionResponse"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    assert losses == []


def test_media_of_a_result_stand_behind_it_for_models_before_gemini_3() -> None:
    answered = Message(
        role="user",
        parts=(
            ToolResult(call_id="a", name="f", content=(Text(text="see"), Image(source=PNG))),
            ToolResult(call_id="b", name="g", content=(Text(text="x"),)),
        ),
    )
    [content], losses = write_messages(answered, name="gemini-2.5-flash")
    assert [list(part) for part in content["parts"]] == [["functionResponse"], ["functionResponse"], ["inlineData"]]
    assert [loss.split(" (")[0] for loss in losses] == ["messages[0].parts[0]: approximated"]
    [content], losses = write_messages(answered, name="gemini-3-pro")
    assert [list(part) for part in content["parts"]] == [["functionResponse"], ["functionResponse"]]
    assert losses == []


def test_the_name_of_a_result_is_found_in_the_conversation() -> None:
    call = Message(role="assistant", parts=(ToolCall(id="c", name="f", arguments="{}"),))
    result = Message(role="user", parts=(ToolResult(call_id="c", content=(Text(text="x"),)),))
    contents, _ = write_messages(call, result)
    assert contents[1]["parts"][0]["functionResponse"]["name"] == "f"

    with pytest.raises(GatewayError) as caught:
        write_messages(result)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, "messages[0].parts[0]")
