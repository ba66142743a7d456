import msgspec

from gatewright.dialects.openai.models import render_model, render_models


def test_a_model_as_the_api_shows_it() -> None:
    assert render_model('gpt "x" é', 1_700_000_000) == (
        '{"id":"gpt \\"x\\" é","created":1700000000,"owned_by":"gatewright","object":"model"}'.encode()
    )


def test_a_list_keeps_its_order() -> None:
    document = msgspec.json.decode(render_models(["b", "a"], 7))
    assert document["object"] == "list"
    assert [model["id"] for model in document["data"]] == ["b", "a"]
    assert document["data"][0] == msgspec.json.decode(render_model("b", 7))
    assert msgspec.json.decode(render_models([], 7)) == {"data": [], "object": "list"}
