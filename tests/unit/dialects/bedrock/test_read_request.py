"""A client's Converse request, as the reference describes it, in the hub's terms and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import decoded, encoded

from gatewright.core.chat import (
    CacheMark,
    Extension,
    Message,
    NativeTool,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.bedrock.names import NAME

HELLO = {"role": "user", "content": [{"text": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WHOLE: dict[str, Any] = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {"role": "user", "content": [{"text": "Weather?"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Paris"}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "sunny"}], "status": "success"}}],
        },
    ],
    "inferenceConfig": {"maxTokens": 5000, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"], "new": 1},
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "weather", "description": "Tells.", "inputSchema": {"json": SCHEMA}, "strict": True}},
            {"cachePoint": {"type": "default"}},
            {"systemTool": {"name": "nova_code_interpreter"}},
        ],
        "toolChoice": {"auto": {}},
    },
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "City", "description": "A city."}},
        }
    },
    "additionalModelRequestFields": {"top_k": 5, "anthropic_beta": ["x"]},
    "additionalModelResponseFieldPaths": ["/stop_sequence"],
    "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
    "performanceConfig": {"latency": "optimized"},
    "promptVariables": {"name": {"text": "Ada"}},
    "requestMetadata": {"team": "search"},
    "serviceTier": {"type": "flex"},
    "somethingNew": {"a": 1},
}


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_a_whole_request_is_read() -> None:
    request = decoded(WHOLE, model="assistant", stream=True)
    assert request.model == "assistant"
    assert request.stream
    system, first, second, third = request.messages
    assert system == Message(role="system", parts=(Text(text="Be brief.", cache=CacheMark()),))
    assert first == Message(role="user", parts=(Text(text="Weather?", cache=CacheMark("1h")),))
    assert second.parts[1] == ToolCall(id="t1", name="weather", arguments='{"city": "Paris"}')
    assert third.parts == (ToolResult(call_id="t1", content=(Text(text="sunny"),), is_error=False),)
    assert request.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=5, stop=("END",))
    assert request.max_output_tokens == 5000
    assert request.tools == (
        Tool(name="weather", description="Tells.", parameters=raw(SCHEMA), strict=True, cache=CacheMark()),
        NativeTool(dialect=NAME, kind="systemTool", raw=raw({"systemTool": {"name": "nova_code_interpreter"}})),
    )
    assert request.tool_choice == ToolChoice(mode="auto")
    assert request.response_format == ResponseFormat(
        kind="json_schema", name="City", description="A city.", schema=raw(SCHEMA)
    )
    assert request.metadata == {"team": "search"}
    assert request.service_tier == "flex"
    assert request.extra is not None
    assert request.extra.dialect == NAME
    assert sorted(request.extra.members) == [
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "inferenceConfig",
        "performanceConfig",
        "promptVariables",
        "somethingNew",
    ]


def test_a_whole_request_comes_back() -> None:
    assert encoded(decoded(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    "members",
    [
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}],
                "toolChoice": {"any": {}},
            }
        },
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}, "new": 1}}, {"newTool": {}}],
                "toolChoice": {"tool": {"name": "f"}},
            }
        },
        {"toolConfig": {"tools": [{"cachePoint": {"type": "default"}}], "new": 1}},
        {"serviceTier": {"type": "newest", "note": "x"}},
        {"outputConfig": {"effort": "high"}},
        {"outputConfig": {"effort": "high", "new": True}},
        {"additionalModelRequestFields": {"inferenceConfig": {"topK": 10}}},
        {"additionalModelRequestFields": {"inferenceConfig": {"topK": 10, "new": 1}, "more": 2}},
        {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}}},
        {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}},
        {"additionalModelRequestFields": {"reasoning_config": "high"}},
        {"additionalModelRequestFields": {"reasoning_effort": "medium"}},
        {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
        {"additionalModelRequestFields": {"test": "test"}},
    ],
)
def test_members_come_back(members: dict[str, Any]) -> None:
    body = {"messages": [HELLO], **members}
    assert encoded(decoded(body)) == body


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a"}, {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default"}}],
        [{"document": {"format": "txt", "name": "A_b.c", "source": {"text": "words"}}}, {"text": "?"}],
        [{"document": {"name": "D", "source": {"content": [{"text": "w"}]}, "citations": {"enabled": True}}}],
        [{"guardContent": {"text": {"text": "q", "qualifiers": ["query"]}}}],
        [{"guardContent": {"image": {"format": "png", "source": {"bytes": "AAAA"}}}}],
        [{"searchResult": {"source": "s", "title": "t", "content": [{"text": "x"}]}}],
        [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "1"}}, "new": 1}}],
        [{"toolResult": {"toolUseId": "t", "content": [{"json": {"a": 1.0}}, {"searchResult": {"title": "t"}}]}}],
        [{"citationsContent": {"content": [{"text": "x"}], "citations": [{"title": "t", "location": {"new": {}}}]}}],
        [{"reasoningContent": {"redactedContent": "AAAA"}}, {"text": "x"}],
        [{"reasoningContent": {"reasoningText": {"text": "x", "signature": "s"}}}],
    ],
)
def test_content_comes_back(content: list[Any]) -> None:
    # Tools are defined, as they must be beside a result.
    config = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}
    body = {"messages": [{"role": "user", "content": content}], "toolConfig": config}
    assert encoded(decoded(body)) == body


def test_unsigned_thoughts_come_back_to_models_that_sign_none() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    body = {"messages": [HELLO, {"role": "assistant", "content": [thought, {"text": "x"}]}, HELLO]}
    assert encoded(decoded(body, model="openai.gpt-oss-120b-1:0")) == body


def test_system_messages_in_the_conversation_come_back() -> None:
    body = {"messages": [HELLO, {"role": "system", "content": [{"text": "Now in French."}]}, {**HELLO, "new": 1}]}
    request = decoded(body)
    assert [message.role for message in request.messages] == ["user", "system", "user"]
    assert encoded(request) == body


def test_what_means_nothing_is_left_out() -> None:
    body: dict[str, Any] = {
        "messages": [HELLO],
        "system": [],
        "inferenceConfig": {},
        "toolConfig": None,
        "outputConfig": {},
    }
    request = decoded(body)
    assert request.extra is None
    assert encoded(request) == {"messages": [HELLO]}
    assert decoded({}).messages == ()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": {}}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": []}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "messages[0].content"),
        ({"messages": [HELLO, {"role": "user", "content": [{"text": 1}]}]}, "messages[1].content[0].text"),
        ({"system": "Hi"}, "system"),
        ({"inferenceConfig": {"maxTokens": "5"}}, "inferenceConfig.maxTokens"),
        ({"inferenceConfig": {"stopSequences": "x"}}, "inferenceConfig.stopSequences"),
        ({"toolConfig": {"tools": {}}}, "toolConfig.tools"),
        ({"toolConfig": {"tools": [{"toolSpec": {}}]}}, "toolConfig.tools[0].toolSpec.name"),
        ({"toolConfig": {"tools": [], "toolChoice": {}}}, "toolConfig.toolChoice"),
        ({"outputConfig": {"textFormat": {"type": "json_schema"}}}, "outputConfig.textFormat.structure"),
        (
            {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        ({"requestMetadata": {"a": 1}}, "requestMetadata"),
        ({"additionalModelRequestFields": []}, "additionalModelRequestFields"),
        ({"additionalModelRequestFields": {"top_k": "x"}}, "additionalModelRequestFields.top_k"),
    ],
)
def test_wrong_shapes_are_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decoded(body)
    assert caught.value.kind is Kind.MALFORMED_REQUEST
    assert caught.value.param == path


def test_extensions_travel_as_they_were_spelled() -> None:
    request = decoded({"messages": [HELLO]})
    spelled = Extension(NAME, {"additionalModelResponseFieldPaths": msgspec.Raw(b'[ "/a" ]')})
    again = msgspec.structs.replace(request, extra=spelled)
    assert encoded(again)["additionalModelResponseFieldPaths"] == ["/a"]
