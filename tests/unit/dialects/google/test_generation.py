from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import again, raw, read, user, write

from gatewright.core.chat import ChatRequest, Message, ReasoningConfig, ResponseFormat, Sampling, Text
from gatewright.core.errors import GatewayError
from gatewright.core.traits import Traits

ASKED = (Message(role="user", parts=(Text(text="hi"),)),)
OPEN_API = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}


def body(config: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [user({"text": "hi"})], "generationConfig": config}


EVERYTHING = {
    "temperature": 0.5,
    "topP": 0.75,
    "topK": 40,
    "seed": 7,
    "frequencyPenalty": 0.25,
    "presencePenalty": -0.25,
    "stopSequences": ["a", "b"],
    "candidateCount": 2,
    "responseLogprobs": True,
    "logprobs": 3,
    "maxOutputTokens": 100,
    "responseModalities": ["TEXT", "IMAGE"],
}


@pytest.mark.parametrize(
    "config",
    [
        EVERYTHING,
        {},
        {"temperature": 0, "responseModalities": ["TEXT"]},
        {"responseMimeType": "application/json"},
        {"responseMimeType": "text/plain"},
        {"responseMimeType": "application/json", "responseSchema": OPEN_API},
        {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object", "$defs": {}}},
        {"responseJsonSchema": {"type": "object"}},
        {"responseMimeType": "text/plain", "responseSchema": OPEN_API},
        {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}},
        {"thinkingConfig": {}},
        {"thinkingConfig": {"thinkingBudget": 0}},
        {"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}},
        {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": False}},
        {"thinkingConfig": {"thinkingLevel": "LOW"}},
        {"thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}},
        {"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED", "x": 1}},
        {"thinkingConfig": {"thinkingLevel": "HIGH", "thinkingBudget": 5}},
        {"speechConfig": {"languageCode": "de"}, "mediaResolution": "MEDIA_RESOLUTION_LOW", "responseModalities": [1]},
    ],
)
def test_a_configuration_survives_the_hub(config: dict[str, Any]) -> None:
    assert again(body(config)) == body(config)


def test_what_the_hub_says_of_it() -> None:
    request = read(body(EVERYTHING))
    assert request.sampling == Sampling(
        temperature=0.5,
        top_p=0.75,
        top_k=40,
        seed=7,
        frequency_penalty=0.25,
        presence_penalty=-0.25,
        stop=("a", "b"),
        n=2,
        logprobs=True,
        top_logprobs=3,
    )
    assert (request.max_output_tokens, request.modalities, request.extra) == (100, ("text", "image"), None)


def test_both_spellings_and_whole_numbers_with_a_fraction() -> None:
    assert again(body({"top_k": 40.0, "max_output_tokens": 5, "thinking_config": {"thinking_budget": 3}})) == body(
        {"topK": 40, "maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 3}}
    )
    with pytest.raises(GatewayError, match=r"`generationConfig.topK` must be a whole number"):
        read(body({"topK": 1.5}))


def test_googles_schema_is_json_schema_to_others() -> None:
    found = read(body({"responseMimeType": "application/json", "responseSchema": OPEN_API})).response_format
    assert found is not None
    assert found.kind == "json_schema"
    assert bytes(found.schema or b"") == b'{"type":"object","properties":{"a":{"type":"string"}}}'


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"thinkingBudget": 0}, ReasoningConfig(budget_tokens=0, is_enabled=False)),
        ({"thinkingBudget": -1}, ReasoningConfig(budget_tokens=-1)),
        ({"includeThoughts": True}, ReasoningConfig(summary="auto")),
        ({"includeThoughts": False}, ReasoningConfig(summary="omitted")),
    ],
)
def test_how_much_to_think(config: dict[str, Any], expected: ReasoningConfig) -> None:
    assert read(body({"thinkingConfig": config})).reasoning == expected


def test_a_level_is_an_effort() -> None:
    for level, effort in (("MINIMAL", "minimal"), ("LOW", "low"), ("medium", "medium"), ("HIGH", "high"), ("X", None)):
        reasoning = read(body({"thinkingConfig": {"thinkingLevel": level}})).reasoning
        assert reasoning is not None
        assert reasoning.effort == effort


@pytest.mark.parametrize(
    ("model", "wish", "config", "lost"),
    [
        ("gemini-3-pro", ReasoningConfig(effort="low"), {"thinkingLevel": "LOW"}, False),
        ("gemini-3-pro", ReasoningConfig(effort="minimal"), {"thinkingLevel": "MINIMAL"}, False),
        ("gemini-3-pro", ReasoningConfig(effort="max"), {"thinkingLevel": "HIGH"}, True),
        ("gemini-3-pro", ReasoningConfig(effort="none"), {"thinkingLevel": "LOW"}, True),
        ("gemini-3-pro", ReasoningConfig(is_enabled=False), {"thinkingLevel": "LOW"}, True),
        ("gemini-3-pro", ReasoningConfig(effort="high", budget_tokens=2048), {"thinkingBudget": 2048}, False),
        ("gemini-2.5-flash", ReasoningConfig(effort="low"), {"thinkingBudget": 1024}, True),
        ("gemini-2.5-flash", ReasoningConfig(effort="medium"), {"thinkingBudget": 8192}, True),
        ("gemini-2.5-flash", ReasoningConfig(effort="xhigh"), {"thinkingBudget": 24576}, True),
        ("gemini-2.5-flash", ReasoningConfig(effort="none"), {"thinkingBudget": 0}, False),
        ("tuned", ReasoningConfig(effort="high"), {"thinkingLevel": "HIGH"}, False),
        ("tuned", ReasoningConfig(is_enabled=True), {"thinkingBudget": -1}, False),
        ("tuned", ReasoningConfig(summary="auto"), {"includeThoughts": True}, False),
        ("tuned", ReasoningConfig(summary="detailed"), {"includeThoughts": True}, True),
        ("tuned", ReasoningConfig(), {}, False),
    ],
)
def test_other_dialects_wishes_to_think(model: str, wish: ReasoningConfig, config: Any, lost: bool) -> None:
    written, losses = write(ChatRequest(model=model, messages=ASKED, reasoning=wish))
    assert written["generationConfig"] == {"thinkingConfig": config}
    assert bool(losses) is lost


def test_other_dialects_formats() -> None:
    schema = ResponseFormat(kind="json_schema", name="n", strict=True, schema=raw({"type": "object"}))
    written, losses = write(ChatRequest(model="m", messages=ASKED, response_format=schema))
    expected = {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}
    assert (written["generationConfig"], losses) == (expected, [])

    written, losses = write(
        ChatRequest(model="m", messages=ASKED, response_format=schema), Traits(has_json_schema=False)
    )
    assert written["generationConfig"] == {"responseMimeType": "application/json"}
    assert [loss.partition(" (")[0] for loss in losses] == ["response_format: approximated"]

    described = ResponseFormat(kind="json_schema", description="d", schema=Raw(b"{}"))
    assert write(ChatRequest(model="m", messages=ASKED, response_format=described))[1] != []


def test_biases_of_tokens_are_told() -> None:
    _, losses = write(ChatRequest(model="m", messages=ASKED, sampling=Sampling(logit_bias=Raw(b'{"1":5}'))))
    assert [loss.partition(":")[0] for loss in losses] == ["sampling.logit_bias"]
