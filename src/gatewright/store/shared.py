"""Counters that all workers of one gateway share, in a file that each of them maps: no server, no process between them.

The file outlives every process, so a budget remembers through any crash and restart. It is a table: a page that says
who is attached, then pages (sets) of rows (`core.cells`). The hash of a key names two sets, and the key's row stands in
one of them. A row is given to another key when nothing of it matters any more, never before. Where both sets are full,
a counter that many share counts instead; those that callers can make at will (`Allowance.is_open`) leave room in each
set for others.

Each operation is atomic by the file's lock (`flock`, which the kernel releases when its holder dies). A process that is
attached alone needs no lock, and takes none:

- Whoever attaches takes a slot on the first page, under the lock, and a lock of its own on the slot's byte (an open
  file description lock), which says to others that it lives. It begins `LOCKING`.
- A process that finds no other living slot, looking under the lock, becomes `ALONE`: it operates without the lock.
- A process that is `ALONE` looks at each `tick` whether anybody attached, and goes back to `LOCKING`.
- Whoever attached does not operate before every other slot is `LOCKING` or its process dead. Then nobody is `ALONE`,
  and nobody can become so while it lives.

Where the kernel knows no such locks, everybody is `LOCKING`, always.

A process killed in an operation leaves each row consistent (`core.cells`); of the operation's allowances the first may
be done and the others not, which for a reservation ends when it expires, and for a settlement is that one exchange.

A crash of the machine may take what was not written to its disk yet, which is what was counted in the last half minute.
A file that is no table of this version is set aside, and said so. Budgets in a new file are raised to what the ledger
says (`raise_settled`), once: `lacks_spending` tells whether that was done.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from struct import Struct as Layout
from typing import Final

from gatewright.core.cells import POOL, ROW, CellCounters, Row, describe, free_at_s
from gatewright.core.counting import Allowance, Refused
from gatewright.core.grant import Grant

TICK_S: Final = 0.05
"""How often each attached process must call `tick`."""
PATIENCE_S: Final = 10.0
"""How long an operation waits for others to notice this process before it fails."""

_MAGIC: Final = int.from_bytes(b"gwcount\0", "little")
_VERSION: Final = 2
_PAGE: Final = 4096
_WORD: Final = 8
_SETS: Final = 8192
_ROWS_PER_SET: Final = _PAGE // (ROW * _WORD)
_RESERVED_PER_SET: Final = _ROWS_PER_SET // 5
"""Places in a set that counters of pools leave to those that belong to none."""
_HEADER: Final = Layout("=qqq")
"""Magic, version, number of sets."""
_SETS_AT: Final = 2
_EVICTIONS: Final = 3
"""How often a row was given to another key: whoever remembers places must look for them again."""
_ARRIVALS: Final = 4
"""How many processes ever attached."""
_RAISED: Final = 5
"""Whether budgets were raised to what the ledger says, since the file was made."""
_SLOTS: Final = 16
_SLOT: Final = 2
"""A slot is a mode and, for whoever looks into the file, a process id."""
_UNSLOTTED: Final = _SLOTS - _SLOT
"""A slot that nobody looks at."""
_FREE: Final = 0
_LOCKING: Final = 1
_ALONE: Final = 2
_IDENT: Final = Layout("=qq")
_ZEROS: Final = array("q", bytes(ROW * _WORD))
_LOCK: Final = Layout("hhqqi")
"""`struct flock` of a machine with 64-bit offsets."""
_MAX_KNOWN: Final = 20_000
"""Keys whose row is remembered; beyond it they are hashed again."""
_FULL_S: Final = 0.1
"""How long names that callers make up share a counter once there is no place for one: looking for it takes longer than
all else that is counted of a request."""
_MAX_FULL: Final = 1_000
"""Shared keys for which that is remembered; beyond it places are looked for again."""


class SharedCounters(CellCounters):
    """Counters (`core.ports.Counters`) shared by every process that opens the same file.

    `now` gives Unix seconds, the same in all processes. Call `tick` every `TICK_S`, and `close` at the end. Operations
    before `tick` was true for the first time wait in place until other processes have noticed this one. `on_problem` is
    told what an operator should know. Raises OSError when the file cannot be made or mapped.

    A fork without exec must not outlive this process: it would keep the locks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        now: Callable[[], float],
        *,
        pid: int | None = None,
        sets: int = _SETS,
        on_problem: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(now, on_problem)
        self._is_alone = self._is_ready = False
        self._full_until: dict[str, float] = {}
        """By shared key, until when no place is looked for any more, since there was none."""
        self._fd = _open_locked(Path(path), sets, on_problem)
        try:
            self._table = mmap.mmap(self._fd, 0)
            self._words = memoryview(self._table).cast("q")
            self._sets = self._words[_SETS_AT]
            self._evictions = self._words[_EVICTIONS]
            self._arrivals = 0
            self._slot = self._attach(os.getpid() if pid is None else pid)
        except BaseException:
            os.close(self._fd)
            raise
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.tick()

    def tick(self) -> bool:
        """Notice who came and who went; gives whether operations need not wait (any more)."""
        if self._is_alone:
            if self._words[_ARRIVALS] != self._arrivals:
                # Under the lock, so that what was stored without it is there for whoever takes it next.
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                self._is_alone = False
                self._words[self._slot] = _LOCKING
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            return True
        if self._slot == _UNSLOTTED:
            return True
        modes = self._living_modes()
        if not modes:
            self._settle_alone()
        elif not self._is_ready:
            self._is_ready = _ALONE not in modes
        return self._is_ready

    @property
    def is_alone(self) -> bool:
        """Whether operations take no lock now."""
        return self._is_alone

    def note_raised(self) -> None:
        """What the ledger says was put in; the file lacks nothing any more."""
        self._words[_RAISED] = 1

    def close(self) -> None:
        """Detach. Reservations that are not settled expire."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._words[self._slot] = _FREE
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._rows.clear()
        self._words.release()
        with suppress(BufferError):  # a row somebody still holds keeps the memory, not the place
            self._table.close()
        os.close(self._fd)

    def reserve(self, allowances: Sequence[Allowance], amounts: list[int]) -> Grant | Refused:
        is_locked = self._begin()
        try:
            return CellCounters.reserve(self, allowances, amounts)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def extend(self, grant: Grant, amounts: list[int]) -> Refused | None:
        is_locked = self._begin()
        try:
            return CellCounters.extend(self, grant, amounts)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def settle(self, grant: Grant, used: list[int]) -> None:
        is_locked = self._begin()
        try:
            CellCounters.settle(self, grant, used)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def used(self, allowances: Sequence[Allowance]) -> list[int]:
        is_locked = self._begin()
        try:
            return CellCounters.used(self, allowances)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def settled(self, allowances: Sequence[Allowance]) -> list[int]:
        is_locked = self._begin()
        try:
            return CellCounters.settled(self, allowances)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def raise_settled(self, allowance: Allowance, amount: int) -> bool:
        is_locked = self._begin()
        try:
            return CellCounters.raise_settled(self, allowance, amount)
        finally:
            if is_locked:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _begin(self) -> bool:
        """Have the table for an operation; gives whether the lock was taken for it."""
        is_locked = not self._is_alone
        if is_locked:
            if not self._is_ready:
                self._wait_for_others()
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        if self._words[_EVICTIONS] != self._evictions:
            self._evictions = self._words[_EVICTIONS]
            self._rows.clear()
        return is_locked

    def _wait_for_others(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.tick():
            if time.monotonic() > until:
                raise TimeoutError("another process holds the counters and does not answer")
            time.sleep(TICK_S / 20)

    def _attach(self, pid: int) -> int:
        """Take a slot. The file's lock is held."""
        if not _has_slot_locks(self._fd):
            self._is_ready = True
            return _UNSLOTTED
        for slot in range(_SLOTS, _PAGE // _WORD, _SLOT):
            if _lock_byte(self._fd, slot):
                self._words[slot] = _LOCKING
                self._words[slot + 1] = pid
                self._words[_ARRIVALS] += 1
                return slot
        raise OSError("too many processes share the counters")

    def _living_modes(self) -> set[int]:
        """The modes of the other attached processes; slots of dead ones are freed on the way by who settles alone."""
        slots = self._words[_SLOTS : _PAGE // _WORD : _SLOT].tolist()
        return {
            mode
            for slot, mode in zip(range(_SLOTS, _PAGE // _WORD, _SLOT), slots, strict=True)
            if mode != _FREE and slot != self._slot and _is_locked(self._fd, slot)
        }

    def _settle_alone(self) -> None:
        """Do without the lock from now on, if still nobody else is there."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        if not self._living_modes():
            for slot in range(_SLOTS, _PAGE // _WORD, _SLOT):
                self._words[slot] = _ALONE if slot == self._slot else _FREE
            self._arrivals = self._words[_ARRIVALS]
            self._is_alone = self._is_ready = True
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _seek(self, allowance: Allowance) -> Row | None:
        # By hand: until Python 3.11.4 `mmap.find` reads beyond the end of the last page.
        ident = _identify(allowance.key)
        first, second = _IDENT.unpack(ident)
        for places in self._places(ident):
            firsts = self._words[places.start : places.stop : ROW].tolist()
            if first in firsts:
                at = places[firsts.index(first)]
                if self._words[at + 1] == second:
                    return self._remember(allowance.key, at)
        return None

    def _find(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        row = self._seek(allowance)
        if row is not None:
            return row
        if allowance.is_open and self._latest < self._full_until.get(allowance.shared_key, 0.0):
            return self._find_shared(allowance, allowances)
        ident = _identify(allowance.key)
        pool = _IDENT.unpack(_identify(allowance.shared_key))[0] if allowance.is_open else 0
        at = self._free_place(ident, pool)
        if at is None:
            at = self._make_place(ident, pool, {_identify(key) for each in allowances for key in _keys_of(each)})
        if at is None:
            if allowance.is_open:
                if len(self._full_until) >= _MAX_FULL:
                    self._full_until.clear()
                self._full_until[allowance.shared_key] = self._latest + _FULL_S
            return self._find_shared(allowance, allowances)
        first, second = _IDENT.unpack(ident)
        self._words[at + 1 : at + ROW] = memoryview(_ZEROS)[1:]
        row = self._remember(allowance.key, at)
        describe(row, allowance)
        row[POOL] = pool
        row[1] = second
        row[0] = first  # last: from here on the place is taken
        return row

    def _remember(self, key: str, at: int) -> Row:
        if len(self._rows) >= _MAX_KNOWN:
            self._rows.clear()
        row: Row = self._words[at : at + ROW]
        self._rows[key] = row
        return row

    def _places(self, ident: bytes) -> list[range]:
        """Where the row may stand: per set, the first words."""
        numbers = {number % self._sets for number in _IDENT.unpack(ident)}
        starts = ((1 + number) * (_PAGE // _WORD) for number in numbers)
        return [range(start, start + _ROWS_PER_SET * ROW, ROW) for start in starts]

    def _free_place(self, ident: bytes, pool: int) -> int | None:
        """A place that was never taken, in the emptier one of the sets, so that both fill evenly."""
        best: list[int] = []
        for places in self._places(ident):
            free = [at for at in places if not self._words[at]]
            if len(free) > len(best) and (not pool or self._may_take(places, pool, len(free))):
                best = free
        return best[0] if best else None

    def _make_place(self, ident: bytes, pool: int, spared: set[bytes]) -> int | None:
        """The place of a counter of which nothing matters any more, or a free one that its set can spare with it."""
        now = self._time()
        for places in self._places(ident):
            free = [at for at in places if not self._words[at]]
            over = [at for at in places if self._words[at] and self._is_over(at, now, spared)]
            own = sum(self._words[at + POOL] == pool for at in over)
            if over and (not pool or self._may_take(places, pool, len(free) + len(over), own)):
                self._words[_EVICTIONS] += 1
                self._words[over[0]] = 0
                return over[0]
        return None

    def _may_take(self, places: range, pool: int, free: int, over: int = 0) -> bool:
        """Whether a set has room for one more of a pool: what it leaves to others, and beyond that to those who belong
        to none, is more than what it has. So one that grows for ever has half of the room, the next one half of the
        rest, and none has all of it."""
        own = self._words[places.start + POOL : places.stop + POOL : ROW].tolist().count(pool)
        return own - over < free - _RESERVED_PER_SET

    def _is_over(self, at: int, now: float, spared: set[bytes]) -> bool:
        row: Row = self._words[at : at + ROW]
        return free_at_s(row) <= now and _IDENT.pack(row[0], row[1]) not in spared


def _keys_of(allowance: Allowance) -> tuple[str, str]:
    return allowance.key, allowance.shared_key


def lacks_spending(path: Path) -> bool:
    """Whether budgets begin at nothing in the file, or in the one that takes its place, though the ledger may know
    better. Attaches to nothing."""
    try:
        with path.open("rb") as file:
            return not _is_table(file.fileno()) or not any(os.pread(file.fileno(), _WORD, _RAISED * _WORD))
    except FileNotFoundError:
        return True


def _identify(key: str) -> bytes:
    """What a row is known by; its first half is not zero, for that is a free place."""
    first, second = _IDENT.unpack(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_IDENT.size).digest())
    return _IDENT.pack(first or 1, second)


def _has_slot_locks(fd: int) -> bool:
    try:
        _is_locked(fd, _UNSLOTTED)
    except OSError:
        return False
    return True


def _lock_byte(fd: int, slot: int) -> bool:
    """Take the lock on a slot that says its owner lives; false when another has it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, slot * _WORD, 1, 0))
    except BlockingIOError:
        return False
    return True


def _is_locked(fd: int, slot: int) -> bool:
    """Whether another process holds a slot."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, slot * _WORD, 1, 0))
    return bool(_LOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _open_locked(path: Path, sets: int, on_problem: Callable[[str], None]) -> int:
    """The descriptor of the table, with the file's lock. Makes it when there is none, or none that can be used."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            _create(path, sets)
            continue
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            is_current = os.path.samestat(os.fstat(fd), path.stat())
        except FileNotFoundError:
            is_current = False
        if is_current:
            if _is_table(fd):
                return fd
            aside = path.with_name(path.name + ".unusable")
            path.replace(aside)
            on_problem(f"{path} holds no counters of this version: begun anew, the old file is {aside.name}")
        os.close(fd)


def _is_table(fd: int) -> bool:
    header = os.pread(fd, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return False
    magic, version, sets = _HEADER.unpack(header)
    return bool((magic, version) == (_MAGIC, _VERSION) and sets > 0 and os.fstat(fd).st_size == (1 + sets) * _PAGE)


def _create(path: Path, sets: int) -> None:
    """Put an empty table in place, unless somebody else was faster.

    Its space on the disk is taken now: when the disk is full later, a store into a hole would end the process.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, (1 + sets) * _PAGE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, _VERSION, sets), 0)
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        os.close(fd)
        new.unlink()
