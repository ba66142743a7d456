from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import plain

from gatewright.core.call_ids import make_call_id
from gatewright.core.chat import (
    Audio,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.events import Finish
from gatewright.core.loss import LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.signatures import read_signature, read_thought
from gatewright.dialects.google.write_answer import blocked_feedback, usage_member, write_end, write_part

FOREIGN = Opaque("anthropic.messages", "s/g+=")


def written(part: Part) -> tuple[Any, list[str]]:
    report = LossReport("strict")
    found = write_part(part, "p", report)
    return plain(found), [str(loss).split(" (")[0] for loss in report.entries]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text(text="hi"), {"text": "hi"}),
        (Text(text="", signature=Opaque(NAME, "c2ln")), {"text": "", "thoughtSignature": "c2ln"}),
        (Reasoning(text="hm"), {"text": "hm", "thought": True}),
        (Reasoning(), None),
        (Reasoning(signature=Opaque(NAME, "c2ln")), {"thoughtSignature": "c2ln"}),
        (
            ToolCall(id="c1", name="f", arguments='{"a":1}'),
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}},
        ),
        (ToolCall(id=make_call_id("x"), name="f", arguments=""), {"functionCall": {"name": "f", "args": {}}}),
        (
            Image(source=Source(data="AAAA", media_type="image/png")),
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        (Image(source=Source(data="AAAA")), {"inlineData": {"mimeType": "application/octet-stream", "data": "AAAA"}}),
        (Image(source=Source(url="https://x")), {"fileData": {"fileUri": "https://x"}}),
        (
            File(source=Source(url="gs://x", media_type="application/pdf")),
            {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://x"}},
        ),
        (Native(dialect=NAME, kind="toolCall", raw=Raw(b'{"toolCall":{"id":"1"}}')), {"toolCall": {"id": "1"}}),
    ],
)
def test_a_part_with_nothing_lost(part: Part, expected: object) -> None:
    assert written(part) == (expected, [])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Refusal(text="no"), {"text": "no"}),
        (
            ToolCall(id="c", name="f", arguments='"x"'),
            {"functionCall": {"name": "f", "args": {"_raw": '"x"'}, "id": "c"}},
        ),
        (
            ToolCall(id="c", name="f", arguments="{"),
            {"functionCall": {"name": "f", "args": {"_raw": "{"}, "id": "c"}},
        ),
        (
            ToolCall(id="c", name="f", arguments="ls", is_custom=True),
            {"functionCall": {"name": "f", "args": {"input": "ls"}, "id": "c"}},
        ),
        (
            Audio(source=Source(data="AAAA", media_type="audio/wav"), transcript="hi"),
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (Image(source=Source()), {"fileData": {"fileUri": ""}}),
        (Native(dialect="openai.responses", kind="web", raw=Raw(b"{}")), None),
        (ToolResult(call_id="c"), None),
    ],
)
def test_a_loss_in_an_answer_is_told_and_never_refused(part: Part, expected: object) -> None:
    found, losses = written(part)
    assert found == expected
    assert len(losses) == 1


def test_foreign_signatures_come_back() -> None:
    for part in (Text(text="x", signature=FOREIGN), ToolCall(id="c", name="f", arguments="{}", signature=FOREIGN)):
        assert read_signature(written(part)[0]["thoughtSignature"]) == FOREIGN
    for thought in (
        Reasoning(text="hm", signature=FOREIGN, is_summary=True),
        Reasoning(text="", encrypted=FOREIGN, id="rs_1", is_summary=True),
    ):
        found, _ = written(thought)
        assert found["thought"] is True
        assert read_thought(found["text"], found["thoughtSignature"]) == thought


def test_how_an_answer_ended() -> None:
    report = LossReport()
    own = Finish(reason="stop", native="STOP", dialect=NAME, extra=Extension(NAME, {"avgLogprobs": Raw(b"-1")}))
    assert plain(write_end(own, "f", report)) == {"finishReason": "STOP", "avgLogprobs": -1}
    assert write_end(Finish(reason="length", native="max_tokens"), "f", report) == {"finishReason": "MAX_TOKENS"}
    assert report.entries == []
    paused = write_end(Finish(reason="pause", native="pause_turn"), "f", report)
    assert paused == {"finishReason": "OTHER", "finishMessage": "pause_turn"}
    assert len(report.entries) == 1


def test_only_googles_own_finish_tells_of_a_blocked_prompt() -> None:
    assert blocked_feedback(None) is None
    assert blocked_feedback(Finish(reason="content_filter")) is None
    assert blocked_feedback(Finish(reason="stop", extra=Extension("x", {"promptFeedback": Raw(b"1")}))) is None
    extra = Extension(NAME, {"promptFeedback": Raw(b"null")})
    assert blocked_feedback(Finish(reason="error", dialect=NAME, extra=extra)) == {}


def test_usage_is_told_where_there_is_any() -> None:
    assert usage_member(None, None) == {}
    assert usage_member(Usage(input_total=1), None)["usageMetadata"]["promptTokenCount"] == 1
