"""Google's `Schema` object (the OpenAPI 3.0 subset of `parameters` and `responseSchema`) as JSON Schema.

ai.google.dev/api/caching#Schema. Types are upper-case words or enum numbers, limits are strings (proto int64), and
null is allowed by `nullable`. Other providers take JSON Schema alone.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.wire.json_object import mend_surrogates, render_json

_TYPES: Final = ("", "string", "number", "integer", "boolean", "array", "object", "null")
"""By number of the proto enum `Type`."""
_LIMITS: Final = frozenset(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"))
_RENAMED: Final = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "additional_properties": "additionalProperties",
    "ref": "$ref",
    "defs": "$defs",
}
_DROPPED: Final = frozenset(("propertyOrdering", "property_ordering", "nullable"))
_NESTED: Final = (dict, list)
_MAX_DEPTH: Final = 100
_DIFFERS: Final = re.compile(
    rb'"type"\s*:\s*(?:"[A-Z]|\d)|"nullable"|"property_?[oO]rdering"|"(?:min|max)[_A-Z]\w+"\s*:\s*"'
    rb'|"(?:any_of|min_\w+|max_\w+|additional_properties|ref|defs)"\s*:'
)
"""What JSON Schema would spell otherwise; a schema without any of it needs no reading."""
_any = msgspec.json.Decoder()


def to_json_schema(raw: Raw) -> Raw:
    """The same schema as JSON Schema. What is no schema, or nests too deep to be one, comes back as it is spelled."""
    if _DIFFERS.search(bytes(raw)) is None:
        return raw
    try:
        value = _any.decode(raw)
    except UnicodeDecodeError:
        return raw
    except msgspec.DecodeError:
        try:
            value = _any.decode(mend_surrogates(bytes(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return raw
    except RecursionError:
        return raw
    try:
        return render_json(_schema(value, _MAX_DEPTH))
    except (RecursionError, ValueError):
        return raw


def _schema(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ValueError("a schema that nests too deep")
    if not isinstance(value, dict):
        return value
    written: dict[str, Any] = {}
    for spelled, member in value.items():
        if spelled == "type":
            written[spelled] = _type(member)
        elif spelled not in _DROPPED:
            name = str(_RENAMED.get(spelled, spelled))
            written[name] = _member(name, member, depth) if isinstance(member, _NESTED) or name in _LIMITS else member
    if not written.get("type", True):
        del written["type"]
    if value.get("nullable") is True:
        _allow_null(written)
    return written


def _member(name: str, member: Any, depth: int) -> Any:
    match name:
        case "properties" | "$defs" if isinstance(member, dict):
            return {key: _schema(each, depth - 1) for key, each in member.items()}
        case "items" | "additionalProperties":
            return _schema(member, depth - 1)
        case "anyOf" if isinstance(member, list):
            return [_schema(each, depth - 1) for each in member]
        case _ if name in _LIMITS and isinstance(member, str) and member.isascii() and member.isdigit():
            return int(member[:20])
        case _:
            return member


def _type(member: Any) -> Any:
    if isinstance(member, str):
        return "" if member == "TYPE_UNSPECIFIED" else member.lower()
    if isinstance(member, int) and not isinstance(member, bool) and 0 <= member < len(_TYPES):
        return _TYPES[member]
    return member


def _allow_null(written: dict[str, Any]) -> None:
    if isinstance(written.get("type"), str):
        written["type"] = [written["type"], "null"]
        if isinstance(written.get("enum"), list) and None not in written["enum"]:
            written["enum"] = [*written["enum"], None]
    elif isinstance(written.get("anyOf"), list):
        written["anyOf"] = [*written["anyOf"], {"type": "null"}]
