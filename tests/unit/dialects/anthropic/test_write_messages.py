"""The conversation as `system` and `messages`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Image,
    Message,
    Native,
    Opaque,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.cache_marks import Marks
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.dialects.anthropic.write_messages import Conversation, write_conversation

SYSTEM = Message(role="system", parts=(Text(text="s"),))
USER = Message(role="user", parts=(Text(text="u"),))
CALL = Message(
    role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}"))
)
RESULT_A = Message(role="user", parts=(ToolResult(call_id="a"),))
RESULT_B = Message(role="user", parts=(ToolResult(call_id="b"),))
THOUGHT = Reasoning(text="hm", signature=Opaque(NAME, "Eq"))


def write(*messages: Message, traits: Traits | None = None) -> tuple[Conversation, list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    request = ChatRequest(model="m", messages=messages)
    conversation = write_conversation(request, traits or Traits(), report, Marks(report))
    return conversation, [(loss.feature, loss.outcome) for loss in report.entries]


def plain(conversation: Conversation) -> list[tuple[str, list[str]]]:
    """Who says what: texts, and the types of other blocks."""
    messages: Any = msgspec.json.decode(msgspec.json.encode(conversation.messages()))
    return [
        (
            message["role"],
            [block.get("text") or block.get("tool_use_id") or block["type"] for block in message["content"]],
        )
        for message in messages
    ]


def test_leading_system_messages_are_the_system_prompt() -> None:
    developer = Message(role="developer", parts=(Text(text="d"), Text(text="")))
    conversation, losses = write(SYSTEM, developer, USER)
    assert conversation.system == [{"type": "text", "text": "s"}, {"type": "text", "text": "d"}]
    assert plain(conversation) == [("user", ["u"])]
    assert losses == [(Feature.DEVELOPER, Outcome.APPROXIMATED)]


def test_later_system_messages_are_folded_or_kept() -> None:
    conversation, losses = write(USER, SYSTEM)
    assert plain(conversation) == [("user", ["u", "<system>\ns\n</system>"])]
    assert losses == [(Feature.MID_SYSTEM, Outcome.APPROXIMATED)]
    conversation, losses = write(USER, SYSTEM, traits=Traits(has_mid_system=True))
    assert plain(conversation) == [("user", ["u"]), ("system", ["s"])]
    assert losses == []


def test_results_stand_first_in_one_message() -> None:
    conversation, losses = write(USER, CALL, RESULT_A, SYSTEM, RESULT_B, USER)
    assert plain(conversation) == [
        ("user", ["u"]),
        ("assistant", ["tool_use", "tool_use"]),
        ("user", ["a", "b", "<system>\ns\n</system>", "u"]),
    ]
    assert losses == [(Feature.MID_SYSTEM, Outcome.APPROXIMATED)]


def test_no_system_message_parts_calls_from_results() -> None:
    conversation, _ = write(USER, CALL, SYSTEM, RESULT_A, RESULT_B, traits=Traits(has_mid_system=True))
    assert [role for role, _ in plain(conversation)] == ["user", "assistant", "user", "system"]


def test_turns_of_one_role_are_merged_and_empty_ones_left_out() -> None:
    empty = Message(role="assistant", parts=(Reasoning(text="unsigned"),))
    conversation, _ = write(USER, empty, USER, Message(role="user"))
    assert plain(conversation) == [("user", ["u", "u"])]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_conversation_of_system_messages_alone_is_the_users(role: Any) -> None:
    conversation, losses = write(SYSTEM, Message(role=role, parts=(Text(text="last"),)))
    assert conversation.system == [{"type": "text", "text": "s"}]
    assert plain(conversation) == [("user", ["last"])]
    assert losses == [(Feature.SYSTEM, Outcome.APPROXIMATED)]


def test_system_prompts_hold_text_only() -> None:
    conversation, losses = write(Message(role="system", parts=(Image(source=Source(url="https://x")),)), USER)
    assert (conversation.system, losses) == ([], [(Feature.SYSTEM, Outcome.REFUSED)])


def test_blocks_of_system_messages_stay_in_the_conversation() -> None:
    native = Native(dialect=NAME, kind="tool_addition", raw=Raw(b'{"type":"tool_addition"}'))
    message = Message(role="system", parts=(native,))
    conversation, losses = write(message, traits=Traits(has_mid_system=True))
    assert plain(conversation) == [("system", ["tool_addition"])]
    conversation, losses = write(USER, message)
    assert plain(conversation) == [("user", ["u"])]
    assert losses == [(Feature.MID_SYSTEM, Outcome.APPROXIMATED), (Feature.MID_SYSTEM, Outcome.DROPPED)]


def test_names_are_told() -> None:
    _, losses = write(Message(role="user", name="ann", parts=(Text(text="u"),)))
    assert losses == [(Feature.MESSAGE_NAME, Outcome.DROPPED)]


@pytest.mark.parametrize(
    ("messages", "lacks"),
    [
        ((USER,), False),
        ((USER, CALL, RESULT_A), True),
        ((USER, Message(role="assistant", parts=(THOUGHT, *CALL.parts)), RESULT_A), False),
        ((USER, CALL, RESULT_A, Message(role="assistant", parts=(Text(text="so"),)), USER), False),
    ],
)
def test_whether_the_continued_turn_lacks_its_thoughts(messages: tuple[Message, ...], lacks: bool) -> None:
    assert write(*messages)[0].lacks_thinking() is lacks
