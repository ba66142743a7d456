"""What a replica still has to tell the counters' server: reservations to give back, usage to book.

It is kept per counter and slice, not per exchange: a thousand exchanges against one budget are one row. So a long
outage takes little memory, and afterwards a few batches tell all of it.
"""

from __future__ import annotations

from typing import Final

from gatewright.core.cells import CELLS
from gatewright.core.counting import SLICES, Allowance, Kind
from gatewright.store.redis_scripts import Row, Shape

PRESENT: Final = -1
"""As a mark: whichever slice is the present one when it is booked."""


class Owed:
    """Rows that wait to be sent. `max_rows` bounds them; what finds no place is lost, and counted in `lost`."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows: dict[tuple[str, int], Row] = {}
        self.lost = 0
        """Changes that found no place since it was last set to 0."""

    def __len__(self) -> int:
        return len(self._rows)

    def give(self, shape: Shape, allowance: Allowance, mark: int, amount: int) -> None:
        """Something that is held at `mark` is held no longer."""
        if amount and (row := self._find(shape, allowance, mark)) is not None:
            row.give += amount

    def add(self, shape: Shape, allowance: Allowance, mark: int, amount: int) -> None:
        """Something more was used, or is held, at `mark`."""
        if amount and (row := self._find(shape, allowance, mark)) is not None:
            row.add += amount

    def settle(self, shape: Shape, allowance: Allowance, amount: int) -> None:
        """Something was used for good."""
        if amount and (row := self._find(shape, allowance, PRESENT)) is not None:
            row.settled += amount

    def want(self, shape: Shape, allowance: Allowance, amount: int) -> None:
        """Take so much in advance. Wanted twice is wanted once."""
        if amount and (row := self._find(shape, allowance, PRESENT)) is not None:
            row.want = amount

    def take(self, now_us: float) -> list[Row]:
        """All rows, which are then the caller's to send, without those whose slice is forgotten by now."""
        rows, self._rows = self._rows, {}
        return [row for row in rows.values() if not is_gone(row.shape, row.mark, now_us)]

    def _find(self, shape: Shape, allowance: Allowance, mark: int) -> Row | None:
        row = self._rows.get((shape.name, mark))
        if row is None:
            if len(self._rows) >= self._max_rows:
                self.lost += 1
                return None
            row = self._rows[shape.name, mark] = Row(shape, allowance, mark)
        return row

    def forget_gone(self, now_us: float) -> None:
        """Drop what nobody can book any more, so that a long outage does not fill the place with it."""
        self._rows = {key: row for key, row in self._rows.items() if not is_gone(row.shape, row.mark, now_us)}


def is_gone(shape: Shape, mark: int, now_us: float) -> bool:
    """Whether the counter has forgotten that slice."""
    size = SLICES if shape.kind is Kind.SLIDING else CELLS
    return mark != PRESENT and mark <= shape.slice_at(now_us) - size
