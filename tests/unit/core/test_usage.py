import msgspec
import pytest

from gatewright.core.usage import Usage, service_in, service_of, with_service


def test_nothing_is_used_unless_said() -> None:
    usage = Usage()
    assert {getattr(usage, field) for field in usage.__struct_fields__} == {0, None, ""}
    assert usage.estimated is False


def test_counts_are_named_and_do_not_change() -> None:
    usage = Usage(input_total=10, input_cached_read=4, output_total=3, output_reasoning=1)
    assert (usage.input_total, usage.output_total) == (10, 3)
    with pytest.raises(TypeError):
        Usage(10, 3)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        usage.input_total = 11  # type: ignore[misc]


def test_equal_counts_are_equal() -> None:
    assert Usage(input_total=1) == Usage(input_total=1)
    assert Usage(input_total=1) != Usage(input_total=1, estimated=True)


def test_it_survives_the_wire_between_processes() -> None:
    usage = Usage(input_total=7, output_total=2, output_audio=1, estimated=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(usage), type=Usage) == usage


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
