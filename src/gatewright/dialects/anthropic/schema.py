"""JSON Schemas of other vendors, as structured outputs take them.

Every object must say `additionalProperties: false` (platform.claude.com/docs/en/build-with-claude/structured-outputs);
other vendors take schemas that leave it open.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.wire.json_object import render_json

_VALUES: Final = frozenset(("enum", "const", "default", "example", "examples"))
"""Members that hold values, not schemas."""
_MEMBER: Final = "additionalProperties"
_decoder = msgspec.json.Decoder()


def closed(schema: Raw) -> Raw:
    """The schema with every object that leaves open what else it may hold closed; itself when there is none."""
    try:
        document = _decoder.decode(schema)
        is_changed = _close(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return schema
    return render_json(document) if is_changed else schema


def _close(node: Any) -> bool:
    if isinstance(node, list):
        return any([_close(item) for item in node])
    if not isinstance(node, dict):
        return False
    is_changed = any([_close(value) for name, value in node.items() if name not in _VALUES])
    if _is_object(node.get("type")) and _MEMBER not in node:
        node[_MEMBER] = False
        return True
    return is_changed


def _is_object(kind: Any) -> bool:
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
