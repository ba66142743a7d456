import msgspec
import pytest

from gatewright.core.usage import Usage


def test_nothing_is_used_unless_said() -> None:
    usage = Usage()
    assert {getattr(usage, field) for field in usage.__struct_fields__} == {0, None}
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
