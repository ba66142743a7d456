"""Real processes that are killed at random: no entry that was appended is lost, none is booked twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.ledger_entries import booked_ids

from gatewright.config.ledger import Ledger
from gatewright.control.ledger_verify import verify
from gatewright.control.ledger_writer import LedgerWriter
from gatewright.store.database import open_database
from gatewright.store.journal_reader import JournalReader, list_journals

pytestmark = pytest.mark.sockets

IS_LONG = bool(os.environ.get("SOAK"))
ROUNDS = 50 if IS_LONG else 15
CONTROLS = 12 if IS_LONG else 5
LIMIT_S = 60.0
WORKER = """
import os, sys, threading
from pathlib import Path
from gatewright.config.ledger import Ledger
from gatewright.core.ledger import Attempt, Tokens
from gatewright.store import journal as module
from gatewright.store.journal import Journal

# Small segments, so that a kill often hits the change from one to the next.
module.SEGMENT_BYTES, module._END, module._RESERVE_BYTES = 65_536, 65_528, 32_768
directory, name = Path(sys.argv[1]), sys.argv[2]
journal = Journal(directory, name, Ledger())
tried = Attempt("openai", "openai", "gpt", "ok", Tokens(10, output_total=3), False, 123_456_789, "v1", 7)
pause = threading.Event()
number = 0
while True:
    number += 1
    journal.add(f"{name}-{number}", 1_763_726_400_000_000, 1, 0, "acme", "", "k", "openai.chat", "gpt", "gpt", 200, "",
                False, "", [tried])
    while journal.waiting:
        journal.tick()
    # Said only when the kernel has it: what is said must be found.
    os.write(1, b"%d\\n" % number)
    if number % 20 == 0:
        journal.tick()
        pause.wait(float(sys.argv[3]))
"""
CONTROL = """
import sys, threading
from pathlib import Path
from gatewright.config.ledger import Ledger
from gatewright.control.ledger_writer import LedgerWriter
from gatewright.store.database import migrate, open_database

url, state = sys.argv[1], Path(sys.argv[2])

def database():
    engine = open_database(url, state, pool_size=1, statement_timeout_s=5)
    migrate(engine)
    return engine

writer = LedgerWriter(state / "journal", database, Ledger(), poll_s=0.002)
writer.start()
print("started", flush=True)
threading.Event().wait()
"""


def wait(seconds: float) -> None:
    """Time in which the children work, of no use to this process."""
    threading.Event().wait(seconds)


def last_number(said: bytes) -> int:
    # The last line may be cut off; the one before it is not.
    return int(said.split(b"\n")[-2])


class Process:
    """A child that is killed at the end, whatever happens."""

    def __init__(self, program: str, *arguments: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._child.stdout is not None
        self._first = self._child.stdout.readline()
        assert self._first, self._child.stderr.read().decode() if self._child.stderr else ""

    def kill(self) -> bytes:
        """What it said until then."""
        if self._child.returncode is None:
            self._child.send_signal(signal.SIGKILL)
            said, failed = self._child.communicate()
            assert b"Error" not in failed, failed.decode()
            self._first += said
        return self._first


@pytest.fixture
def children() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for one in started:
        one.kill()


def drain(url: str, state: Path) -> None:
    """Book all that is left."""

    def database() -> Engine:
        return open_database(url, state, pool_size=1)

    writer = LedgerWriter(state / "journal", database, Ledger(), poll_s=0.002)
    writer.start()
    end = time.monotonic() + LIMIT_S
    while list_journals(state / "journal") and time.monotonic() < end:
        os.sched_yield()
    writer.stop(LIMIT_S)
    assert writer.status().stuck == ()
    assert writer.status().error == ""


def check(said: dict[str, int], engine: Engine, journals: Path) -> None:
    """What was said is there, from each journal a beginning, nothing twice."""
    ids = booked_ids(engine)
    found = Counter(one.partition("-")[0] for one in ids)
    assert set(found) == set(said)
    for name, count in said.items():
        assert found[name] >= count
        assert all(ids[f"{name}-{number}"] == 1 for number in range(1, found[name] + 1))
    assert verify(engine, journals).problems == []


def test_what_a_killed_worker_appended_is_booked_once(
    database: Engine, database_url: str, tmp_path: Path, children: list[Process]
) -> None:
    chance = random.Random(4)
    said: dict[str, int] = {}
    for number in range(ROUNDS):
        worker = Process(WORKER, str(tmp_path / "journal"), f"j{number}", "0.001")
        children.append(worker)
        wait(chance.random() * 0.05)
        said[f"j{number}"] = last_number(worker.kill())
    drain(database_url, tmp_path)
    check(said, database, tmp_path / "journal")
    assert sum(said.values()) > ROUNDS * 20


def test_control_may_be_killed_anywhere(
    database: Engine, database_url: str, tmp_path: Path, children: list[Process]
) -> None:
    chance = random.Random(5)
    said: dict[str, int] = {}
    (tmp_path / "journal").mkdir()
    worker = Process(WORKER, str(tmp_path / "journal"), "w0", "0.01")
    children.append(worker)
    for number in range(CONTROLS):
        control = Process(CONTROL, database_url, str(tmp_path))
        children.append(control)
        wait(chance.random() * 0.3)
        if number % 4 == 1:
            # While all of them run.
            assert verify(database, tmp_path / "journal").problems == []
        if number % 4 == 3:
            # All at once: the worker too.
            said[f"w{number // 4}"] = last_number(worker.kill())
            worker = Process(WORKER, str(tmp_path / "journal"), f"w{number // 4 + 1}", "0.01")
            children.append(worker)
        control.kill()
    said[f"w{CONTROLS // 4}"] = last_number(worker.kill())
    drain(database_url, tmp_path)
    check(said, database, tmp_path / "journal")


FULL = """
import resource, sys
from pathlib import Path
from gatewright.config.ledger import Ledger
from gatewright.store.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
journal = Journal(Path(sys.argv[1]), "j", Ledger(on_full_disk=sys.argv[2]))
for number in range(1_000):
    journal.add(str(number), 5, 1, 0, "acme", "", "", "openai.chat", "gpt", "gpt", 200, "", False, "", [])
print(journal.failure, journal.accepts, journal.waiting, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while journal.waiting or not journal.accepts:
    journal.tick()
journal.close()
print(journal.lost, flush=True)
"""


@pytest.mark.parametrize(("policy", "accepts"), [("serve", "True"), ("refuse", "False")])
def test_a_disk_that_refuses_for_real(tmp_path: Path, policy: str, accepts: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), policy], capture_output=True, check=True, timeout=LIMIT_S
    )
    assert done.stdout.decode().splitlines() == [f"File too large {accepts} 1000", "0"]
    assert len(JournalReader(tmp_path / "j").read(2_000)) == 1_000
