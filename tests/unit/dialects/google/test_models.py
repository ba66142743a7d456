import msgspec

from gatewright.dialects.google.models import render_model, render_models


def test_a_model_as_the_sdks_expect_it() -> None:
    model = msgspec.json.decode(render_model("assistant"))
    assert model["name"] == "models/assistant"
    assert model["displayName"] == model["baseModelId"] == "assistant"
    assert "generateContent" in model["supportedGenerationMethods"]
    assert model["version"]


def test_the_list_keeps_the_order() -> None:
    listed = msgspec.json.decode(render_models(["b", "a"]))
    assert list(listed) == ["models"]
    assert [model["name"] for model in listed["models"]] == ["models/b", "models/a"]
    assert msgspec.json.decode(render_models([])) == {"models": []}
