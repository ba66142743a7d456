"""Counters that processes share: no unit is given twice, whoever takes it and however its taker ends."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context

import pytest

from gatewright.store import shared
from gatewright.store.shared import SharedCounters, create_table
from gatewright.testing.clock import FakeClock

HOUR_S = 3600.0


@pytest.fixture
def table() -> Iterator[int]:
    fd = create_table()
    yield fd
    os.close(fd)


def test_two_who_map_the_table_see_the_same(table: int) -> None:
    clock = FakeClock()
    one, two = SharedCounters(table, clock), SharedCounters(table, clock)
    assert one.take("k", 3, 10, HOUR_S) == 0
    assert two.left("k", 10, HOUR_S) == 7
    two.give("k", 1, 10, HOUR_S)
    assert one.left("k", 10, HOUR_S) == 8
    assert one.left("other", 10, HOUR_S) == 10


def _take_many(fd: int, times: int) -> int:
    counters = SharedCounters(fd, time.monotonic)
    return sum(counters.take("k", 1, 2_000, 1e12) == 0 for _ in range(times))


def test_processes_that_race_take_what_there_is_and_no_more(table: int) -> None:
    with get_context("fork").Pool(4) as pool:
        taken = pool.starmap(_take_many, [(table, 1_000)] * 4)
    assert sum(taken) == 2_000


def test_a_process_killed_while_it_holds_a_lock_holds_up_nobody(table: int) -> None:
    counters = SharedCounters(table, time.monotonic)
    number, _ = counters._find("k")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        fcntl.lockf(table, fcntl.LOCK_EX, 1, number)
        os.write(told, b"x")
        signal.pause()
    assert os.read(ready, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    assert counters.take("k", 1, 10, HOUR_S) == 0
    os.waitpid(child, 0)
    os.close(ready)
    os.close(told)


def test_a_full_set_gives_up_what_is_full_again_first(table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_SETS", 1)
    clock = FakeClock()
    counters = SharedCounters(table, clock)
    for index in range(15):
        counters.take(f"used-{index}", 5, 10, HOUR_S)
    counters.take("recovers", 5, 10, 1.0)
    clock.advance(2.0)
    counters.take("new", 5, 10, HOUR_S)
    assert [counters.left(f"used-{index}", 10, HOUR_S) < 6 for index in range(15)] == [True] * 15
    assert counters.left("new", 10, HOUR_S) < 6


def test_keys_may_be_any_text_and_as_many_as_they_like(table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_MAX_KNOWN", 2)
    counters = SharedCounters(table, FakeClock())
    for key in ("", "é\ud800", "x" * 10_000, "\0"):
        assert counters.take(key, 1, 2, HOUR_S) == 0
        assert counters.left(key, 2, HOUR_S) == 1
