"""Revoked tokens: seen by everybody at once, and forgotten when they would have ended."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatewright.pipeline.gateway_tokens import make_id, parse_id
from gatewright.store.revoked_tokens import RevokedTokens, UnusableRevocations

NOW = 1_800_000_000


def name(ends_at: int, number: int = 0) -> bytes:
    found = parse_id(make_id(ends_at, number.to_bytes(15, "big")))
    assert found is not None
    return found


@pytest.fixture
def revoked(tmp_path: Path) -> Iterator[RevokedTokens]:
    opened = RevokedTokens(tmp_path / "revoked.lmdb", map_bytes=1 << 15)
    yield opened
    opened.close()


def test_what_was_revoked(revoked: RevokedTokens) -> None:
    assert not revoked.is_revoked(name(NOW + 60))
    assert revoked.add(name(NOW + 60), NOW)
    assert not revoked.add(name(NOW + 60), NOW), "once more is nothing new"
    assert revoked.is_revoked(name(NOW + 60))
    assert not revoked.is_revoked(name(NOW + 60, 1))
    assert not revoked.is_revoked(name(NOW + 61))


def test_what_has_ended_is_forgotten(revoked: RevokedTokens) -> None:
    for second in range(100):
        revoked.add(name(NOW + second, second), NOW - 1)
    assert len(revoked.names(0)) == 100
    assert revoked.names(NOW + 49) == [name(NOW + second, second) for second in range(50, 100)]
    revoked.add(name(NOW + 200), NOW + 49)
    assert len(revoked.names(0)) == 101, "the clock may be ahead"
    revoked.add(name(NOW + 200), NOW + 49 + 86_400)
    assert len(revoked.names(0)) == 51


def test_a_clock_that_was_ahead_revives_nothing(revoked: RevokedTokens) -> None:
    revoked.add(name(NOW + 900, 1), NOW)
    revoked.add(name(NOW + 9_000, 2), NOW + 3_600)
    assert revoked.is_revoked(name(NOW + 900, 1))


def test_it_grows(revoked: RevokedTokens) -> None:
    names = [name(NOW + 60, number) for number in range(500)]
    for each in names:
        revoked.add(each, NOW)
    assert all(revoked.is_revoked(each) for each in names)


def _revoke(directory: Path, first: int, count: int) -> None:
    opened = RevokedTokens(directory)
    for number in range(first, first + count):
        opened.add(name(NOW + 60, number), NOW)
    opened.close()


def test_other_processes(tmp_path: Path) -> None:
    """They are seen without opening anything anew, beyond the size this process knew the file to have."""
    directory = tmp_path / "revoked.lmdb"
    opened = RevokedTokens(directory, map_bytes=1 << 15)
    assert not opened.is_revoked(name(NOW + 60, 599))
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_revoke, args=(directory, first, 300)) for first in (0, 300)]
    for other in others:
        other.start()
    for other in others:
        other.join(30)
        assert other.exitcode == 0
    assert all(opened.is_revoked(name(NOW + 60, number)) for number in range(600))
    opened.close()


@pytest.mark.parametrize("content", [b"short", b"x" * 65_536])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    directory = tmp_path / "revoked.lmdb"
    directory.mkdir()
    (directory / "data.mdb").write_bytes(content)
    with pytest.raises(UnusableRevocations):
        RevokedTokens(directory)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    """Reading it would end the process."""
    directory = tmp_path / "revoked.lmdb"
    opened = RevokedTokens(directory)
    for number in range(300):
        opened.add(name(NOW + 60, number), NOW)
    opened.close()
    file = directory / "data.mdb"
    with file.open("r+b") as cut:
        cut.truncate(file.stat().st_size // 2)
    with pytest.raises(UnusableRevocations, match="cut off"):
        RevokedTokens(directory)


def refuses(opened: RevokedTokens, told: str) -> bool:
    with pytest.raises(UnusableRevocations, match=told):
        opened.is_revoked(name(NOW + 60))
    with pytest.raises(UnusableRevocations, match=told):
        opened.add(name(NOW + 60), NOW)
    return opened.problem is not None and told in opened.problem


def refresh_until(opened: RevokedTokens, count: int = 25) -> None:
    """More than a second of refreshes."""
    for _ in range(count):
        opened.refresh()


def test_nothing_changed(revoked: RevokedTokens) -> None:
    for number in range(300):
        revoked.add(name(NOW + 60, number), NOW)
        assert not revoked.refresh()
    assert revoked.problem is None
    assert revoked.is_revoked(name(NOW + 60, 299))


@pytest.mark.parametrize("is_whole", [True, False], ids=["directory", "file"])
def test_a_file_that_is_replaced(tmp_path: Path, revoked: RevokedTokens, is_whole: bool) -> None:
    """What others revoke from now on stands in the new one."""
    directory = tmp_path / "revoked.lmdb"
    revoked.add(name(NOW + 60, 1), NOW)
    _revoke(tmp_path / "new", 2, 1)
    if is_whole:
        directory.rename(tmp_path / "old")
        (tmp_path / "new").rename(directory)
    else:
        (tmp_path / "new" / "data.mdb").replace(directory / "data.mdb")
    with pytest.raises(UnusableRevocations, match="replaced"):
        revoked.add(name(NOW + 60, 3), NOW)
    assert revoked.refresh()
    assert revoked.problem is None
    assert [revoked.is_revoked(name(NOW + 60, number)) for number in (1, 2, 3)] == [False, True, False]
    assert revoked.add(name(NOW + 60, 3), NOW)
    revoked.close()
    again = RevokedTokens(directory)
    assert len(again.names(NOW)) == 2
    again.close()


def test_without_its_file_nobody_can_tell(tmp_path: Path, revoked: RevokedTokens) -> None:
    directory, away = tmp_path / "revoked.lmdb", tmp_path / "away"
    revoked.add(name(NOW + 60), NOW)
    directory.rename(away)
    assert revoked.refresh()
    assert refuses(revoked, "is gone")
    assert not revoked.refresh(), "it was said"
    directory.mkdir()
    (directory / "data.mdb").write_bytes(b"")
    refresh_until(revoked)
    assert refuses(revoked, "is gone"), "an empty file is not the one that went"
    (directory / "data.mdb").write_bytes((away / "data.mdb").read_bytes()[:4_096])
    refresh_until(revoked)
    assert refuses(revoked, "is cut off")
    (directory / "data.mdb").write_bytes((away / "data.mdb").read_bytes())
    refresh_until(revoked)
    assert revoked.problem is None
    assert revoked.is_revoked(name(NOW + 60))


def test_a_file_that_is_cut_off_while_it_is_open(tmp_path: Path, revoked: RevokedTokens) -> None:
    for number in range(300):
        revoked.add(name(NOW + 60, number), NOW)
    revoked.refresh()
    os.truncate(tmp_path / "revoked.lmdb" / "data.mdb", 8_192)
    assert revoked.refresh()
    assert refuses(revoked, "is cut off")


def _hold(directory: Path, held: Any, over: Any) -> None:
    opened = RevokedTokens(directory)
    opened.add(name(NOW + 60), NOW)
    held.set()
    over.wait(30)
    opened.close()


def test_the_lock_of_a_file_that_was_replaced(tmp_path: Path) -> None:
    """While others have the old file open, its lock counts their one transaction; the new file has two."""
    directory, new = tmp_path / "revoked.lmdb", tmp_path / "new"
    _revoke(new, 0, 2)
    context = multiprocessing.get_context("spawn")
    held, over = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(directory, held, over))
    holder.start()
    try:
        assert held.wait(30)
        (new / "data.mdb").replace(directory / "data.mdb")
        with pytest.raises(UnusableRevocations, match="replaced"):
            RevokedTokens(directory)
    finally:
        over.set()
        holder.join(30)
    assert holder.exitcode == 0
    opened = RevokedTokens(directory)
    assert len(opened.names(NOW)) == 2
    opened.close()


def test_a_writing_is_not_disturbed(tmp_path: Path, revoked: RevokedTokens) -> None:
    (tmp_path / "revoked.lmdb").rename(tmp_path / "old")
    with revoked._lock:
        assert not revoked.refresh()
    assert revoked.refresh()


def test_a_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnusableRevocations):
        RevokedTokens(tmp_path / "file")


def test_after_the_end_nobody_can_tell(tmp_path: Path) -> None:
    opened = RevokedTokens(tmp_path / "revoked.lmdb")
    opened.close()
    with pytest.raises(UnusableRevocations):
        opened.is_revoked(name(NOW))
    with pytest.raises(UnusableRevocations):
        opened.add(name(NOW), NOW)
