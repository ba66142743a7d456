from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.ollama.write_request import encode_request

F = Tool(name="f", description="d", parameters=Raw(b'{"type":"object"}'))
G = Tool(name="g")
A, D, R = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED


def write(traits: Traits | None = None, **members: Any) -> tuple[dict[str, Any], list[tuple[Feature, Outcome, str]]]:
    report = LossReport("permissive")
    request = ChatRequest(model="m", messages=(), **members)
    body = msgspec.json.decode(msgspec.json.encode(encode_request(request, traits or Traits(), report)))
    assert body.pop("model") == "m"
    assert body.pop("messages") == []
    assert body.pop("stream") is members.get("stream", False)
    return body, [(loss.feature, loss.outcome, loss.path) for loss in report.entries]


def test_members_have_their_places() -> None:
    body, losses = write(
        stream=True,
        max_output_tokens=9,
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=4, seed=1, stop=("a",), logprobs=True, top_logprobs=2),
        tools=(F, G),
        tool_choice=ToolChoice(mode="auto"),
        service_tier="auto",
        store=False,
    )
    assert losses == []
    assert body == {
        "options": {"num_predict": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1, "stop": ["a"]},
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
    }


@pytest.mark.parametrize(
    ("config", "think", "loss"),
    [
        (ReasoningConfig(effort="medium"), "medium", None),
        (ReasoningConfig(effort="none"), False, None),
        (ReasoningConfig(effort="minimal"), "low", (Feature.REASONING_EFFORT, A, "reasoning.effort")),
        (ReasoningConfig(effort="odd"), True, (Feature.REASONING_EFFORT, A, "reasoning.effort")),
        (ReasoningConfig(is_enabled=True), True, None),
        (ReasoningConfig(is_enabled=False), False, None),
        (ReasoningConfig(budget_tokens=0), False, None),
        (ReasoningConfig(budget_tokens=-1), True, None),
        (ReasoningConfig(budget_tokens=9), True, (Feature.REASONING_BUDGET, A, "reasoning.budget_tokens")),
        (ReasoningConfig(summary="auto"), None, None),
        (ReasoningConfig(summary="omitted"), None, (Feature.REASONING_SUMMARY, D, "reasoning.summary")),
    ],
)
def test_thinking(config: ReasoningConfig, think: Any, loss: Any) -> None:
    body, losses = write(reasoning=config)
    assert body.get("think") == think
    assert losses == ([] if loss is None else [loss])


def test_formats() -> None:
    schema = ResponseFormat(kind="json_schema", name="n", schema=Raw(b'{"a":1}'))
    assert write(response_format=schema) == ({"format": {"a": 1}}, [])
    assert write(response_format=ResponseFormat(kind="json")) == ({"format": "json"}, [])
    assert write(response_format=ResponseFormat(kind="text")) == ({}, [])
    body, losses = write(Traits(has_json_schema=False), response_format=schema)
    assert (body, losses) == ({"format": "json"}, [(Feature.JSON_SCHEMA, A, "response_format")])


@pytest.mark.parametrize(
    ("choice", "names", "losses"),
    [
        (ToolChoice(mode="none"), [], [(Feature.TOOL_CHOICE_NONE, A, "tool_choice")]),
        (ToolChoice(mode="required"), ["f", "g"], [(Feature.TOOL_CHOICE_REQUIRED, R, "tool_choice")]),
        (ToolChoice(mode="named", name="f"), ["f", "g"], [(Feature.TOOL_CHOICE_NAMED, R, "tool_choice")]),
        (ToolChoice(mode="auto", allowed=("g",)), ["g"], [(Feature.TOOL_CHOICE_ALLOWED, A, "tool_choice.allowed")]),
    ],
)
def test_tool_choices(choice: ToolChoice, names: list[str], losses: list[Any]) -> None:
    body, found = write(tools=(F, G), tool_choice=choice)
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == names
    assert found == losses


@pytest.mark.parametrize(
    ("members", "loss"),
    [
        ({"sampling": Sampling(n=2)}, (Feature.N, R, "sampling.n")),
        ({"sampling": Sampling(logit_bias=Raw(b"{}"))}, (Feature.LOGIT_BIAS, D, "sampling.logit_bias")),
        ({"modalities": ("text", "audio")}, (Feature.MODALITIES, R, "modalities")),
        ({"user": "u"}, (Feature.USER, D, "user")),
        ({"metadata": {"a": "b"}}, (Feature.METADATA, D, "metadata")),
        ({"verbosity": "low"}, (Feature.VERBOSITY, D, "verbosity")),
        ({"service_tier": "flex"}, (Feature.SERVICE_TIER, D, "service_tier")),
        ({"store": True}, (Feature.STORE, D, "store")),
        ({"cache_key": "k"}, (Feature.CACHE_KEY, D, "cache_key")),
        ({"extra": Extension("x", {"a": Raw(b"1")})}, (Feature.VENDOR, D, "a")),
        ({"tools": (NativeTool(dialect="x", kind="k", raw=Raw(b"{}")),)}, (Feature.NATIVE_TOOLS, R, "tools[0]")),
        ({"tools": (Tool(name="t", is_custom=True),)}, (Feature.CUSTOM_TOOLS, R, "tools[0]")),
    ],
)
def test_what_has_no_place_is_told(members: dict[str, Any], loss: Any) -> None:
    assert write(**members) == ({}, [loss])


def test_hints_of_tools_are_told() -> None:
    strict = msgspec.structs.replace(F, strict=True)
    _, losses = write(tools=(strict,), parallel_tool_calls=False)
    assert losses == [
        (Feature.PARALLEL_TOOLS, D, "parallel_tool_calls"),
        (Feature.STRICT_TOOLS, D, "tools[0].strict"),
    ]


def test_refusals_end_the_request_unless_permitted() -> None:
    request = ChatRequest(model="m", messages=(), sampling=Sampling(n=2))
    with pytest.raises(GatewayError) as caught:
        encode_request(request, Traits(), LossReport("warn"))
    assert caught.value.kind is Kind.UNSUPPORTED_FEATURE
