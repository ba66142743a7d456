from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import model, raw, read, user

from gatewright.core.chat import Text
from gatewright.dialects.google.read_parts import Place
from gatewright.dialects.google.read_plain import read_plain

CALL = {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}}
ANSWER = {"functionResponse": {"name": "f", "id": "c", "response": {"result": "x"}}}


@pytest.mark.parametrize(
    "content",
    [
        user({"text": "a"}, {"text": "", "thoughtSignature": "c2ln"}),
        user(),
        model({"text": "a", "thoughtSignature": None}, CALL, {**CALL, "thoughtSignature": "c2ln"}),
        model({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "id": ""}}),
        user(ANSWER),
        user({"functionResponse": {"name": "f", "response": {"error": "x"}}}),
        user({"functionResponse": {"name": "f", "response": {"a": [1]}}}),
    ],
)
def test_plain_contents_are_read_as_any_others(content: dict[str, Any]) -> None:
    place = Place()
    place.content = 1
    plain = read_plain(raw(content), place)
    assert plain is not None
    # An unknown member sends the same content the long way.
    [message] = read({"contents": [{**content, "x": 1}]}).messages
    assert plain[1] == message.parts
    assert plain[0] == content["role"]


@pytest.mark.parametrize(
    "content",
    [
        {"parts": [{"text": "a"}]},
        {"role": "function", "parts": [ANSWER]},
        user({"text": "a", "thought": True}),
        user({"text": "a", "x": 1}),
        user({"text": "a", **CALL}),
        user({"thoughtSignature": "c2ln"}),
        user({}),
        user({"inlineData": {}}),
        user({"functionCall": {"name": "f", "args": None}}),
        user({"functionCall": {"name": "f", "args": []}}),
        user({"functionCall": {"name": "f", "willContinue": True}}),
        user({"functionResponse": {"name": "f"}}),
        user({"functionResponse": {"name": "f", "response": "x"}}),
        user({**ANSWER, "thoughtSignature": "c2ln"}),
        user({"function_call": {"name": "f"}}),
        user({"text": 5}),
        {"role": "user", "parts": {"text": "a"}},
        [],
    ],
)
def test_anything_unusual_is_not_plain_and_leaves_no_trace(content: Any) -> None:
    place = Place()
    first = place.call_id(None, "f")

    assert read_plain(raw(content), place) is None
    assert place.result_id(None, "f") == first


def test_half_a_surrogate_is_left_to_the_long_way() -> None:
    assert read_plain(Raw(b'{"role":"user","parts":[{"text":"\\ud800"}]}'), Place()) is None
    assert read({"contents": [user({"text": "a"})]}).messages[0].parts == (Text(text="a"),)
