"""One suite over every kind of database: keys, consumers, their audit log, and what workers are told of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from gatewright.control.actor import Actor
from gatewright.control.audit import Filter, list_records, verify
from gatewright.control.consumers import Consumers
from gatewright.control.key_projection import KeyProjection, record_of
from gatewright.control.keys import KeyChange, KeyFilter, Keys
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.core.consumer import Scopes
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.store.database import reading
from gatewright.store.key_table import KeyTable
from gatewright.store.revisions import read_revision
from gatewright.store.tables import AUDIT, KEYS

SECRET = b"s" * 32
ACTOR = Actor("alice", "admin", "cli")
PATH = "acme/search/indexer"
INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE keys; --",
    "%' ESCAPE '!",
    "\\",
    "$$; DROP TABLE keys; $$",
    "E'\\\\'",
    ":name %(name)s {} ?",
    "\0",
    "\ud800",
    "Zoë 🔑",
]


@pytest.fixture
def keys(database: Engine) -> Keys:
    return Keys(database, SECRET, lambda: 1_000.0)


@pytest.fixture
def consumers(database: Engine) -> Consumers:
    return Consumers(database, lambda: 1_000.0)


@pytest.fixture
def projection(database: Engine, tmp_path: Path) -> Iterator[KeyProjection]:
    projection = KeyProjection(database, tmp_path, SECRET)
    yield projection
    projection.close()


def projected(projection: KeyProjection, state: Path) -> dict[str, KeyRecord]:
    while projection.poll_once():
        pass
    assert projection.problem is None
    table = KeyTable(state / "keys.lmdb")
    found = {record.id: record for record in table.items().values()}
    table.close()
    return found


def test_a_life_of_keys(
    database: Engine, keys: Keys, consumers: Consumers, projection: KeyProjection, tmp_path: Path
) -> None:
    consumers.create(ACTOR, PATH, name="Indexer", details={"owner": "Zoë"})
    one = keys.create(ACTOR, PATH, name="n", scopes=Scopes(("gpt-*",), ("chat_completions",), ("10.0.0.0/8",)))
    two = keys.create(ACTOR, "beta/x/y", expires_at=5_000)
    assert projected(projection, tmp_path) == {
        one.key.id: KeyRecord(one.key.id, PATH, one.key.scopes),
        two.key.id: KeyRecord(two.key.id, "beta/x/y", expires_at=5_000),
    }
    keys.change(ACTOR, two.key.id, KeyChange(expires_at=None))
    three = keys.rotate(ACTOR, one.key.id, overlap_s=60)
    consumers.suspend(ACTOR, PATH)
    found = projected(projection, tmp_path)
    assert found[one.key.id] == KeyRecord(one.key.id, PATH, one.key.scopes, 1_060, is_suspended=True)
    assert found[three.key.id].is_suspended
    assert found[two.key.id] == KeyRecord(two.key.id, "beta/x/y")
    consumers.delete(ACTOR, PATH)
    keys.note_used([(two.key.id, 900), (two.key.id, 950), (one.key.id, 1)])
    assert keys.get(two.key.id).last_used_at == 950
    assert {key_id for key_id, record in projected(projection, tmp_path).items() if record.is_revoked} == {
        one.key.id,
        three.key.id,
    }
    with reading(database) as connection:
        row = connection.execute(select(KEYS).where(KEYS.c.id == two.key.id)).one()
        assert bytes(row.digest) == digest_of(two.text.encode(), SECRET)
    assert verify(database).problems == ()


def test_changes_at_the_same_time_lose_nothing(
    database: Engine, keys: Keys, projection: KeyProjection, tmp_path: Path
) -> None:
    shared = keys.create(ACTOR, PATH).key.id
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                made = keys.create(ACTOR, f"a/b/c{number}")
                keys.note_used([(shared, number * 10 + turn), (made.key.id, turn)])
                (keys.suspend if turn % 2 else keys.resume)(ACTOR, shared)
                keys.revoke(ACTOR, made.key.id)
                projection.poll_once()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = verify(database)
    assert found.problems == ()
    with reading(database) as connection:
        # 1 + 4 × 5 × (create, suspend or resume, revoke); what changed nothing raises the revision too.
        assert read_revision(connection, "keys") == 61
        assert connection.scalar(select(func.count()).select_from(AUDIT)) == found.head.number  # type: ignore[union-attr]
    records = projected(projection, tmp_path)
    assert len(records) == 21
    assert sum(record.is_revoked for record in records.values()) == 20


@pytest.mark.parametrize("injected", INJECTIONS)
def test_what_is_given_is_a_value_and_never_a_statement(
    database: Engine, keys: Keys, consumers: Consumers, injected: str
) -> None:
    made = keys.create(ACTOR, PATH).key
    is_plain = injected.isprintable()
    for chosen in (KeyFilter(consumer=injected), KeyFilter(search=injected), KeyFilter(consumer=injected + "*")):
        assert keys.list(chosen).keys == []
    assert consumers.list(search=injected).consumers == []
    consumers.list(after=injected)
    assert list_records(database, Filter(subject=injected, action=injected, actor=injected)) == []
    for refused in (keys.get, consumers.get):
        with pytest.raises(NotFound):
            refused(injected)
    for path in (injected, f"a/b/{injected}"):
        with pytest.raises(Unacceptable):
            keys.create(ACTOR, path)
        with pytest.raises(Unacceptable):
            consumers.create(ACTOR, path)
    keys.note_used([(injected, 1)])
    if is_plain:
        named = keys.create(Actor(injected, "admin", injected), PATH, name=injected, scopes=Scopes((injected,))).key
        consumers.create(ACTOR, PATH, name=injected, details={injected: [injected]})
        assert (named.name, named.scopes.models, named.created_by) == (injected, (injected,), injected)
        assert keys.list(KeyFilter(search=injected)).keys == [named]
        assert consumers.get(PATH).details == {injected: [injected]}
        assert [record.subject for record in list_records(database, Filter(actor=injected))] == [f"key/{named.id}"]
    assert keys.get(made.id) == made
    assert verify(database).problems == ()


def test_who_notes_uses_and_who_suspends_wait_for_each_other(
    database: Engine, keys: Keys, consumers: Consumers
) -> None:
    made = [keys.create(ACTOR, PATH).key.id for _ in range(100)]
    consumers.create(ACTOR, PATH)
    failures: list[BaseException] = []

    def use() -> None:
        try:
            for turn in range(30):
                keys.note_used((key_id, turn) for key_id in reversed(made))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    for _ in range(10):
        consumers.suspend(ACTOR, PATH)
        consumers.resume(ACTOR, PATH)
    thread.join()
    assert failures == []
    assert keys.get(made[0]).last_used_at == 29


def test_pages_are_the_same_everywhere(keys: Keys) -> None:
    made = {keys.create(ACTOR, PATH, name=f"n{number}").key.id for number in range(7)}
    found, after = [], None
    while True:
        page = keys.list(after=after, limit=2)
        found += [key.id for key in page.keys]
        after = page.after
        if after is None:
            break
    assert len(found) == 7
    assert set(found) == made


def test_a_log_that_was_altered_is_found_out(database: Engine, keys: Keys) -> None:
    for _ in range(3):
        keys.create(ACTOR, PATH)
    with database.begin() as connection:
        connection.execute(update(AUDIT).where(AUDIT.c.number == 2).values(after=func.replace(AUDIT.c.after, "a", "b")))
    assert verify(database).problems == ("change 2 was altered",)


def test_gateways_that_share_a_database_share_its_secret(database: Engine, keys: Keys, tmp_path: Path) -> None:
    keys.create(ACTOR, PATH)
    with pytest.raises(Conflict, match="another secret"):
        Keys(database, b"o" * 32, lambda: 1.0).create(ACTOR, PATH)
    other = KeyProjection(database, tmp_path, b"o" * 32)
    other.poll_once()
    assert "another secret" in str(other.problem)
    other.close()


def test_a_row_is_what_workers_are_told(database: Engine, keys: Keys) -> None:
    key = keys.create(ACTOR, PATH, scopes=Scopes(networks=("192.0.2.1",))).key
    keys.suspend(ACTOR, key.id)
    with reading(database) as connection:
        row = connection.execute(select(KEYS, KEYS.c.revoked_at.label("consumer_suspended_at"))).one()
    assert record_of(row) == KeyRecord(key.id, PATH, Scopes(networks=("192.0.2.1/32",)), is_suspended=True)
