"""The words of counting: what adapters and the pipeline take for granted about them."""

from __future__ import annotations

from gatewright.core.cells import CELL_S, CELLS
from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Kind


def test_an_allowance_is_hard_and_without_end_unless_it_says_otherwise() -> None:
    allowance = Allowance("k", Kind.BUDGET, 5)
    assert (allowance.is_hard, allowance.ends_at, allowance.period_s) == (True, float("inf"), 0.0)


def test_equal_allowances_are_one_key_of_a_table() -> None:
    assert len({Allowance("k", Kind.SLIDING, 5, 60.0), Allowance("k", Kind.SLIDING, 5, 60.0)}) == 1


def test_a_reservation_outlives_what_keeps_it_alive() -> None:
    """Exchanges extend every `RESERVED_S / 3` seconds; two calls may be lost."""
    assert (CELLS - 1) * CELL_S == RESERVED_S
    assert RESERVED_S / 3 >= CELL_S
    assert SLICES > 1
