"""How one counter counts: a ring of slices of time in a row of whole numbers, and what happens to it.

The row may be a list or a piece of memory that processes share; both adapters that answer at once are `CellCounters`
and differ in where a row comes from. An adapter that keeps its numbers elsewhere does the same arithmetic:

- Time is Unix seconds, cut into slices of `period_s / (SLICES - 1)` (sliding) or `CELL_S` (budget, concurrent), that
  are numbered: `floor(now / width)`. The ring holds the present slice and the `SLICES - 1` (or `CELLS - 1`) before it;
  what stood in older ones is gone. Used of a counter is the sum of its ring, and what is settled for good (budgets).
- `reserve` adds to the present slice and remembers its number: the mark. A hard allowance refuses when used + amount >
  limit; but a sliding one with a limit above zero grants an amount above the limit while nothing is used.
- `extend` of a sliding counter adds to the present slice, which becomes the mark; what was held before stays where it
  was used (`Grant.earlier`), so that a long stream counts as what it is. Of any other it moves what the grant holds
  from its mark into the present slice, more added, and the mark with it; what was at a mark that is gone is taken
  again. What is taken, if anything, must fit as in `reserve`; where the grant alone uses the counter, a sliding one
  lets it go on.
- `settle` of a sliding counter puts the difference into the marked slice, and takes out of earlier ones, the first to
  begin with, what was not used of them either; if the mark is gone, an excess goes into the present slice. The others
  remove what is held from the marked slice, if it is there; budgets add what was used.

Rows are changed by single stores in such an order that a process killed between two of them leaves a counter that
counts too much until the slice ends or the reservation expires, never too little for good.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Kind, Refused
from gatewright.core.grant import Grant

CELLS: Final = 5
CELL_S: Final = RESERVED_S / (CELLS - 1)
"""A reservation stands in one of so many slices of this length, so that it lives `RESERVED_S` and one slice at most."""

KIND: Final = 2
"""The first two numbers of a row are the adapter's own. This and the next three are written once."""
PERIOD_US: Final = 3
ENDS_S: Final = 4
POOL: Final = 5
"""The adapter's own, too: which counters have one shared key."""
HEAD: Final = 6
"""The number of the present slice, when it was last looked at."""
SETTLED: Final = 7
BASE: Final = 8
"""What is settled, and stands in all slices but the present one."""
RING: Final = 9
ROW: Final = RING + SLICES
"""How many numbers a row has."""

NEVER_S: Final = 1 << 53
"""As Unix seconds: no end. Larger than any, and exact as a float."""
STEP_S: Final = 60.0
"""A clock that is back by less is waited for; by more, it was set, and its new time holds."""
UNKNOWN_WAIT_S: Final = 1.0
"""Nobody knows when an exchange ends, or a place becomes free; this is when to ask again."""
LARGEST: Final = 1 << 48
"""The most that one exchange takes or uses: sums of it fit into 63 bits. A larger amount is taken for this one."""

_SLIDING: Final = Kind.SLIDING
_INF: Final = float("inf")


