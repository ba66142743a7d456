import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import delete, select, text, update

from gatewright.control import key_projection
from gatewright.control.actor import Actor
from gatewright.control.consumers import Consumers
from gatewright.control.key_projection import KeyProjection, write_through
from gatewright.control.keys import KeyChange, Keys
from gatewright.control.refusals import ChangeRefused
from gatewright.core.consumer import Scopes
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.database import FILE, open_database
from gatewright.store.key_table import KeyReader, KeyTable, Writing
from gatewright.store.revisions import write_revision
from gatewright.store.tables import KEYS, METADATA

SECRET = b"s" * 32
ACTOR = Actor("alice", "admin", "cli")
PATHS = ("acme/search/indexer", "acme/search/website", "beta/x/y")


class Gateway:
    """One database, its services, and a projection into a table."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.now = 1_000.0
        self.engine = open_database(None, state)
        METADATA.create_all(self.engine)
        self.keys = Keys(self.engine, SECRET, lambda: self.now)
        self.consumers = Consumers(self.engine, lambda: self.now)
        self.projection = KeyProjection(self.engine, state, SECRET)

    def settle(self) -> None:
        while self.projection.poll_once():
            pass

    def close(self) -> None:
        self.projection.close()
        self.engine.dispose()

    def projected(self) -> dict[str, KeyRecord]:
        table = KeyTable(self.state / "keys.lmdb")
        found = table.items()
        table.close()
        with self.engine.begin() as connection:
            assert set(found) <= {bytes(row.digest) for row in connection.execute(select(KEYS.c.digest))}
        return {record.id: record for record in found.values()}

    def expected(self) -> dict[str, KeyRecord]:
        return {
            key.id: KeyRecord(
                key.id,
                key.consumer,
                key.scopes,
                key.expires_at,
                key.suspended_at is not None or key.consumer_suspended_at is not None,
                key.revoked_at is not None,
            )
            for key in self.keys.list(limit=1_000).keys
        }


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.close()


def test_a_key_works_after_one_poll_and_ends_after_one(gateway: Gateway) -> None:
    gateway.settle()
    reader = KeyReader(gateway.state / "keys.lmdb")
    made = gateway.keys.create(ACTOR, PATHS[0], scopes=Scopes(models=("gpt-*",)))
    digest = digest_of(made.text.encode(), SECRET)
    assert reader.find(digest) is None
    gateway.projection.poll_once()
    reader.refresh()
    found = reader.find(digest)
    assert found == KeyRecord(made.key.id, PATHS[0], Scopes(models=("gpt-*",)))
    gateway.keys.revoke(ACTOR, made.key.id)
    gateway.projection.poll_once()
    reader.refresh()
    found = reader.find(digest)
    assert found is not None
    assert found.is_revoked
    reader.close()


def test_a_poll_without_a_change_writes_nothing(gateway: Gateway) -> None:
    gateway.keys.create(ACTOR, PATHS[0])
    gateway.settle()
    before = (gateway.state / "keys.lmdb" / "data.mdb").read_bytes()
    for _ in range(3):
        assert not gateway.projection.poll_once()
    assert (gateway.state / "keys.lmdb" / "data.mdb").read_bytes() == before


def test_the_first_comparison_mends_a_table_step_by_step(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_projection, "STEP", 3)
    for number in range(10):
        gateway.keys.create(ACTOR, PATHS[number % 3])
    gateway.settle()
    assert gateway.projected() == gateway.expected()
    gateway.projection.close()
    # What a backup brought back, or somebody's hand changed: the revision says nothing of it.
    table = KeyTable(gateway.state / "keys.lmdb")
    digests = sorted(table.items())

    def harm(writing: Writing) -> None:
        writing.put(digests[2], KeyRecord("other", "x/y/z"))
        for digest in digests[6:]:
            writing.delete(digest)
        for number in range(10):
            writing.put(digest_of(b"%d" % number, SECRET), KeyRecord(f"stray{number}", "x/y/z"))

    table.write(harm)
    table.close()
    gateway.projection = KeyProjection(gateway.engine, gateway.state, SECRET)
    gateway.settle()
    assert gateway.projected() == gateway.expected()


def test_changes_are_brought_before_the_comparison_ends(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_projection, "STEP", 1)
    made = [gateway.keys.create(ACTOR, PATHS[0]).key.id for _ in range(5)]
    assert gateway.projection.poll_once()
    gateway.keys.revoke(ACTOR, max(made))
    assert gateway.projection.poll_once()
    assert gateway.projected()[max(made)].is_revoked


def test_an_absent_database_leaves_the_table_as_it_is(gateway: Gateway) -> None:
    gateway.keys.create(ACTOR, PATHS[0])
    gateway.settle()
    before = gateway.projected()
    gateway.engine.dispose()
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (gateway.state / name).rename(gateway.state / f"away-{name}") if (gateway.state / name).exists() else None
    (gateway.state / FILE).write_text("this is no database, however long one looks at it" * 100)
    assert not gateway.projection.poll_once()
    assert "cannot be read" in str(gateway.projection.problem)
    gateway.engine.dispose()
    (gateway.state / FILE).unlink()
    (gateway.state / f"away-{FILE}").rename(gateway.state / FILE)
    gateway.settle()
    assert gateway.projection.problem is None
    assert gateway.projected() == before


def test_a_database_that_is_not_set_up_is_told(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    projection = KeyProjection(engine, tmp_path)
    assert not projection.poll_once()
    assert "cannot be read" in str(projection.problem)
    projection.close()
    engine.dispose()


def test_columns_that_somebody_else_filled_harm_nothing(gateway: Gateway) -> None:
    key = gateway.keys.create(ACTOR, PATHS[0]).key
    gateway.settle()
    before = gateway.projected()
    with gateway.engine.begin() as connection:
        connection.execute(text("update keys set models = 'no json', revision = 9"))
        write_revision(connection, "keys", 9)
    assert not gateway.projection.poll_once()
    assert gateway.projection.problem is not None
    assert gateway.projected() == before
    assert key.id in before


@pytest.mark.parametrize("harm", ["cut", "garbage", "gone", "removed while open"])
def test_a_table_that_was_lost_is_made_anew(gateway: Gateway, harm: str) -> None:
    for _ in range(50):
        gateway.keys.create(ACTOR, PATHS[0])
    gateway.settle()
    path = gateway.state / "keys.lmdb" / "data.mdb"
    if harm != "removed while open":
        gateway.projection.close()
    if harm == "cut":
        with path.open("r+b") as file:
            file.truncate(8_192)
    elif harm == "garbage":
        path.write_bytes(b"garbage" * 10_000)
    else:
        shutil.rmtree(path.parent)
    for _ in range(5):
        gateway.settle()
    assert gateway.projection.problem is None
    assert gateway.projected() == gateway.expected()


def test_a_table_that_cannot_be_written_is_not_removed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.keys.create(ACTOR, PATHS[0])
    gateway.settle()
    before = gateway.projected()
    gateway.keys.create(ACTOR, PATHS[0])

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(key_projection, "_bring_changes", fail)
        assert not gateway.projection.poll_once()
    assert "No space left" in str(gateway.projection.problem)
    assert gateway.projected() == before
    gateway.settle()
    assert gateway.projected() == gateway.expected()


def test_a_database_that_was_set_back_is_followed(gateway: Gateway) -> None:
    kept = gateway.keys.create(ACTOR, PATHS[0]).key.id
    gone = gateway.keys.create(ACTOR, PATHS[0]).key.id
    gateway.keys.revoke(ACTOR, kept)
    gateway.settle()
    with gateway.engine.begin() as connection:
        connection.execute(delete(KEYS).where(KEYS.c.id == gone))
        connection.execute(update(KEYS).where(KEYS.c.id == kept).values(revoked_at=None, revision=1))
        write_revision(connection, "keys", 1)
    gateway.settle()
    assert gateway.projected() == gateway.expected()
    assert set(gateway.projected()) == {kept}


def test_keys_of_another_secret_are_told_once(gateway: Gateway) -> None:
    gateway.keys.create(ACTOR, PATHS[0])
    told: list[str] = []
    other = KeyProjection(gateway.engine, gateway.state, b"o" * 32, on_problem=told.append)
    for _ in range(3):
        other.poll_once()
    assert told == [other.problem]
    assert "another secret" in told[0]
    other.close()


def test_a_command_writes_through_where_there_is_a_table(gateway: Gateway) -> None:
    gateway.keys.create(ACTOR, PATHS[0])
    assert not write_through(gateway.engine, gateway.state)
    assert not (gateway.state / "keys.lmdb").exists()
    KeyTable(gateway.state / "keys.lmdb").close()
    assert not write_through(gateway.engine, gateway.state)
    gateway.settle()
    gateway.projection.close()
    gateway.keys.create(ACTOR, PATHS[0])
    assert write_through(gateway.engine, gateway.state)
    assert gateway.projected() == gateway.expected()
    (gateway.state / "keys.lmdb" / "data.mdb").write_bytes(b"garbage" * 10_000)
    assert not write_through(gateway.engine, gateway.state)


def test_it_runs_until_it_is_told_to_stop(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_projection, "POLL_S", 0.001)
    stop, polled = threading.Event(), threading.Event()
    poll = gateway.projection.poll_once

    def notice() -> bool:
        more = poll()
        polled.set()
        return more

    monkeypatch.setattr(gateway.projection, "poll_once", notice)
    thread = threading.Thread(target=gateway.projection.run, args=(stop,))
    thread.start()
    gateway.keys.create(ACTOR, PATHS[0])
    for _ in range(3):
        polled.clear()
        assert polled.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert gateway.projected() == gateway.expected()


class AnySequence(RuleBasedStateMachine):
    """After any sequence of changes, polls and restarts the table says what the database says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.gateway = Gateway(self.folder)
        self.made: list[str] = []

    def teardown(self) -> None:
        try:
            self.settle_and_compare()
        finally:
            self.gateway.close()
            shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        for path in PATHS[:2]:
            self.gateway.consumers.create(ACTOR, path)

    @rule(path=st.sampled_from(PATHS), models=st.sampled_from([(), ("gpt-*",)]), ends=st.sampled_from([None, 5_000]))
    def create(self, path: str, models: tuple[str, ...], ends: int | None) -> None:
        made = self.gateway.keys.create(ACTOR, path, scopes=Scopes(models), expires_at=ends)
        self.made.append(made.key.id)

    @precondition(lambda self: self.made)
    @rule(
        data=st.data(), word=st.sampled_from(["suspend", "resume", "revoke", "rotate", "change"]), after=st.booleans()
    )
    def alter(self, data: st.DataObject, word: str, after: bool) -> None:
        key_id = data.draw(st.sampled_from(self.made))
        with contextlib.suppress(ChangeRefused):
            if word == "rotate":
                self.made.append(self.gateway.keys.rotate(ACTOR, key_id).key.id)
            elif word == "change":
                self.gateway.keys.change(ACTOR, key_id, KeyChange(name="n", scopes=Scopes(("x",)), expires_at=7_000))
            else:
                getattr(self.gateway.keys, word)(ACTOR, key_id)
        if after:
            self.settle_and_compare()

    @rule(
        path=st.sampled_from(PATHS),
        word=st.sampled_from(["suspend", "resume", "delete", "create"]),
        after=st.booleans(),
    )
    def alter_consumer(self, path: str, word: str, after: bool) -> None:
        with contextlib.suppress(ChangeRefused):
            getattr(self.gateway.consumers, word)(ACTOR, path)
        if after:
            self.settle_and_compare()

    @rule(word=st.sampled_from(["poll", "poll", "command", "restart", "lose the table"]))
    def bring(self, word: str) -> None:
        if word == "poll":
            self.gateway.projection.poll_once()
        elif word == "command":
            write_through(self.gateway.engine, self.folder)
        else:
            self.gateway.projection.close()
            self.gateway.projection = KeyProjection(self.gateway.engine, self.folder, SECRET)
            if word == "lose the table":
                KeyTable.remove(self.folder / "keys.lmdb")

    @rule()
    def settle_and_compare(self) -> None:
        self.gateway.settle()
        assert self.gateway.projected() == self.gateway.expected()


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
