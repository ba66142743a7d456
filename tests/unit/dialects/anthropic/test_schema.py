"""Objects of a schema are closed, and nothing else is touched."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from gatewright.dialects.anthropic.schema import closed


@pytest.mark.parametrize(
    "spelled",
    [
        b'{"type":"object", "properties":{},"additionalProperties":false}',
        b'{"type":"object","additionalProperties":{"type":"string"}}',
        b'{"type" : "string","default":{"type":"object"},"maximum":1e400}',
        b'{"enum":[{"type":"object"}]}',
        b"[7]",
        b'{"type":',
    ],
)
def test_what_says_all_keeps_its_spelling(spelled: bytes) -> None:
    assert bytes(closed(Raw(spelled))) == spelled


def test_objects_are_closed_at_every_depth() -> None:
    schema = {
        "type": "object",
        "properties": {
            "type": {"type": ["object", "null"], "properties": {"a": {"type": "string"}}},
            "list": {"type": "array", "items": {"anyOf": [{"type": "object"}, {"$ref": "#/$defs/d"}]}},
        },
        "$defs": {"d": {"type": "object", "additionalProperties": False}},
    }
    assert msgspec.json.decode(closed(Raw(msgspec.json.encode(schema)))) == {
        "type": "object",
        "properties": {
            "type": {
                "type": ["object", "null"],
                "properties": {"a": {"type": "string"}},
                "additionalProperties": False,
            },
            "list": {
                "type": "array",
                "items": {"anyOf": [{"type": "object", "additionalProperties": False}, {"$ref": "#/$defs/d"}]},
            },
        },
        "$defs": {"d": {"type": "object", "additionalProperties": False}},
        "additionalProperties": False,
    }
