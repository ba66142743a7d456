"""Reads journals (`store.journal`), while they are written or after their writer is gone.

What the file says is checked, entry by entry: checksum, contents, number. Where something does not hold, reading stops
and says so (`Damage`); nothing is skipped. A half-written last entry of a killed process is no damage: its length is 0,
and whoever appended it never came back from doing so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from gatewright.core.ledger import Entry
from gatewright.store.journal import CLOSED, HEADER, MAGIC, OWNER_FILE, RECORD, SEGMENT_BYTES, SUFFIX

_READ_BYTES: Final = 256 * 1024
_FIRST_BYTES: Final = 4096
"""Of the first read, for usually nothing, or a little, is new."""
_SMALLEST: Final = 16
"""Bytes that no encoded entry stays below."""
_ZEROS: Final = 64
"""More than the zeros that an encoded entry may end with."""


class Damage(Struct, frozen=True):
    """Where a journal cannot be read on, and why."""

    segment: str
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.segment}, byte {self.offset}: {self.reason}"


class _Broken(Exception):
    """A place that does not hold; `Damage` when it stays so."""


def list_journals(directory: Path) -> list[Path]:
    """The journals in the directory of all journals, oldest first."""
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []


def is_written(journal: Path) -> bool:
    """Whether the process that writes this journal lives."""
    try:
        fd = os.open(journal / OWNER_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def list_segments(journal: Path) -> dict[int, int]:
    """The segments in use: index to the number of the first entry, in order."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(journal.glob(f"*{SUFFIX}")):
            if path.stem.isdigit() and (number := _first_number(path)) > 0:
                found[int(path.stem)] = number
    return found


class JournalReader:
    """Reads one journal on from the entry after `booked`."""

    def __init__(self, journal: Path, booked: int = 0) -> None:
        self.name = journal.name
        self.number = booked
        """Of the last entry that was read, or is known to be booked."""
        self.damage: Damage | None = None
        """Why nothing more is read, although there may be more."""
        self.is_finished = False
        """Whether the writer is gone and everything is read."""
        self._journal = journal
        self._index = 0
        """Of the segment that is read; 0 before the first."""
        self._at = HEADER.size
        self._passed: dict[int, int] = {}
        """Segments that were read to their end: index to the number of the last entry in them."""
        self._suspect = ("", 0)
        self._decode = msgspec.msgpack.Decoder(Entry).decode

    def read(self, limit: int) -> list[Entry]:
        """The next entries, up to `limit`; fewer, or none, when there are no more now."""
        entries: list[Entry] = []
        # Asked first: what a dead writer wrote is all there by now.
        is_live = is_written(self._journal)
        while not (self.damage or self.is_finished) and len(entries) < limit:
            try:
                goes_on = self._read_segment(entries, limit, is_live)
            except (_Broken, OSError) as error:
                self._doubt(str(error), is_live)
                break
            if not goes_on:
                break
        return entries

    def remove_booked(self, booked: int) -> None:
        """Delete what is not needed once the entries up to `booked` are safe: passed segments, in the end the journal.

        A journal with damage keeps the segment with the damage and what follows.
        """
        for index, last in list(self._passed.items()):
            if last <= booked:
                _segment(self._journal, index).unlink(missing_ok=True)
                del self._passed[index]
        if self.is_finished and self.number <= booked:
            for path in self._journal.iterdir():
                path.unlink(missing_ok=True)
            self._journal.rmdir()

    # -- one segment ------------------------------------------------------------------------------------------------

    def _read_segment(self, entries: list[Entry], limit: int, is_live: bool) -> bool:
        """Read on in the segment where the reader stands; false when there is nothing more now."""
        if self._index == 0 and not self._find_start(is_live):
            return False
        fd = os.open(_segment(self._journal, self._index), os.O_RDONLY | os.O_CLOEXEC)
        try:
            length = self._read_records(fd, entries, limit)
            if length in (0, CLOSED) and not is_live:
                self._check_rest(fd)
            if length == CLOSED or (length == 0 and not is_live):
                return self._next_segment(is_live)
        finally:
            os.close(fd)
        return length != 0

    def _find_start(self, is_live: bool) -> bool:
        segments = list_segments(self._journal)
        if not segments:
            self.is_finished = not is_live
            return False
        starts = [index for index, first in segments.items() if first <= self.number + 1]
        if not starts:
            index, first = next(iter(segments.items()))
            reason = f"the entries {self.number + 1} to {first - 1} are missing"
            self.damage = Damage(_segment(self._journal, index).name, 0, reason)
            return False
        self._index = starts[-1]
        # Everything before it is booked.
        self._passed = dict.fromkeys(starts[:-1], 0)
        self._skip(self.number + 1 - segments[self._index])
        return True

    def _skip(self, count: int) -> None:
        """Step over entries that are booked, without a look at them.

        There may be fewer: without power, the disk may have got less of the journal than the database was told.
        """
        fd = os.open(_segment(self._journal, self._index), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, SEGMENT_BYTES, 0)
        finally:
            os.close(fd)
        at = HEADER.size
        for _ in range(count):
            length = RECORD.unpack_from(data, at)[0] if at + RECORD.size <= len(data) else 0
            if length in (0, CLOSED):
                break
            at += length + 15 & ~7
        self._at = at

    def _read_records(self, fd: int, entries: list[Entry], limit: int) -> int:
        """Read records up to the limit or the end; gives the length that stands where reading stopped."""
        # Names of this function instead of fields: it runs ten thousand times a second.
        at, number, decode, unpack, head = self._at, self.number, self._decode, RECORD.unpack_from, RECORD.size
        left = limit - len(entries)
        start, data, size = at, b"", _FIRST_BYTES
        try:
            while True:
                place = at - start + head
                if place > len(data):
                    start, place = at, head
                    data, size = os.pread(fd, size, start), _READ_BYTES
                    if len(data) < head:
                        raise _Broken("the segment ends too early")
                length, checksum = unpack(data, place - head)
                if length in (0, CLOSED) or left <= 0:
                    return int(length)
                if place + length > len(data):
                    start, place = at, head
                    data = os.pread(fd, max(_READ_BYTES, head + length) if length < SEGMENT_BYTES else 0, start)
                payload = data[place : place + length]
                if len(payload) < length or crc32(payload) != checksum:
                    raise _Broken(f"the checksum of entry {number + 1} is wrong")
                entry: Entry = decode(payload)
                if entry.number != number + 1:
                    raise _Broken(f"here should be entry {number + 1}, but it is {entry.number}")
                entries.append(entry)
                number += 1
                left -= 1
                at += length + 15 & ~7
        except msgspec.DecodeError as error:
            raise _Broken(f"entry {number + 1} cannot be read: {error}") from None
        finally:
            self._at, self.number = at, number

    def _next_segment(self, is_live: bool) -> bool:
        segments = list_segments(self._journal)
        later = [index for index in segments if index > self._index]
        if not later:
            self.is_finished = not is_live
            return False
        if segments[later[0]] != self.number + 1:
            raise _Broken(f"the entries {self.number + 1} to {segments[later[0]] - 1} are missing")
        self._passed[self._index] = self.number
        self._index, self._at = later[0], HEADER.size
        return True

    def _check_rest(self, fd: int) -> None:
        """A journal ends here. Raises _Broken when whole entries follow: then those at the end were lost."""
        data = os.pread(fd, SEGMENT_BYTES, self._at).rstrip(b"\0")
        data += bytes(_ZEROS)
        # The half-written entry of a killed process has no length, so it cannot be told where the next would be.
        for place in range(8, len(data) - RECORD.size, 8):
            length, checksum = RECORD.unpack_from(data, place)
            payload = data[place + RECORD.size : place + RECORD.size + length]
            if _SMALLEST <= length == len(payload) and crc32(payload) == checksum:
                with contextlib.suppress(msgspec.DecodeError):
                    if self._decode(payload).number > self.number:
                        raise _Broken(f"entry {self.number + 1} is missing, and others follow")

    def _doubt(self, reason: str, is_live: bool) -> None:
        place = (reason, self._at)
        # Beside a live writer, a second look must find the same before it is believed.
        if not is_live or place == self._suspect:
            self.damage = Damage(_segment(self._journal, self._index).name, self._at, reason)
        self._suspect = place


