"""What is checked is what is there when it is written."""

from __future__ import annotations

import threading

import msgspec
import pytest
from sqlalchemy import Connection, Engine, func, select

from gatewright.control.kept import Kept, change_kept, note_change, read_kept, render_budgets
from gatewright.control.refusals import Conflict, NotFound
from gatewright.store.database import reading
from gatewright.store.tables import BUDGETS, CONFIGURATIONS


def add_budget(connection: Connection, name: str) -> None:
    document = {"name": name, "config": {"usd": 1}}
    connection.execute(BUDGETS.insert().values(name=name, document=document, changed_at=1))


def read(engine: Engine) -> Kept:
    with reading(engine) as connection:
        return read_kept(connection)


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(BUDGETS)) or 0


def test_nothing_is_kept_at_first(database: Engine) -> None:
    assert read(database) == Kept(0, [], None)


def test_budgets_come_as_policies_with_the_active_version(database: Engine) -> None:
    with database.begin() as connection:
        for name in ("b", "a"):
            add_budget(connection, name)
        for version, is_active in ((1, False), (2, True)):
            values = {"version": version, "document": f"v{version}", "created_by": "x", "created_at": 1}
            connection.execute(CONFIGURATIONS.insert().values(**values, is_active=is_active))
    kept = read(database)
    assert [(policy["filter"], policy["name"]) for policy in kept.policies] == [("budget", "a"), ("budget", "b")]
    assert kept.active == "v2"
    assert msgspec.json.decode(render_budgets(kept.policies)) == {"policies": kept.policies}


def test_what_changed_meanwhile_is_checked_again(database: Engine) -> None:
    seen: list[list[str]] = []

    def check(kept: Kept) -> None:
        seen.append([policy["name"] for policy in kept.policies])
        if len(seen) == 1:
            change_kept(database, lambda kept: None, lambda connection: add_budget(connection, "other"))

    change_kept(database, check, lambda connection: add_budget(connection, "mine"))
    assert seen == [[], ["other"]]
    assert count(database) == 2


@pytest.mark.parametrize("place", ["check", "write"])
def test_what_is_refused_changes_nothing(database: Engine, place: str) -> None:
    def check(kept: Kept) -> None:
        if place == "check":
            raise NotFound("gone")

    def write(connection: Connection) -> None:
        add_budget(connection, "mine")
        raise NotFound("gone")

    with pytest.raises(NotFound):
        change_kept(database, check, write)
    assert (count(database), read(database).revision) == (0, 0)


def test_it_is_not_tried_for_ever(database: Engine) -> None:
    def check(kept: Kept) -> None:
        with database.begin() as connection:
            note_change(connection)

    with pytest.raises(Conflict, match="try again"):
        change_kept(database, check, lambda connection: add_budget(connection, "mine"))
    assert count(database) == 0


def test_of_two_that_do_not_go_together_one_is_kept(database: Engine) -> None:
    """Both are checked before either is written."""
    both = threading.Barrier(2, timeout=10)
    refused: list[str] = []

    def keep(name: str) -> None:
        def check(kept: Kept) -> None:
            if kept.policies:
                raise Conflict(name)
            both.wait()

        try:
            change_kept(database, check, lambda connection: add_budget(connection, name))
        except Conflict as error:
            refused.append(error.message)

    threads = [threading.Thread(target=keep, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(refused), count(database)) == (1, 1)
