"""Writing journals through to the disk: what was written to, and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Event

import pytest
from tests.ledger_entries import entry

from gatewright.config.ledger import Ledger
from gatewright.control.ledger_sync import JournalSync
from gatewright.store.journal import Journal


class Disk:
    """Counts what is written through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.fails = False
        self.happened = Event()
        self._sync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        self.happened.set()
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        self._sync(fd)


def add(journal: Journal) -> None:
    journal.add(*(getattr(entry(1), field) for field in entry(1).__struct_fields__[1:]))


def test_only_what_was_written_to_goes_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    sync = JournalSync(tmp_path, lambda: 60.0)
    sync.sync()
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    add(journal)
    sync.sync()
    assert disk.synced == ["00000001.segment"]
    assert sync.written("j") == 2
    sync.sync()
    assert disk.synced == ["00000001.segment"]
    add(journal)
    sync.sync()
    assert disk.synced == ["00000001.segment"] * 2
    assert sync.written("j") == 3
    journal.close()
    for path in (tmp_path / "j").iterdir():
        path.unlink()
    (tmp_path / "j").rmdir()
    sync.sync()
    assert sync.written("j") == 0
    assert sync.error == ""


def test_the_thread_syncs_by_itself_and_once_more_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    journal = Journal(tmp_path, "j", Ledger())
    sync = JournalSync(tmp_path, lambda: 0.005)
    add(journal)
    sync.start()
    assert disk.happened.wait(20)
    add(journal)
    sync.stop()
    assert sync.written("j") == 2
    journal.close()


def test_what_is_written_is_known_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    sync = JournalSync(tmp_path, lambda: 60.0)
    sync.start()
    assert sync.written("j") == 1
    sync.stop()
    journal.close()


def test_a_disk_that_fails_is_told_until_it_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    disk.fails = True
    journal = Journal(tmp_path, "j", Ledger())
    add(journal)
    sync = JournalSync(tmp_path, lambda: 0.005)
    sync.start()
    assert disk.happened.wait(20)
    sync.stop()
    assert "Input/output error" in sync.error
    journal.close()