class JournalTail:
    """Follows the end of one journal by its lengths alone: what was written, and what must go to the disk."""

    def __init__(self, journal: Path) -> None:
        self.number = 0
        """Of the last entry that was written."""
        self._journal = journal
        self._index = 0
        self._at = HEADER.size

    def advance(self) -> list[Path]:
        """Go to the end as it is now; the segments that were written to since the last time, at first all."""
        touched = []
        if self._index == 0:
            segments = list_segments(self._journal)
            if not segments:
                return []
            self._index, first = list(segments.items())[-1]
            self.number = first - 1
            touched = [_segment(self._journal, index) for index in segments]
        while True:
            path, before = _segment(self._journal, self._index), self._at
            is_closed = self._walk(path)
            if self._at != before and path not in touched:
                touched.append(path)
            first = _first_number(_segment(self._journal, self._index + 1)) if is_closed else 0
            if first == 0:
                return touched
            self._index, self._at, self.number = self._index + 1, HEADER.size, first - 1

    def _walk(self, path: Path) -> bool:
        """Go to the end of the segment; whether it is closed. A segment that is gone was booked, and so closed."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            size = _FIRST_BYTES
            while True:
                data = os.pread(fd, size, self._at)
                place, length = 0, 0
                while place + RECORD.size <= len(data):
                    length = RECORD.unpack_from(data, place)[0]
                    if length in (0, CLOSED) or self._at + place + length > SEGMENT_BYTES:
                        break
                    self.number += 1
                    place += length + 15 & ~7
                self._at += place
                if place == 0 or length in (0, CLOSED):
                    return length == CLOSED
                size = _READ_BYTES
        finally:
            os.close(fd)


def _segment(journal: Path, index: int) -> Path:
    return journal / f"{index:08d}{SUFFIX}"


def _first_number(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header = file.read(HEADER.size)
    except FileNotFoundError:
        return 0
    if len(header) < HEADER.size:
        return 0
    magic, number = HEADER.unpack(header)
    return int(number) if magic == MAGIC else 0
