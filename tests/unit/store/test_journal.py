"""The journal as its worker uses it: what was added is on disk at once, and a full disk blocks nobody."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatewright.config.ledger import Ledger
from gatewright.core.ledger import Attempt, Entry, Tokens
from gatewright.store import journal as journal_module
from gatewright.store.journal import Journal, new_name
from gatewright.store.journal_reader import JournalReader, is_written, list_journals, list_segments

SERVE, REFUSE = Ledger(on_full_disk="serve"), Ledger(on_full_disk="refuse")
ATTEMPT = Attempt("openai", "openai", "gpt-5-mini-2025", "ok", Tokens(10, 2, output_total=5), False, 123_456, "v1", 80)


def add(journal: Journal, id: str = "one", attempts: list[Attempt] | None = None) -> None:
    journal.add(
        id, 1_700_000_000_000_000, 1_000, 10, "acme/app", "", "k1", "openai.chat", "gpt", "gpt", 200, "", False, "",
        [ATTEMPT] if attempts is None else attempts,
    )  # fmt: skip


def read_all(directory: Path, name: str) -> list[Entry]:
    reader = JournalReader(directory / name)
    entries = []
    while batch := reader.read(1_000):
        entries += batch
    assert reader.damage is None
    return entries


def until(is_so: Callable[[], bool], journal: Journal) -> None:
    """Let the journal's thread work, as the worker does: by ticks."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end, "nothing happened"
        journal.tick()
        os.sched_yield()


class Disk:
    """A disk that gives out so many segments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, segments: int) -> None:
        self.left = segments
        self._allocate = os.posix_fallocate
        monkeypatch.setattr(os, "posix_fallocate", self)

    def __call__(self, fd: int, offset: int, size: int) -> None:
        if self.left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1
        self._allocate(fd, offset, size)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 64 KiB: about 400 entries."""
    for name, value in (("SEGMENT_BYTES", 65_536), ("_END", 65_528), ("_RESERVE_BYTES", 32_768)):
        monkeypatch.setattr(journal_module, name, value)


def test_an_entry_is_there_when_add_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    add(journal, "first")
    add(journal, "second", [])
    entries = read_all(tmp_path, "j")
    assert [(one.number, one.id, one.attempts) for one in entries] == [(1, "first", [ATTEMPT]), (2, "second", [])]
    journal.close()


def test_add_takes_the_fields_of_an_entry_in_their_order() -> None:
    names = Journal.add.__code__.co_varnames[1 : Journal.add.__code__.co_argcount]
    assert names == Entry.__struct_fields__[1:]


class Watched(bytearray):
    """Memory that knows whether an entry had its length before it was there."""

    had_length = False

    def __setitem__(self, place: Any, value: Any) -> None:
        self.had_length |= any(self[place.start - 8 : place.start - 4])
        super().__setitem__(place, value)


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_length_is_written_last(tmp_path: Path, is_kept: bool) -> None:
    """Or a process that is killed half way would leave half an entry."""
    journal = Journal(tmp_path, "j", SERVE)
    mapped, watched = journal._map, Watched(4_096)
    assert mapped is not None
    journal._map = watched  # type: ignore[assignment]
    if is_kept:
        journal._end = 0
    add(journal)
    assert any(watched), "it was written"
    assert not watched.had_length
    journal._map = mapped
    journal.close()


def test_names_are_unique_and_sort_by_time() -> None:
    assert new_name(5) < new_name(1_700_000_000)
    assert new_name(5) != new_name(5)


def test_the_owner_is_known_as_long_as_it_lives(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    (path,) = list_journals(tmp_path)
    assert is_written(path)
    add(journal)
    journal.close()
    assert not is_written(path)
    assert list(list_segments(path)) == [1]
    assert sorted(file.name for file in path.iterdir()) == ["00000001.segment", "owner"], "the spare one is gone"


@pytest.mark.usefixtures("small")
def test_it_goes_on_in_the_next_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    for number in range(2_000):
        add(journal, str(number))
        if number % 50 == 0:
            until(lambda: journal._maker.is_ready, journal)
    journal.close()
    entries = read_all(tmp_path, "j")
    assert [one.number for one in entries] == list(range(1, 2_001))
    assert [one.id for one in entries] == [str(number) for number in range(2_000)]
    segments = list_segments(tmp_path / "j")
    assert len(segments) > 3
    assert journal.lost == 0


@pytest.mark.usefixtures("small")
def test_adding_faster_than_segments_are_made_keeps_the_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    for number in range(3_000):
        add(journal, str(number))
    until(lambda: journal.waiting == 0, journal)
    assert [one.id for one in read_all(tmp_path, "j")] == [str(number) for number in range(3_000)]
    journal.close()


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_waited_for_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, 2)
    journal = Journal(tmp_path, "j", SERVE)
    for number in range(2_000):
        add(journal, str(number))
    until(lambda: journal.failure != "", journal)
    assert journal.waiting > 0
    assert journal.accepts
    assert "No space left" in journal.failure
    disk.left = 100
    until(lambda: journal.waiting == 0, journal)
    add(journal, "2000")
    until(lambda: journal.failure == "", journal)
    assert [one.id for one in read_all(tmp_path, "j")] == [str(number) for number in range(2_001)]
    assert journal.lost == 0
    journal.close()


