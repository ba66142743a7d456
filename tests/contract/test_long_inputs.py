"""Long inputs, cached ones among them: the same step of the prices for a whole answer and for a stream."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gatewright.config.catalogue import ModelFacts, Prices, Step
from gatewright.config.pricing import compile_pricing
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.identity import IdentityStream, rewrite_answer
from gatewright.translate.passing import PassedStream

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
PRICES = Prices(
    input="1",
    input_cached_read="0.1",
    input_audio="3",
    output="10",
    steps=(Step(above_input_tokens=200_000, input="2", input_cached_read="0.2", output="20"),),
)
CACHED, OUT = 150_000, 10


def answer(dialect: str, total: int) -> Any:
    """A complete answer of so much input, by each vendor's own counting rule."""
    match dialect:
        case "anthropic.messages":
            usage: Any = {"input_tokens": total - CACHED, "cache_read_input_tokens": CACHED, "output_tokens": OUT}
            return {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": usage}
        case "google.generate_content":
            counts = {"promptTokenCount": total, "cachedContentTokenCount": CACHED, "candidatesTokenCount": OUT}
            part = {"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0}
            return {"candidates": [part], "usageMetadata": counts | {"totalTokenCount": total + OUT}}
        case "openai.responses":
            usage = {"input_tokens": total, "input_tokens_details": {"cached_tokens": CACHED}, "output_tokens": OUT}
            return {"id": "r", "object": "response", "status": "completed", "model": "g", "output": [], "usage": usage}
        case _:
            usage = {"prompt_tokens": total, "prompt_tokens_details": {"cached_tokens": CACHED}}
            return {"id": "c", "model": "g", "choices": [], "usage": usage | {"completion_tokens": OUT}}


def events(dialect: str, total: int) -> list[Any]:
    """The same as a stream."""
    whole = answer(dialect, total)
    match dialect:
        case "anthropic.messages":
            started = whole | {"usage": whole["usage"] | {"output_tokens": 1}}
            return [
                {"type": "message_start", "message": started},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": OUT}},
                {"type": "message_stop"},
            ]
        case "google.generate_content":
            first = {"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "index": 0}]}
            return [first | {"usageMetadata": {"promptTokenCount": total, "totalTokenCount": total}}, whole]
        case "openai.responses":
            begun = whole | {"status": "in_progress", "usage": None}
            return [{"type": "response.created", "response": begun}, {"type": "response.completed", "response": whole}]
        case _:
            return [{"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}, whole]


def whole_usage(dialect: str, total: int) -> Usage | None:
    return rewrite_answer(BY_NAME[dialect], msgspec.json.encode(answer(dialect, total)), None)[1]


def streamed_usage(name: str, total: int) -> Usage | None:
    dialect = BY_NAME[name]
    codec = IdentityStream(dialect, None, hide_usage=False) if dialect.is_scanned else PassedStream(dialect, None)
    for event in events(name, total):
        head = b"event: %b\n" % event["type"].encode() if "type" in event else b""
        codec.feed(head + b"data: %b\n\n" % msgspec.json.encode(event))
    codec.end()
    return codec.usage


@pytest.mark.parametrize("usage_of", [whole_usage, streamed_usage])
@pytest.mark.parametrize(
    "dialect", ["openai.chat", "openai.responses", "anthropic.messages", "google.generate_content"]
)
@pytest.mark.parametrize(("total", "dollars"), [(200_000, "0.0651"), (200_001, "0.130202")])
def test_the_step_begins_behind_its_boundary(usage_of: Any, dialect: str, total: int, dollars: str) -> None:
    pricing = compile_pricing(ModelFacts(prices=PRICES))
    assert pricing is not None
    cost = pricing.cost(usage_of(dialect, total))
    assert cost is not None
    assert Decimal(cost).scaleb(-15) == Decimal(dollars)


MODALITIES = {
    "promptTokenCount": 300,
    "candidatesTokenCount": 40,
    "totalTokenCount": 340,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 10},
        {"modality": "AUDIO", "tokenCount": 32},
        {"modality": "VIDEO", "tokenCount": 258},
    ],
}


@pytest.mark.parametrize("is_stream", [False, True])
def test_audio_has_its_price_and_video_that_of_text(is_stream: bool) -> None:
    whole = answer("google.generate_content", 300) | {"usageMetadata": MODALITIES}
    dialect = BY_NAME["google.generate_content"]
    if is_stream:
        codec = PassedStream(dialect, None)
        codec.feed(b"data: %b\r\n\r\n" % msgspec.json.encode(whole))
        codec.end()
        usage = codec.usage
    else:
        usage = rewrite_answer(dialect, msgspec.json.encode(whole), None)[1]
    pricing = compile_pricing(ModelFacts(prices=PRICES))
    assert usage is not None
    assert pricing is not None
    cost = pricing.cost(usage)
    assert cost is not None
    assert Decimal(cost).scaleb(-15) == Decimal("0.000764")  # 268 at 1, 32 at 3, 40 at 10
