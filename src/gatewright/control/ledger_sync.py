"""Writes the journals through to the disk, many entries at a time.

Workers never wait for a disk: what they append is in the kernel's memory. A thread of control looks every
`ledger.sync_ms` which segments were written to, and has the kernel write those out. While control is away nothing is
written through, except by the kernel in its own time; entries are then lost only if the power fails as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from gatewright.store.journal_reader import JournalTail, list_journals


class JournalSync:
    """A thread over all journals in a directory. `period_s` is asked each time."""

    def __init__(self, directory: Path, period_s: Callable[[], float]) -> None:
        self.error = ""
        """Why the last round failed; empty when it went well."""
        self._directory = directory
        self._period_s = period_s
        self._tails: dict[str, JournalTail] = {}
        self._due: dict[Path, None] = {}
        """Segments that were written to since they were last written through."""
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="journal-sync", daemon=True)

    def start(self) -> None:
        """Begin. What is written is known when it returns."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """One more round, then end."""
        self._stopping.set()
        self._thread.join()

    def written(self, journal: str) -> int:
        """The number of the last entry in a journal, as of the last round; 0 for one that is not known."""
        tail = self._tails.get(journal)
        return tail.number if tail else 0

    def look(self) -> None:
        """Find out what was written since the last time."""
        journals = {path.name: path for path in list_journals(self._directory)}
        for name in [name for name in self._tails if name not in journals]:
            del self._tails[name]
        for name, path in journals.items():
            if name not in self._tails:
                self._tails[name] = JournalTail(path)
            self._due.update(dict.fromkeys(self._tails[name].advance()))

    def sync(self) -> None:
        """One round: look, and write through what is due."""
        self.look()
        for segment in list(self._due):
            # What was booked meanwhile is deleted.
            with contextlib.suppress(FileNotFoundError):
                _sync_file(segment)
            del self._due[segment]

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(self._period_s())
            try:
                self.sync()
                self.error = ""
            except OSError as error:
                self.error = f"{error.filename or self._directory}: {error.strerror}"
            if is_last:
                return


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