@pytest.mark.usefixtures("small")
def test_what_fits_nowhere_is_counted_and_leaves_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, 1)
    lost: list[None] = []
    journal = Journal(tmp_path, "j", SERVE, lambda: lost.append(None), kept_bytes=20_000)
    for number in range(1_000):
        add(journal, str(number))
    assert len(lost) == journal.lost > 0
    disk.left = 100
    until(lambda: journal.waiting == 0, journal)
    add(journal, "last")
    entries = read_all(tmp_path, "j")
    assert len(entries) == 1_001 - journal.lost
    assert [one.number for one in entries] == list(range(1, len(entries) + 1))
    assert entries[-1].id == "last"
    journal.close()


@pytest.mark.usefixtures("small")
def test_a_full_disk_refuses_the_new_and_keeps_room_for_the_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, 1)
    journal = Journal(tmp_path, "j", REFUSE)
    until(lambda: journal.failure != "", journal)
    assert bool(journal.accepts), "half a segment is left"
    count = 0
    while journal.accepts:
        add(journal, str(count))
        count += 1
        journal.tick()
    assert count > 100
    for number in range(count, count + 100):
        add(journal, str(number))
    assert len(read_all(tmp_path, "j")) == count + 100, "those that run still have room"
    disk.left = 100
    until(lambda: journal.accepts, journal)
    journal.close()


def test_the_policy_may_change_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, 0)
    journal = Journal(tmp_path, "j", SERVE)
    said = []
    for config in (REFUSE, SERVE, REFUSE):
        journal.configure(config)
        said.append(journal.accepts)
    assert said == [False, True, False]
    journal.close()


@pytest.mark.parametrize("config", [SERVE, REFUSE])
def test_a_disk_that_is_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Ledger) -> None:
    disk = Disk(monkeypatch, 0)
    journal = Journal(tmp_path, "j", config)
    assert journal.failure
    assert journal.accepts == (config is SERVE)
    add(journal)
    assert list_journals(tmp_path) == []
    disk.left = 2
    until(lambda: journal.waiting == 0 and journal.accepts, journal)
    assert len(read_all(tmp_path, "j")) == 1
    journal.close()


def test_a_journal_that_closes_on_a_full_disk_counts_what_it_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disk(monkeypatch, 0)
    journal = Journal(tmp_path, "j", SERVE)
    add(journal)
    journal.close()
    assert journal.lost == 1


def test_a_file_system_that_cannot_allocate_gets_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    journal = Journal(tmp_path, "j", SERVE)
    add(journal)
    assert (tmp_path / "j/00000001.segment").stat().st_blocks * 512 >= journal_module.SEGMENT_BYTES
    assert len(read_all(tmp_path, "j")) == 1
    journal.close()


@pytest.mark.parametrize(
    "odd",
    ["half a surrogate \ud800", "long " * 100_000, "nul \x00"],
)
def test_texts_of_clients_cannot_break_it(tmp_path: Path, odd: str) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    add(journal, odd)
    add(journal, "next")
    first, second = read_all(tmp_path, "j")
    assert first.id[:4] == odd[:4]
    assert len(first.id) <= 1_000
    assert second.id == "next"
    journal.close()


def test_numbers_beyond_64_bits_cannot_break_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j", SERVE)
    add(journal, attempts=[Attempt("p", "p", "m", "ok", Tokens(10**30), cost_femto_usd=10**40)])
    ((attempt,),) = (one.attempts for one in read_all(tmp_path, "j"))
    assert attempt.tokens == Tokens(2**63 - 1)
    assert attempt.cost_femto_usd == 2**63 - 1
    journal.close()
