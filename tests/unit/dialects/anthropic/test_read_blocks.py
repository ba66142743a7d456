"""Content blocks as parts."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import (
    CacheMark,
    Citation,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.anthropic.read_blocks import read_block, read_content
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.wire.json_object import render_json


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


BLOCKS: list[tuple[dict[str, Any], Part]] = [
    ({"type": "text", "text": "hi"}, Text(text="hi")),
    (
        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "citations": None},
        Text(text="hi", cache=CacheMark("1h")),
    ),
    (
        {"type": "text", "text": "hi", "new": 1},
        Text(text="hi", extra=Extension(NAME, {"new": Raw(b"1")})),
    ),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR"}},
        Image(source=Source(media_type="image/png", data="iVBOR")),
    ),
    ({"type": "image", "source": {"type": "url", "url": "https://x"}}, Image(source=Source(url="https://x"))),
    (
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        Image(source=Source(file_id="file_1", dialect=NAME)),
    ),
    (
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "é"},
            "title": "T",
            "context": "C",
            "citations": {"enabled": True},
        },
        File(source=Source(media_type="text/plain", data=encoded("é")), title="T", context="C", is_cited=True),
    ),
    (
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi"}},
        File(source=Source(media_type="application/pdf", data="JVBERi")),
    ),
    (
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ToolCall(id="t", name="f", arguments='{"a":1}'),
    ),
    ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, ToolCall(id="t", name="f", arguments="{}")),
    ({"type": "tool_use", "id": "t", "name": "f"}, ToolCall(id="t", name="f", arguments="{}")),
    ({"type": "tool_result", "tool_use_id": "t"}, ToolResult(call_id="t")),
    (
        {"type": "tool_result", "tool_use_id": "t", "content": "r", "is_error": True},
        ToolResult(call_id="t", content=(Text(text="r"),), is_error=True),
    ),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [
                {"type": "text", "text": "r"},
                {"type": "image", "source": {"type": "url", "url": "https://x"}},
            ],
        },
        ToolResult(call_id="t", content=(Text(text="r"), Image(source=Source(url="https://x")))),
    ),
    (
        {"type": "thinking", "thinking": "hm", "signature": "Eq"},
        Reasoning(text="hm", signature=Opaque(NAME, "Eq")),
    ),
    ({"type": "thinking", "thinking": "", "signature": "Eq"}, Reasoning(signature=Opaque(NAME, "Eq"))),
    ({"type": "redacted_thinking", "data": "Em"}, Reasoning(encrypted=Opaque(NAME, "Em"))),
]


@pytest.mark.parametrize(("block", "part"), BLOCKS)
@pytest.mark.parametrize("kind", [Kind.MALFORMED_REQUEST, Kind.UPSTREAM_BAD_RESPONSE])
def test_blocks(block: dict[str, Any], part: Part, kind: Kind) -> None:
    assert read_block(render_json(block), "content[0]", kind) == part


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "search_result", "source": "kb", "title": "T", "content": [{"type": "text", "text": "x"}]},
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "image", "source": {"type": "hologram", "data": "x"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {}}]}},
        {"type": "something_new", "x": 1},
    ],
)
def test_what_only_the_vendor_knows_is_kept_whole(block: dict[str, Any]) -> None:
    raw = render_json(block)
    assert read_block(raw, "content[0]") == Native(dialect=NAME, kind=block["type"], raw=raw)


def test_marks_of_native_blocks_are_seen() -> None:
    part = read_block(Raw(b'{"type":"search_result","cache_control":{"type":"ephemeral"}}'), "content[0]")
    assert isinstance(part, Native)
    assert part.cache == CacheMark()


@pytest.mark.parametrize("content", ["words", [{"type": "text", "text": "wor"}, {"type": "text", "text": "ds"}]])
def test_chunks_of_a_document_are_text_to_others(content: Any) -> None:
    source = {"type": "content", "content": content}
    part = read_block(render_json({"type": "document", "source": source}), "content[0]")
    assert isinstance(part, File)
    text = "words" if isinstance(content, str) else "wor\nds"
    assert part.source == Source(media_type="text/plain", data=encoded(text))
    assert part.extra == Extension(NAME, {"source": render_json(source)})


def test_citations_are_read() -> None:
    location = {"type": "web_search_result_location", "url": "https://x", "cited_text": "q", "encrypted_index": "E"}
    part = read_block(render_json({"type": "text", "text": "a", "citations": [location]}), "content[0]")
    assert isinstance(part, Text)
    assert isinstance(part.citations[0], Citation)
    assert (part.citations[0].url, part.citations[0].quote) == ("https://x", "q")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ()),
        (Raw(b'""'), ()),
        (Raw(b"[]"), ()),
        (Raw(b'"hi"'), (Text(text="hi"),)),
        (Raw(b'"\\ud800"'), (Text(text="\ufffd"),)),
        (Raw(b'[{"type":"text","text":"\\ud800"}]'), (Text(text="\ufffd"),)),
        (Raw(b'[ {"type" : "text", "text":"a"},{"type":"text","text":"b"}]'), (Text(text="a"), Text(text="b"))),
        (
            Raw(b'[{"type":"text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{"n":1e400}}]'),
            (Text(text="a"), ToolCall(id="t", name="f", arguments='{"n":1e400}')),
        ),
    ],
)
def test_content(content: Raw | None, parts: tuple[Part, ...]) -> None:
    assert read_content(content, "messages[0]", "content") == parts


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b"7", "messages[0].content"),
        (b"[7]", "messages[0].content[0]"),
        (b'[{"text":"x"}]', "messages[0].content[0].type"),
        (b'[{"type":"text"}]', "messages[0].content[0].text"),
        (b'[{"type":"text","text":"a"},{"type":"text","text":1}]', "messages[0].content[1].text"),
        (b'[{"type":"tool_use","id":"t","name":"f","input":"{}"}]', "messages[0].content[0].input"),
        (b'[{"type":"tool_use","name":"f","input":{}}]', "messages[0].content[0].id"),
        (b'[{"type":"tool_result","content":"x"}]', "messages[0].content[0].tool_use_id"),
        (
            b'[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text"}]}]',
            "messages[0].content[0].content[0].text",
        ),
        (b'[{"type":"image","source":{"type":"url"}}]', "messages[0].content[0].source.url"),
        (b'[{"type":"image","source":7}]', "messages[0].content[0].source"),
        (b'[{"type":"redacted_thinking"}]', "messages[0].content[0].data"),
    ],
)
def test_wrong_shapes_are_named(content: bytes, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_content(Raw(content), "messages[0]", "content")
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
    with pytest.raises(GatewayError) as caught:
        read_content(Raw(content), "", "content", Kind.UPSTREAM_BAD_RESPONSE)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
