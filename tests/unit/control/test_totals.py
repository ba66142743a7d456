"""Adding up: restarts never make a total fall, and label sets have a bound."""

from __future__ import annotations

import pytest

from gatewright.control import totals as module
from gatewright.control.totals import Totals, add_up
from gatewright.telemetry.records import Batch, Cell, Gauges, Labels

CHAT = Labels("chat_completions", "m", "up", "x-1", 200, "", False)


def cell(labels: Labels = CHAT, **numbers: int) -> Cell:
    made = Cell(labels, **numbers)  # type: ignore[arg-type]
    made.duration_counts[2] = numbers.get("exchanges", 0)
    made.duration_sum_s = 0.02 * numbers.get("exchanges", 0)
    return made


def batch(*cells: Cell, slot: int = 1, pid: int = 10, gauges: Gauges | None = None, lost: int = 0) -> Batch:
    return Batch(slot, pid, gauges or Gauges(), list(cells), b"", lost)


def test_batches_are_added_whoever_sent_them() -> None:
    totals = Totals()
    totals.add(batch(cell(exchanges=2, input_tokens=5), lost=1))
    totals.add(batch(cell(exchanges=3, output_tokens=7), slot=2, pid=20, lost=2))
    total = totals.cells[CHAT]
    assert (total.exchanges, total.input_tokens, total.output_tokens) == (5, 5, 7)
    assert total.duration_counts[2] == 5
    assert total.duration_sum_s == pytest.approx(0.1)
    assert totals.lost_lines == 3


def test_every_number_of_a_cell_takes_part() -> None:
    one, two = Cell(CHAT), Cell(CHAT)
    for name in Cell.__struct_fields__[1:]:
        kept = getattr(two, name)
        setattr(two, name, [3] * len(kept) if isinstance(kept, list) else 3)
    add_up(one, two)
    add_up(one, two)
    for name in Cell.__struct_fields__[1:]:
        sums = getattr(one, name)
        assert set(sums if isinstance(sums, list) else [sums]) == {6}, name


def test_what_was_sent_is_not_changed() -> None:
    totals = Totals()
    first = cell(exchanges=1)
    totals.add(batch(first))
    totals.add(batch(cell(exchanges=1)))
    assert totals.cells[CHAT].exchanges == 2
    assert first.exchanges == 1


def test_beyond_the_bound_model_names_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LABEL_SETS", 2)
    totals = Totals()
    for number in range(10):
        totals.add(batch(cell(Labels("chat_completions", f"m{number}", "up", "x", 200, "", False), exchanges=1)))
    assert len(totals.cells) == 3
    assert totals.cells[Labels("chat_completions", "", "up", "", 200, "", False)].exchanges == 8


def test_a_place_shows_its_worker_and_the_one_that_drains_beside_it() -> None:
    totals = Totals()
    totals.add(batch(pid=10, gauges=Gauges(4, 3, 2, 1, 1, 100, 5, 6)))
    totals.add(batch(pid=11, gauges=Gauges(1, 1, 1, 1, 2, 50, 1, 2)))
    totals.add(batch(slot=2, pid=20, gauges=Gauges(9, 9, 9, 9, 2, 9)))
    assert totals.gauges() == {1: Gauges(5, 4, 3, 2, 2, 150, 6, 8), 2: Gauges(9, 9, 9, 9, 2, 9)}
    totals.forget_except({11, 20, 99})
    assert totals.gauges()[1] == Gauges(1, 1, 1, 1, 2, 50, 1, 2)


def test_the_newest_state_of_a_process_counts() -> None:
    totals = Totals()
    totals.add(batch(gauges=Gauges(4)))
    totals.add(batch(gauges=Gauges(2)))
    assert totals.gauges() == {1: Gauges(2)}
