"""The listing of models in the API's form."""

from __future__ import annotations

import msgspec

from gatewright.dialects.anthropic.models import render_model, render_models


def test_one_model() -> None:
    assert msgspec.json.decode(render_model("assistant", 1_700_000_000)) == {
        "type": "model",
        "id": "assistant",
        "display_name": "assistant",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
    }


def test_a_page_of_models() -> None:
    page = msgspec.json.decode(render_models(["b", "a"], 0))
    assert [model["id"] for model in page.pop("data")] == ["b", "a"]
    assert page == {"has_more": False, "first_id": "b", "last_id": "a"}
    assert msgspec.json.decode(render_models([], 0)) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
