"""Processes of a loaded gateway are killed at random: what a client was answered is in the ledger, once.

Clients ask without pause, whole and streamed, each under an id of its own, and note what they received completely.
Meanwhile workers, control and the supervisor are killed, and the database is locked. `SOAK=1` makes it long.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from accounting import cost_nano, priced, target
from suite import UPSTREAM_KEY, render_chat
from tests.books import count_booked, read_entries, read_rows, verify_ledger

from gatewright.control.usage import UsageQuery, report_usage
from gatewright.core.counting import Allowance, Kind
from gatewright.pipeline.calendar import window_at
from gatewright.pipeline.claims import BudgetGroup
from gatewright.store.database import open_database
from gatewright.store.shared import SharedCounters
from gatewright.testing import answers
from gatewright.testing.client import PeerClosed
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Step
from gatewright.testing.upstream import ScriptedUpstream

IS_LONG = bool(os.environ.get("SOAK"))
pytestmark = [pytest.mark.sockets, pytest.mark.timeout(900 if IS_LONG else 120)]

KILLS = 50 if IS_LONG else 9
CLIENTS = 12
SEED = 11
WAIT_S = 60.0
LIMIT_USD = 1_000
MOST_RESERVED = cost_nano(100, 1_024)
"""More than any of the requests here reserves at a time."""
CONSUMER = "acme/search/indexer"


def answer(request: Received) -> tuple[Step, ...]:
    """A healthy provider; streams take a few hundredths of a second, so that many are under way at a kill."""
    steps = answers.as_openai(request)
    if len(steps) == 1:
        return steps
    return tuple(part for step in steps for part in (step, Pause(0.005)))


class Clients:
    """Threads that ask without pause."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._ending = threading.Event()
        self.sent: list[str] = []
        self.answered: list[str] = []
        """Ids whose answer came completely."""
        self.surprises: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._ending.is_set():
            count += 1
            name = f"chaos-{number}-{count}"
            try:
                self._ask(name, stream=count % 2 == 0)
            except (OSError, PeerClosed):
                self._ending.wait(0.02)  # nobody listens for a moment, or whoever answered was killed

    def _ask(self, name: str, *, stream: bool) -> None:
        with self._gateway.connect(timeout_s=10.0) as client:
            self.sent.append(name)
            request = render_chat("m", stream=stream).replace(b"Host:", b"X-Request-Id: %b\r\nHost:" % name.encode(), 1)
            got = client.send(request).receive()
            if got.status != 200 or (stream and not got.body.endswith(b"data: [DONE]\n\n")):
                self.surprises.append(f"{name}: {got.status} {got.body[-200:]!r}")
            else:
                self.answered.append(name)


