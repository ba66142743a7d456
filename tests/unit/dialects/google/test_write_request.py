from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import again, model, read, user, write, write_messages

from gatewright.core.call_ids import make_call_id
from gatewright.core.chat import (
    CacheMark,
    ChatRequest,
    Extension,
    Message,
    Opaque,
    Part,
    Reasoning,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.traits import Traits
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.signatures import SKIP, write_signature

OWN = Opaque(NAME, "c2ln")
HELLO = Message(role="user", parts=(Text(text="hello"),))


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def call(call_id: str, name: str = "f", signature: Opaque | None = None) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments="{}", signature=signature)


def result(call_id: str, text: str = "x") -> Message:
    return Message(role="user", parts=(ToolResult(call_id=call_id, content=(Text(text=text),)),))


def function_call(call_id: str | None, signature: str | None = None, name: str = "f") -> dict[str, Any]:
    inner = {"name": name, "args": {}} | ({} if call_id is None else {"id": call_id})
    return {"functionCall": inner} | ({} if signature is None else {"thoughtSignature": signature})


def function_response(call_id: str | None, text: str = "x", name: str = "f") -> dict[str, Any]:
    inner = {"name": name, "response": {"result": text}} | ({} if call_id is None else {"id": call_id})
    return {"functionResponse": inner}


def test_a_whole_request() -> None:
    request = ChatRequest(
        model="m",
        messages=(Message(role="system", parts=(Text(text="be brief"),)), HELLO),
        sampling=Sampling(temperature=0.5),
        max_output_tokens=10,
        stream=True,
    )
    expected = {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [user({"text": "hello"})],
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 10},
    }
    assert write(request, fidelity="strict") == (expected, [])


def test_all_system_text_stands_before_the_conversation() -> None:
    messages = (
        Message(role="system", parts=(Text(text="a"),)),
        Message(role="developer", parts=(Text(text="b"),)),
        HELLO,
        Message(role="system", parts=(Text(text="c"),)),
    )
    written, losses = write(ChatRequest(model="m", messages=messages))
    assert written["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}
    assert written["contents"] == [user({"text": "hello"})]
    assert [loss.split(" (")[0] for loss in losses] == ["messages[1]: approximated", "messages[3]: approximated"]


def test_parallel_calls_and_all_their_results_are_one_content_each() -> None:
    contents, losses = write_messages(
        HELLO, said(Text(text="")), said(call("a", "f")), said(call("b", "g")), result("b"), result("a"), HELLO
    )
    assert contents == [
        user({"text": "hello"}),
        model(function_call("a", SKIP), function_call("b", None, "g")),
        user(function_response("a"), function_response("b", name="g")),
        user({"text": "hello"}),
    ]
    assert losses == []


def test_results_among_words_are_in_order_too() -> None:
    answered = Message(role="user", parts=(*result("b").parts, Text(text="so?"), *result("a").parts))
    contents, _ = write_messages(HELLO, said(call("a"), call("b")), answered)
    assert contents[2]["parts"] == [function_response("a"), {"text": "so?"}, function_response("b")]


def test_ids_that_were_made_up_are_not_written() -> None:
    first, second = make_call_id("r", 1), make_call_id("r", 2)
    contents, _ = write_messages(HELLO, said(call(first), call(second)), result(second, "two"), result(first, "one"))
    assert contents[1] == model(function_call(None, SKIP), function_call(None))
    assert contents[2] == user(function_response(None, "one"), function_response(None, "two"))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((call("a"), call("b")), [function_call("a", SKIP), function_call("b")]),
        ((call("a", signature=OWN), call("b")), [function_call("a", "c2ln"), function_call("b")]),
        ((call("a"), call("b", signature=OWN)), [function_call("a", SKIP), function_call("b", "c2ln")]),
        ((Reasoning(signature=OWN), call("a")), [function_call("a", "c2ln")]),
        (
            (Reasoning(text="hm", signature=OWN), call("a")),
            [{"text": "hm", "thought": True}, function_call("a", "c2ln")],
        ),
        (
            (Text(text="x", signature=OWN), call("a")),
            [{"text": "x", "thoughtSignature": "c2ln"}, function_call("a", SKIP)],
        ),
        ((Text(text="x"),), [{"text": "x"}]),
    ],
)
def test_the_first_call_of_a_step_from_elsewhere_is_signed(parts: tuple[Part, ...], expected: list[Any]) -> None:
    contents, losses = write_messages(HELLO, said(*parts), HELLO)
    assert contents[1] == model(*expected)
    assert losses == []


