"""Blocks of content become parts."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from gatewright.core.chat import (
    Audio,
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
    Video,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME
from gatewright.dialects.bedrock.read_blocks import OWN, read_blocks

PNG = {"format": "png", "source": {"bytes": "AAAA"}}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode())


def blocks(*content: Any, kind: Kind = Kind.MALFORMED_REQUEST) -> tuple[Part, ...]:
    return read_blocks([raw(block) for block in content], "content", kind)


TYPED = Extension(NAME, {"type": raw("tool_use")})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"text": "Hi"}, Text(text="Hi")),
        ({"text": ""}, Text(text="", extra=OWN)),
        ({"text": "Hi", "type": "text"}, Text(text="Hi", extra=Extension(NAME, {"type": raw("text")}))),
        ({"image": PNG}, Image(source=Source(media_type="image/png", data="AAAA"))),
        (
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
            Video(source=Source(media_type="video/mp4", url="s3://b/k")),
        ),
        (
            {"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}},
            Audio(source=Source(media_type="audio/mpeg", data="AAAA")),
        ),
        (
            {
                "document": {
                    "format": "pdf",
                    "name": "Doc 1",
                    "source": {"bytes": "AAAA"},
                    "context": "a bill",
                    "citations": {"enabled": True},
                }
            },
            File(
                source=Source(media_type="application/pdf", data="AAAA"),
                title="Doc 1",
                context="a bill",
                is_cited=True,
                extra=Extension(NAME, {"name": raw("Doc 1")}),
            ),
        ),
        (
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": [1.50, None]}}},
            ToolCall(id="t1", name="f", arguments='{"a":[1.5,null]}'),
        ),
        ({"toolUse": {"toolUseId": "t1", "name": "f", "input": None}}, ToolCall(id="t1", name="f", arguments="{}")),
        (
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}, "type": "tool_use"}},
            ToolCall(id="t1", name="f", arguments="{}", extra=Extension(NAME, {"type": raw("tool_use")})),
        ),
        (
            {"toolResult": {"toolUseId": "t1", "content": [{"text": "ok"}, {"image": PNG}], "status": "error"}},
            ToolResult(
                call_id="t1",
                content=(Text(text="ok"), Image(source=Source(media_type="image/png", data="AAAA"))),
                is_error=True,
            ),
        ),
        (
            {"toolResult": {"toolUseId": "t1", "content": [{"json": {"a": 1}}]}},
            ToolResult(call_id="t1", content=(Text(text='{"a":1}', extra=Extension(NAME, {"json": raw({"a": 1})})),)),
        ),
        (
            {"toolResult": {"toolUseId": "t1", "content": [], "status": "new"}},
            ToolResult(call_id="t1", extra=Extension(NAME, {"status": raw("new")})),
        ),
        (
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
            Reasoning(text="hm", signature=Opaque(NAME, "sig"), extra=OWN),
        ),
        (
            {
                "reasoningContent": {
                    "reasoningText": {"text": "hm", "signature": "gatewright.google.generate_content:s"}
                }
            },
            Reasoning(text="hm", signature=Opaque("google.generate_content", "s"), extra=OWN),
        ),
        ({"reasoningContent": {"reasoningText": {"text": "hm"}}}, Reasoning(text="hm", extra=OWN)),
        (
            {"reasoningContent": {"redactedContent": "RXU4RUNr"}},
            Reasoning(encrypted=Opaque(NAME, "RXU4RUNr"), extra=OWN),
        ),
        (
            {"reasoningContent": {"redactedContent": b64("gatewright.openai.responses:gAAA==")}},
            Reasoning(encrypted=Opaque("openai.responses", "gAAA=="), extra=OWN),
        ),
        (
            {"guardContent": {"text": {"text": "safe?", "qualifiers": ["query"]}}},
            Text(
                text="safe?",
                extra=Extension(NAME, {"guardContent": raw({"text": {"text": "safe?", "qualifiers": ["query"]}})}),
            ),
        ),
        (
            {"guardContent": {"image": PNG}},
            Image(
                source=Source(media_type="image/png", data="AAAA"),
                extra=Extension(NAME, {"guardContent": raw({"image": PNG})}),
            ),
        ),
    ],
)
def test_blocks(block: dict[str, Any], part: Part) -> None:
    assert blocks(block) == (part,)


@pytest.mark.parametrize(
    ("name", "extra", "part"),
    [
        ("gwx-a-2Eb", {}, ToolCall(id="t1", name="a.b", arguments="{}")),
        ("gwx-a-2Eb", {"type": "tool_use"}, ToolCall(id="t1", name="a.b", arguments="{}", extra=TYPED)),
        (JSON_TOOL, {}, Text(text="{}")),
        (JSON_TOOL, {"type": "tool_use"}, Text(text="{}")),
    ],
)
def test_names_written_for_the_upstream_are_read_in_answers_alone(name: str, extra: dict[str, Any], part: Part) -> None:
    block = {"toolUse": {"toolUseId": "t1", "name": name, "input": {}, **extra}}
    assert blocks(block, kind=Kind.UPSTREAM_BAD_RESPONSE) == (part,)
    (said,) = blocks(block)
    assert isinstance(said, ToolCall)
    assert said.name == name


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"searchResult": {"source": "s", "title": "t", "content": []}}, "searchResult"),
        ({"toolUse": {"toolUseId": "t", "name": "code", "input": {}, "type": "server_tool_use"}}, "toolUse"),
        ({"toolResult": {"toolUseId": "t", "content": [], "type": "code_result"}}, "toolResult"),
        ({"guardContent": {"sound": {}}}, "guardContent"),
        ({"reasoningContent": {"new": {}}}, "reasoningContent"),
        ({"somethingNew": {"a": 1}}, "somethingNew"),
        ({}, "block"),
        ({"cachePoint": {"type": "default"}}, "cachePoint"),
    ],
)
def test_blocks_only_converse_knows(block: dict[str, Any], kind: str) -> None:
    assert blocks(block) == (Native(dialect=NAME, kind=kind, raw=raw(block)),)


@pytest.mark.parametrize(
    ("point", "mark"),
    [
        ({"type": "default"}, CacheMark()),
        ({"type": "default", "ttl": "5m"}, CacheMark("5m")),
        ({"type": "default", "ttl": "1h"}, CacheMark("1h")),
    ],
)
def test_cache_points_mark_what_stands_before(point: dict[str, Any], mark: CacheMark) -> None:
    assert blocks({"text": "a"}, {"cachePoint": point}, {"text": "b"}) == (Text(text="a", cache=mark), Text(text="b"))


@pytest.mark.parametrize("point", [{"type": "other"}, {"type": "default", "ttl": "2h"}, {"type": "default", "x": 1}])
def test_cache_points_no_mark_can_hold_stay_blocks(point: dict[str, Any]) -> None:
    block = {"cachePoint": point}
    assert blocks({"text": "a"}, block) == (Text(text="a"), Native(dialect=NAME, kind="cachePoint", raw=raw(block)))


def test_a_second_cache_point_stays_a_block() -> None:
    block = {"cachePoint": {"type": "default"}}
    assert blocks({"text": "a"}, block, block) == (
        Text(text="a", cache=CacheMark()),
        Native(dialect=NAME, kind="cachePoint", raw=raw(block)),
    )
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    assert blocks(thought, block)[1] == Native(dialect=NAME, kind="cachePoint", raw=raw(block))


def test_citations() -> None:
    cited = {
        "title": "Bill",
        "sourceContent": [{"text": "sum "}, {"text": "5"}],
        "location": {"web": {"url": "https://a.example/", "domain": "a.example"}},
    }
    page = {"location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}
    members = {name: raw(value) for name, value in cited.items()}
    (part,) = blocks({"citationsContent": {"content": [{"text": "It is 5."}], "citations": [cited, page]}})
    assert part == Text(
        text="It is 5.",
        citations=(
            Citation(url="https://a.example/", title="Bill", quote="sum 5", extra=Extension(NAME, members)),
            Citation(extra=Extension(NAME, {"location": raw(page["location"])})),
        ),
    )
    unusual = {"content": [{"text": "a"}, {"text": "b"}], "citations": []}
    assert blocks({"citationsContent": unusual}) == (
        Text(text="ab", extra=Extension(NAME, {"citationsContent": raw(unusual)})),
    )


@pytest.mark.parametrize(
    ("block", "path"),
    [
        (5, "content[0]"),
        ({"text": 5}, "content[0].text"),
        ({"image": {"format": "png"}}, "content[0].image.source"),
        ({"toolUse": {"name": "f", "input": {}}}, "content[0].toolUse.toolUseId"),
        ({"toolUse": {"toolUseId": "t", "input": {}}}, "content[0].toolUse.name"),
        ({"toolResult": {"content": []}}, "content[0].toolResult.toolUseId"),
        ({"toolResult": {"toolUseId": "t", "content": {}}}, "content[0].toolResult.content"),
        ({"toolResult": {"toolUseId": "t", "content": [{"text": 1}]}}, "content[0].toolResult.content[0].text"),
        ({"reasoningContent": "x"}, "content[0].reasoningContent"),
    ],
)
def test_wrong_shapes_are_named(block: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        blocks(block)
    assert caught.value.kind is Kind.MALFORMED_REQUEST
    assert caught.value.param == path


@pytest.mark.parametrize(
    "content",
    [
        {"reasoningText": {"text": "hm", "signature": "gatewright.google.generate_content:s"}},
        {"redactedContent": b64("gatewright.openai.responses@sealed/rs_1:gAAA")},
    ],
)
def test_what_an_upstream_says_is_its_own_whatever_it_holds(content: dict[str, Any]) -> None:
    (part,) = blocks({"reasoningContent": content}, kind=Kind.UPSTREAM_BAD_RESPONSE)
    assert isinstance(part, Reasoning)
    blob = part.signature or part.encrypted
    assert blob is not None
    assert blob.dialect == NAME


def test_carried_signatures_come_back_to_their_parts() -> None:
    hidden = {"reasoningContent": {"redactedContent": b64("gatewright.google.generate_content@text:s")}}
    assert blocks({"text": "Hi"}, hidden) == (Text(text="Hi", signature=Opaque("google.generate_content", "s")),)
