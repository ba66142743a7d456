from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from msgspec import Raw

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
from gatewright.core.traits import Traits
from gatewright.dialects.cohere.names import NAME, OWN, PLAN
from gatewright.dialects.cohere.write_messages import MessageWriter

A, D, R = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED
ASK = Message(role="user", parts=(Text(text="u"),))
ASKED = {"role": "user", "content": "u"}
AT = "messages[0].parts[0]"


def write(
    *messages: Message, traits: Traits | None = None
) -> tuple[list[dict[str, Any]], list[tuple[Feature, Outcome, str]]]:
    report = LossReport("permissive")
    found = MessageWriter(ChatRequest(model="m", messages=messages), traits or Traits(), report).write()
    losses = [(loss.feature, loss.outcome, loss.path) for loss in report.entries]
    return msgspec.json.decode(msgspec.json.encode(found)), losses


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def test_a_conversation_with_tools() -> None:
    messages, losses = write(
        Message(role="system", parts=(Text(text="s"),)),
        user(
            Text(text="a"),
            Image(source=Source(data="AAAA", media_type="image/gif"), detail="high"),
            Image(source=Source(url="https://a.example/b")),
        ),
        assistant(Reasoning(text="I will.", extra=PLAN), ToolCall(id="c1", name="f", arguments="")),
        user(ToolResult(call_id="c1", content=(Text(text="r"),)), Text(text="and?")),
        assistant(Reasoning(text="Hm.", extra=OWN), Text(text="t")),
        user(ToolResult(call_id="c1", content=(Text(text="r"), Text(text="s")))),
    )
    assert losses == []
    assert messages == [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b"}},
            ],
        },
        {
            "role": "assistant",
            "tool_plan": "I will.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "user", "content": "and?"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "t"}],
        },
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "r"}, {"type": "text", "text": "s"}],
        },
    ]


def test_system_turns_stand_first() -> None:
    system = Message(role="system", parts=(Text(text="s"),))
    messages, losses = write(Message(role="developer", parts=(Text(text="d"),)), system, ASK, system)
    assert [message["role"] for message in messages] == ["system", "system", "user", "user"]
    assert losses == [(Feature.DEVELOPER, A, "messages[0]"), (Feature.MID_SYSTEM, A, "messages[3]")]
    messages, losses = write(ASK, system, traits=Traits(has_mid_system=True))
    assert [message["role"] for message in messages] == ["user", "system"]
    assert losses == []


TEXT_FILE = Source(data=base64.b64encode(b"words").decode(), media_type="text/plain")


@pytest.mark.parametrize(
    ("part", "content", "loss"),
    [
        (Image(source=Source(url="gs://a/b")), "", (Feature.IMAGE_URL, R, AT)),
        (Image(source=Source(file_id="f", dialect="x")), "", (Feature.FILE_ID, R, AT)),
        (
            Image(source=Source(url="https://a.example"), detail="original"),
            [{"type": "image_url", "image_url": {"url": "https://a.example"}}],
            (Feature.IMAGE_DETAIL, D, f"{AT}.detail"),
        ),
        (Audio(source=Source(data="AAAA")), "", (Feature.AUDIO, R, AT)),
        (Video(source=Source(data="AAAA")), "", (Feature.VIDEO, R, AT)),
        (File(source=Source(data="AAAA", media_type="application/pdf")), "", (Feature.DOCUMENT, R, AT)),
        (File(source=Source(file_id="f", dialect="x")), "", (Feature.FILE_ID, R, AT)),
        (File(source=TEXT_FILE), "words", (Feature.DOCUMENT, A, AT)),
        (File(source=Source(data="/w==", media_type="text/plain")), "", (Feature.DOCUMENT, R, AT)),
        (Text(text="t", cache=CacheMark()), "t", (Feature.CACHE_MARK, D, AT)),
        (Native(dialect="x", kind="k", raw=Raw(b"{}")), "", (Feature.NATIVE_TOOLS, R, AT)),
        (Reasoning(text="t"), "", (Feature.REASONING_REPLAY, D, AT)),
    ],
)
def test_what_users_lose_is_told(part: Part, content: Any, loss: Any) -> None:
    messages, losses = write(user(part))
    assert messages == [{"role": "user", "content": content}]
    assert losses == [loss]


@pytest.mark.parametrize(
    ("part", "message", "loss"),
    [
        (Reasoning(text="t"), {"content": ""}, (Feature.REASONING_REPLAY, D, AT)),
        (Reasoning(text="t", signature=Opaque("x", "s")), {"content": ""}, (Feature.REASONING_REPLAY, D, AT)),
        (Reasoning(encrypted=Opaque("x", "s")), {"content": ""}, (Feature.REASONING_REPLAY, D, AT)),
        (Refusal(text="no"), {"content": "no"}, (Feature.REFUSAL, A, AT)),
        (Text(text="t", citations=(Citation(),)), {"content": "t"}, (Feature.CITATIONS, D, AT)),
        (Text(text="t", signature=Opaque("x", "s")), {"content": "t"}, (Feature.REASONING_REPLAY, D, AT)),
        (Native(dialect="x", kind="k", raw=Raw(b"{}")), {"content": ""}, (Feature.NATIVE_TOOLS, D, AT)),
        (Image(source=Source(data="AAAA")), {"content": ""}, (Feature.MEDIA_OUTPUT, D, AT)),
    ],
)
def test_what_assistants_lose_is_told(part: Part, message: dict[str, Any], loss: Any) -> None:
    messages, losses = write(assistant(part), ASK)
    assert messages == [{"role": "assistant", **message}, ASKED]
    assert losses == [loss]


def test_thoughts_go_back_to_their_issuer() -> None:
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}]}
    own = assistant(Reasoning(text="t", signature=Opaque(NAME, "s")))
    assert write(own, ASK) == ([thought, ASKED], [])
    foreign = assistant(Reasoning(text="t"))
    assert write(foreign, ASK, traits=Traits(replays_reasoning=True)) == ([thought, ASKED], [])


def test_free_text_calls_are_wrapped() -> None:
    messages, losses = write(assistant(ToolCall(id="c", name="f", arguments="x", is_custom=True)), ASK)
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == '{"input":"x"}'
    assert losses == [(Feature.CUSTOM_TOOLS, A, AT)]


def test_a_turn_of_nothing_but_calls_has_no_content() -> None:
    messages, _ = write(assistant(Text(text=""), ToolCall(id="c", name="f", arguments="{}")), ASK)
    assert messages[0].keys() == {"role", "tool_calls"}


def test_names_and_prefills_are_told() -> None:
    messages, losses = write(msgspec.structs.replace(ASK, name="ann"), assistant(Text(text="It")))
    assert messages == [ASKED, {"role": "assistant", "content": "It"}]
    assert losses == [(Feature.MESSAGE_NAME, D, "messages[0].name"), (Feature.PREFILL, A, "messages[1]")]


def test_results_are_text() -> None:
    content = (Text(text="t"), Image(source=Source(data="AAAA")))
    messages, losses = write(user(ToolResult(call_id="c", content=content, is_error=True)))
    assert messages == [{"role": "tool", "tool_call_id": "c", "content": "t"}]
    assert losses == [(Feature.TOOL_RESULT_ERROR, A, AT), (Feature.TOOL_RESULT_MEDIA, R, f"{AT}.content[1]")]
