"""The key table under processes that are killed: whatever happens to writers and readers, it says what the database
says, and a change counts within a second."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gatewright.control.actor import Actor
from gatewright.control.key_projection import KeyProjection
from gatewright.control.keys import Keys
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.database import migrate, open_database
from gatewright.store.key_table import KeyReader, KeyTable, Writing

pytestmark = pytest.mark.sockets

SECRET = b"s" * 32
ACTOR = Actor("alice", "admin", "cli")
PATH = "acme/search/indexer"
KILLS = 20

WRITER = """
import sys
from pathlib import Path
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.key_table import KeyTable

table = KeyTable(Path(sys.argv[1]), map_bytes=1 << 20)
start = table.revision() or 0

def change(writing):
    # Every entry of one transaction carries its number, so a transaction that was half there would show.
    for one in range(300):
        writing.put(digest_of(b"%d" % one, b"s" * 32), KeyRecord(f"{number}", "a/b/c"))
        if one % 10 == 0:
            print("in", flush=True)
    writing.revision = number

for number in range(start + 1, start + 1000):
    table.write(change)
    print("done", number, flush=True)
"""

READER = """
import sys
from pathlib import Path
from gatewright.core.keys import digest_of
from gatewright.store.key_table import KeyReader

reader = KeyReader(Path(sys.argv[1]))
environment = reader._environment
with environment.begin() as transaction:
    transaction.get(b"revision")
    print("reading", flush=True)
    sys.stdin.read()
"""


def start(program: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def read_until(process: subprocess.Popen[str], count: int) -> int:
    """The last transaction that was told to be done, after `count` lines."""
    assert process.stdout is not None
    done = 0
    for _ in range(count):
        line = process.stdout.readline()
        assert line, "the writer ended by itself"
        if line.startswith("done"):
            done = int(line.split()[1])
    return done


def test_a_writer_may_be_killed_in_the_middle_of_a_transaction(tmp_path: Path) -> None:
    directory = tmp_path / "keys.lmdb"
    told = 0
    for turn in range(KILLS):
        writer = start(WRITER, directory)
        told = max(told, read_until(writer, 3 + 7 * turn))
        kill(writer)
        table = KeyTable(directory)
        numbers = {record.id for record in table.items().values()}
        assert len(numbers) <= 1
        revision = table.revision() or 0
        assert numbers == ({str(revision)} if revision else set())
        assert revision >= told
        # The dead writer's lock is taken over, and what it had begun hinders nobody.
        table.write(lambda writing: setattr(writing, "revision", writing.revision or 0))
        table.close()
    assert told > 0


def test_readers_that_were_killed_keep_no_room(tmp_path: Path) -> None:
    directory = tmp_path / "keys.lmdb"
    table = KeyTable(directory)
    digests = [digest_of(b"%d" % number, SECRET) for number in range(1_000)]

    def rewrite(turn: int) -> None:
        def change(writing: Writing) -> None:
            for digest in digests:
                writing.put(digest, KeyRecord(f"{turn}", PATH))

        table.write(change)

    rewrite(0)
    for turn in range(1, 4):
        reader = start(READER, directory)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        kill(reader)
        rewrite(turn)
    before = (directory / "data.mdb").stat().st_size
    for turn in range(30):
        rewrite(100 + turn)
    assert (directory / "data.mdb").stat().st_size <= before * 1.5
    table.close()


FULL = """
import resource
import sys
from pathlib import Path
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.key_table import KeyReader, KeyTable, UnusableTable

directory = Path(sys.argv[1])
table = KeyTable(directory)

def fill(start, count):
    def change(writing):
        for number in range(start, start + count):
            writing.put(digest_of(b"%d" % number, b"s" * 32), KeyRecord(f"{number}", "a/b/c"))
    table.write(change)

fill(0, 1000)
before = table.items()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    fill(1000, 10_000)
except UnusableTable as error:
    print(error.is_damaged, table.items() == before)
reader = KeyReader(directory)
print(all(reader.find(digest) == record for digest, record in before.items()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
fill(1000, 10_000)
print(len(table.items()))
"""


def test_a_full_disk_harms_nothing_that_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "keys.lmdb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["False True", "True", "11000"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


def test_a_change_counts_within_a_second(tmp_path: Path, engine: Engine) -> None:
    """Measured as a worker sees it: with the polls and refreshes of a gateway, and 200 keys in the table."""
    keys = Keys(engine, SECRET, time.time)
    for _ in range(200):
        keys.create(ACTOR, PATH)
    projection, stop = KeyProjection(engine, tmp_path, SECRET), threading.Event()
    thread = threading.Thread(target=projection.run, args=(stop,))
    thread.start()
    try:
        reader = KeyReader(tmp_path / "keys.lmdb")
        longest = 0.0
        for _ in range(5):
            began = time.monotonic()
            made = keys.create(ACTOR, PATH)
            digest = digest_of(made.text.encode(), SECRET)
            wait_for(reader, digest, "active")
            longest = max(longest, time.monotonic() - began)
            began = time.monotonic()
            keys.revoke(ACTOR, made.key.id)
            wait_for(reader, digest, "revoked")
            longest = max(longest, time.monotonic() - began)
        assert longest < 1.0
        reader.close()
    finally:
        stop.set()
        thread.join()


def wait_for(reader: KeyReader, digest: bytes, state: str) -> None:
    """As a worker does: a look every 50 ms."""
    deadline = time.monotonic() + 10
    pause = threading.Event()
    while True:
        found = reader.find(digest)
        if found is not None and found.is_revoked is (state == "revoked"):
            return
        assert time.monotonic() < deadline
        pause.wait(0.05)
        reader.refresh()


COMMAND = """
import sys
from gatewright.cli import main
main.COMMANDS = (("keys", "gatewright.cli.keys:app"),)
sys.exit(main.run(sys.argv[1:]))
"""


def test_commands_and_the_gateway_may_write_at_the_same_time(tmp_path: Path, engine: Engine) -> None:
    projection, stop = KeyProjection(engine, tmp_path), threading.Event()
    thread = threading.Thread(target=projection.run, args=(stop,))
    thread.start()
    try:
        commands = [
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, "keys", "create", f"a/b/c{number}", "--state", str(tmp_path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"COLUMNS": "100"},
            )
            for number in range(4)
        ]
        made = [command.communicate(timeout=60)[0].strip() for command in commands]
        assert [command.returncode for command in commands] == [0] * 4
    finally:
        stop.set()
        thread.join()
    secret = (tmp_path / "secret").read_bytes()
    table = KeyTable(tmp_path / "keys.lmdb")
    assert {digest_of(text.encode(), secret) for text in made} == set(table.items())
    table.close()
