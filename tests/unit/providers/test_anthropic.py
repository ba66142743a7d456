"""Anthropic: the key travels in its own header, and newer models are known to choose their own budget of thought."""

import pytest

from gatewright.core.secret import Secret
from gatewright.pipeline.matching import is_match
from gatewright.providers.anthropic import Config, build


def test_it_goes_to_anthropic_with_its_key() -> None:
    upstream = build("claude", Config(key=Secret(" sk-ant-1\n")))
    assert (upstream.origin.tls, upstream.origin.host) == (True, "api.anthropic.com")
    assert upstream.paths["anthropic.messages"] == "/v1/messages"
    assert upstream.paths["anthropic.count_tokens"] == "/v1/messages/count_tokens"
    assert b"x-api-key: sk-ant-1\r\n" in upstream.head


def test_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="`key` is missing"):
        build("claude", Config())


@pytest.mark.parametrize(
    ("model", "adaptive"),
    [("claude-sonnet-4-6", True), ("claude-opus-4-8", True), ("claude-sonnet-4-5", False), ("claude-haiku-4-5", False)],
)
def test_which_models_think_adaptively(model: str, adaptive: bool) -> None:
    patterns = build("claude", Config(key=Secret("k"))).model_traits
    found = [traits for pattern, traits in patterns if is_match(pattern, model)]
    assert bool(found and found[0]["has_adaptive_reasoning"]) is adaptive
