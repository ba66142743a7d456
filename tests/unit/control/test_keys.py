from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, event, select

from gatewright.control.actor import Actor
from gatewright.control.audit import list_records, verify
from gatewright.control.consumers import Consumers
from gatewright.control.key_rules import LATEST
from gatewright.control.keys import KeyChange, KeyFilter, Keys, has_same_secret
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.core.consumer import Scopes
from gatewright.core.keys import digest_of, is_whole
from gatewright.store.database import open_database, reading
from gatewright.store.revisions import read_revision
from gatewright.store.tables import KEYS, METADATA

SECRET = b"s" * 32
ACTOR = Actor("alice", "admin", "cli")
PATH = "acme/search/indexer"
INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE keys; --",
    '" OR ""="',
    "%",
    "_",
    "\\",
    "a%' ESCAPE '%",
    "1); DELETE FROM keys; --",
    "\0",
    "\ud800",
    "/*",
    "x' UNION SELECT digest FROM keys --",
]


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def keys(engine: Engine, clock: Clock) -> Keys:
    return Keys(engine, SECRET, clock)


@pytest.fixture
def consumers(engine: Engine, clock: Clock) -> Consumers:
    return Consumers(engine, clock)


def revision(engine: Engine) -> int | None:
    with reading(engine) as connection:
        return read_revision(connection, "keys")


def actions(engine: Engine) -> list[str]:
    assert verify(engine).problems == ()
    return [record.action for record in reversed(list_records(engine))]


def test_a_key_is_shown_once_and_kept_as_its_digest(engine: Engine, keys: Keys) -> None:
    made = keys.create(ACTOR, PATH, name="first", scopes=Scopes(models=("gpt-*",)), expires_at=1_000_100)
    assert is_whole(made.text.encode())
    assert made.text.startswith(made.key.prefix)
    assert (made.key.state, made.key.created_at, made.key.created_by) == ("active", 1_000_000, "alice")
    with engine.connect() as connection:
        row = connection.execute(select(KEYS)).one()
        everything = repr(connection.exec_driver_sql("select * from keys").all())
        everything += repr(connection.exec_driver_sql("select * from audit").all())
    assert row.digest == digest_of(made.text.encode(), SECRET)
    assert made.text[14:] not in everything
    for named in (made.key.id, made.key.prefix, made.text):
        assert keys.get(named) == made.key


def test_each_change_is_audited_and_raises_the_revision(engine: Engine, keys: Keys) -> None:
    key = keys.create(ACTOR, PATH).key
    assert revision(engine) == 1
    keys.change(ACTOR, key.id, KeyChange(name="new"))
    keys.suspend(ACTOR, key.id)
    keys.resume(ACTOR, key.id)
    keys.rotate(ACTOR, key.id)
    keys.revoke(ACTOR, key.id)
    assert revision(engine) == 6
    assert actions(engine) == [
        "key.create",
        "key.change",
        "key.suspend",
        "key.resume",
        "key.create",
        "key.rotate",
        "key.revoke",
    ]
    record = list_records(engine)[-2]
    assert record.subject == f"key/{key.id}"
    assert (msgspec.json.decode(record.before)["name"], msgspec.json.decode(record.after)["name"]) == ("", "new")


def test_no_secret_and_no_digest_is_audited(engine: Engine, keys: Keys) -> None:
    made = keys.create(ACTOR, PATH)
    other = keys.rotate(ACTOR, made.key.id)
    text = b"".join(bytes(record.before) + bytes(record.after) for record in list_records(engine))
    for one in (made, other):
        assert one.text[14:40].encode() not in text
        assert digest_of(one.text.encode(), SECRET).hex().encode() not in text
    assert b"digest" not in text


def test_what_changes_nothing_is_not_audited(engine: Engine, keys: Keys) -> None:
    key = keys.create(ACTOR, PATH, name="n").key
    assert keys.resume(ACTOR, key.id) == key
    assert keys.change(ACTOR, key.id, KeyChange(name="n")) == key
    suspended = keys.suspend(ACTOR, key.id)
    assert keys.suspend(ACTOR, key.id) == suspended
    revoked = keys.revoke(ACTOR, key.id)
    assert keys.revoke(ACTOR, key.id) == revoked
    assert actions(engine) == ["key.create", "key.suspend", "key.revoke"]


