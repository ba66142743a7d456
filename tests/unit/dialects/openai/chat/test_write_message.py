from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
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
)
from gatewright.core.loss import Feature, Loss, LossReport
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.openai.chat.write_message import MessageWriter, hashed_id

PICTURE = Image(source=Source(media_type="image/png", data="AAAA"))
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
THOUGHT = Reasoning(text="hm", signature=Opaque("anthropic.messages", "s"))


def write(*messages: Message, traits: Traits = DEFAULT) -> tuple[list[dict[str, Any]], list[Loss]]:
    report = LossReport("permissive")
    writer = MessageWriter(traits, report)
    for index, message in enumerate(messages):
        writer.write(message, f"messages[{index}]")
    return msgspec.json.decode(msgspec.json.encode(writer.end())), report.entries


def user(*parts: Part) -> Message:
    return Message(role="user", parts=parts)


def assistant(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


@pytest.mark.parametrize(
    ("traits", "roles"),
    [
        (DEFAULT, ["system", "developer"]),
        (Traits(has_developer_role=False), ["system", "system"]),
        (Traits(has_system_role=False), ["developer", "developer"]),
    ],
)
def test_roles_that_hosts_know(traits: Traits, roles: list[str]) -> None:
    told = (Text(text="a"),)
    written, _ = write(Message(role="system", parts=told), Message(role="developer", parts=told), traits=traits)
    assert [message["role"] for message in written] == roles


def test_results_come_before_the_words_beside_them() -> None:
    written, losses = write(
        user(Text(text="and"), ToolResult(call_id="1", content=(Text(text="r"),)), ToolResult(call_id="2"))
    )
    assert written == [
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "tool", "tool_call_id": "2", "content": ""},
        {"role": "user", "content": "and"},
    ]
    assert losses == []


def test_media_of_results_follow_in_a_users_message() -> None:
    written, losses = write(
        assistant(ToolCall(id="1", name="f", arguments="{}"), ToolCall(id="2", name="f", arguments="")),
        user(ToolResult(call_id="1", content=(PICTURE,))),
        user(ToolResult(call_id="2", content=(Text(text="r"),), is_error=True)),
        user(Text(text="next")),
    )
    assert [message["role"] for message in written] == ["assistant", "tool", "tool", "user", "user"]
    assert written[0]["tool_calls"][1]["function"]["arguments"] == "{}"
    assert isinstance(written[1]["content"], str)
    assert written[3]["content"][1] == SHOWN
    assert [loss.feature for loss in losses] == [Feature.TOOL_RESULT_MEDIA, Feature.TOOL_RESULT_ERROR]
    assert losses[0].path == "messages[1].parts[0].content[0]"


def test_ids_of_nine_letters() -> None:
    traits = Traits(tool_id_form="alnum9")
    written, _ = write(
        assistant(
            ToolCall(id="toolu_01ABC", name="f", arguments="{}"), ToolCall(id="abcDEF123", name="f", arguments="{}")
        ),
        user(ToolResult(call_id="toolu_01ABC")),
        traits=traits,
    )
    first, second = written[0]["tool_calls"]
    assert first["id"] == written[1]["tool_call_id"] == hashed_id("toolu_01ABC")
    assert len(first["id"]) == 9
    assert first["id"].isalnum()
    assert second["id"] == "abcDEF123"
    assert hashed_id("a") != hashed_id("b")


@pytest.mark.parametrize(
    ("part", "traits", "message", "feature"),
    [
        (THOUGHT, DEFAULT, None, Feature.REASONING_REPLAY),
        (THOUGHT, Traits(replays_reasoning=True), {"reasoning_content": "hm"}, Feature.REASONING_REPLAY),
        (Reasoning(text="hm"), DEFAULT, None, Feature.REASONING_REPLAY),
        (
            Reasoning(text="hm"),
            Traits(replays_reasoning=True, reasoning_member="reasoning"),
            {"reasoning": "hm"},
            None,
        ),
        (
            Reasoning(text="hm", signature=Opaque("openai.chat", "s")),
            DEFAULT,
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "format": "openai.chat", "index": 0, "text": "hm", "signature": "s"}
                ]
            },
            None,
        ),
    ],
)
def test_thoughts_sent_back(
    part: Part, traits: Traits, message: dict[str, Any] | None, feature: Feature | None
) -> None:
    written, losses = write(assistant(part), traits=traits)
    assert written == ([] if message is None else [{"role": "assistant", "content": None, **message}])
    assert [loss.feature for loss in losses] == ([] if feature is None else [feature])


