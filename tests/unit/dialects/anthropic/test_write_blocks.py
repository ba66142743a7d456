"""Parts of messages as blocks of a request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.anthropic.cache_marks import Marks
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.dialects.anthropic.write_blocks import BlockWriter

APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED
OWN, FOREIGN = Opaque(NAME, "Eq"), Opaque("google.generate_content", "sig")
MARK = {"type": "ephemeral"}


def write(part: Part, role: Role = "user") -> tuple[Any, list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    blocks = BlockWriter(report, Marks(report)).write((part,), role, "messages[3]")
    assert all(loss.path.startswith("messages[3].parts[0]") for loss in report.entries)
    told = [(loss.feature, loss.outcome) for loss in report.entries]
    return msgspec.json.decode(msgspec.json.encode(blocks[0])) if blocks else None, told


CASES: list[tuple[Part, Role, Any, list[tuple[Feature, Outcome]]]] = [
    (Text(text="hi", cache=CacheMark()), "user", {"type": "text", "text": "hi", "cache_control": MARK}, []),
    (Text(text=""), "user", None, []),
    (
        Text(text="x", signature=FOREIGN),
        "assistant",
        {"type": "text", "text": "x"},
        [(Feature.REASONING_REPLAY, DROPPED)],
    ),
    (
        Text(text="x", citations=(Citation(url="https://a"),)),
        "assistant",
        {"type": "text", "text": "x"},
        [(Feature.CITATIONS, DROPPED)],
    ),
    (Refusal(text="no"), "assistant", {"type": "text", "text": "no"}, [(Feature.REFUSAL, APPROXIMATED)]),
    (Refusal(text=""), "assistant", None, []),
    (Reasoning(text="hm", signature=OWN), "assistant", {"type": "thinking", "thinking": "hm", "signature": "Eq"}, []),
    (Reasoning(signature=OWN), "assistant", {"type": "thinking", "thinking": "", "signature": "Eq"}, []),
    (Reasoning(encrypted=OWN), "assistant", {"type": "redacted_thinking", "data": "Eq"}, []),
    (Reasoning(text="hm", signature=FOREIGN), "assistant", None, [(Feature.REASONING_REPLAY, DROPPED)]),
    (Reasoning(encrypted=FOREIGN), "assistant", None, [(Feature.REASONING_REPLAY, DROPPED)]),
    (Reasoning(text="hm"), "assistant", None, [(Feature.REASONING_REPLAY, DROPPED)]),
    (
        ToolCall(id="t", name="f", arguments='{"a":1}'),
        "assistant",
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        [],
    ),
    (
        ToolCall(id="t", name="f", arguments=""),
        "assistant",
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        [],
    ),
    (
        ToolCall(id="t", name="f", arguments='{"a":'),
        "assistant",
        {"type": "tool_use", "id": "t", "name": "f", "input": {"_raw": '{"a":'}},
        [(Feature.TOOLS, APPROXIMATED)],
    ),
    (
        ToolCall(id="t", name="f", arguments="words", is_custom=True),
        "assistant",
        {"type": "tool_use", "id": "t", "name": "f", "input": {"input": "words"}},
        [(Feature.CUSTOM_TOOLS, APPROXIMATED)],
    ),
    (
        ToolCall(id="t", name="a.b", arguments="{}", signature=FOREIGN),
        "assistant",
        {"type": "tool_use", "id": "t", "name": "a_b", "input": {}},
        [(Feature.REASONING_REPLAY, DROPPED), (Feature.TOOLS, APPROXIMATED)],
    ),
    (ToolResult(call_id="t"), "user", {"type": "tool_result", "tool_use_id": "t"}, []),
    (
        ToolResult(call_id="t", content=(Text(text="r"), Image(source=Source(url="https://x"))), is_error=True),
        "user",
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [
                {"type": "text", "text": "r"},
                {"type": "image", "source": {"type": "url", "url": "https://x"}},
            ],
            "is_error": True,
        },
        [],
    ),
    (
        ToolResult(call_id="t", content=(Text(text="r", cache=CacheMark()),)),
        "user",
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "r"}],
            "cache_control": MARK,
        },
        [(Feature.CACHE_MARK, APPROXIMATED)],
    ),
    (
        ToolResult(call_id="t", content=(Audio(source=Source(data="x")), File(source=Source(url="https://d")))),
        "user",
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "document", "source": {"type": "url", "url": "https://d"}}],
        },
        [(Feature.TOOL_RESULT_MEDIA, REFUSED)],
    ),
    (
        ToolResult(
            call_id="t", content=(Native(dialect=NAME, kind="tool_reference", raw=Raw(b'{"type":"tool_reference"}')),)
        ),
        "user",
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference"}]},
        [],
    ),
    (Native(dialect=NAME, kind="x", raw=Raw(b'{"type":"x","n":1}')), "assistant", {"type": "x", "n": 1}, []),
    (
        Native(dialect="openai.responses", kind="x", raw=Raw(b"{}")),
        "assistant",
        None,
        [(Feature.NATIVE_TOOLS, DROPPED)],
    ),
    (Native(dialect="openai.responses", kind="x", raw=Raw(b"{}")), "user", None, [(Feature.NATIVE_TOOLS, REFUSED)]),
    (Audio(source=Source(data="x")), "user", None, [(Feature.AUDIO, REFUSED)]),
    (Video(source=Source(url="https://x")), "user", None, [(Feature.VIDEO, REFUSED)]),
    (
        Image(source=Source(url="https://x"), cache=CacheMark()),
        "user",
        {"type": "image", "source": {"type": "url", "url": "https://x"}, "cache_control": MARK},
        [],
    ),
    (
        Audio(source=Source(data="x"), transcript="said"),
        "assistant",
        {"type": "text", "text": "said"},
        [(Feature.MEDIA_OUTPUT, APPROXIMATED)],
    ),
    (Image(source=Source(data="x")), "assistant", None, [(Feature.MEDIA_OUTPUT, DROPPED)]),
]


@pytest.mark.parametrize(("part", "role", "block", "told"), CASES)
def test_parts(part: Part, role: Role, block: Any, told: list[tuple[Feature, Outcome]]) -> None:
    assert write(part, role) == (block, told)


def test_ids_that_are_not_allowed_are_changed_alike_in_call_and_result() -> None:
    call, _ = write(ToolCall(id="functions.f:0", name="f", arguments="{}"), "assistant")
    result, _ = write(ToolResult(call_id="functions.f:0"))
    assert call["id"] == result["tool_use_id"] != "functions.f:0"


def test_own_citations_and_members_come_back() -> None:
    location = {"type": "char_location", "cited_text": "q", "document_index": 0}
    members = {"type": Raw(b'"char_location"'), "document_index": Raw(b"0")}
    part = Text(
        text="x",
        citations=(Citation(quote="q", extra=Extension(NAME, members)),),
        extra=Extension(NAME, {"new": Raw(b"1")}),
    )
    assert write(part, "assistant") == ({"type": "text", "text": "x", "citations": [location], "new": 1}, [])
