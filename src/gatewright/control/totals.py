"""What the workers reported, added up: totals per label set for the life of this process, and each worker's state."""

from __future__ import annotations

from typing import Final

import msgspec

from gatewright.telemetry.records import Batch, Cell, Gauges, Labels

MAX_LABEL_SETS: Final = 20_000
"""Beyond it, exchanges are counted under the label set without model names; a scrape stays below some megabytes."""

_SUMS: Final = tuple(name for name in Cell.__struct_fields__ if name != "labels" and not name.endswith("_counts"))
_COUNTS: Final = tuple(name for name in Cell.__struct_fields__ if name.endswith("_counts"))


class Totals:
    """Adds batches up. A worker's cells hold changes, so a restarted worker never makes a total fall."""

    def __init__(self) -> None:
        self.cells: dict[Labels, Cell] = {}
        self.lost_lines = 0
        self._gauges: dict[tuple[int, int], Gauges] = {}

    def add(self, batch: Batch) -> None:
        """Book one batch."""
        self.lost_lines += batch.lost_lines
        self._gauges[batch.slot, batch.pid] = batch.gauges
        for cell in batch.cells:
            self._add_cell(cell)

    def is_emptied_again(self, batch: Batch) -> bool:
        """Whether its worker has found the counters' server emptied since its batch before; ask before `add`."""
        known = self._gauges.get((batch.slot, batch.pid))
        return batch.gauges.counters_emptied > (0 if known is None else known.counters_emptied)

    def forget_except(self, pids: set[int]) -> None:
        """Drop the state of worker processes that are gone."""
        for key in [key for key in self._gauges if key[1] not in pids]:
            del self._gauges[key]

    def gauges(self) -> dict[int, Gauges]:
        """The state of each place, by slot: a worker that drains beside its replacement is added to it."""
        slots: dict[int, Gauges] = {}
        for (slot, _), gauges in sorted(self._gauges.items()):
            known = slots.get(slot)
            slots[slot] = gauges if known is None else _together(known, gauges)
        return slots

    def _add_cell(self, cell: Cell) -> None:
        labels = cell.labels
        total = self.cells.get(labels)
        if total is None and len(self.cells) >= MAX_LABEL_SETS:
            labels = msgspec.structs.replace(labels, model="", upstream_model="")
            total = self.cells.get(labels)
        if total is None:
            self.cells[labels] = msgspec.structs.replace(cell, labels=labels)
            return
        add_up(total, cell)


def add_up(total: Cell, cell: Cell) -> None:
    """Add the numbers of one cell to another's, whatever their labels."""
    for name in _SUMS:
        setattr(total, name, getattr(total, name) + getattr(cell, name))
    for name in _COUNTS:
        counts = getattr(total, name)
        for index, count in enumerate(getattr(cell, name)):
            if count:
                counts[index] += count


def _together(one: Gauges, two: Gauges) -> Gauges:
    sums = {name: getattr(one, name) + getattr(two, name) for name in Gauges.__struct_fields__}
    return Gauges(**sums | {"snapshot_version": max(one.snapshot_version, two.snapshot_version)})