class Row(Protocol):
    """`ROW` whole numbers, zeros to begin with."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


def describe(row: Row, allowance: Allowance) -> None:
    """Note in a row of zeros what `free_at_s` needs to know later."""
    row[KIND] = int(allowance.kind)
    row[PERIOD_US] = round(allowance.period_s * 1e6)
    row[ENDS_S] = int(min(allowance.ends_at, NEVER_S))


def advance(row: Row, size: int, number: int) -> int:
    """Let `number` be the present slice of a ring of `size`; gives the number that is the present one now.

    That is another one when somebody's clock was ahead. A ring that lies in the future altogether was written before
    the clock was set back: what it holds is taken for new, rather than lost or kept for as long as the clock needs.
    """
    head = row[HEAD]
    present = number
    if number < head:
        if head - number <= size:
            return head
        row[RING + number % size] = sum(row[RING + index] for index in range(size))
        for index in range(size):
            if index != number % size:
                row[RING + index] = 0
    else:
        for passed in range(max(head, number - size) + 1, number + 1):
            row[RING + passed % size] = 0
    row[BASE] = row[SETTLED] + sum(row[RING + index] for index in range(size) if index != present % size)
    row[HEAD] = present
    return present


def free_at_s(row: Row) -> float:
    """When nothing of the counter will matter any more, if nobody touches it; 0.0 when nothing does now."""
    is_sliding = row[KIND] == _SLIDING
    if row[SETTLED]:
        return float(row[ENDS_S])
    if not any(row[RING + index] for index in range(SLICES if is_sliding else CELLS)):
        return 0.0
    if is_sliding:
        return (row[HEAD] + SLICES) * row[PERIOD_US] / 1e6 / (SLICES - 1)
    return (row[HEAD] + CELLS) * CELL_S


class CellCounters(ABC):
    """`core.ports.Counters` over rows that are found by key. Answers at once; not for several threads.

    The keys of one call must differ, and a key belongs to one kind and one period. `now` gives Unix seconds.
    """

    def __init__(self, now: Callable[[], float], on_problem: Callable[[str], None]) -> None:
        self._now = now
        self._on_problem = on_problem
        self._latest = 0.0
        self._rows: dict[str, Row] = {}
        self._was_full = self._has_shared = False

    @abstractmethod
    def _find(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        """Find or make a row that is not in `_rows`, and put it there, without taking those of `allowances` away.

        Where there is no place, and none can be made without forgetting what counts still: the shared one's, which is
        not put there for this key. None when there is none for that either.
        """

    def _find_shared(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        """The row of the counter that counts in the place of one for which there is no room."""
        if not allowance.shared_key:
            return None
        if not self._has_shared:
            self._has_shared = True
            self._on_problem(
                f"there is no room for more counters like {allowance.key!r}: further ones of its kind share one limit"
            )
        shared = replace(allowance, key=allowance.shared_key, shared_key="", is_open=False)
        return self._rows.get(shared.key) or self._find(shared, allowances)

    def _seek(self, allowance: Allowance) -> Row | None:
        """Find a row that is not in `_rows`, and make none."""
        return None

    def reserve(self, allowances: Sequence[Allowance], amounts: list[int]) -> Grant | Refused:
        """Take all amounts or none; the list becomes the grant's."""
        now = self._now()
        if now < self._latest:
            now = self._wait_for_clock(now)
        self._latest = now
        rows = self._rows
        left: list[int] = []
        marks: list[int] = []
        for index, allowance in enumerate(allowances):
            row = rows.get(allowance.key) or self._find(allowance, allowances)
            if row is None:
                if allowance.is_hard:
                    self._give_back(allowances, amounts, marks)
                    return self._refuse_uncounted(index)
                row = [0] * ROW
            if allowance.kind is _SLIDING:
                size, mark = SLICES, int(now / (allowance.period_s / (SLICES - 1)))
            else:
                size, mark = CELLS, int(now / CELL_S)
            if row[HEAD] != mark:
                mark = advance(row, size, mark)
            slot = RING + mark % size
            amount = amounts[index]
            if not 0 <= amount <= LARGEST:
                if amount < 0:
                    self._give_back(allowances, amounts, marks)
                amount = amounts[index] = _bound(amount)
            held = row[slot]
            total = row[BASE] + held + amount
            rest = allowance.limit - total
            if rest < 0 and allowance.is_hard and not (total == amount > allowance.limit > 0 and size == SLICES):
                self._give_back(allowances, amounts, marks)
                return self._refuse(index, allowance, row, amount)
            row[slot] = held + amount
            left.append(rest)
            marks.append(mark)
        return Grant(allowances, amounts, left, marks)

    def _give_back(self, allowances: Sequence[Allowance], amounts: list[int], marks: list[int]) -> None:
        """Undo what was taken of the first allowances, since a later one refuses."""
        for index, mark in enumerate(marks):
            allowance = allowances[index]
            row = self._rows.get(allowance.key) or self._find(allowance, allowances)
            if row is not None:
                slot = RING + mark % (SLICES if allowance.kind is _SLIDING else CELLS)
                row[slot] -= amounts[index]

    def extend(self, grant: Grant, amounts: list[int]) -> Refused | None:
        """Take so much more, all or none, and let everything live on."""
        now = self._time()
        places: list[tuple[Row, int, int]] = []
        for index, allowance in enumerate(grant.allowances):
            row = self._rows.get(allowance.key) or self._find(allowance, grant.allowances)
            if row is None:
                if allowance.is_hard:
                    return self._refuse_uncounted(index)
                row = [0] * ROW
            number, size = self._enter(row, allowance, now)
            more, held = _bound(amounts[index]), grant.amounts[index]
            is_sliding = size == SLICES
            is_gone = number - grant.marks[index] >= size
            take = more if is_sliding or not is_gone else more + held
            total = row[BASE] + row[RING + number % size]
            if allowance.is_hard and 0 < take and total + take > allowance.limit:
                own = 0 if is_gone else held
                if not (is_sliding and total == own and own + more > allowance.limit > 0):
                    return self._refuse(index, allowance, row, take)
            places.append((row, number, size))
        for index, (row, number, size) in enumerate(places):
            self._move(grant, index, _bound(amounts[index]), row, number, size)
            grant.left[index] = grant.allowances[index].limit - row[BASE] - row[RING + number % size]
        return None

    def settle(self, grant: Grant, used: list[int]) -> None:
        """Replace what is held by what was used. Needs the clock only where more was used than held."""
        rows, marks, amounts = self._rows, grant.marks, grant.amounts
        for index, allowance in enumerate(grant.allowances):
            row = rows.get(allowance.key) or self._find(allowance, grant.allowances)
            if row is None:
                continue
            spent = used[index]
            if not 0 <= spent <= LARGEST:
                spent = _bound(spent)
            if allowance.kind is _SLIDING:
                if grant.earlier is not None:
                    spent, unused = grant.used_since(index, spent)
                    for part in unused:
                        if 0 <= row[HEAD] - part.mark < SLICES:
                            _take_out(row, RING + part.mark % SLICES, part.amount, part.mark != row[HEAD])
                change = spent - amounts[index]
                if change:
                    self._correct(row, allowance, marks[index], change)
                continue
            mark, held = marks[index], amounts[index]
            if allowance.kind is Kind.BUDGET:
                row[BASE] += spent
                row[SETTLED] += spent
            head = row[HEAD]
            if 0 <= head - mark < CELLS:
                _take_out(row, RING + mark % CELLS, held, mark != head)

    def used(self, allowances: Sequence[Allowance]) -> list[int]:
        """What is used and reserved of each now."""
        now = self._time()
        result: list[int] = []
        for allowance in allowances:
            row = self._rows.get(allowance.key) or self._seek(allowance)
            if row is None:
                result.append(0)
                continue
            number, size = self._enter(row, allowance, now)
            result.append(row[BASE] + row[RING + number % size])
        return result

    def settled(self, allowances: Sequence[Allowance]) -> list[int]:
        """What is settled of each budget."""
        rows = (self._rows.get(allowance.key) or self._seek(allowance) for allowance in allowances)
        return [0 if row is None else row[SETTLED] for row in rows]

    def raise_settled(self, allowance: Allowance, amount: int) -> bool:
        """Let at least so much of a budget be settled: what the ledger knows, after the counter was lost.

        Beyond the port, for whoever keeps the counters. False when there is no place for it.
        """
        row = self._rows.get(allowance.key) or self._find(allowance, (allowance,))
        if row is None:
            return False
        missing = amount - row[SETTLED]
        if missing > 0:
            row[BASE] += missing
            row[SETTLED] = amount
        return True

    def _time(self) -> float:
        now = self._now()
        if now < self._latest:
            now = self._wait_for_clock(now)
        self._latest = now
        return now

    def _wait_for_clock(self, now: float) -> float:
        return self._latest if self._latest - now <= STEP_S else now

    def _enter(self, row: Row, allowance: Allowance, now: float) -> tuple[int, int]:
        """The present slice of a row, made so, and the size of its ring."""
        if allowance.kind is _SLIDING:
            size, number = SLICES, int(now / (allowance.period_s / (SLICES - 1)))
        else:
            size, number = CELLS, int(now / CELL_S)
        return (number if row[HEAD] == number else advance(row, size, number)), size

    def _correct(self, row: Row, allowance: Allowance, mark: int, change: int) -> None:
        """Settle a sliding counter: what was taken at `mark` was more or less than that."""
        number = row[HEAD] if change < 0 else self._enter(row, allowance, self._time())[0]
        if 0 <= number - mark < SLICES:
            _take_out(row, RING + mark % SLICES, -change, mark != number)
        elif change > 0:
            row[RING + number % SLICES] += change

    def _move(self, grant: Grant, index: int, more: int, row: Row, number: int, size: int) -> None:
        if size == SLICES:
            if more:
                row[RING + number % size] += more
                grant.go_on(index, number, more)
            return
        mark, held = grant.marks[index], grant.amounts[index]
        is_gone = number - mark >= size
        row[RING + number % size] += more if mark == number else held + more
        if not is_gone and mark != number:
            _take_out(row, RING + mark % size, held, True)
        grant.marks[index] = number
        grant.amounts[index] = held + more

    def _refuse_uncounted(self, index: int) -> Refused:
        """What cannot be counted must not be free."""
        if not self._was_full:
            self._was_full = True
            self._on_problem("there is no room for more counters: whoever needs a new one is refused")
        return Refused(index, 0, UNKNOWN_WAIT_S)

    def _refuse(self, index: int, allowance: Allowance, row: Row, amount: int) -> Refused:
        size = SLICES if allowance.kind is _SLIDING else CELLS
        total = row[BASE] + row[RING + row[HEAD] % size]
        return Refused(index, allowance.limit - total, self._wait_s(allowance, row, total, amount))

    def _wait_s(self, allowance: Allowance, row: Row, total: int, amount: int) -> float:
        """How long until the amount fits, if nobody takes or gives back any."""
        limit = allowance.limit
        if allowance.kind is not _SLIDING:
            return UNKNOWN_WAIT_S if allowance.kind is Kind.CONCURRENT and amount <= limit else _INF
        if amount > 0 >= limit:
            return _INF
        surplus = total + amount - limit if amount <= limit else total
        head = row[HEAD]
        for number in range(head - SLICES + 1, head + 1):
            surplus -= row[RING + number % SLICES]
            if surplus <= 0:
                return (number + SLICES) * (allowance.period_s / (SLICES - 1)) - self._latest
        return _INF


def _bound(amount: int) -> int:
    if amount < 0:
        raise ValueError(f"cannot count {amount}")
    return min(amount, LARGEST)


def _take_out(row: Row, slot: int, amount: int, is_older: bool) -> None:
    """Lower a slice, not below nothing: what it held may have been forgotten when room was made."""
    present = row[slot]
    if amount > present:
        amount = present
    row[slot] = present - amount
    if is_older:
        row[BASE] -= amount
