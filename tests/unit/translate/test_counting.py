"""Estimates are near, never zero for something, and grow with what is sent."""

import pytest
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Image,
    Message,
    Native,
    Reasoning,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gatewright.core.embedding import EmbeddingRequest
from gatewright.translate.counting import estimate_tokens


def chat(*parts: object, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message(role="user", parts=parts),), tools=tools)  # type: ignore[arg-type]


def test_english_prose_comes_near_its_real_count() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 20  # 201 tokens by o200k_base
    assert 180 <= estimate_tokens(chat(Text(text=text))) <= 260


@pytest.mark.parametrize(
    "part",
    [
        Text(text="x" * 40),
        Reasoning(text="x" * 40),
        ToolCall(id="1", name="f", arguments='{"a":' + "1" * 40 + "}"),
        ToolResult(call_id="1", content=(Text(text="x" * 40),)),
        Native(dialect="d", kind="k", raw=Raw(b'"' + b"x" * 40 + b'"')),
        Image(source=Source(url="https://a.example/b.png")),
    ],
)
def test_every_kind_of_part_counts(part: object) -> None:
    assert estimate_tokens(chat(part)) >= estimate_tokens(chat()) + 10


def test_tools_count() -> None:
    tool = Tool(name="look_up", description="Find a word. " * 10, parameters=Raw(b'{"type":"object"}'))
    assert estimate_tokens(chat(tools=(tool,))) >= 30


def test_embedding_inputs_count() -> None:
    assert estimate_tokens(EmbeddingRequest(model="m", texts=("x" * 40, "y"))) == 11
    assert estimate_tokens(EmbeddingRequest(model="m", token_lists=((1, 2, 3), (4,)))) == 4