def test_what_is_refused_changes_nothing(engine: Engine, keys: Keys) -> None:
    key = keys.create(ACTOR, PATH).key
    keys.revoke(ACTOR, key.id)
    before = revision(engine), keys.get(key.id), actions(engine)
    with pytest.raises(Unacceptable):
        keys.create(ACTOR, "acme", name="\0")
    for refused in (
        lambda: keys.suspend(ACTOR, key.id),
        lambda: keys.resume(ACTOR, key.id),
        lambda: keys.rotate(ACTOR, key.id),
        lambda: keys.change(ACTOR, key.id, KeyChange(name="x")),
    ):
        with pytest.raises(Conflict):
            refused()
    for named in ("aaaaaaaaaa", *INJECTIONS):
        with pytest.raises(NotFound):
            keys.revoke(ACTOR, named)
    assert (revision(engine), keys.get(key.id), actions(engine)) == before


def test_a_key_tells_its_state(keys: Keys, consumers: Consumers, clock: Clock) -> None:
    consumers.create(ACTOR, PATH)
    key = keys.create(ACTOR, PATH, expires_at=1_000_010).key
    assert keys.suspend(ACTOR, key.id).state == "suspended"
    assert keys.resume(ACTOR, key.id).state == "active"
    consumers.suspend(ACTOR, PATH)
    assert keys.get(key.id).state == "suspended"
    consumers.resume(ACTOR, PATH)
    assert keys.get(key.id).state == "active"
    clock.now = 1_000_010.0
    assert keys.get(key.id).state == "expired"
    assert keys.change(ACTOR, key.id, KeyChange(expires_at=None)).state == "active"
    assert keys.revoke(ACTOR, key.id).state == "revoked"


def test_one_list_of_the_scopes_changes_and_the_others_stay(keys: Keys) -> None:
    key = keys.create(ACTOR, PATH, scopes=Scopes(("gpt-*",), (), ("10.0.0.0/8",))).key
    assert keys.change(ACTOR, key.id, KeyChange(lists={"networks": ()})).scopes == Scopes(("gpt-*",))
    assert keys.change(ACTOR, key.id, KeyChange(lists={"models": ("m",)})).scopes == Scopes(("m",))
    with pytest.raises(Unacceptable, match=r"models\[0\]"):
        keys.change(ACTOR, key.id, KeyChange(lists={"models": ("",)}))


def test_changes_are_checked_as_new_keys_are(keys: Keys, clock: Clock) -> None:
    key = keys.create(ACTOR, PATH, expires_at=1_000_010).key
    clock.now = 1_000_020.0
    assert keys.change(ACTOR, key.id, KeyChange(name="still")).name == "still"
    for change in (KeyChange(expires_at=1_000_015), KeyChange(name="\0"), KeyChange(scopes=Scopes(("",)))):
        with pytest.raises(Unacceptable):
            keys.change(ACTOR, key.id, change)
    changed = keys.change(ACTOR, key.id, KeyChange(scopes=Scopes(networks=("192.0.2.1",))))
    assert changed.scopes == Scopes(networks=("192.0.2.1/32",))


@pytest.mark.parametrize(
    ("expires_at", "overlap_s", "old_ends", "new_ends"),
    [
        (None, 3_600, 1_003_700, None),
        (None, 0, 1_000_100, None),
        (1_000_500, 3_600, 1_000_500, 1_000_600),
        (1_000_500, 60, 1_000_160, 1_000_600),
        (LATEST, 60, 1_000_160, LATEST),
    ],
)
def test_rotation_overlaps(
    keys: Keys, clock: Clock, expires_at: int | None, overlap_s: int, old_ends: int, new_ends: int | None
) -> None:
    scopes = Scopes(models=("gpt-*",))
    old = keys.create(ACTOR, PATH, name="n", scopes=scopes, expires_at=expires_at).key
    clock.now += 100
    new = keys.rotate(ACTOR, old.id, overlap_s=overlap_s).key
    assert (new.name, new.scopes, new.consumer, new.expires_at) == ("n", scopes, PATH, new_ends)
    replaced = keys.get(old.id)
    assert (replaced.expires_at, replaced.replaced_by) == (old_ends, new.id)
    with pytest.raises(Conflict, match=new.id):
        keys.rotate(ACTOR, old.id)


