"""The JSON Schema of the configuration file, from which editors complete and check it.

Made from the documents themselves: the types give shapes and bounds, the docstrings below the fields give the words,
and each provider type and filter adds the shape of its own section.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec.inspect as mi
from msgspec import Struct

from gatewright.config.check import EMPTY_COUNTS_AS_ABSENT
from gatewright.config.documents import Gateway, Policy
from gatewright.config.field_docs import field_docs, summary
from gatewright.config.fill import bare, choices, default

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE_PATTERN: Final = r"\$\{(env|file):[^{}]+\}"
_PATH: Final = "#/$defs/"
Schema = dict[str, Any]


def json_schema(provider_configs: Mapping[str, type[Struct]], filter_configs: Mapping[str, type[Struct]]) -> Schema:
    """The schema of a file, with a provider's shape chosen by its `type` and a policy's by its `filter`.

    `provider_configs` maps each provider type to its `ProviderConfig`, `filter_configs` each filter to its `Config`.
    """
    writer = _Writer()
    gateway = writer.body(Gateway)
    members = gateway["properties"]
    if provider_configs:
        bodies = {kind: writer.body(type_) for kind, type_ in provider_configs.items()}
        members["providers"]["additionalProperties"] = writer.one_of("provider", "type", bodies)
    if filter_configs:
        bodies = {kind: _policy_body(writer, type_) for kind, type_ in filter_configs.items()}
        del writer.definitions[members["policies"]["items"]["$ref"].removeprefix(_PATH)]  # each filter has its own
        members["policies"]["items"] = writer.one_of("policy", "filter", bodies)
    members["$schema"] = {"type": "string", "description": "Address of this schema, for editors; the gateway skips it."}
    return {
        "$schema": DIALECT,
        "title": "Gatewright configuration",
        **gateway,
        "$defs": dict(sorted(writer.definitions.items())),
    }


def _policy_body(writer: _Writer, config: type[Struct]) -> Schema:
    body = writer.body(Policy)
    shape = writer.of(mi.type_info(config))
    body["properties"]["config"] = shape | {"description": body["properties"]["config"]["description"]}
    if any(field.required for field in _struct_info(config).fields):
        body["required"] = [*body["required"], "config"]
    body["description"] = summary(config)
    return body


class _Writer:
    """Writes the schema of types; each Struct becomes a definition once."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}
        self._names: dict[type, str] = {}

    def body(self, type_: type[Struct]) -> Schema:
        """The schema of a Struct, written out."""
        info = _struct_info(type_)
        docs = field_docs(type_)
        properties = {field.encode_name: self._field(field, docs.get(field.name, "")) for field in info.fields}
        if info.tag_field is not None:
            properties = {info.tag_field: {"const": info.tag}, **properties}
        return {
            "type": "object",
            **({"description": summary(type_)} if summary(type_) else {}),
            "properties": properties,
            "required": [field.encode_name for field in info.fields if field.required],
            "additionalProperties": not info.forbid_unknown_fields,
        }

    def one_of(self, section: str, key: str, bodies: Mapping[str, Schema]) -> Schema:
        """The choice among several shapes by the value of `key`, each as a definition of its own."""
        for kind, body in bodies.items():
            words = {"description": body["properties"][key].get("description", "")}
            body["properties"][key] = {"const": kind, **words}
            self.definitions[f"{section}.{kind}"] = body
        return {
            "type": "object",
            # Given apart from the alternatives too, so that an editor offers the kinds before one is chosen.
            "properties": {key: {"enum": list(bodies)}},
            "required": [key],
            "oneOf": [{"$ref": f"{_PATH}{section}.{kind}"} for kind in bodies],
        }

    def of(self, kind: mi.Type) -> Schema:
        """The schema of any type that a document may hold."""
        if isinstance(kind, mi.Metadata):
            return self.of(kind.type) | (kind.extra_json_schema or {})
        return _WRITERS[type(kind)](self, kind)

    def _field(self, field: mi.Field, words: str) -> Schema:
        shape = self.of(field.type)
        if _is_secret(field.type):
            shape |= {"pattern": _REFERENCE_PATTERN}
        if not field.required:
            value = default(field)
            if isinstance(bare(field.type), EMPTY_COUNTS_AS_ABSENT):
                shape = _or_null(shape)
            elif isinstance(value, bool | int | float | str):
                shape["default"] = value
        return shape | ({"description": words} if words else {})

    def _struct(self, kind: mi.StructType) -> Schema:
        name = self._names.get(kind.cls)
        if name is None:
            taken = set(self._names.values())
            name = kind.cls.__name__
            if name in taken:
                name = f"{kind.cls.__module__.rpartition('.')[2]}.{name}"
            while name in taken:
                name += "_"
            self._names[kind.cls] = name
            self.definitions[name] = self.body(kind.cls)
        return {"$ref": _PATH + name}

    def _number(self, kind: mi.IntType | mi.FloatType) -> Schema:
        bounds = {
            "minimum": kind.ge,
            "exclusiveMinimum": kind.gt,
            "maximum": kind.le,
            "exclusiveMaximum": kind.lt,
            "multipleOf": kind.multiple_of,
        }
        return {"type": "integer" if isinstance(kind, mi.IntType) else "number"} | _without_none(bounds)

    def _text(self, kind: mi.StrType) -> Schema:
        bounds = {"minLength": kind.min_length, "maxLength": kind.max_length, "pattern": kind.pattern}
        return {"type": "string"} | _without_none(bounds)

    def _list(self, kind: mi.ListType | mi.SetType | mi.FrozenSetType | mi.VarTupleType) -> Schema:
        bounds = {"minItems": kind.min_length, "maxItems": kind.max_length}
        return {"type": "array", "items": self.of(kind.item_type)} | _without_none(bounds)

    def _tuple(self, kind: mi.TupleType) -> Schema:
        size = len(kind.item_types)
        return {"type": "array", "prefixItems": list(map(self.of, kind.item_types)), "minItems": size, "maxItems": size}

    def _mapping(self, kind: mi.DictType) -> Schema:
        shape: Schema = {"type": "object"}
        if not isinstance(kind.value_type, mi.AnyType):
            shape["additionalProperties"] = self.of(kind.value_type)
        names = self.of(kind.key_type)
        if names != {"type": "string"}:
            shape["propertyNames"] = names
        return shape | _without_none({"minProperties": kind.min_length, "maxProperties": kind.max_length})

    def _union(self, kind: mi.UnionType) -> Schema:
        options = [self.of(one) for one in kind.types if not isinstance(one, mi.NoneType)]
        shape = options[0] if len(options) == 1 else {"anyOf": options}
        return _or_null(shape) if any(isinstance(one, mi.NoneType) for one in kind.types) else shape

    def _choice(self, kind: mi.LiteralType | mi.EnumType) -> Schema:
        return {"enum": [written for written, _ in choices(kind)]}


