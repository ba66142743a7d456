import sys

from msgspec import Struct

from gatewright.config.documents import Gateway, ProviderConfig, UpstreamTls
from gatewright.config.field_docs import field_docs, summary


class Parent(Struct):
    """A parent,
    on two lines.
    """

    one: int = 1
    """First,
    on two lines."""
    silent: int = 2
    two: int = 3
    """Second."""
    three = 4
    """Not a field of the type."""


class Child(Parent):
    two: int = 5
    """Overridden."""
    four: int = 6
    """Fourth."""


class Outer:
    class Inner(Struct):
        deep: int = 1
        """Found in a nested class."""


def test_docstrings_below_fields_are_read_inherited_ones_first() -> None:
    assert field_docs(Parent) == {"one": "First, on two lines.", "two": "Second."}
    assert list(field_docs(Child).items()) == [
        ("one", "First, on two lines."),
        ("two", "Overridden."),
        ("four", "Fourth."),
    ]


def test_classes_in_classes_and_functions_are_found() -> None:
    class Local(Struct):
        here: int = 1
        """Found in a function."""

    assert field_docs(Outer.Inner) == {"deep": "Found in a nested class."}
    assert field_docs(Local) == {"here": "Found in a function."}


def test_the_documents_are_documented() -> None:
    assert field_docs(Gateway)["listen"].startswith("HOST:PORT of the data plane")
    assert field_docs(UpstreamTls)["ca"]
    assert "url" in field_docs(ProviderConfig)


def test_without_source_there_is_nothing() -> None:
    type_ = type("Made", (Struct,), {"__annotations__": {"a": int}, "__module__": "nowhere.at.all"})
    assert field_docs(type_) == {}
    builtin = type("Made", (Struct,), {"__annotations__": {"a": int}, "__module__": "sys"})
    assert sys.modules["sys"]
    assert field_docs(builtin) == {}


def test_the_summary_is_the_class_docstring_and_never_an_inherited_one() -> None:
    assert summary(Parent) == "A parent, on two lines."
    assert summary(Child) == ""
