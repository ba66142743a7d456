"""Wrong keys are counted per address, for a while."""

from __future__ import annotations

import pytest

from gatewright.control.admin import failures
from gatewright.control.admin.failures import MAX_FAILURES, WINDOW_S, Failures
from gatewright.testing.clock import FakeClock


def fail(counted: Failures, address: str, times: int) -> None:
    for _ in range(times):
        counted.add(address)


def test_an_address_waits_when_it_failed_too_often_and_then_no_more() -> None:
    clock = FakeClock()
    counted = Failures(clock)
    fail(counted, "192.0.2.1", MAX_FAILURES - 1)
    assert counted.wait_s("192.0.2.1") == 0
    clock.advance(10)
    counted.add("192.0.2.1")
    assert counted.wait_s("192.0.2.1") == WINDOW_S - 10
    assert counted.wait_s("192.0.2.2") == 0
    clock.advance(WINDOW_S - 10)
    assert counted.wait_s("192.0.2.1") == 0
    counted.add("192.0.2.1")
    assert counted.wait_s("192.0.2.1") == 0, "a new window begins at one"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("unix", "unix", True),
    ],
)
def test_addresses_that_one_subscriber_has_count_as_one(one: str, other: str, is_same: bool) -> None:
    counted = Failures(FakeClock())
    fail(counted, one, MAX_FAILURES)
    assert (counted.wait_s(other) > 0) is is_same


def test_many_addresses_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MAX_ADDRESSES", 3)
    counted = Failures(FakeClock())
    fail(counted, "10.0.0.0", MAX_FAILURES)
    for number in range(1, 4):
        counted.add(f"10.0.0.{number}")
    assert counted.wait_s("10.0.0.0") == 0, "the oldest is forgotten"