def test_a_call_that_another_provider_signed_gets_the_stand_in() -> None:
    foreign = Opaque("openai.responses", "gAAA")
    contents, losses = write_messages(HELLO, said(call("a", signature=foreign)))
    assert contents[1] == model(function_call("a", SKIP))
    assert [loss.split(" (")[0] for loss in losses] == ["messages[1].parts[0]: dropped"]


def test_unsigned_calls_of_a_client_of_this_api_stay_unsigned() -> None:
    body = {"contents": [user({"text": "go"}), model(function_call("a")), user(function_response("a"))]}
    assert again(body) == body


def test_a_foreign_signature_that_such_a_client_sends_back_is_not_written() -> None:
    carried = write_signature(Opaque("anthropic.messages", "sig"))
    asked = {"contents": [user({"text": "go"}), model({"text": "hm", "thought": True, "thoughtSignature": carried})]}
    written, losses = write(read(asked))
    assert written["contents"][1:] == [{"parts": [], "role": "model"}]
    assert losses != []


def test_an_answer_that_is_begun_may_not_be_continued() -> None:
    contents, losses = write_messages(HELLO, said(Text(text="It is")))
    assert contents[1] == model({"text": "It is"})
    assert [loss.split(" (")[0] for loss in losses] == ["messages[1].parts[0]: approximated"]
    assert write_messages(HELLO, said(Text(text="It is")), HELLO)[1] == []
    assert write_messages(HELLO, said(call("a")))[1] == []


def test_messages_of_nothing_are_left_out() -> None:
    contents, losses = write_messages(HELLO, said(), said(Text(text="")), HELLO)
    assert contents == [user({"text": "hello"}, {"text": "hello"})]
    assert losses == []


@pytest.mark.parametrize(
    ("members", "paths"),
    [
        ({"user": "u", "metadata": {"a": "b"}, "verbosity": "low"}, ["verbosity", "user", "metadata"]),
        ({"store": True, "cache_key": "k"}, ["store", "cache_key"]),
        ({"store": False, "service_tier": "auto"}, []),
        ({"cache": CacheMark()}, ["cache"]),
        ({"service_tier": "scale"}, ["service_tier"]),
        ({"extra": Extension("openai.chat", {"web_search_options": Raw(b"{}")})}, ["web_search_options"]),
        ({"messages": (Message(role="user", name="ann", parts=HELLO.parts),)}, ["messages[0].name"]),
    ],
)
def test_what_has_no_place_is_told(members: dict[str, Any], paths: list[str]) -> None:
    _, losses = write(ChatRequest(**{"model": "m", "messages": (HELLO,), **members}))
    assert [loss.partition(":")[0] for loss in losses] == paths


def test_tiers_in_googles_words() -> None:
    for tier, word in (("default", "standard"), ("flex", "flex"), ("priority", "priority")):
        assert write(ChatRequest(model="m", messages=(HELLO,), service_tier=tier))[0]["serviceTier"] == word


def test_what_a_host_wants_otherwise() -> None:
    traits = Traits(unsupported=frozenset(("serviceTier", "absent")), renames={"generationConfig": "generation_config"})
    asked = ChatRequest(model="m", messages=(HELLO,), service_tier="flex", max_output_tokens=5)
    written, losses = write(asked, traits)
    assert written == {"contents": [user({"text": "hello"})], "generation_config": {"maxOutputTokens": 5}}
    assert [loss.partition(":")[0] for loss in losses] == ["serviceTier"]
