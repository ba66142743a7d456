import msgspec
import pytest
from msgspec import Raw

from gatewright.dialects.google.schema import to_json_schema


def converted(schema: object) -> object:
    return msgspec.json.decode(to_json_schema(Raw(msgspec.json.encode(schema))))


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": 1}, {"type": "string"}),
        ({"type": 6, "properties": {}}, {"type": "object", "properties": {}}),
        ({"type": "TYPE_UNSPECIFIED", "title": "x"}, {"title": "x"}),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "STRING", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"any_of": [{"type": "STRING"}]}, {"anyOf": [{"type": "string"}]}),
        ({"type": "ARRAY", "minItems": "2", "max_items": "3"}, {"type": "array", "minItems": 2, "maxItems": 3}),
        ({"type": "STRING", "minLength": "x"}, {"type": "string", "minLength": "x"}),
        ({"type": "OBJECT", "propertyOrdering": ["a"]}, {"type": "object"}),
        ({"type": "OBJECT", "ref": "#/defs/A"}, {"type": "object", "$ref": "#/defs/A"}),
        (
            {"type": "OBJECT", "additionalProperties": {"type": "NUMBER"}},
            {"type": "object", "additionalProperties": {"type": "number"}},
        ),
        (
            {"type": "NUMBER", "minimum": 0.5, "default": "ANY", "x": {"type": "STRING"}},
            {"type": "number", "minimum": 0.5, "default": "ANY", "x": {"type": "STRING"}},
        ),
        ({"type": "WHATEVER"}, {"type": "whatever"}),
        ({"type": 99}, {"type": 99}),
    ],
)
def test_googles_schema_as_json_schema(spelled: object, expected: object) -> None:
    assert converted(spelled) == expected


def test_properties_may_have_any_name() -> None:
    spelled = {"type": "OBJECT", "properties": {"nullable": {"type": "STRING"}, "type": {"type": "BOOLEAN"}}}
    assert converted(spelled) == {
        "type": "object",
        "properties": {"nullable": {"type": "string"}, "type": {"type": "boolean"}},
    }


def test_what_is_json_schema_already_keeps_its_spelling() -> None:
    spelled = Raw(b'{"type" : "object", "properties": {"n": {"type": "number", "minimum": 0.10}}}')
    assert to_json_schema(spelled) is spelled


@pytest.mark.parametrize(
    "text", [b'{"type": "STRING"', b'{"type":"STRING","x":"\xff"}', b'{"type":"A","items":' * 300 + b"1" + b"}" * 300]
)
def test_what_cannot_be_read_stays(text: bytes) -> None:
    assert to_json_schema(Raw(text)) == Raw(text)


def test_a_half_surrogate_is_mended() -> None:
    assert b"string" in bytes(to_json_schema(Raw(b'{"type":"STRING","description":"\\ud800"}')))
