"""Counting a request's tokens."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Message, Sampling, Text, Tool
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.count import (
    decode_count_request,
    decode_count_response,
    encode_count_request,
    encode_count_response,
    read_count,
)


def test_only_the_question_is_sent() -> None:
    request = ChatRequest(
        model="m",
        messages=(Message(role="system", parts=(Text(text="s"),)), Message(role="user", parts=(Text(text="u"),))),
        tools=(Tool(name="f"),),
        sampling=Sampling(temperature=0.1, n=3),
        max_output_tokens=9,
        user="u",
        service_tier="default",
        stream=True,
    )
    body = encode_count_request(request, Traits(), LossReport("strict"))
    assert set(body) == {"model", "system", "messages", "tools"}


def test_a_request_is_read_as_one_for_messages() -> None:
    fields = {"messages": Raw(b'[{"role":"user","content":"hi"}]'), "model": Raw(b'"x"')}
    request = decode_count_request(fields, "m")
    assert (request.model, request.stream) == ("m", False)
    assert request.messages == (Message(role="user", parts=(Text(text="hi"),)),)


def test_counts_come_back() -> None:
    assert decode_count_response(encode_count_response(14)) == 14
    assert read_count(b'{"input_tokens":14}') == (None, None)
    assert read_count(b'{"input_tokens":"x"}') == (None, None)
    with pytest.raises(msgspec.DecodeError):
        read_count(b"[]")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"input_tokens":-1}', b'{"input_tokens":"x"}'])
def test_no_count_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_count_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
