from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest, NativeTool, ReasoningConfig, ResponseFormat, Tool, ToolCall, ToolResult
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.ollama.names import NAME, OWN
from gatewright.dialects.ollama.read_request import decode_request
from gatewright.dialects.ollama.write_request import encode_request

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}


def read(body: dict[str, Any]) -> ChatRequest:
    return decode_request(_fields.decode(msgspec.json.encode(body)), "m", body.get("stream") is not False)


def written(request: ChatRequest) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_request(request, DEFAULT, LossReport("strict"))))


def call(name: str, **members: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {}}, **members}


BODIES: list[dict[str, Any]] = [
    {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
    {"messages": [{"role": "user", "content": "u", "images": ["iVBORw0KGgo="], "new": 1}], "keep_alive": "5m"},
    {
        "messages": [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call("f"), call("g")]},
            {"role": "tool", "content": "1", "tool_name": "f"},
            {"role": "tool", "content": "2"},
        ],
        "tools": [TOOL, {"type": "hosted", "x": 1}],
    },
    {
        "messages": [
            {"role": "assistant", "content": "", "tool_calls": [call("f", id="c1")]},
            {"role": "tool", "content": "1", "tool_call_id": "c1", "tool_name": "f"},
        ]
    },
    {
        "messages": [],
        "options": {
            "num_predict": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "stop": ["a"],
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "num_ctx": 8192,
            "repeat_penalty": 1.1,
        },
    },
    {"messages": [], "options": {"num_predict": -1}, "logprobs": True, "top_logprobs": 3},
    {"messages": [], "format": "json", "think": True},
    {"messages": [], "format": {"type": "object"}, "think": "high", "truncate": False},
    {"messages": [], "think": "something-new"},
    {"messages": [], "think": False},
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("body", BODIES)
def test_requests_come_back(body: dict[str, Any], stream: bool) -> None:
    sent = {"model": "m", **body, "stream": stream}
    assert written(read(sent)) == sent


def test_what_the_hub_knows_is_read() -> None:
    request = read(BODIES[4])
    sampling = request.sampling
    assert request.max_output_tokens == 9
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.5, 0.9, 40, 7)
    assert (sampling.stop, sampling.frequency_penalty, sampling.presence_penalty) == (("a",), 0.1, 0.2)
    assert request.extra is not None
    assert msgspec.json.decode(request.extra.members["options"]) == {"num_ctx": 8192, "repeat_penalty": 1.1}
    assert read({"messages": [], "options": {"stop": "a"}}).sampling.stop == ("a",)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ({"think": True}, ReasoningConfig(is_enabled=True)),
        ({"think": "low"}, ReasoningConfig(effort="low", extra=OWN)),
        ({"think": None}, None),
    ],
)
def test_thinking(member: dict[str, Any], expected: ReasoningConfig | None) -> None:
    assert read({"messages": [], **member}).reasoning == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", None),
        (None, None),
        ("json", ResponseFormat(kind="json")),
        ({"a": 1}, ResponseFormat(kind="json_schema", schema=msgspec.Raw(b'{"a":1}'))),
    ],
)
def test_formats(form: Any, expected: ResponseFormat | None) -> None:
    assert read({"messages": [], "format": form}).response_format == expected


def test_tools() -> None:
    first, second = read(BODIES[2]).tools
    assert isinstance(first, Tool)
    assert (first.name, first.description) == ("f", "d")
    assert isinstance(second, NativeTool)
    assert (second.dialect, second.kind) == (NAME, "hosted")


def test_results_find_their_calls() -> None:
    turn = {"role": "assistant", "content": "", "tool_calls": [call("f"), call("g"), call("f")]}
    results = [{"role": "tool", "content": "", "tool_name": name} for name in ("g", "f", "f", "h")]
    request = read({"messages": [turn, *results, turn, {"role": "tool", "content": ""}]})
    calls = [part.id for part in request.messages[0].parts if isinstance(part, ToolCall)]
    found = [
        part.call_id for message in request.messages[1:5] for part in message.parts if isinstance(part, ToolResult)
    ]
    assert found[:3] == [calls[1], calls[0], calls[2]]
    assert found[3] not in calls
    later = [part.id for part in request.messages[5].parts if isinstance(part, ToolCall)]
    (last,) = request.messages[6].parts
    assert isinstance(last, ToolResult)
    assert last.call_id == later[0]
    assert not set(later) & set(calls)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": 7}, "messages"),
        ({"messages": [{"content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "images": [1]}]}, "messages[0].images"),
        ({"messages": [], "options": []}, "options"),
        ({"messages": [], "options": {"seed": "a"}}, "options.seed"),
        ({"messages": [], "format": 7}, "format"),
        ({"messages": [], "think": 7}, "think"),
        ({"messages": [], "tools": [{}]}, "tools[0].function"),
    ],
)
def test_wrong_members_are_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
