from __future__ import annotations

import msgspec

from gatewright.dialects.ollama.models import render_models


def test_models_are_listed_in_order() -> None:
    found = msgspec.json.decode(render_models(["b", "a:latest"], 1_700_000_000))
    assert [model["name"] for model in found["models"]] == ["b", "a:latest"]
    first = found["models"][0]
    assert first["model"] == "b"
    assert first["modified_at"] == "2023-11-14T22:13:20Z"
    assert len(first["digest"]) == 64
    assert first["digest"] != found["models"][1]["digest"]
    assert first["size"] == 0
    assert set(first["details"]) == {
        "parent_model",
        "format",
        "family",
        "families",
        "parameter_size",
        "quantization_level",
    }
