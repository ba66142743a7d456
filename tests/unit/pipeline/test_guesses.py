"""How often one may be wrong."""

from __future__ import annotations

import pytest

from gatewright.pipeline.guesses import MAX_KEPT, PER_ADDRESS, PER_CLIENT, WINDOW_S, Guesses


def guess(guesses: Guesses, address: str, client: str, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        guesses.add(address, client, now)


def test_few_mistakes_about_one_client() -> None:
    guesses = Guesses()
    guess(guesses, "192.0.2.1", "a", PER_CLIENT - 1)
    assert guesses.wait_s("192.0.2.1", "a", 0.0) == 0
    guesses.add("192.0.2.1", "a", 10.0)
    assert guesses.wait_s("192.0.2.1", "a", 20.0) == WINDOW_S - 20.0
    assert guesses.wait_s("192.0.2.1", "b", 20.0) == 0, "another client behind the same proxy goes on"
    assert guesses.wait_s("192.0.2.2", "a", 20.0) == 0
    assert guesses.wait_s("192.0.2.1", "a", WINDOW_S) == 0


def test_many_mistakes_from_one_address() -> None:
    guesses = Guesses()
    for number in range(PER_ADDRESS):
        guesses.add("192.0.2.1", f"client-{number}", 0.0)
    assert guesses.wait_s("192.0.2.1", "anybody", 1.0) == WINDOW_S - 1.0
    assert guesses.wait_s("192.0.2.9", "anybody", 1.0) == 0


def test_mistakes_about_no_client_count_for_the_address_alone() -> None:
    guesses = Guesses()
    guess(guesses, "192.0.2.1", "a", PER_CLIENT)
    guess(guesses, "192.0.2.1", "", PER_ADDRESS - PER_CLIENT - 1)
    assert guesses.wait_s("192.0.2.1", "", 0.0) == 0
    guesses.add("192.0.2.1", "", 0.0)
    assert guesses.wait_s("192.0.2.1", "", 0.0) == WINDOW_S


def test_a_window_begins_anew_after_its_end() -> None:
    guesses = Guesses()
    guess(guesses, "192.0.2.1", "a", PER_CLIENT)
    guesses.add("192.0.2.1", "a", WINDOW_S)
    assert guesses.wait_s("192.0.2.1", "a", WINDOW_S) == 0


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_who_counts_as_one(one: str, other: str, is_same: bool) -> None:
    guesses = Guesses()
    guess(guesses, one, "a", PER_CLIENT)
    assert (guesses.wait_s(other, "a", 0.0) > 0) is is_same


def test_what_is_kept_is_bounded() -> None:
    guesses = Guesses()
    for number in range(MAX_KEPT):
        guesses.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "a", 0.0)
    assert len(guesses._counts) <= MAX_KEPT
