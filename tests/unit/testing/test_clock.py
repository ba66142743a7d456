"""FakeClock moves when told and only forward."""

from __future__ import annotations

import pytest

from gatewright.testing.clock import FakeClock


def test_it_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock(10.0)
    assert (clock(), clock()) == (10.0, 10.0)
    assert clock.advance(2.5) == 12.5
    assert clock() == 12.5


def test_it_cannot_go_back() -> None:
    with pytest.raises(ValueError, match="go back"):
        FakeClock().advance(-1)
