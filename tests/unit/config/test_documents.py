import typing

import msgspec
import pytest

from gatewright.config import documents
from gatewright.config.documents import Document, Gateway, Policy, ProviderConfig, Selector
from gatewright.config.field_docs import field_docs, summary

STRUCTS = [
    value for value in vars(documents).values() if isinstance(value, type) and issubclass(value, Document)
]  # fmt: skip


def test_the_defaults_are_a_whole_configuration() -> None:
    gateway = Gateway()
    assert gateway.listen == "127.0.0.1:8080"
    assert gateway.admin == "127.0.0.1:8081"
    assert gateway.anonymous is None
    assert gateway.limits.body_bytes == 32 * 1024 * 1024
    assert gateway.timeouts.drain_s == 30.0
    assert (gateway.providers, gateway.models, gateway.consumers, gateway.policies) == ({}, {}, {}, [])


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_section_refuses_unknown_keys_and_cannot_change(struct: type[Document]) -> None:
    assert struct.__struct_config__.forbid_unknown_fields
    assert struct.__struct_config__.frozen
    assert struct.__struct_config__.kw_only if hasattr(struct.__struct_config__, "kw_only") else True


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_section_and_field_says_what_it_is(struct: type[Document]) -> None:
    assert summary(struct)
    docs = field_docs(struct)
    assert set(docs) == set(struct.__struct_fields__)
    assert all(doc.endswith((".", ")", "`")) for doc in docs.values()), docs


def test_a_provider_type_adds_its_fields_by_subclassing() -> None:
    class Mine(ProviderConfig):
        region: str = "x"

    assert msgspec.convert({"type": "mine", "region": "y"}, Mine) == Mine(type="mine", region="y")


def test_a_policy_applies_to_everything_unless_told() -> None:
    assert Policy(filter="f").on == Selector(models=[], consumers=[])


def test_every_hint_resolves() -> None:
    for struct in STRUCTS:
        assert typing.get_type_hints(struct).keys() == set(struct.__struct_fields__)