class Chaos:
    """Kills processes and starts again what nobody else does."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._dice = random.Random(SEED)
        self.kills: Counter[str] = Counter()

    def strike(self, role: str) -> None:
        """Kill one process, and wait until the gateway is whole again."""
        self.pause(0.05, 0.4)
        if role == "supervisor":
            below = [process.pid for process in self._gateway.processes()]
            os.kill(self._gateway.pid, signal.SIGKILL)
            self._gateway.wait_for(lambda: not any(map(is_alive, below)), WAIT_S)
            self._gateway.kill()
            self._gateway.start()
        else:
            victims = [process.pid for process in self._gateway.processes() if process.role == role]
            victim = self._dice.choice(victims)
            os.kill(victim, signal.SIGKILL)
            self._gateway.wait_for(lambda: self._is_whole(victim), WAIT_S)
        self.kills[role] += 1

    def pause(self, least_s: float, most_s: float) -> None:
        """Let the clients work for a while."""
        threading.Event().wait(self._dice.uniform(least_s, most_s))

    def roles(self, count: int) -> list[str]:
        """Whom to kill: each role in turn, then by the dice."""
        first = ["worker", "control", "supervisor"]
        return first + self._dice.choices(["worker", "worker", "control", "supervisor"], k=count - len(first))

    def _is_whole(self, victim: int) -> bool:
        roles = Counter(process.role for process in self._gateway.processes() if process.pid != victim)
        return roles["worker"] == 2 and roles["control"] == 1


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Nobody else can write to the database."""
    with closing(sqlite3.connect(state / "gatewright.db", timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def build_gateway(upstream: ScriptedUpstream, directory: Path, **more: Any) -> GatewayProcess:
    """Two workers, and a budget that counts everything."""
    upstream.always(answer)
    policies = [{"filter": "budget", "name": "all", "config": {"usd": LIMIT_USD, "per": "total"}}]
    return GatewayProcess(
        priced(upstream, {"m": target()}, policies, **more),
        arguments=["--workers", "2"],
        environment={"UPSTREAM_KEY": UPSTREAM_KEY, "DATABASE_URL": f"sqlite:///{directory / 'late' / 'gatewright.db'}"},
        directory=directory,
    )


def drain(gateway: GatewayProcess, database: Path) -> None:
    """Wait until everything that was written is booked."""
    gateway.wait_for(lambda: verify_ledger(gateway, database).waiting == 0, WAIT_S)


def check(gateway: GatewayProcess, clients: Clients, database: Path) -> dict[str, Any]:
    """Nothing that was answered is missing, nothing is there twice, and every sum is right."""
    entries = read_entries(database)
    lost = [name for name in clients.answered if name not in entries]
    double = [name for name, found in entries.items() if len(found) != 1]
    assert (lost, double) == ([], [])
    assert entries.keys() <= set(clients.sent)
    wrong = []
    for name in clients.answered:
        told = entries[name][0].exchange
        used = (told["status"], told["kind"], told["input_total"], told["output_total"], told["is_estimated"])
        if used != (200, "", answers.PROMPT_TOKENS, answers.COMPLETION_TOKENS, 0):
            wrong.append((name, used))
    assert wrong == []
    report = verify_ledger(gateway, database)
    assert report.problems == []
    assert (report.entries, report.kept, report.waiting) == (len(entries), len(entries), 0)
    engine = open_database(None, database)
    try:
        total = report_usage(engine, UsageQuery()).total
    finally:
        engine.dispose()
    (sums,) = read_rows(
        database,
        "SELECT sum(input_total) AS input, sum(output_total) AS output, sum(cost_nano) AS nano FROM exchanges",
    )
    assert total.exchanges == len(entries)
    assert (total.tokens["input_total"], total.tokens["output_total"]) == (sums["input"], sums["output"])
    return sums


def read_budget(gateway: GatewayProcess) -> int:
    """What the counters say is spent and reserved, in nano-dollars."""
    window = window_at("total", time.time())
    limit = LIMIT_USD * 1_000_000_000
    key = BudgetGroup("all", CONSUMER, window.name, window.ends_at, limit).key
    counters = SharedCounters(gateway.state / "counters", time.time)
    try:
        (used,) = counters.used([Allowance(key, Kind.BUDGET, limit, ends_at=window.ends_at, is_hard=True)])
    finally:
        counters.close()
    return used


def test_no_answer_is_lost_and_none_is_double(
    upstream: ScriptedUpstream, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    began_s = time.monotonic()
    gateway = build_gateway(upstream, tmp_path)
    chaos = Chaos(gateway)
    gateway.start()
    try:
        with Clients(gateway) as clients:
            for number, role in enumerate(chaos.roles(KILLS)):
                if number % 4 == 1:
                    with locked(gateway.state):
                        chaos.strike("worker" if role == "supervisor" else role)
                        chaos.pause(0.2, 0.6)
                else:
                    chaos.strike(role)
            chaos.pause(0.2, 0.3)
        drain(gateway, gateway.state)
        sums = check(gateway, clients, gateway.state)
        assert gateway.stop() == 0
        check(gateway, clients, gateway.state)
    finally:
        gateway.kill()
    used = read_budget(gateway)
    assert used >= sums["nano"], "nothing that was booked is unpaid"
    deaths = chaos.kills["worker"] + 2 * chaos.kills["supervisor"]
    assert used <= sums["nano"] + deaths * CLIENTS * MOST_RESERVED
    assert clients.surprises == []
    assert len(clients.answered) > 10 * KILLS
    tell(
        request,
        f"{sum(chaos.kills.values())} kills {dict(chaos.kills)}, {len(clients.sent)} requests,"
        f" {len(clients.answered)} answered completely, {count_booked(gateway.state)} booked, lost 0, double 0;"
        f" budget {used - sums['nano']} nano-dollars above the ledger; {time.monotonic() - began_s:.1f} s",
    )


def test_a_database_that_appears_late(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """Its folder is not there at the start, and a worker and control are killed before it is."""
    database = tmp_path / "late"
    gateway = build_gateway(upstream, tmp_path, database={"url": "${env:DATABASE_URL}"})
    chaos = Chaos(gateway)
    gateway.start()
    try:
        with Clients(gateway) as clients:
            chaos.strike("worker")
            chaos.strike("control")
            assert not database.exists()
            database.mkdir()
            chaos.pause(0.2, 0.3)
            gateway.wait_for((database / "gatewright.db").exists, WAIT_S)
        gateway.wait_for(lambda: has_tables(database), WAIT_S)
        drain(gateway, database)
        check(gateway, clients, database)
        assert gateway.stop() == 0
    finally:
        gateway.kill()
    assert clients.surprises == []
    assert clients.answered


def has_tables(database: Path) -> bool:
    """Whether control has made its tables."""
    return bool(read_rows(database, "SELECT name FROM sqlite_master WHERE name = 'usage_days'"))


def tell(request: pytest.FixtureRequest, line: str) -> None:
    """A figure, for people."""
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.write_line(f"chaos: {line}")
