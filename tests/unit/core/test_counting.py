"""The words between limits and whoever keeps their numbers."""

from __future__ import annotations

import pytest

from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Grant, Kind, Refused


def test_an_allowance_is_hard_and_for_ever_unless_it_says_otherwise() -> None:
    allowance = Allowance("requests:acme", Kind.SLIDING, 10, period_s=60)
    assert allowance.is_hard
    assert allowance.ends_at == float("inf")
    with pytest.raises(AttributeError):
        allowance.limit = 11  # type: ignore[misc]


def test_a_grant_holds_as_much_of_each_allowance_as_was_asked() -> None:
    allowances = (Allowance("a", Kind.SLIDING, 10, period_s=60), Allowance("b", Kind.BUDGET, 100))
    grant = Grant(allowances, [1, 20], [9, 80], [4, 5])
    assert (grant.amounts, grant.left, grant.marks, grant.gone) == ([1, 20], [9, 80], [4, 5], None)


def test_kinds_stay_what_they_are_in_tables_that_outlive_versions() -> None:
    assert [(kind.name, kind.value) for kind in Kind] == [("SLIDING", 0), ("BUDGET", 1), ("CONCURRENT", 2)]
    assert (SLICES, RESERVED_S) == (16, 120.0)


def test_a_refusal_says_which_and_how_long() -> None:
    assert Refused(index=1, left=0, wait_s=2.5) == Refused(1, 0, 2.5)
