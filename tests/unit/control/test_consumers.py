from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from gatewright.control.actor import Actor
from gatewright.control.audit import Filter, list_records, verify
from gatewright.control.consumers import Consumers
from gatewright.control.keys import Keys
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.store.database import open_database, reading
from gatewright.store.revisions import read_revision
from gatewright.store.tables import METADATA

ACTOR = Actor("alice", "admin", "cli")
PATH = "acme/search/indexer"
INJECTIONS = ["' OR '1'='1", "'; DROP TABLE consumers; --", "%", "_", "\\", "\0", "\ud800", "x' UNION SELECT 1 --"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def consumers(engine: Engine) -> Consumers:
    return Consumers(engine, lambda: 1_000.5)


@pytest.fixture
def keys(engine: Engine) -> Keys:
    return Keys(engine, b"s" * 32, lambda: 1_000.5)


def actions(engine: Engine) -> list[str]:
    assert verify(engine).problems == ()
    return [record.action for record in reversed(list_records(engine))]


def test_a_consumer_is_kept_changed_and_given_up(engine: Engine, consumers: Consumers) -> None:
    made = consumers.create(ACTOR, PATH, name="Indexer", details={"owner": "Zoë", "cost": [1, None]})
    assert consumers.get(PATH) == made
    assert (made.created_at, made.suspended_at) == (1_000, None)
    with pytest.raises(Conflict):
        consumers.create(ACTOR, PATH)
    changed = consumers.change(ACTOR, PATH, details={"owner": "Max"})
    assert (changed.name, changed.details) == ("Indexer", {"owner": "Max"})
    assert consumers.change(ACTOR, PATH, name="Indexer") == changed
    assert consumers.suspend(ACTOR, PATH).suspended_at == 1_000
    assert consumers.suspend(ACTOR, PATH).suspended_at == 1_000
    assert consumers.resume(ACTOR, PATH) == changed
    assert consumers.resume(ACTOR, PATH) == changed
    consumers.delete(ACTOR, PATH)
    for refused in (consumers.suspend, consumers.resume, consumers.delete, consumers.change):
        with pytest.raises(NotFound):
            refused(ACTOR, PATH)
    assert actions(engine) == [f"consumer.{word}" for word in ("create", "change", "suspend", "resume", "delete")]


def test_the_state_of_a_consumer_is_that_of_its_keys(engine: Engine, consumers: Consumers, keys: Keys) -> None:
    mine = [keys.create(ACTOR, PATH).key.id for _ in range(2)]
    other = keys.create(ACTOR, PATH + "2").key.id
    keys.suspend(ACTOR, mine[1])

    def states() -> list[str]:
        return [keys.get(key_id).state for key_id in (*mine, other)]

    consumers.create(ACTOR, PATH)
    consumers.suspend(ACTOR, PATH)
    assert states() == ["suspended", "suspended", "active"]
    late = keys.create(ACTOR, PATH).key
    assert late.state == "suspended"
    consumers.resume(ACTOR, PATH)
    assert states() == ["active", "suspended", "active"]
    keys.revoke(ACTOR, late.id)
    consumers.suspend(ACTOR, PATH)
    assert consumers.delete(ACTOR, PATH) == 2
    assert states() == ["revoked", "revoked", "active"]
    assert bytes(list_records(engine)[0].after) == b'{"revoked_keys":2}'


def test_each_key_that_goes_with_its_consumer_is_audited(engine: Engine, consumers: Consumers, keys: Keys) -> None:
    consumers.create(ACTOR, PATH)
    live, gone = (keys.create(ACTOR, PATH).key.id for _ in range(2))
    keys.revoke(ACTOR, gone)
    consumers.delete(ACTOR, PATH)
    for key_id in (live, gone):
        records = list_records(engine, Filter(subject=f"key/{key_id}"))
        assert [record.action for record in records] == ["key.revoke", "key.create"]
        after = msgspec.json.decode(records[0].after)
        assert after == msgspec.to_builtins(keys.get(key_id))


def test_every_change_raises_the_revision_of_keys(engine: Engine, consumers: Consumers) -> None:
    consumers.create(ACTOR, PATH)
    consumers.suspend(ACTOR, PATH)
    consumers.delete(ACTOR, PATH)
    with reading(engine) as connection:
        assert read_revision(connection, "keys") == 3


@pytest.mark.parametrize("details", [{"x": "y" * 10_000}, {"x": "\0"}, {"x": "\ud800"}, {"x": object()}, [1]])
def test_details_are_a_small_json_object(consumers: Consumers, details: object) -> None:
    with pytest.raises(Unacceptable, match="details"):
        consumers.create(ACTOR, PATH, details=details)  # type: ignore[arg-type]
    assert consumers.list().consumers == []


def test_consumers_are_listed_by_path(consumers: Consumers) -> None:
    paths = [f"acme/{team}/app" for team in "abcdef"] + ["a_me/x/y"]
    for path in paths:
        consumers.create(ACTOR, path)
    assert [one.path for one in consumers.list().consumers] == sorted(paths)
    assert [one.path for one in consumers.list(search="a_me").consumers] == ["a_me/x/y"]
    page = consumers.list(search="acme/", after="acme/c/app", limit=2)
    assert [one.path for one in page.consumers] == paths[3:5]
    assert page.after == paths[4]
    assert consumers.list(search="acme/", after=page.after, limit=1).after is None


def test_a_search_goes_by_the_very_characters(engine: Engine, consumers: Consumers) -> None:
    """SQLite's LIKE would take `ACME` for `acme`, which are two organisations, and look at every row for that."""
    consumers.create(ACTOR, "ACME/search/app")
    consumers.create(ACTOR, "acme/search/app")
    assert [one.path for one in consumers.list(search="acme/").consumers] == ["acme/search/app"]


@pytest.mark.parametrize("injected", INJECTIONS)
def test_what_is_given_is_a_value_and_never_a_statement(engine: Engine, consumers: Consumers, injected: str) -> None:
    made = consumers.create(ACTOR, PATH)
    assert consumers.list(search=injected).consumers == []
    consumers.list(after=injected)
    for refused in (consumers.suspend, consumers.delete):
        with pytest.raises(NotFound):
            refused(ACTOR, injected)
    with pytest.raises(NotFound):
        consumers.get(injected)
    with pytest.raises(Unacceptable):
        consumers.create(ACTOR, injected)
    if injected.isprintable():
        consumers.change(ACTOR, PATH, name=injected, details={injected: injected})
        found = consumers.get(PATH)
        assert (found.name, found.details) == (injected, {injected: injected})
    else:
        assert consumers.get(PATH) == made
    assert verify(engine).problems == ()
