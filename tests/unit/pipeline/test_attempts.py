"""Attempts: what goes out in the client's dialect, what through the hub, and when another target is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateways import Answer, World, document

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.loss import Feature, LossReport
from gatewright.core.reply import Reply
from gatewright.core.surface import Dialect
from gatewright.dialects.anthropic import COUNT_TOKENS, MESSAGES
from gatewright.dialects.openai import CHAT
from gatewright.pipeline.attempts import OpenStream, fail_over, render_losses
from gatewright.pipeline.lifecycle import open_exchange
from gatewright.testing import answers

ASK = b'{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "top_k": 5}'


def opened(world: World, x: Exchange, dialect: Dialect) -> Reply | OpenStream:
    return asyncio.run(open_exchange(x, dialect, world.ports, world.send))


def body_of(request: bytes) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(request.partition(b"\r\n\r\n")[2])
    return body


def test_another_dialect_goes_through_the_hub_and_comes_back() -> None:
    world = World()
    world.script = [Answer(body=answers.chat_completion())]
    x = world.exchange(world.snapshot(document()), ASK, traceparent=b"00-1", anthropic_beta=b"b")
    reply = opened(world, x, MESSAGES)
    assert isinstance(reply, Reply)
    answer = msgspec.json.decode(reply.body)
    assert (answer["type"], answer["model"], x.usage and x.usage.output_total) == ("message", "m", 5)
    _, request = world.sent[0]
    assert b"POST /v1/chat/completions " in request
    assert b"traceparent: 00-1" in request
    assert b"anthropic-beta" not in request, "headers of one vendor mean nothing to another"
    assert body_of(request)["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("fidelity", "refused"), [("warn", False), ("strict", True)])
def test_losses_are_told_or_refused(fidelity: str, refused: bool) -> None:
    world = World()
    world.script = [Answer(body=answers.chat_completion())]
    body = ASK.replace(b'"top_k"', b'"cache_control": {"type": "ephemeral"}, "top_k"')
    x = world.exchange(world.snapshot(document(model={"fidelity": fidelity})), body)
    if refused:
        with pytest.raises(GatewayError) as error:
            opened(world, x, MESSAGES)
        assert error.value.kind is Kind.UNSUPPORTED_FEATURE
        assert world.sent == []
    else:
        reply = opened(world, x, MESSAGES)
        assert isinstance(reply, Reply)
        assert dict(reply.headers)[b"x-gatewright-loss"] == b"cache_mark=dropped"


def test_losses_of_a_complete_answer_are_told_too() -> None:
    world = World()
    answer = answers.chat_completion().replace(b'"content":', b'"images":[{"image_url":{"url":"x:y"}}],"content":')
    world.script = [Answer(body=answer)]
    body = b'{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}'
    reply = opened(world, world.exchange(world.snapshot(document()), body), MESSAGES)
    assert isinstance(reply, Reply)
    assert b"media_output=" in dict(reply.headers)[b"x-gatewright-loss"]


def both() -> dict[str, Any]:
    """One model at a host of chat completions, another at one of messages."""
    given = document()
    given["providers"]["c"] = {"type": "claude"}
    given["models"]["n"] = {"targets": [{"provider": "c", "model": "claude-x"}]}
    return given


@pytest.mark.parametrize("is_mixed", [True, False])
def test_what_another_provider_signed_does_not_pass_through(is_mixed: bool) -> None:
    world = World()
    carried = b'[{"type": "reasoning.text", "text": "t", "signature": "gatewright.anthropic.messages:c2ln"}]'
    turn = b'{"role": "assistant", "content": "a", "reasoning_details": %b}' % carried
    body = b'{"model": "m", "messages": [%b, {"role": "user", "content": "b"}]}' % turn
    world.script = [Answer(body=answers.chat_completion())]
    x = world.exchange(world.snapshot(both() if is_mixed else document()), body)
    reply = opened(world, x, CHAT)
    assert isinstance(reply, Reply)
    assert msgspec.json.decode(reply.body)["model"] == "m"
    assert (b"c2ln" in world.sent[0][1]) is not is_mixed
    if not is_mixed:
        return  # nobody here can have issued it, so nobody looks
    assert x.losses is not None
    assert {loss.feature for loss in x.losses.entries} == {Feature.REASONING_REPLAY}


def test_tokens_are_estimated_where_nobody_counts_them() -> None:
    world = World()
    reply = opened(world, world.exchange(world.snapshot(document()), ASK), COUNT_TOKENS)
    assert isinstance(reply, Reply)
    assert msgspec.json.decode(reply.body)["input_tokens"] > 0
    assert (b"x-gatewright-estimated", b"true") in reply.headers
    assert world.sent == []


def test_an_error_is_told_in_the_clients_words_not_the_providers() -> None:
    world = World()
    world.script = [Answer(400, b'{"error": {"message": "bad tools", "type": "x", "code": "c"}}')]
    with pytest.raises(GatewayError) as refused:
        opened(world, world.exchange(world.snapshot(document()), ASK), MESSAGES)
    assert (refused.value.status, refused.value.body) == (400, None)
    assert "bad tools" in refused.value.message
    assert msgspec.json.decode(MESSAGES.render_error(refused.value, "r"))["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("kind", "is_tried"),
    [
        (Kind.UPSTREAM_CUT, True),
        (Kind.UPSTREAM_RESET, True),
        (Kind.UPSTREAM_OVERLOADED, True),
        (Kind.UPSTREAM_BAD_RESPONSE, False),
        (Kind.INTERNAL, False),
        (Kind.DISCONNECTED, False),
    ],
)
def test_a_stream_that_failed_unseen_is_tried_elsewhere(kind: Kind, is_tried: bool) -> None:
    world = World()
    snapshot = world.snapshot(document((("a", 1),), (("b", 1),)))
    x = world.exchange(snapshot, b'{"model": "m", "stream": true, "messages": []}')
    world.script = [Answer(body=None), Answer(body=None)]
    assert isinstance(opened(world, x, CHAT), OpenStream)
    error = GatewayError(kind, "it broke")
    if is_tried:
        assert isinstance(asyncio.run(fail_over(x, CHAT, world.ports, world.send, error)), OpenStream)
        assert [name for name, _ in world.sent] == ["a", "b"]
        with pytest.raises(GatewayError, match="it broke"):
            asyncio.run(fail_over(x, CHAT, world.ports, world.send, error))
    else:
        with pytest.raises(GatewayError, match="it broke"):
            asyncio.run(fail_over(x, CHAT, world.ports, world.send, error))


def test_the_header_of_losses_is_short_and_says_when_there_are_more() -> None:
    report = LossReport("permissive")
    for feature in Feature:
        report.dropped(feature, "x" * 500, "y" * 500)
        report.dropped(feature, "x", "y")
    value = render_losses(report)
    assert len(value) < 1_100
    assert value.startswith(b"system=dropped; developer=dropped")
    assert value.endswith(b"; more=true")