def test_signatures_go_only_to_whom_they_are_of() -> None:
    own = ToolCall(id="1", name="f", arguments="{}", signature=Opaque("openai.chat", "s"))
    other = ToolCall(id="1", name="f", arguments="{}", signature=Opaque("google.generate_content", "s"))
    written, losses = write(assistant(own))
    assert written[0]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}
    assert losses == []
    written, losses = write(assistant(other))
    assert "extra_content" not in written[0]["tool_calls"][0]
    assert [loss.feature for loss in losses] == [Feature.REASONING_REPLAY]


def test_what_the_assistant_made() -> None:
    written, losses = write(
        assistant(
            Text(text="a"),
            Text(text="b"),
            Refusal(text="no"),
            Audio(source=Source(), id="audio_1"),
            ToolCall(id="1", name="f", arguments="free", is_custom=True),
        ),
        assistant(PICTURE, Audio(source=Source(data="AAAA"), transcript="said")),
    )
    assert written[0] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "refusal": "no",
        "audio": {"id": "audio_1"},
        "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "free"}}],
    }
    assert written[1]["content"] == "said"
    assert written[2]["content"][1] == SHOWN
    assert [loss.feature for loss in losses] == [Feature.MEDIA_OUTPUT, Feature.MEDIA_OUTPUT]


def test_parts_that_others_alone_know() -> None:
    native = Native(dialect="anthropic.messages", kind="server_tool_use", raw=msgspec.Raw(b"{}"))
    own = Native(dialect="openai.chat", kind="hologram", raw=msgspec.Raw(b'{"type":"hologram"}'))
    written, losses = write(user(own, native), assistant(native, Text(text="a")))
    assert written == [{"role": "user", "content": [{"type": "hologram"}]}, {"role": "assistant", "content": "a"}]
    assert [loss.outcome.value for loss in losses] == ["refused", "dropped"]


def test_a_message_whose_parts_are_all_left_out_is_empty() -> None:
    """The vendor refuses null in all but an assistant's messages."""
    native = Native(dialect="anthropic.messages", kind="server_tool_use", raw=msgspec.Raw(b"{}"))
    written, _ = write(user(native), Message(role="system", parts=(native,)))
    assert [message["content"] for message in written] == ["", ""]


def test_marks_of_caches_are_told_once() -> None:
    mark = CacheMark("5m")
    _, losses = write(user(Text(text="a", cache=mark), Text(text="b", cache=mark)))
    assert [loss.feature for loss in losses] == [Feature.CACHE_MARK]


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (PICTURE, Feature.IMAGE_DATA),
        (Audio(source=Source(data="A")), Feature.AUDIO),
        (THOUGHT, Feature.REASONING_REPLAY),
        (ToolCall(id="1", name="f", arguments="{}"), Feature.TOOLS),
    ],
)
def test_system_messages_hold_text(part: Part, feature: Feature) -> None:
    _, losses = write(Message(role="system", parts=(part,)))
    assert [loss.feature for loss in losses] == [feature]


def test_citations_of_earlier_answers_are_told_once() -> None:
    cited = Text(text="a", citations=(Citation(url="u"),))
    written, losses = write(assistant(cited, cited), assistant(cited))
    assert written[1] == {"role": "assistant", "content": "a"}
    assert [(loss.feature, loss.path) for loss in losses] == [(Feature.CITATIONS, "messages[0].parts[0]")]


def test_ids_that_are_too_long() -> None:
    long = "toolu_" + "x" * 50
    written, _ = write(
        assistant(ToolCall(id=long, name="f", arguments="{}"), ToolCall(id="y" * 40, name="f", arguments="{}")),
        user(ToolResult(call_id=long)),
        traits=Traits(tool_id_form="max40"),
    )
    first, second = written[0]["tool_calls"]
    assert first["id"] == written[1]["tool_call_id"]
    assert first["id"] != long
    assert len(first["id"]) <= 40
    assert second["id"] == "y" * 40
