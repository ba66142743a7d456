from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.call_ids import make_call_id
from gatewright.core.chat import (
    Audio,
    CacheMark,
    ChatRequest,
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
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.ollama.write_messages import MessageWriter

A, D, R = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED


def write(*messages: Message) -> tuple[list[dict[str, Any]], list[tuple[Feature, Outcome, str]]]:
    report = LossReport("permissive")
    found = MessageWriter(ChatRequest(model="m", messages=messages), report).write()
    losses = [(loss.feature, loss.outcome, loss.path) for loss in report.entries]
    return msgspec.json.decode(msgspec.json.encode(found)), losses


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def result(call_id: str, text: str, **members: Any) -> ToolResult:
    return ToolResult(call_id=call_id, content=(Text(text=text),), **members)


def test_a_conversation_with_tools() -> None:
    made_up = make_call_id("x", 0, "g")
    messages, losses = write(
        Message(role="system", parts=(Text(text="s"),)),
        user(Text(text="a"), Text(text="b"), Image(source=Source(data="AAAA"))),
        Message(
            role="assistant",
            parts=(
                Reasoning(text="Hm."),
                Text(text="t"),
                ToolCall(id="c1", name="f", arguments='{"a":1}'),
                ToolCall(id=made_up, name="g", arguments=""),
            ),
        ),
        user(result(made_up, "two")),
        user(result("c1", "one"), Text(text="and?")),
    )
    assert losses == []
    assert messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a\nb", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "t",
            "thinking": "Hm.",
            "tool_calls": [
                {"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}},
                {"function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "one", "tool_name": "f", "tool_call_id": "c1"},
        {"role": "tool", "content": "two", "tool_name": "g"},
        {"role": "user", "content": "and?"},
    ]


TEXT_FILE = Source(data=base64.b64encode(b"words").decode(), media_type="text/plain")
AT = "messages[0].parts[0]"


@pytest.mark.parametrize(
    ("part", "message", "loss"),
    [
        (Image(source=Source(url="https://a.example/b.png")), {}, (Feature.IMAGE_URL, R, AT)),
        (Image(source=Source(file_id="f", dialect="x")), {}, (Feature.FILE_ID, R, AT)),
        (
            Image(source=Source(data="AAAA"), detail="low"),
            {"images": ["AAAA"]},
            (Feature.IMAGE_DETAIL, D, f"{AT}.detail"),
        ),
        (Audio(source=Source(data="AAAA")), {}, (Feature.AUDIO, R, AT)),
        (Video(source=Source(data="AAAA")), {}, (Feature.VIDEO, R, AT)),
        (File(source=Source(data="AAAA", media_type="application/pdf")), {}, (Feature.DOCUMENT, R, AT)),
        (File(source=Source(file_id="f", dialect="x")), {}, (Feature.FILE_ID, R, AT)),
        (File(source=TEXT_FILE), {"content": "words"}, (Feature.DOCUMENT, A, AT)),
        (File(source=Source(data="/w==", media_type="text/plain")), {}, (Feature.DOCUMENT, R, AT)),
        (Text(text="t", cache=CacheMark()), {"content": "t"}, (Feature.CACHE_MARK, D, AT)),
        (Refusal(text="no"), {"content": "no"}, (Feature.REFUSAL, A, AT)),
        (Native(dialect="x", kind="k", raw=Raw(b"{}")), {}, (Feature.NATIVE_TOOLS, R, AT)),
        (Text(text="t", signature=Opaque("x", "s")), {"content": "t"}, (Feature.REASONING_REPLAY, D, AT)),
        (Text(text="t", citations=(Citation(),)), {"content": "t"}, (Feature.CITATIONS, D, AT)),
        (Reasoning(text="t", signature=Opaque("x", "s")), {}, (Feature.REASONING_REPLAY, D, AT)),
        (Reasoning(encrypted=Opaque("x", "s")), {}, (Feature.REASONING_REPLAY, D, AT)),
        (
            ToolCall(id="c", name="f", arguments="x", is_custom=True),
            {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"input": "x"}}}]},
            (Feature.CUSTOM_TOOLS, A, AT),
        ),
    ],
)
def test_what_is_lost_is_told(part: Part, message: dict[str, Any], loss: Any) -> None:
    messages, losses = write(user(part))
    assert messages == [{"role": "user", "content": "", **message}]
    assert losses == [loss]


def test_roles_and_names() -> None:
    messages, losses = write(Message(role="developer", parts=(Text(text="d"),), name="ann"))
    assert messages == [{"role": "system", "content": "d"}]
    assert losses == [
        (Feature.MESSAGE_NAME, D, "messages[0].name"),
        (Feature.DEVELOPER, A, "messages[0]"),
    ]


def test_results_keep_the_order_of_calls_in_messages_in_a_row() -> None:
    calls = [Message(role="assistant", parts=(ToolCall(id=name, name=name, arguments="{}"),)) for name in ("a", "b")]
    messages, _ = write(*calls, user(ToolResult(call_id="b"), ToolResult(call_id="a"), ToolResult(call_id="x")))
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ["a", "b", "x"]


def test_results_with_more_than_text() -> None:
    content = (Text(text="t"), Image(source=Source(data="AAAA")), Image(source=Source(url="https://a.example/b")))
    messages, losses = write(user(ToolResult(call_id="c", name="f", content=content, is_error=True)))
    assert messages == [
        {"role": "tool", "content": "t", "images": ["AAAA"], "tool_name": "f", "tool_call_id": "c"},
    ]
    assert losses == [
        (Feature.TOOL_RESULT_MEDIA, R, f"{AT}.content[2]"),
        (Feature.TOOL_RESULT_ERROR, A, AT),
    ]
