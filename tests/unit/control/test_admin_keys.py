"""Admin keys: made once, recognised while they hold, and never kept in a form that gives them away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select
from tests.control.admin_api import SECRET

from gatewright.control import admin_keys
from gatewright.control.actor import Actor
from gatewright.control.admin_keys import AdminKeys, Role
from gatewright.control.audit import append, list_records
from gatewright.control.key_rules import LATEST
from gatewright.control.refusals import ChangeRefused, Conflict, NotFound, Unacceptable
from gatewright.store.tables import ADMIN_KEYS
from gatewright.testing.clock import FakeClock

ME = Actor("alice@host", "admin", "cli")


@pytest.fixture
def engine(database: Engine) -> Engine:
    return database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_000.0)


@pytest.fixture
def keys(engine: Engine, clock: FakeClock) -> AdminKeys:
    return AdminKeys(engine, SECRET, clock)


def test_a_key_is_recognised_by_its_text_alone(keys: AdminKeys) -> None:
    key, text = keys.create(ME, " ci ", Role.OPERATOR)
    assert text.startswith(f"gwadm-{key.id}-")
    assert (key.name, key.role, key.created_at) == ("ci", Role.OPERATOR, 1_000_000)
    assert keys.recognise(text) == key
    assert keys.list() == [key]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.upper(),
        lambda text: " " + text,
        lambda text: "",
        lambda text: "gwadm-",
        lambda text: "gw-" + text,
        lambda text: text[:18],
        lambda text: "\udcff" + text,
        lambda text: "' OR 1=1 --",
    ],
)
def test_anything_else_is_not(keys: AdminKeys, spoil: Callable[[str], str]) -> None:
    _, text = keys.create(ME, "ci", Role.ADMIN)
    assert keys.recognise(spoil(text)) is None


def test_the_secret_part_of_another_key_does_not_do(keys: AdminKeys) -> None:
    first, one = keys.create(ME, "one", Role.ADMIN)
    second, two = keys.create(ME, "two", Role.VIEWER)
    assert keys.recognise(one.replace(first.id, second.id)) is None
    assert keys.recognise(two.replace(second.id, first.id)) is None


def test_another_secret_recognises_nothing(keys: AdminKeys, engine: Engine, clock: FakeClock) -> None:
    _, text = keys.create(ME, "ci", Role.ADMIN)
    assert AdminKeys(engine, b"t" * 32, clock).recognise(text) is None


def test_a_database_belongs_to_one_secret(keys: AdminKeys, engine: Engine, clock: FakeClock) -> None:
    keys.create(ME, "ci", Role.ADMIN)
    with pytest.raises(Conflict, match="another secret"):
        AdminKeys(engine, b"t" * 32, clock).create(ME, "no gateway would know it", Role.ADMIN)
    assert [key.name for key in keys.list()] == ["ci"]


def test_a_key_ends_when_it_expires(keys: AdminKeys, clock: FakeClock) -> None:
    _, text = keys.create(ME, "ci", Role.ADMIN, expires_at=1_000_060)
    clock.advance(59.9)
    assert keys.recognise(text) is not None
    assert keys.has_any()
    clock.advance(0.1)
    assert keys.recognise(text) is None
    assert not keys.has_any()


def test_a_revoked_key_ends_and_stays_in_the_list(keys: AdminKeys, clock: FakeClock) -> None:
    keys.create(ME, "boss", Role.ADMIN)
    clock.advance(1)
    key, text = keys.create(ME, "ci", Role.ADMIN)
    clock.advance(5)
    revoked = keys.revoke(ME, key.id)
    assert revoked.revoked_at == 1_000_006
    assert keys.recognise(text) is None
    clock.advance(5)
    assert keys.revoke(ME, key.id) == revoked, "once more changes nothing"
    assert [listed.name for listed in keys.list()] == ["ci", "boss"]


def test_the_last_admin_is_kept_unless_told_otherwise(keys: AdminKeys, clock: FakeClock) -> None:
    key, text = keys.create(ME, "boss", Role.ADMIN)
    keys.create(ME, "other", Role.OPERATOR)
    keys.create(ME, "short", Role.ADMIN, expires_at=1_000_001)
    clock.advance(2)
    with pytest.raises(Conflict, match="last key with the role admin"):
        keys.revoke(ME, key.id)
    assert keys.recognise(text) is not None
    keys.revoke(ME, key.id, may_lock_out=True)
    assert keys.recognise(text) is None


def test_two_admins_who_revoke_each_other_do_not_lock_everybody_out(
    keys: AdminKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (keys.create(ME, name, Role.ADMIN)[0] for name in ("one", "two"))
    refused: list[ChangeRefused] = []

    def revoke_other() -> None:
        try:
            keys.revoke(ME, one.id)
        except ChangeRefused as error:
            refused.append(error)

    other = threading.Thread(target=revoke_other)

    def append_meanwhile(*change: Any) -> int:
        other.start()
        other.join(0.3)
        return append(*change)

    monkeypatch.setattr(admin_keys, "append", append_meanwhile)
    keys.revoke(ME, two.id)
    other.join()
    assert [type(error) for error in refused] == [Conflict]


@pytest.mark.parametrize(
    ("name", "expires_at"),
    [
        ("", None),
        ("  ", None),
        ("x" * 201, None),
        ("a\nb", None),
        ("a\x00", None),
        ("a", 1_000_000),
        ("a", 1),
        ("a", LATEST + 1),
    ],
)
def test_what_cannot_be_a_key_is_refused(keys: AdminKeys, name: str, expires_at: int | None) -> None:
    with pytest.raises(Unacceptable):
        keys.create(ME, name, Role.ADMIN, expires_at)
    assert keys.list() == []


@pytest.mark.parametrize("key_id", ["", "nobody", "' OR 1=1", "%"])
def test_a_key_that_is_not_there_is_not_found(keys: AdminKeys, key_id: str) -> None:
    with pytest.raises(NotFound):
        keys.revoke(ME, key_id)


def test_nothing_that_is_kept_gives_a_key_away(keys: AdminKeys, engine: Engine) -> None:
    key, text = keys.create(ME, "ci", Role.ADMIN)
    hidden = text.rpartition(f"{key.id}-")[2]
    with engine.connect() as connection:
        row = connection.execute(select(ADMIN_KEYS)).one()
    assert hidden not in repr(row)
    assert len(row.digest) == 32
    (record,) = list_records(engine)
    assert (record.actor, record.origin, record.action) == ("alice@host", "cli", "admin_key.create")
    assert record.subject == f"admin_key/{key.id}"
    assert hidden.encode() not in bytes(record.after)


def test_every_change_is_audited_and_a_refused_one_is_not(keys: AdminKeys, engine: Engine) -> None:
    key, _ = keys.create(ME, "ci", Role.ADMIN)
    with pytest.raises(ChangeRefused):
        keys.revoke(ME, key.id)
    keys.revoke(ME, key.id, may_lock_out=True)
    assert [record.action for record in list_records(engine)] == ["admin_key.revoke", "admin_key.create"]


def test_each_role_includes_those_below_it() -> None:
    reach = {role: [other.value for other in Role if role.includes(other)] for role in Role}
    assert reach == {
        Role.VIEWER: ["viewer"],
        Role.OPERATOR: ["viewer", "operator"],
        Role.ADMIN: ["viewer", "operator", "admin"],
    }
