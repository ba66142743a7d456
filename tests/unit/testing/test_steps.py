"""Steps are plain values: equal when they say the same, and not to be changed once written."""

from __future__ import annotations

import pytest

from gatewright.testing.steps import Repeat, Reset, Send


def test_steps_are_values() -> None:
    assert Send(b"a") == Send(b"a") != Send(b"b")
    assert Repeat(b"a").times is None
    with pytest.raises(AttributeError):
        Send(b"a").data = b"b"  # type: ignore[misc]
    assert Reset() == Reset()
