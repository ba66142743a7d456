"""Models that a request names beside the one it calls: found wherever vendors put them, and nowhere else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gateways import World, document

from gatewright.core.exchange import Exchange
from gatewright.pipeline.model_choice import find_choices, find_published, is_called_model
from gatewright.translate.identity import parse_fields

SCHEMA = {"type": "object", "properties": {"model": {"type": "string"}, "models": {}}, "required": ["model"]}
FUNCTION = {"name": "f", "description": "Asks a model", "parameters": SCHEMA}
DEEP: Any = "x"
for _ in range(30):
    DEEP = {"a": DEEP}


def choices(**members: Any) -> list[tuple[str, str]]:
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "models"}]} | members)
    return find_choices(parse_fields(body))


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"models": ["a", "b"]}, [("models", "a"), ("models", "b")]),
        ({"Models": ["a"]}, [("Models", "a")]),
        ({"model\u017f": ["a"]}, [("model\u017f", "a")]),
        ({"fallbacks": [{"model": "a", "max_tokens": 5, "thinking": {"type": "off"}}]}, [("fallbacks", "a")]),
        ({"fallbacks": ["a", {"m": ["b"]}]}, [("fallbacks", "a"), ("fallbacks", "b")]),
        ({"fallback_models": ["a"]}, [("fallback_models", "a")]),
        ({"preset": "p"}, [("preset", "")]),
        ({"preset": {"slug": "p"}}, [("preset", "")]),
        ({"route": "fallback"}, [("route", "")]),
        ({"agent": {"type": "agent_reference", "name": "a"}}, [("agent", "")]),
        ({"plugins": [{"id": "fusion", "analysis_models": ["a"]}]}, [("plugins", "a")]),
        ({"providerOptions": {"gateway": {"models": ["a"]}}}, [("providerOptions", "a")]),
        ({"compound_custom": {"models": {"answering_model": "a"}}}, [("compound_custom", "a")]),
        ({"generationConfig": {"routingConfig": {"manualMode": {"modelName": "a"}}}}, [("generationConfig", "a")]),
        ({"additionalModelRequestFields": {"fallbacks": [{"model": "a"}]}}, [("additionalModelRequestFields", "a")]),
        ({"tools": [{"type": "image_generation", "model": "a"}]}, [("tools", "a")]),
        ({"tools": [{"type": "x:advisor", "parameters": {"model": "a"}}]}, [("tools", "a")]),
        ({"lora_path": "a"}, [("lora_path", "a")]),
        ({"x": DEEP}, [("x", "")]),
    ],
)
def test_models_are_found_where_vendors_put_them(members: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert choices(**members) == found


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"models": []},
        {"models": None, "preset": None, "route": False},
        {"provider": {"order": ["a"], "allow_fallbacks": True}},
        {"metadata": {"model": "a"}},
        {"moderation": {"model": "omni-moderation-latest"}},
        {"tools": [{"type": "function", "function": FUNCTION}]},
        {"tools": [{"type": "function", **FUNCTION}, {"name": "f", "input_schema": SCHEMA}]},
        {"tools": [{"name": "f", "input_schema": SCHEMA, "input_examples": [{"model": "a"}]}]},
        {"tools": [{"type": "mcp", "headers": {"x-model": "a"}}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"generationConfig": {"responseSchema": SCHEMA, "maxOutputTokens": 5}},
        {"guided_schema": SCHEMA},
        {"messages": [{"role": "user", "content": "a", "model": "a"}]},
    ],
)
def test_nothing_else_is_taken_for_a_model(members: dict[str, Any]) -> None:
    assert choices(**members) == []


@pytest.mark.parametrize(
    ("spelled", "found"),
    [
        (rb'{"\u006dodels":["a"]}', [("models", "a")]),
        (rb'{"tools":[{"\u006dodel":"a"}]}', [("tools", "a")]),
        (rb'{"models":["a\ud800"]}', [("models", "a\ufffd")]),
        (rb'{"x":1e400}', []),
        (rb'{"x":["\ud800",0.5],"models":["a"]}', [("models", "a")]),
    ],
)
def test_no_spelling_hides_a_model(spelled: bytes, found: list[tuple[str, str]]) -> None:
    assert find_choices(parse_fields(spelled)) == found


@pytest.fixture
def x() -> Exchange:
    world = World()
    config = document((("a", 1), ("b", 0)))
    provider = {"provider": "a"}
    config["models"] |= {
        "plain": {"targets": [provider]},
        "claude-*": {"targets": [provider]},
        "same": {"targets": [provider | {"model": "same"}]},
        "alias": {"targets": [provider, provider | {"model": "other"}]},
    }
    x = world.exchange(world.snapshot(config), b"{}")
    x.requested_model = "m"
    x.model = x.snapshot.models.find("m")
    return x


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("plain", "plain"),
        ("same", "same"),
        ("claude-opus", "claude-*"),
        ("alias", None),  # what a provider calls so is another model than what is published so
        ("a-model", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_published_are_models_that_the_provider_calls_so_too(x: Exchange, name: str, published: str | None) -> None:
    assert find_published(x, name) == published


def test_the_called_model_is_known_by_its_providers_names(x: Exchange) -> None:
    assert is_called_model(x, "a-model")
    assert not is_called_model(x, "m")
    assert not is_called_model(x, "b-model")
    x.requested_model, x.model = "claude-opus", x.snapshot.models.find("claude-opus")
    assert is_called_model(x, "claude-opus")
    x.model = None
    assert not is_called_model(x, "claude-opus")