_WRITERS: Final[dict[type[mi.Type], Callable[[_Writer, Any], Schema]]] = {
    mi.AnyType: lambda _, __: {},
    mi.NoneType: lambda _, __: {"type": "null"},
    mi.BoolType: lambda _, __: {"type": "boolean"},
    mi.CustomType: lambda _, __: {"type": "string"},
    mi.IntType: _Writer._number,
    mi.FloatType: _Writer._number,
    mi.StrType: _Writer._text,
    mi.ListType: _Writer._list,
    mi.SetType: _Writer._list,
    mi.FrozenSetType: _Writer._list,
    mi.VarTupleType: _Writer._list,
    mi.TupleType: _Writer._tuple,
    mi.DictType: _Writer._mapping,
    mi.StructType: _Writer._struct,
    mi.UnionType: _Writer._union,
    mi.LiteralType: _Writer._choice,
    mi.EnumType: _Writer._choice,
}


def _struct_info(type_: type[Struct]) -> mi.StructType:
    info = mi.type_info(type_)
    if not isinstance(info, mi.StructType):
        raise TypeError(f"{type_.__name__} is not a Struct")
    return info


def _is_secret(kind: mi.Type) -> bool:
    kind = bare(kind)
    return isinstance(kind, mi.CustomType) or (isinstance(kind, mi.UnionType) and any(map(_is_secret, kind.types)))


def _or_null(shape: Schema) -> Schema:
    """The shape or null: an optional key with nothing behind it."""
    if isinstance(shape.get("type"), str):
        return shape | {"type": [shape["type"], "null"]}
    if "enum" in shape:
        return shape | {"enum": [*shape["enum"], None]}
    options = shape["anyOf"] if set(shape) == {"anyOf"} else [shape]
    return {"anyOf": [*options, {"type": "null"}]}


def _without_none(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value is not None}
