"""A worker's journal: every entry of the ledger goes here first, into memory that outlives the process.

One journal is a directory that one process writes during its life: `owner`, locked by that process as long as it lives,
and segments `00000001.segment`, `00000002.segment`, …, each allocated in full before it is used (a full disk shows
there, not as SIGBUS in the middle of an entry) and mapped shared. To append is to copy into the page cache: no system
call, nothing to wait for, and the kernel keeps the bytes when the process is killed. Power is another matter: control
has the segments written to the disk every `ledger.sync_ms` (`control.ledger_writer`).

A segment is a header (magic, and the number of its first entry, 0 until it is used), then records on multiples of 8:
length, CRC-32, an entry in MessagePack. The length is written last, so that a process killed half way leaves none. A
length of 0 is where the journal ends today; `CLOSED` says that it goes on in the next segment.

Segments are made by a thread, one ahead. When none can be made, entries are kept in memory and written when there is
room again; what does not fit there is lost, and counted.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from struct import Struct as Layout
from threading import Thread
from typing import Any, Final
from zlib import crc32

import msgspec

from gatewright.config.ledger import Ledger
from gatewright.core.ledger import Attempt, Packed

SEGMENT_BYTES: Final = 8 * 1024 * 1024
SUFFIX: Final = ".segment"
OWNER_FILE: Final = "owner"
MAGIC: Final = b"GWJRNL01"
HEADER: Final = Layout("<8sQ")
"""Magic, number of the first entry."""
RECORD: Final = Layout("<II")
"""Length of the entry, its CRC-32."""
CLOSED: Final = 0xFFFF_FFFF
KEPT_BYTES: Final = 64 * 1024 * 1024
"""Entries kept in memory while no segment can be made."""
LONGEST_BYTES: Final = 16_384
"""An entry beyond it has its texts cut: names come from clients, and the database cuts them anyway."""

_END: Final = SEGMENT_BYTES - RECORD.size
"""Where records end, so that `CLOSED` always has its place."""
_RESERVE_BYTES: Final = SEGMENT_BYTES // 2
"""Room for the exchanges that run when new ones are refused."""
_FLUSH_BYTES: Final = 4 * 1024 * 1024
"""Kept entries written in one `tick`: some ten milliseconds."""
_LOOKS_PER_TRY: Final = 20
"""A full disk is tried once a second, for what it gives is taken and given back each time."""
_TEXT: Final = 1_000
_WORD: Final = Layout("<I").pack_into
_INT: Final = 2**63 - 1


def new_name(unix_s: int) -> str:
    """A name that no other journal has, here or on another machine; sorts by time."""
    return f"{unix_s:010x}-{os.getpid()}-{secrets.token_hex(4)}"


class Journal:
    """The journal of this process, for one thread. `directory` is that of all journals of the gateway.

    It never raises and never blocks after it is made: `failure` says why no segment can be had.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        config: Ledger,
        on_lost: Callable[[], None] = lambda: None,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.name = name
        self.number = 0
        """Of the last entry."""
        self.lost = 0
        """Entries for which there was neither disk nor memory; they have no number."""
        self.failure = ""
        """Why the last segment that was wanted could not be made; empty when all is well."""
        self.accepts = True
        """Whether new exchanges may begin: false only on a full disk with `on_full_disk: refuse`."""
        self._refuses = False
        self._on_lost = on_lost
        self._kept: deque[bytes] = deque()
        self._kept_room = kept_bytes
        self._map: mmap.mmap | None = None
        self._at = 0
        self._looks = 0
        self._end = 0
        """Up to where `add` may write at once; 0 while entries are kept, which go first."""
        self._encode = msgspec.msgpack.Encoder().encode
        self._maker = _Maker(directory, name)
        self._maker.prepare()
        self._use(self._maker.take(), 1)
        self.configure(config)

    def add(
        self,
        id: str,
        started_at_us: int,
        duration_us: int,
        first_byte_us: int,
        consumer: str,
        user: str,
        key_id: str,
        surface: str,
        model: str,
        requested_model: str,
        status: int,
        kind: str,
        is_stream: bool,
        cache: str,
        attempts: Sequence[Packed | Attempt],
    ) -> None:
        """Append the next entry (`core.ledger.Entry` without its number); when it returns, the kernel has it."""
        entry: Packed = (
            self.number + 1,
            id,
            started_at_us,
            duration_us,
            first_byte_us,
            consumer,
            user,
            key_id,
            surface,
            model,
            requested_model,
            status,
            kind,
            is_stream,
            cache,
            attempts,
        )
        try:
            payload = self._encode(entry)
        except (UnicodeEncodeError, OverflowError):
            payload = self._encode(_mended(entry))
        length = len(payload)
        if length > LONGEST_BYTES:
            payload = self._encode(_mended(entry))
            length = len(payload)
        at = self._at
        following = at + (length + 15 & ~7)
        if following > self._end:
            self._add_slowly(payload)
            return
        segment = self._map
        assert segment is not None
        segment[at + 8 : at + 8 + length] = payload
        _WORD(segment, at + 4, crc32(payload))
        _WORD(segment, at, length)
        self._at = following
        self.number += 1

    def configure(self, config: Ledger) -> None:
        """Go by another configuration from now on."""
        self._refuses = config.on_full_disk == "refuse"
        self.accepts = True
        self._look_ahead()

    def tick(self) -> None:
        """Write what was kept, and have the next segment made. Call every 50 ms or so."""
        room = _FLUSH_BYTES
        while self._kept and room > 0 and self._write(self._kept[0]):
            done = len(self._kept.popleft())
            self._kept_room += done
            room -= done
        if not self._kept and self._map is not None:
            self._end = _END
        self._look_ahead()

    @property
    def waiting(self) -> int:
        """Entries that are kept in memory because there is no room on the disk."""
        return len(self._kept)

    def close(self) -> None:
        """Write what can be written, say that nothing follows, and give the journal up. Entries still kept are lost."""
        self._maker.stop()
        while self._kept and (self._write(self._kept[0]) or (self._maker.prepare() and self._write(self._kept[0]))):
            self._kept.popleft()
        for _ in self._kept:
            self.lost += 1
            self._on_lost()
        self._kept.clear()
        if self._map is not None:
            _WORD(self._map, self._at, CLOSED)
            self._map.flush()
            self._map.close()
            self._map = None
        self._end = 0
        self._maker.close()

    # -- off the usual path -----------------------------------------------------------------------------------------

    def _add_slowly(self, payload: bytes) -> None:
        if self._kept or not self._write(payload):
            if len(payload) > self._kept_room:
                self.lost += 1
                self._on_lost()
                return
            self._kept.append(payload)
            self._kept_room -= len(payload)
            self._end = 0
        self.number += 1
        if not self.failure:
            self._look_ahead()

    def _write(self, payload: bytes) -> bool:
        """Append an entry, in the next segment if need be; false when there is none yet."""
        size = len(payload) + 15 & ~7
        if self._map is None or self._at + size > _END:
            number = self.number + 1 - len(self._kept)
            if not self._use(self._maker.take(), number):
                return False
        segment, at = self._map, self._at
        assert segment is not None
        segment[at + 8 : at + 8 + len(payload)] = payload
        _WORD(segment, at + 4, crc32(payload))
        _WORD(segment, at, len(payload))
        self._at = at + size
        return True

    def _use(self, segment: mmap.mmap | None, number: int) -> bool:
        """Go on in this segment, with the entry of this number."""
        if segment is None:
            return False
        HEADER.pack_into(segment, 0, MAGIC, number)
        if self._map is not None:
            # After the next one has its number: a reader goes on as soon as it sees this.
            _WORD(self._map, self._at, CLOSED)
            self._maker.dispose(self._map)
        self._map, self._at = segment, HEADER.size
        self._end = 0 if self._kept else _END
        return True

    def _look_ahead(self) -> None:
        self.failure = self._maker.failure
        self._looks += 1
        if not self._maker.is_ready and (not self.failure or self._looks % _LOOKS_PER_TRY == 0):
            self._maker.ask()
        if self._refuses:
            room = _END - self._at if self._map is not None and not self._kept else 0
            self.accepts = not self.failure or self._maker.is_ready or room > _RESERVE_BYTES


