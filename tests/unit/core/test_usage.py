from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gatewright.core.usage import Usage, service_in, service_of, with_service


def test_nothing_is_used_unless_said() -> None:
    usage = Usage()
    assert {getattr(usage, field) for field in Usage.__dataclass_fields__} == {0, None, ""}
    assert usage.estimated is False


def test_counts_are_named() -> None:
    usage = Usage(input_total=10, input_cached_read=4, output_total=3, output_reasoning=1)
    assert (usage.input_total, usage.output_total) == (10, 3)
    with pytest.raises(TypeError):
        Usage(10, 3)  # type: ignore[misc]


def test_equal_counts_are_equal() -> None:
    assert Usage(input_total=1) == Usage(input_total=1)
    assert hash(Usage(input_total=1)) == hash(Usage(input_total=1))
    assert Usage(input_total=1) != Usage(input_total=1, estimated=True)


def test_a_changed_copy_keeps_all_else() -> None:
    names = [name for name in Usage.__dataclass_fields__ if name not in ("service", "estimated")]
    usage = Usage(**{name: number for number, name in enumerate(names, start=1)}, service="flex", estimated=True)
    copy = replace(usage, input_total=99)
    assert [getattr(copy, name) for name in names] == [99, *range(2, len(names) + 1)]
    assert (copy.service, copy.estimated) == ("flex", True)


@pytest.mark.parametrize("name", sorted(Usage.__dataclass_fields__))
def test_text_is_what_has_two_prices(name: str) -> None:
    assert Usage().is_text
    neutral = {"input_total", "output_total", "service", "estimated"}
    parts = {"input_cache_write_1h", "input_cached_audio", "input_cached_image"}
    # An hour's writes are among those written, cached sound among the sound, so they never stand alone.
    value: Any = {"service": "flex", "estimated": True}.get(name, 1)
    assert Usage(**{name: value}).is_text == (name in neutral or name in parts)


@pytest.mark.parametrize(
    ("word", "service"),
    [
        ("standard", "prices"),
        ("default", "prices"),
        ("on_demand", "prices"),
        ("ON_DEMAND_FLEX", "flex"),
        ("priority", "priority"),
        ("batch", "batch"),
        ("auto", ""),
        ("", ""),
        (None, ""),
        (3, ""),
    ],
)
def test_what_vendors_call_their_services(word: object, service: str) -> None:
    assert service_of(word) == service


@pytest.mark.parametrize(
    ("tier", "service"),
    [
        (b'"flex"', "flex"),
        (b'{"type":"priority"}', "priority"),
        (b"{}", ""),
        (b"[", ""),
        (b"null", ""),
        (b'"\xff"', ""),
    ],
)
def test_a_service_in_json(tier: bytes, service: str) -> None:
    assert service_in(msgspec.Raw(tier)) == service
    assert with_service(Usage(output_total=1), msgspec.Raw(tier)) == Usage(output_total=1, service=service)


def test_no_member_leaves_the_service_open() -> None:
    usage = Usage(service="flex")
    assert with_service(usage, None) is usage