def test_only_a_key_that_holds_is_rotated(keys: Keys) -> None:
    key = keys.create(ACTOR, PATH).key
    for overlap_s in (-1, 400 * 86_400):
        with pytest.raises(Unacceptable):
            keys.rotate(ACTOR, key.id, overlap_s=overlap_s)
    keys.suspend(ACTOR, key.id)
    with pytest.raises(Conflict, match="suspended"):
        keys.rotate(ACTOR, key.id)


def test_keys_are_listed_in_pages_the_newest_first(keys: Keys, clock: Clock) -> None:
    made = []
    for number in range(10):
        clock.now += number % 2
        made.append(keys.create(ACTOR, PATH, name=f"n{number}").key)
    pages, after = [], None
    while True:
        page = keys.list(after=after, limit=3)
        pages.append(page.keys)
        after = page.after
        if after is None:
            break
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    listed = [key for page in pages for key in page]
    assert {key.id for key in listed} == {key.id for key in made}
    assert [key.created_at for key in listed] == sorted((key.created_at for key in made), reverse=True)
    assert len(keys.list(limit=0).keys) == 1
    for wrong in ("", "x", "1-x", "-aaaaaaaaaa", "１-aaaaaaaaaa", *INJECTIONS):
        with pytest.raises(Unacceptable):
            keys.list(after=wrong)


def test_keys_are_found_by_what_is_known_of_them(keys: Keys, consumers: Consumers) -> None:
    one = keys.create(ACTOR, PATH, name="Nightly 100%").key
    two = keys.create(ACTOR, "acme/search/website", name="nightly_x").key
    three = keys.create(ACTOR, "beta/a/b", expires_at=1_000_001).key
    keys.revoke(ACTOR, two.id)
    consumers.create(ACTOR, "beta/a/b")
    consumers.suspend(ACTOR, "beta/a/b")

    def ids(**chosen: object) -> set[str]:
        return {key.id for key in keys.list(KeyFilter(**chosen)).keys}  # type: ignore[arg-type]

    assert ids(consumer=PATH) == {one.id}
    assert ids(consumer="acme/*") == {one.id, two.id}
    assert ids(consumer="acme") == set()
    assert ids(search="100%") == {one.id}
    assert ids(search="y_x") == {two.id}
    assert ids(search=one.id) == ids(search=one.prefix) == ids(search=one.prefix[:8]) == {one.id}
    assert ids(search="beta/") == {three.id}
    named = keys.create(ACTOR, PATH, name="production")
    assert ids(search="production") == {named.key.id}
    assert ids(search=named.text) == {named.key.id}
    keys.revoke(ACTOR, named.key.id)
    assert ids(state="active") == {one.id}
    assert ids(state="revoked") == {two.id, named.key.id}
    assert ids(state="suspended") == {three.id}
    assert ids(state="expired") == set()


def test_a_path_goes_by_its_very_characters_and_a_name_does_not(keys: Keys) -> None:
    """SQLite's LIKE would take the keys of `ACME`, another organisation, for those of `acme`."""
    one = keys.create(ACTOR, "acme/search/indexer", name="Nightly").key
    two = keys.create(ACTOR, "ACME/search/indexer").key
    for chosen, found in (
        (KeyFilter(consumer="acme/*"), {one.id}),
        (KeyFilter(consumer="ACME/*"), {two.id}),
        (KeyFilter(search="ACME/"), {two.id}),
        (KeyFilter(search="nightLY"), {one.id}),
        (KeyFilter(search="gw-"), {one.id, two.id}),
    ):
        assert {key.id for key in keys.list(chosen).keys} == found