class _Maker:
    """Makes segments in a thread of its own, since allocating may take the disk a while."""

    def __init__(self, directory: Path, name: str) -> None:
        self.failure = ""
        self._path = directory / name
        self._new = directory / f".{name}.new"
        self._owner = -1
        self._made = 0
        self._spare: mmap.mmap | None = None
        self._orders: SimpleQueue[mmap.mmap | bool] = SimpleQueue()
        """A mapping to close, True to make a segment, False to end."""
        self._is_asked = False
        self._runner = Thread(target=self._run, name="journal", daemon=True)
        self._runner.start()

    @property
    def is_ready(self) -> bool:
        return self._spare is not None

    def ask(self) -> None:
        """Have a spare segment made, unless that is under way."""
        if not self._is_asked:
            self._is_asked = True
            self._orders.put(True)

    def take(self) -> mmap.mmap | None:
        """The spare segment, if it is there."""
        spare, self._spare = self._spare, None
        return spare

    def dispose(self, segment: mmap.mmap) -> None:
        """Unmap a segment that is written."""
        self._orders.put(segment)

    def stop(self) -> None:
        """End the thread; `prepare` and `take` still work."""
        self._orders.put(False)
        self._runner.join()

    def close(self) -> None:
        """Remove the spare segment and let go of the journal."""
        if (spare := self.take()) is not None:
            spare.close()
            _segment_path(self._path, self._made).unlink(missing_ok=True)
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1

    def prepare(self) -> bool:
        """Have a spare segment now; false, with `failure`, when there is none to be had. Not beside the thread."""
        if self._spare is None:
            try:
                self._spare = self._make_segment()
            except OSError as error:
                self.failure = error.strerror or str(error)
                return False
            self.failure = ""
        return True

    def _run(self) -> None:
        while (order := self._orders.get()) is not False:
            if order is True:
                self.prepare()
                self._is_asked = False
            else:
                order.close()

    def _make_segment(self) -> mmap.mmap:
        is_first = self._made == 0
        if is_first:
            self._make_directory()
        # Until its first segment is there, a journal has another name, so that nobody takes it for one left behind.
        directory = self._new if is_first else self._path
        path = _segment_path(directory, self._made + 1)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _allocate(fd)
            segment = mmap.mmap(fd, SEGMENT_BYTES)
            HEADER.pack_into(segment, 0, MAGIC, 0)
            os.fsync(fd)
            _sync_directory(directory)
            if is_first:
                directory.rename(self._path)
                _sync_directory(self._path.parent)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self._made += 1
        return segment

    def _make_directory(self) -> None:
        self._new.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._owner >= 0:
            # What was locked at the last try may have been swept away since.
            os.close(self._owner)
            self._owner = -1
        self._owner = os.open(self._new / OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _segment_path(directory: Path, index: int) -> Path:
    return directory / f"{index:08d}{SUFFIX}"


def _allocate(fd: int) -> None:
    try:
        os.posix_fallocate(fd, 0, SEGMENT_BYTES)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        # A file system that cannot promise room: zeros take it.
        zeros = bytes(1024 * 1024)
        for at in range(0, SEGMENT_BYTES, len(zeros)):
            os.pwrite(fd, zeros, at)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _mended(value: Any) -> Any:
    """The same with short, well-formed texts and numbers of 64 bits: what can always be encoded and booked."""
    match value:
        case str():
            return value[:_TEXT].encode("utf-8", "replace").decode()
        case bool():
            return value
        case int():
            return max(-_INT, min(value, _INT))
        case list() | tuple():
            return [_mended(one) for one in value]
        case msgspec.Struct():
            return [_mended(getattr(value, field)) for field in value.__struct_fields__]
        case _:
            return value
