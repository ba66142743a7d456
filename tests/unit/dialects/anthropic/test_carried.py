"""Blobs of other vendors survive a client of this API, and are never mistaken for its own."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Opaque, Part, Reasoning, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Choice, SignatureDelta, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.dialects.anthropic import MESSAGES
from gatewright.dialects.anthropic.carried import carry_as, read_redacted, read_thinking, thinking_block, uncarry_as
from gatewright.dialects.anthropic.read_blocks import read_content
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.wire.json_object import JsonObject

GOOGLE = Opaque("google.generate_content", "c2ln:na/ture==")
OPENAI = Opaque("openai.responses", "gAAAA@x/y:z")
OWN = Opaque(NAME, "EqQBCg")

CARRIED: list[tuple[Part, ...]] = [
    (ToolCall(id="call_1", name="f", arguments='{"a":1}', signature=GOOGLE),),
    (
        Text(text="so"),
        ToolCall(id="a", name="f", arguments="{}"),
        ToolCall(id="b", name="g", arguments="{}", signature=GOOGLE),
    ),
    (Text(text="said", signature=GOOGLE), Text(text="more")),
    (Reasoning(text="hm", signature=GOOGLE), Text(text="so")),
    (Reasoning(text="", signature=GOOGLE), Text(text="so")),
    (Reasoning(text="in short", encrypted=OPENAI, id="rs_1", is_summary=True), Text(text="so")),
    (Reasoning(encrypted=OPENAI, id="rs_2"), Reasoning(encrypted=OPENAI), Text(text="so")),
    (Reasoning(text="hm", signature=OWN), Reasoning(encrypted=OWN), Text(text="so")),
    (Reasoning(text="", signature=OWN), Text(text="so")),
    (Reasoning(text="unsigned"), Text(text="so")),
]


def context() -> StreamContext:
    return StreamContext(
        request=ChatRequest(model="m", messages=()), response_id="msg_1", created=0, report=LossReport()
    )


def echoed(answer: bytes) -> tuple[Part, ...]:
    """What a client sends back of an answer, as it is read."""
    return read_content(JsonObject.parse(answer).raw("content"), "messages[1]", "content")


@pytest.mark.parametrize("parts", CARRIED)
def test_blobs_come_back_through_a_complete_answer(parts: tuple[Part, ...]) -> None:
    assert MESSAGES.chat is not None
    answer = MESSAGES.chat.encode_response(ChatResponse(id="x", model="m", choices=(Choice(parts=parts),)), context())
    assert echoed(answer) == parts


@pytest.mark.parametrize("parts", CARRIED)
def test_blobs_come_back_through_a_stream(parts: tuple[Part, ...]) -> None:
    assert MESSAGES.chat is not None
    encoder = MESSAGES.chat.stream_encoder(context())
    data = encoder.encode(unfold(ChatResponse(id="x", model="m", choices=(Choice(parts=parts),)))) + encoder.end()
    decoder = MESSAGES.chat.stream_decoder()
    # The client sees the blocks of the stream; a complete answer of the same blocks is what it echoes.
    seen = fold([*decoder.feed(data), *decoder.end()])
    assert echoed(MESSAGES.chat.encode_response(seen, context())) == parts


def test_a_call_signed_after_it_began_is_signed_in_the_echo() -> None:
    assert MESSAGES.chat is not None
    call = ToolCall(id="call_1", name="f", arguments='{"a":1}')
    events = unfold(ChatResponse(id="x", model="m", choices=(Choice(parts=(call,)),)))
    events.insert(2, SignatureDelta(0, 0, GOOGLE))
    encoder = MESSAGES.chat.stream_encoder(context())
    decoder = MESSAGES.chat.stream_decoder()
    seen = fold(decoder.feed(encoder.encode(events) + encoder.end()))
    [signed] = echoed(MESSAGES.chat.encode_response(seen, context()))
    assert isinstance(signed, ToolCall)
    assert signed.signature == GOOGLE


def test_own_blobs_are_never_marked() -> None:
    assert carry_as(OWN, "sealed", "rs_1") == OWN.value
    assert uncarry_as(OWN.value) == (OWN, "", None)


def test_an_ident_that_does_not_fit_is_left_out() -> None:
    assert uncarry_as(carry_as(OPENAI, "sealed", "a:b")) == (OPENAI, "sealed", None)
    assert uncarry_as(carry_as(OPENAI, "sealed", "rs_1")) == (OPENAI, "sealed", "rs_1")


def test_nothing_to_show_is_no_block() -> None:
    assert thinking_block(Reasoning()) is None
    assert thinking_block(Reasoning(text="hm")) == {"type": "thinking", "thinking": "hm", "signature": ""}


def test_unsigned_thinking_and_redacted_thinking_are_read() -> None:
    assert read_thinking("hm", "") == Reasoning(text="hm")
    assert read_redacted("EmwK") == Reasoning(encrypted=Opaque(NAME, "EmwK"))


def test_a_signature_whose_part_is_gone_is_forgotten() -> None:
    content = Raw(b'[{"type":"redacted_thinking","data":"gatewright.google.generate_content@call/x:s"}]')
    assert read_content(content, "messages[0]", "content") == ()
    content = Raw(b'[{"type":"redacted_thinking","data":"gatewright.google.generate_content@text:s"}]')
    assert read_content(content, "messages[0]", "content") == ()
