"""The gateway's own count: of streams while they pass, and at the end of exchanges that nobody reported on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.dialects.openai import CHAT, EMBEDDINGS
from gatewright.pipeline.missing_usage import count_answer, fill_usage, look_at, stream_tokens

BODY = b'{"model":"m","messages":[{"role":"user","content":"one two three four five"}]}'
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def exchange(body: bytes = BODY, **members: Any) -> Exchange:
    x = Exchange("req_1", None, {}, body, 0.0)
    x.dialect, x.target, x.requested_model, x.sent_s = CHAT, object(), "m", 1.0
    x.fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    for name, value in members.items():
        setattr(x, name, value)
    return x


def relay(x: Exchange, *blocks: bytes) -> None:
    """What a relay does with each block."""
    for block in blocks:
        x.bytes_out += len(block)
        if x.bytes_out >= x.text_due:
            look_at(x, block)
    x.first_byte_s = 2.0


def event(text: str, padding: int = 0) -> bytes:
    delta = {"choices": [{"delta": {"content": text}}], "id": "x" * padding}
    return b"data: " + msgspec.json.encode(delta) + b"\n\n"


@pytest.mark.parametrize("padding", [0, 300, 3_000])
@pytest.mark.parametrize("words", [1, 10, 500])
def test_tokens_of_a_stream_do_not_depend_on_what_is_around_its_text(words: int, padding: int) -> None:
    x = exchange()
    relay(x, *[event(" abc", padding)] * words)
    assert stream_tokens(x) == pytest.approx(words, abs=1)


def test_events_with_much_text_hold_many_tokens() -> None:
    x = exchange()
    relay(x, *[event("four" * 100)] * 20)
    assert stream_tokens(x) == 2_000


def test_short_pieces_are_a_token_each() -> None:
    x = exchange()
    relay(x, *[event("a")] * 12)
    assert stream_tokens(x) == 12


def test_a_long_stream_is_looked_at_in_part() -> None:
    x = exchange()
    looked = 0
    for _ in range(400):
        due = x.text_due
        relay(x, event(" abc", 100))
        looked += x.text_due != due or not due
    assert looked < 120
    assert stream_tokens(x) == pytest.approx(400, rel=0.02)


@pytest.mark.parametrize(
    ("dialect", "block"),
    [
        ("openai.chat", b'data: {"choices":[{"delta":{"content":"twelve bytes"}}]}\n\n'),
        ("openai.chat", b'data: {"choices":[{"delta":{"reasoning_content":"twelve bytes"}}]}\n\n'),
        ("openai.chat", b'data: {"choices":[{"delta":{"content":"","refusal":"twelve bytes"}}]}\n\n'),
        ("openai.completions", b'data: {"choices":[{"text":"twelve bytes"}]}\n\n'),
        ("openai.responses", b'data: {"type":"response.output_text.delta","delta":"twelve bytes"}\n\n'),
        ("anthropic.messages", b'data: {"delta":{"type":"text_delta","text":"twelve bytes"}}\n\n'),
        ("anthropic.messages", b'data: {"delta":{"type":"input_json_delta","partial_json":"twelve bytes"}}\n\n'),
        (
            "google.generate_content",
            b'data: {"candidates": [{"content": {"parts": [{"text": "twelve bytes"}]}}]}\r\n\r\n',
        ),
        ("bedrock.converse", b'\0\0\0\x10:message-type{"delta":{"text":"twelve bytes"}}'),
        ("cohere.chat", b'data: {"delta":{"message":{"content":{"text":"twelve bytes"}}}}\n\n'),
        ("ollama.chat", b'{"message":{"role":"assistant","content":"twelve bytes"}}\n'),
        ("openai.chat", b'data: {"choices":[{"delta":{"content":"a \\"quoted\\""}}]}\n\n'),
    ],
)
def test_text_is_found_in_every_dialect(dialect: str, block: bytes) -> None:
    x = exchange(dialect=BY_NAME[dialect])
    relay(x, block)
    assert stream_tokens(x) in (3, 4)


@pytest.mark.parametrize(
    "block", [b"data: [DONE]\n\n", b'data: {"choices":[{"delta":{"content":""}}]}\n\n', b": ping\n\n"]
)
def test_events_without_text_are_free(block: bytes) -> None:
    x = exchange()
    relay(x, *[block] * 5)
    assert stream_tokens(x) == 0


# -- at the end -------------------------------------------------------------------------------------------------------

REPORTED = Usage(input_total=9, output_total=5)


def error(kind: Kind) -> GatewayError:
    return GatewayError(kind, "it ended")


@pytest.mark.parametrize(
    "members",
    [
        {"usage": REPORTED},
        {"error": error(Kind.UPSTREAM_TIMEOUT)},
        {"error": error(Kind.UPSTREAM_REJECTED)},
        {"error": error(Kind.DISCONNECTED), "sent_s": 0.0},
        {"error": error(Kind.DISCONNECTED), "usage": REPORTED, "is_complete": True, "first_byte_s": 2.0},
        {"target": None},
        {"dialect": BY_NAME["anthropic.count_tokens"]},
    ],
    ids=["reported", "no answer", "refused", "not sent", "complete", "no target", "nothing to count"],
)
def test_what_needs_no_count(members: dict[str, Any]) -> None:
    x = exchange(**members)
    before = x.usage
    fill_usage(x)
    assert x.usage is before


@pytest.mark.parametrize(
    "kind",
    [
        None,
        Kind.DISCONNECTED,
        Kind.UPSTREAM_CUT,
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_OVERLOADED,
        Kind.QUOTA_EXCEEDED,
        Kind.INTERNAL,
    ],
)
def test_what_came_is_paid_for_however_it_ended(kind: Kind | None) -> None:
    x = exchange(error=None if kind is None else error(kind))
    relay(x, *[event(" abc")] * 30)
    fill_usage(x)
    assert x.usage is not None
    assert (x.usage.estimated, x.usage.output_total) == (True, 30)
    assert 5 <= x.usage.input_total <= 20


def test_what_was_reported_before_the_end_holds() -> None:
    x = exchange(error=error(Kind.UPSTREAM_CUT), usage=Usage(input_total=1_000, output_total=1, input_cached_read=900))
    relay(x, *[event(" abc")] * 30)
    fill_usage(x)
    assert x.usage == Usage(input_total=1_000, output_total=30, input_cached_read=900, estimated=True)


def test_a_client_that_did_not_wait_pays_its_question() -> None:
    x = exchange(error=error(Kind.DISCONNECTED))
    fill_usage(x)
    assert x.usage is not None
    assert x.usage.output_total == 0
    assert x.usage.input_total > 0


def test_embeddings_have_input_alone() -> None:
    x = exchange(b'{"model":"m","input":"one two three"}', dialect=EMBEDDINGS, answer_tokens=7)
    fill_usage(x)
    assert x.usage is not None
    assert (x.usage.output_total, x.usage.estimated) == (0, True)
    assert x.usage.input_total > 0


def test_a_request_the_hub_cannot_read_is_counted_by_its_bytes() -> None:
    x = exchange(b'{"model":"m","messages":[5]}', error=error(Kind.DISCONNECTED))
    fill_usage(x)
    assert x.usage is not None
    assert x.usage.input_total == 10


def test_a_whole_answer_is_counted_by_its_text() -> None:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one two three " * 20}}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    assert 50 <= count_answer(CHAT, msgspec.json.encode(body)) <= 100
    assert count_answer(CHAT, b"no JSON") == 0
    assert count_answer(EMBEDDINGS, b"{}") == 0