def test_a_search_reads_an_index_instead_of_every_row(engine: Engine, keys: Keys) -> None:
    told: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(_: object, cursor: Any, statement: str, values: Any, *rest: object) -> None:
        if statement.startswith("SELECT keys.id"):
            told.extend(str(row) for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    keys.list(KeyFilter(search="nightly"))
    assert "SCAN keys USING INDEX ix_keys_newest" in "".join(told)


def test_states_are_listed_as_they_are_told(keys: Keys, consumers: Consumers, clock: Clock) -> None:
    consumers.create(ACTOR, "a/b/suspended")
    consumers.suspend(ACTOR, "a/b/suspended")
    for bits in range(16):
        path = "a/b/suspended" if bits & 1 else "a/b/other"
        key = keys.create(ACTOR, path, expires_at=1_000_005 if bits & 2 else None).key
        if bits & 4:
            keys.suspend(ACTOR, key.id)
        if bits & 8:
            keys.revoke(ACTOR, key.id)
    clock.now += 10
    every = keys.list().keys
    for state in ("active", "suspended", "expired", "revoked"):
        found = keys.list(KeyFilter(state=state)).keys
        assert found == [key for key in every if key.state == state]
        assert found


@pytest.mark.parametrize("injected", INJECTIONS)
def test_what_is_given_is_a_value_and_never_a_statement(engine: Engine, keys: Keys, injected: str) -> None:
    made = keys.create(ACTOR, PATH, name="plain").key
    for chosen in (KeyFilter(consumer=injected), KeyFilter(search=injected), KeyFilter(consumer=injected + "*")):
        assert keys.list(chosen).keys == []
    with pytest.raises(NotFound):
        keys.get(injected)
    with pytest.raises(Unacceptable):
        keys.create(ACTOR, injected)
    with pytest.raises(Unacceptable):
        keys.create(ACTOR, PATH, scopes=Scopes(surfaces=(injected,), networks=(injected,)))
    keys.note_used([(injected, 5)])
    if injected.isprintable():
        named = keys.create(Actor(injected, "admin", injected), PATH, name=injected, scopes=Scopes(models=(injected,)))
        assert keys.get(named.key.id).name == injected
        assert keys.list(KeyFilter(search=injected)).keys == [named.key]
    assert keys.get(made.id) == made
    assert verify(engine).problems == ()


def test_the_last_use_is_noted_in_bulk(engine: Engine, keys: Keys) -> None:
    made = [keys.create(ACTOR, PATH).key.id for _ in range(3)]
    before = revision(engine), actions(engine)
    keys.note_used([])
    keys.note_used([(made[0], 50), (made[0], 70), (made[0], 60), (made[1], 9), ("aaaaaaaaaa", 5), ("jwt:x", 5)])
    keys.note_used([(made[0], 65), (made[1], 10)])
    assert [keys.get(key_id).last_used_at for key_id in made] == [70, 10, None]
    assert (revision(engine), actions(engine)) == before


def test_ids_that_are_taken_are_not_given_again(engine: Engine, clock: Clock) -> None:
    given = iter([b"\1" * 10, b"\1" * 32, b"\1" * 10, b"\2" * 32, b"\3" * 10, b"\4" * 32])
    keys = Keys(engine, SECRET, clock, lambda count: next(given))
    assert keys.create(ACTOR, PATH).key.id == "bbbbbbbbbb"
    assert keys.create(ACTOR, PATH).key.id == "dddddddddd"


def test_a_database_belongs_to_one_secret(engine: Engine, keys: Keys, clock: Clock) -> None:
    other = b"o" * 32
    with reading(engine) as connection:
        assert has_same_secret(connection, other)
    keys.create(ACTOR, PATH)
    with pytest.raises(Conflict, match="another secret"):
        Keys(engine, other, clock).create(ACTOR, PATH)
    with reading(engine) as connection:
        assert has_same_secret(connection, SECRET)
        assert not has_same_secret(connection, other)
    assert actions(engine) == ["key.create"]
