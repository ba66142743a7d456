import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from gatewright.config.documents import Gateway, ProviderConfig
from gatewright.config.field_docs import field_docs
from gatewright.config.schema import json_schema
from gatewright.core.secret import Secret


class Level(enum.Enum):
    LOW = "low"


class Tagged(Struct, tag_field="kind", tag="tagged"):
    """Has a tag."""

    a: int = 1
    """A number."""


class Mine(ProviderConfig, kw_only=True):
    """Providers of mine."""

    region: Literal["eu", "us"]
    """Where it runs."""
    token_file: Secret
    """A second secret."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a filter may ask for."""

    needed: Annotated[int, Meta(ge=1, le=10, description="the docstring wins")]
    """A bounded number."""
    ratio: Annotated[float, Meta(gt=0, lt=1, multiple_of=0.25)] = 0.5
    """A fraction."""
    word: Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")] = "a"
    """A word."""
    names: Annotated[list[str], Meta(min_length=1, max_length=2)] = []
    """Names."""
    numbers: frozenset[int] = frozenset()
    """Numbers."""
    pair: tuple[int, str] = (1, "a")
    """A pair."""
    table: Annotated[dict[Annotated[str, Meta(max_length=3)], int], Meta(max_length=2)] = {}
    """A table."""
    level: Level | None = None
    """A level."""
    either: int | str | None = None
    """One or the other."""
    figure: Tagged | None = None
    """A figure."""
    free: Any = None
    """Anything."""
    flag: bool = True
    """A flag."""
    none: None = None
    """Nothing."""


def make_other() -> type[Struct]:
    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        """Another filter's."""

        mode: Literal["a", "b"] = "a"
        """A mode."""

    return Config


SCHEMA = json_schema({"mine": Mine, "plain": ProviderConfig}, {"one": Config, "two": make_other()})
DEFINITIONS = SCHEMA["$defs"]


def test_it_is_a_schema_of_the_2020_draft_and_is_json() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA)) == SCHEMA
    assert SCHEMA["type"] == "object"
    assert SCHEMA["additionalProperties"] is False


def test_every_key_of_the_file_is_there_with_its_description() -> None:
    docs = field_docs(Gateway)
    assert {key: shape["description"] for key, shape in SCHEMA["properties"].items() if key != "$schema"} == docs


def walk(schema: object) -> list[dict[str, Any]]:
    if isinstance(schema, dict):
        return [schema, *(found for value in schema.values() for found in walk(value))]
    return [found for value in schema for found in walk(value)] if isinstance(schema, list) else []


def test_every_reference_leads_somewhere_and_every_definition_is_used() -> None:
    used = {found["$ref"] for found in walk(SCHEMA) if isinstance(found.get("$ref"), str)}
    assert used == {f"#/$defs/{name}" for name in DEFINITIONS}


def test_every_property_of_every_section_is_described() -> None:
    for name, definition in DEFINITIONS.items():
        for key, shape in definition["properties"].items():
            assert shape.get("description") or "const" in shape, (name, key)


def test_the_type_of_a_provider_chooses_its_shape() -> None:
    entry = SCHEMA["properties"]["providers"]["additionalProperties"]
    assert entry == {
        "type": "object",
        "properties": {"type": {"enum": ["mine", "plain"]}},
        "required": ["type"],
        "oneOf": [{"$ref": "#/$defs/provider.mine"}, {"$ref": "#/$defs/provider.plain"}],
    }
    mine = DEFINITIONS["provider.mine"]
    assert mine["description"] == "Providers of mine."
    assert mine["required"] == ["type", "region", "token_file"]
    assert mine["properties"]["type"]["const"] == "mine"
    assert mine["properties"]["region"] == {"enum": ["eu", "us"], "description": "Where it runs."}
    assert mine["additionalProperties"] is False


def test_a_secret_is_text_that_holds_a_reference_and_a_header_any_text() -> None:
    properties = DEFINITIONS["provider.mine"]["properties"]
    assert properties["token_file"]["type"] == "string"
    assert properties["key"]["type"] == ["string", "null"]
    assert properties["token_file"]["pattern"] == properties["key"]["pattern"] == r"\$\{(env|file):[^{}]+\}"
    assert properties["headers"]["additionalProperties"] == {"type": "string"}


def test_the_filter_of_a_policy_chooses_its_settings() -> None:
    entry = SCHEMA["properties"]["policies"]["items"]
    assert entry["oneOf"] == [{"$ref": "#/$defs/policy.one"}, {"$ref": "#/$defs/policy.two"}]
    one, two = DEFINITIONS["policy.one"], DEFINITIONS["policy.two"]
    assert one["properties"]["filter"]["const"] == "one"
    assert one["required"] == ["filter", "config"]
    assert two["required"] == ["filter"]
    assert one["description"] == "Everything a filter may ask for."
    assert one["properties"]["config"]["$ref"] != two["properties"]["config"]["$ref"]
    assert set(one["properties"]) == {"filter", "name", "on", "config"}


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("needed", {"type": "integer", "minimum": 1, "maximum": 10}),
        (
            "ratio",
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25, "default": 0.5},
        ),
        ("word", {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a", "default": "a"}),
        ("names", {"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1, "maxItems": 2}),
        ("numbers", {"type": ["array", "null"], "items": {"type": "integer"}}),
        (
            "pair",
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (
            "table",
            {
                "type": ["object", "null"],
                "additionalProperties": {"type": "integer"},
                "propertyNames": {"type": "string", "maxLength": 3},
                "maxProperties": 2,
            },
        ),
        ("level", {"enum": ["low", None]}),
        ("either", {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        ("figure", {"anyOf": [{"$ref": "#/$defs/Tagged"}, {"type": "null"}]}),
        ("free", {}),
        ("flag", {"type": "boolean", "default": True}),
        ("none", {"type": "null"}),
    ],
)
def test_shapes(field: str, shape: dict[str, object]) -> None:
    name = DEFINITIONS["policy.one"]["properties"]["config"]["$ref"].removeprefix("#/$defs/")
    described = dict(DEFINITIONS[name]["properties"][field])
    assert described.pop("description") == field_docs(Config)[field]
    assert described == shape


def test_a_tag_is_part_of_the_shape() -> None:
    assert DEFINITIONS["Tagged"]["properties"]["kind"] == {"const": "tagged"}


def test_an_empty_section_is_allowed_where_the_loader_allows_it() -> None:
    properties = SCHEMA["properties"]
    assert properties["providers"]["type"] == ["object", "null"]
    assert properties["policies"]["type"] == ["array", "null"]
    assert {"type": "null"} in properties["limits"]["anyOf"]
    assert properties["listen"]["type"] == "string"


def test_without_providers_and_filters_their_sections_are_open() -> None:
    bare = json_schema({}, {})
    assert bare["properties"]["providers"]["additionalProperties"] == {"type": "object"}
    assert bare["properties"]["policies"]["items"] == {"$ref": "#/$defs/Policy"}


def test_every_default_is_valid_by_its_own_schema() -> None:
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    for shape in walk(SCHEMA):
        if "default" in shape and isinstance(shape.get("type"), str):
            assert isinstance(shape["default"], kinds[shape["type"]])  # type: ignore[arg-type]


def test_only_structs_have_a_schema() -> None:
    with pytest.raises(TypeError, match="int is not a Struct"):
        json_schema({}, {"x": int})  # type: ignore[dict-item]
