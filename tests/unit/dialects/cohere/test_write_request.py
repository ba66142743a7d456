from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    CacheMark,
    ChatRequest,
    Extension,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.cohere.write_request import encode_request

F = Tool(name="f", description="d", parameters=Raw(b'{"type":"object"}'))
G = Tool(name="g")
A, D, R = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED


def write(traits: Traits | None = None, **members: Any) -> tuple[dict[str, Any], list[tuple[Feature, Outcome, str]]]:
    report = LossReport("permissive")
    request = ChatRequest(model="m", messages=(), **members)
    body = msgspec.json.decode(msgspec.json.encode(encode_request(request, traits or Traits(), report)))
    assert body.pop("model") == "m"
    assert body.pop("messages") == []
    return body, [(loss.feature, loss.outcome, loss.path) for loss in report.entries]


def test_members_have_their_places() -> None:
    body, losses = write(
        stream=True,
        max_output_tokens=9,
        sampling=Sampling(
            temperature=0.5, top_p=0.9, top_k=4, seed=1, presence_penalty=0.2, stop=("a",), logprobs=True
        ),
        tools=(F, G),
        tool_choice=ToolChoice(mode="auto"),
        parallel_tool_calls=True,
        service_tier="auto",
        store=False,
    )
    assert losses == []
    assert body == {
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "p": 0.9,
        "k": 4,
        "seed": 1,
        "presence_penalty": 0.2,
        "stop_sequences": ["a"],
        "logprobs": True,
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "word", "names", "losses"),
    [
        (ToolChoice(mode="none"), "NONE", ["f", "g"], []),
        (ToolChoice(mode="required"), "REQUIRED", ["f", "g"], []),
        (ToolChoice(mode="named", name="f"), "REQUIRED", ["f"], [(Feature.TOOL_CHOICE_NAMED, A, "tool_choice")]),
        (
            ToolChoice(mode="auto", allowed=("g",)),
            None,
            ["g"],
            [(Feature.TOOL_CHOICE_ALLOWED, A, "tool_choice.allowed")],
        ),
        (
            ToolChoice(mode="required", allowed=("g",)),
            "REQUIRED",
            ["g"],
            [(Feature.TOOL_CHOICE_ALLOWED, A, "tool_choice.allowed")],
        ),
    ],
)
def test_tool_choices(choice: ToolChoice, word: str | None, names: list[str], losses: list[Any]) -> None:
    body, found = write(tools=(F, G), tool_choice=choice)
    assert body.get("tool_choice") == word
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert found == losses


def test_a_choice_without_tools_says_nothing() -> None:
    assert write(tool_choice=ToolChoice(mode="none")) == ({}, [])


@pytest.mark.parametrize(
    ("first", "second", "strict", "is_told"),
    [(None, None, None, False), (True, True, True, False), (False, False, False, False), (True, None, True, True)],
)
def test_strictness_is_of_all_tools(
    first: bool | None, second: bool | None, strict: bool | None, is_told: bool
) -> None:
    replace = msgspec.structs.replace
    body, losses = write(tools=(replace(F, strict=first), replace(G, strict=second)))
    assert body.get("strict_tools") is strict
    assert losses == ([(Feature.STRICT_TOOLS, A, "tools")] if is_told else [])


EFFORT = (Feature.REASONING_EFFORT, A, "reasoning.effort")


