import pytest

from gatewright.core.surface import Surface, UpstreamFault


def test_a_fault_is_not_a_matter_of_money_unless_said() -> None:
    assert UpstreamFault("m") == UpstreamFault("m", None, False)


def test_surfaces_are_values() -> None:
    surface = Surface("chat", b"POST", b"/v1/chat", "openai.chat")
    assert {surface: 1}[Surface("chat", b"POST", b"/v1/chat", "openai.chat")] == 1
    with pytest.raises(AttributeError, match="immutable"):
        surface.name = "other"  # type: ignore[misc]
