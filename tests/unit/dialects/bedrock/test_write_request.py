"""Conversations as Converse wants them: system apart, the user first, roles in turn, no empty words."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.unit.dialects.bedrock.exchanges import asked, encoded, losses

from gatewright.core.chat import CacheMark, ChatRequest, Extension, File, Image, Message, Role, Source, Text
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.names import NAME


def said(role: Role, *words: str, **members: Any) -> Message:
    return Message(role=role, parts=tuple(Text(text=word) for word in words), **members)


def talk(*messages: Message, report: LossReport | None = None, traits: Traits | None = None) -> dict[str, Any]:
    return encoded(asked(messages=messages), report, traits or Traits())


def turns(body: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]]


def test_messages_of_a_role_become_one_turn() -> None:
    body = talk(said("user", "a"), said("user", "b"), said("assistant", "c"), said("assistant", ""), said("user", "d"))
    assert turns(body) == [("user", ["a", "b"]), ("assistant", ["c"]), ("user", ["d"])]


def test_empty_messages_do_not_part_a_turn() -> None:
    assert turns(talk(said("user", "a"), said("assistant", ""), said("user", "b"))) == [("user", ["a", "b"])]


def test_leading_system_messages_stand_apart() -> None:
    report = LossReport()
    body = talk(said("system", "a", ""), said("developer", "b"), said("user", "c"), report=report)
    assert body["system"] == [{"text": "a"}, {"text": "b"}]
    assert turns(body) == [("user", ["c"])]
    assert losses(report) == [(Feature.DEVELOPER, Outcome.APPROXIMATED, "messages[1]")]


def test_later_system_messages() -> None:
    messages = (said("user", "a"), said("system", "b"), said("user", "c"))
    report = LossReport()
    assert turns(talk(*messages, report=report)) == [("user", ["a", "b", "c"])]
    assert losses(report) == [(Feature.MID_SYSTEM, Outcome.APPROXIMATED, "messages[1]")]
    body = talk(*messages, traits=Traits(has_mid_system=True))
    assert turns(body) == [("user", ["a"]), ("system", ["b"]), ("user", ["c"])]


def test_system_prompts_hold_words_only() -> None:
    report = LossReport("permissive")
    image = Image(source=Source(media_type="image/png", data="AAAA"))
    body = talk(Message(role="system", parts=(Text(text="a"), image)), said("user", "b"), report=report)
    assert body["system"] == [{"text": "a"}]
    assert losses(report) == [(Feature.SYSTEM, Outcome.REFUSED, "messages[0].parts[1]")]


def test_the_user_speaks_first() -> None:
    report = LossReport()
    body = talk(said("assistant", "Hello"), said("user", "Hi"), report=report)
    assert turns(body) == [("user", ["."]), ("assistant", ["Hello"]), ("user", ["Hi"])]
    assert losses(report) == [(Feature.PREFILL, Outcome.APPROXIMATED, "messages[0]")]


def test_names_of_speakers_are_dropped() -> None:
    report = LossReport()
    talk(said("user", "Hi", name="ada"), report=report)
    assert losses(report) == [(Feature.MESSAGE_NAME, Outcome.DROPPED, "messages[0].name")]


def test_a_prompt_cached_as_a_whole_is_marked_at_its_end() -> None:
    body = encoded(asked(Text(text="Hi"), cache=CacheMark("1h")))
    assert body["messages"][0]["content"] == [{"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    body = encoded(asked(Text(text="Hi", cache=CacheMark()), cache=CacheMark("1h")))
    assert body["messages"][0]["content"] == [{"text": "Hi"}, {"cachePoint": {"type": "default"}}]


def test_documents_have_names_of_their_own() -> None:
    source = Source(media_type="text/plain", data="aGk=", filename="notes.txt")
    own_name = Extension(NAME, {"name": msgspec.Raw(b'"Notes"')})
    files = (
        File(source=source),
        File(source=source),
        File(source=source, title="Notes", extra=own_name),
        File(source=source, title="Notes"),
        File(source=Source(media_type="text/plain", data="aGk=")),
    )
    content = encoded(asked(*files))["messages"][0]["content"]
    assert [block["document"]["name"] for block in content] == ["notes", "notes 2", "Notes", "Notes 2", "Document"]


def test_members_of_other_dialects_are_told() -> None:
    report = LossReport()
    extra = Extension("openai.chat", {"prediction": msgspec.Raw(b"{}")})
    assert list(encoded(asked(extra=extra), report)) == ["messages"]
    assert losses(report) == [(Feature.VENDOR, Outcome.DROPPED, "prediction")]


def test_own_members_stand_beside_what_the_hub_says() -> None:
    extra = Extension(
        NAME,
        {
            "inferenceConfig": msgspec.Raw(b'{"new":1,"maxTokens":1}'),
            "guardrailConfig": msgspec.Raw(b"{}"),
            "additionalModelRequestFields": msgspec.Raw(b'{"a":1}'),
        },
    )
    body = encoded(asked(extra=extra, max_output_tokens=5))
    assert body["inferenceConfig"] == {"new": 1, "maxTokens": 5}
    assert body["guardrailConfig"] == {}
    assert body["additionalModelRequestFields"] == {"a": 1}


def test_a_system_prompt_alone_is_followed_by_the_user() -> None:
    report = LossReport()
    body = talk(said("system", "Tell a joke."), report=report)
    assert body == {"system": [{"text": "Tell a joke."}], "messages": [{"role": "user", "content": [{"text": "."}]}]}
    assert losses(report) == [(Feature.SYSTEM, Outcome.APPROXIMATED, "messages")]


def test_a_stored_prompt_needs_no_messages() -> None:
    extra = Extension(NAME, {"promptVariables": msgspec.Raw(b'{"a":{"text":"b"}}')})
    assert encoded(ChatRequest(model="m", messages=(), extra=extra)) == {"promptVariables": {"a": {"text": "b"}}}