@pytest.mark.parametrize(
    ("config", "thinking", "losses"),
    [
        (ReasoningConfig(effort="none"), {"type": "disabled"}, []),
        (ReasoningConfig(is_enabled=False), {"type": "disabled"}, []),
        (ReasoningConfig(budget_tokens=0), {"type": "disabled"}, []),
        (ReasoningConfig(budget_tokens=-1), {"type": "enabled"}, []),
        (ReasoningConfig(budget_tokens=500), {"type": "enabled", "token_budget": 500}, []),
        (ReasoningConfig(is_enabled=True), {"type": "enabled"}, []),
        (ReasoningConfig(effort="high"), {"type": "enabled"}, [EFFORT]),
        (ReasoningConfig(effort="low"), {"type": "enabled", "token_budget": 500}, [EFFORT]),
        (ReasoningConfig(effort="minimal"), {"type": "enabled", "token_budget": 256}, [EFFORT]),
        (ReasoningConfig(summary="auto"), None, []),
        (ReasoningConfig(summary="concise"), None, [(Feature.REASONING_SUMMARY, D, "reasoning.summary")]),
    ],
)
def test_thinking(config: ReasoningConfig, thinking: dict[str, Any] | None, losses: list[Any]) -> None:
    body, found = write(reasoning=config, max_output_tokens=1000)
    assert body.get("thinking") == thinking
    assert found == losses


def test_formats() -> None:
    schema = ResponseFormat(kind="json_schema", name="n", schema=Raw(b'{"a":1}'))
    spelled = {"type": "json_object", "json_schema": {"a": 1}}
    assert write(response_format=schema) == ({"response_format": spelled}, [])
    assert write(response_format=ResponseFormat(kind="json")) == ({"response_format": {"type": "json_object"}}, [])
    assert write(response_format=ResponseFormat(kind="text")) == ({"response_format": {"type": "text"}}, [])
    body, losses = write(Traits(has_json_schema=False), response_format=schema)
    assert body == {"response_format": {"type": "json_object"}}
    assert losses == [(Feature.JSON_SCHEMA, A, "response_format")]


def test_one_penalty_at_a_time() -> None:
    body, losses = write(sampling=Sampling(frequency_penalty=0.5, presence_penalty=0.25))
    assert body == {"frequency_penalty": 0.5}
    assert losses == [(Feature.PENALTIES, D, "sampling.presence_penalty")]


@pytest.mark.parametrize(
    ("members", "loss"),
    [
        ({"sampling": Sampling(n=2)}, (Feature.N, R, "sampling.n")),
        ({"sampling": Sampling(top_logprobs=2)}, (Feature.LOGPROBS, A, "sampling.top_logprobs")),
        ({"sampling": Sampling(logit_bias=Raw(b"{}"))}, (Feature.LOGIT_BIAS, D, "sampling.logit_bias")),
        ({"modalities": ("text", "audio")}, (Feature.MODALITIES, R, "modalities")),
        ({"user": "u"}, (Feature.USER, D, "user")),
        ({"metadata": {"a": "b"}}, (Feature.METADATA, D, "metadata")),
        ({"verbosity": "low"}, (Feature.VERBOSITY, D, "verbosity")),
        ({"service_tier": "flex"}, (Feature.SERVICE_TIER, D, "service_tier")),
        ({"store": True}, (Feature.STORE, D, "store")),
        ({"cache": CacheMark()}, (Feature.CACHE_MARK, D, "cache")),
        ({"cache_key": "k"}, (Feature.CACHE_KEY, D, "cache_key")),
        ({"extra": Extension("x", {"a": Raw(b"1")})}, (Feature.VENDOR, D, "a")),
        ({"tools": (NativeTool(dialect="x", kind="k", raw=Raw(b"{}")),)}, (Feature.NATIVE_TOOLS, R, "tools[0]")),
        ({"tools": (Tool(name="t", is_custom=True),)}, (Feature.CUSTOM_TOOLS, R, "tools[0]")),
    ],
)
def test_what_has_no_place_is_told(members: dict[str, Any], loss: Any) -> None:
    assert write(**members) == ({}, [loss])


def test_hints_of_tools_are_told() -> None:
    marked = msgspec.structs.replace(F, cache=CacheMark())
    _, losses = write(tools=(marked,), parallel_tool_calls=False)
    assert losses == [
        (Feature.CACHE_MARK, D, "tools[0]"),
        (Feature.PARALLEL_TOOLS, D, "parallel_tool_calls"),
    ]
