"""Processes that share counters: no unit is lost or given twice, whoever comes, goes or is killed meanwhile."""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from gatewright.core.counting import Allowance, Kind
from gatewright.core.grant import Grant
from gatewright.store.shared import SharedCounters

pytestmark = pytest.mark.sockets

FORK = get_context("fork")
TAKEN, SPENT = 3, 2
LONG_AGO_S = 200.0
"""Enough for every reservation of the dead to have expired."""


class Tally:
    """What each process did, in memory that outlives it: said before (tried) and after (done)."""

    def __init__(self, processes: int) -> None:
        self.words = memoryview(mmap.mmap(-1, processes * 48)).cast("q")

    def add(self, process: int, what: int) -> None:
        self.words[process * 6 + what] += 1

    def total(self, what: int) -> int:
        return sum(self.words[what::6].tolist())


TO_RESERVE, GRANTED, TO_SETTLE, SETTLED, ALONE, BESIDE = range(6)


def build_allowances(budget: int, requests: int) -> list[Allowance]:
    return [Allowance("budget", Kind.BUDGET, budget), Allowance("requests", Kind.SLIDING, requests, 1e9)]


def hammer(path: Path, allowances: list[Allowance], tally: Tally, process: int, times: int) -> None:
    """Reserve and settle so many times, as a worker does."""
    counters = SharedCounters(path, time.time)
    for number in range(times):
        if number % 20 == 0:
            counters.tick()
        tally.add(process, ALONE if counters.is_alone else BESIDE)
        tally.add(process, TO_RESERVE)
        grant = counters.reserve(allowances, [TAKEN, 1])
        if isinstance(grant, Grant):
            tally.add(process, GRANTED)
            tally.add(process, TO_SETTLE)
            counters.settle(grant, [SPENT, 1])
            tally.add(process, SETTLED)
    counters.close()


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    process = FORK.Process(target=target, args=arguments)
    process.start()
    return process


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "counters"
    for child in active_children():
        child.kill()


def check_sums(path: Path, allowances: list[Allowance], tally: Tally, killed: int) -> tuple[int, int]:
    """Everything acknowledged is counted, and beyond it at most what each killed process was just doing."""
    counters = SharedCounters(path, lambda: time.time() + LONG_AGO_S)
    assert counters.is_alone, "nobody is left"
    spent, requests = counters.used(allowances)
    assert tally.total(SETTLED) * SPENT <= spent <= tally.total(TO_SETTLE) * SPENT
    assert tally.total(GRANTED) <= requests <= tally.total(TO_RESERVE)
    assert requests - tally.total(GRANTED) <= killed
    assert tally.total(TO_SETTLE) - tally.total(SETTLED) <= killed
    rest = allowances[0].limit - spent
    if rest > 0:
        assert isinstance(counters.reserve(allowances[:1], [rest]), Grant), "nobody is locked out of what is left"
    counters.close()
    return spent, requests


@pytest.mark.parametrize(
    ("budget", "requests"), [(10**9, 10**9), (6_001, 10**9), (10**9, 4_000)], ids=["plenty", "little money", "limit"]
)
def test_eight_race_and_half_of_them_are_killed(path: Path, budget: int, requests: int) -> None:
    allowances, tally = build_allowances(budget, requests), Tally(8)
    SharedCounters(path, time.time).close()
    gate = os.open(path, os.O_RDWR)
    fcntl.flock(gate, fcntl.LOCK_EX)
    processes = [start(hammer, path, allowances, tally, number, 2_000) for number in range(8)]
    fcntl.flock(gate, fcntl.LOCK_UN)  # closing would not do: the children have it, too
    os.close(gate)
    watcher = SharedCounters(path, time.time)
    victims = random.sample(processes, 4)
    while any(process.is_alive() for process in processes):
        watcher.tick()
        spent, counted = watcher.used(allowances)
        assert spent <= budget
        assert counted <= requests
        if victims and tally.total(TO_RESERVE) > 2_000 * (5 - len(victims)):
            victims.pop().kill()
        time.sleep(0.001)
    killed = sum(process.exitcode == -signal.SIGKILL for process in processes)
    assert killed
    assert all(process.exitcode in (0, -signal.SIGKILL) for process in processes)
    watcher.close()
    spent, counted = check_sums(path, allowances, tally, killed)
    if requests < 16_000:
        assert counted == requests, "all of it was given, and no more"
    if budget < 16_000:
        assert budget - TAKEN * (killed + 1) < spent <= budget


def test_others_come_and_go_beside_one_that_takes_no_lock_when_it_is_alone(path: Path) -> None:
    allowances, tally = build_allowances(10**9, 10**9), Tally(31)
    resident = start(hammer, path, allowances, tally, 0, 1 << 40)
    while not tally.words[ALONE]:
        time.sleep(0.001)
    killed = 0
    for number in range(1, 31):
        visitor = start(hammer, path, allowances, tally, number, 300 if number % 2 else 1 << 40)
        while not tally.words[number * 6 + BESIDE]:
            assert visitor.is_alive()
            time.sleep(0.001)
        if number % 2 == 0:
            time.sleep(random.uniform(0, 0.01))
            visitor.kill()
            killed += 1
        visitor.join()
        if number % 3 == 0:  # let the resident be alone again
            before = tally.words[ALONE]
            while tally.words[ALONE] < before + 100:
                assert resident.is_alive()
                time.sleep(0.001)
    resident.kill()
    resident.join()
    assert tally.words[BESIDE] > 30
    check_sums(path, allowances, tally, killed + 1)


def test_one_that_takes_no_lock_is_killed_again_and_again(path: Path) -> None:
    allowances, tally = build_allowances(10**9, 10**9), Tally(25)
    for number in range(25):
        process = start(hammer, path, allowances, tally, number, 1 << 40)
        while not tally.words[number * 6 + ALONE]:
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.join()
    assert tally.total(BESIDE) == 0
    check_sums(path, allowances, tally, 25)


def test_whoever_is_killed_with_the_lock_holds_up_nobody(path: Path) -> None:
    def hold(told: int) -> None:
        SharedCounters(path, time.time)
        fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
        os.write(told, b"x")
        signal.pause()

    ready, told = os.pipe()
    holder = start(hold, told)
    assert os.read(ready, 1) == b"x"
    waiting = start(hammer, path, build_allowances(10, 10), Tally(1), 0, 1)
    holder.kill()
    waiting.join(20)
    assert waiting.exitcode == 0
    holder.join()
    os.close(ready)
    os.close(told)
