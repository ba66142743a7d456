import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, Engine, delete, event, text, update

from gatewright.control.actor import Actor
from gatewright.control.audit import Filter, Head, append, list_records, verify
from gatewright.store.database import open_database
from gatewright.store.tables import AUDIT, METADATA, REVISIONS

ACTOR = Actor("alice", "admin", "cli")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def write(engine: Engine, count: int, start: int = 0) -> None:
    for index in range(start, start + count):
        with engine.begin() as connection:
            append(connection, ACTOR, "key.change", f"key/{index}", {"a": index}, {"a": index + 1}, at=1_000.0 + index)


def test_a_whole_log_has_no_problem(engine: Engine) -> None:
    assert verify(engine).problems == ()
    assert verify(engine).head is None
    write(engine, 5)
    found = verify(engine)
    assert found.problems == ()
    assert found.head is not None
    assert found.head.number == 5
    write(engine, 2, 5)
    assert verify(engine, found.head).problems == ()


def cut_two(c: Connection) -> None:
    c.execute(delete(AUDIT).where(AUDIT.c.number > 4))


def cut_all(c: Connection) -> None:
    c.execute(delete(AUDIT))


def cut_with_revisions(c: Connection) -> None:
    cut_two(c)
    c.execute(delete(REVISIONS))


def swap(c: Connection) -> None:
    rows = {row.number: row._asdict() for row in c.execute(AUDIT.select().where(AUDIT.c.number.in_((2, 3))))}
    for number, other in ((2, 3), (3, 2)):
        c.execute(update(AUDIT).where(AUDIT.c.number == number).values({**rows[other], "number": number + 90}))
    c.execute(update(AUDIT).where(AUDIT.c.number > 90).values(number=AUDIT.c.number - 90))


def alter(column: str, value: object) -> Callable[[Connection], object]:
    return lambda c: c.execute(update(AUDIT).where(AUDIT.c.number == 3).values({column: value}))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda c: c.execute(delete(AUDIT).where(AUDIT.c.number == 3)), "change 3 missing"),
        (lambda c: c.execute(delete(AUDIT).where(AUDIT.c.number.in_((2, 3)))), "changes 2 to 3 missing"),
        (lambda c: c.execute(delete(AUDIT).where(AUDIT.c.number == 1)), "change 1 missing"),
        (cut_two, "the log ends with change 4, but change 6 was made"),
        (cut_all, "the log ends with change 0, but change 6 was made"),
        (cut_with_revisions, "the end of the log may have been cut off"),
        (swap, "change 2 was altered"),
        (alter("actor", "bob"), "change 3 was altered"),
        (alter("origin", "elsewhere"), "change 3 was altered"),
        (alter("action", "key.create"), "change 3 was altered"),
        (alter("subject", "key/9"), "change 3 was altered"),
        (alter("at_us", 5), "change 3 was altered"),
        (alter("before", "null"), "change 3 was altered"),
        (alter("after", '{"a":99}'), "change 3 was altered"),
        (alter("hash", "0" * 64), "change 4 does not follow"),
        (alter("previous_hash", "0" * 64), "change 3 does not follow"),
    ],
)
def test_harm_is_found(engine: Engine, harm: Callable[[Connection], object], says: str) -> None:
    write(engine, 6)
    with engine.begin() as connection:
        harm(connection)
    assert any(says in problem for problem in verify(engine).problems), verify(engine).problems


def test_a_cut_is_found_after_the_log_went_on(engine: Engine) -> None:
    write(engine, 6)
    with engine.begin() as connection:
        cut_two(connection)
    write(engine, 1)
    assert "changes 5 to 6 missing" in verify(engine).problems


def test_a_log_written_anew_is_found_by_who_kept_its_head(engine: Engine) -> None:
    write(engine, 3)
    head = verify(engine).head
    with engine.begin() as connection:
        cut_all(connection)
        connection.execute(delete(REVISIONS))
    write(engine, 4, start=10)
    assert verify(engine).problems == ()
    assert "written anew" in verify(engine, head).problems[0]
    assert "written anew" in verify(engine, Head(77, "x")).problems[0]


def test_problems_are_told_up_to_a_hundred(engine: Engine) -> None:
    write(engine, 150)
    with engine.begin() as connection:
        connection.execute(update(AUDIT).values(actor="mallory"))
    assert len(verify(engine).problems) == 100


def test_a_change_that_is_taken_back_leaves_no_gap(engine: Engine) -> None:
    write(engine, 1)
    with engine.connect() as connection:
        append(connection, ACTOR, "key.create", "key/x", None, {})
        connection.rollback()
    write(engine, 1)
    assert verify(engine).problems == ()
    assert [record.number for record in list_records(engine)] == [2, 1]


def test_changes_at_the_same_time_make_one_chain(engine: Engine) -> None:
    threads = [threading.Thread(target=write, args=(engine, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(engine)
    assert found.problems == ()
    assert found.head is not None
    assert found.head.number == 40


def test_records_say_what_happened(engine: Engine) -> None:
    with engine.begin() as connection:
        append(
            connection, Actor("eve\n\0\ud800", "admin", "x" * 999), "key.create", "key/ü", None, {"b": 1, "a": [2]}, 2.5
        )
    (record,) = list_records(engine)
    assert (record.number, record.at_us, record.actor, record.origin) == (1, 2_500_000, "eve???", "x" * 200)
    assert (record.subject, bytes(record.before), bytes(record.after)) == ("key/ü", b"null", b'{"a":[2],"b":1}')
    assert msgspec.json.decode(msgspec.json.encode(record))["after"] == {"a": [2], "b": 1}
    assert verify(engine).problems == ()


INJECTIONS = ["' OR 1=1 --", "%", "_", "\\", '"; DROP TABLE audit; --', "\0", "\ud800", "key/1'; DELETE FROM audit --"]


@pytest.mark.parametrize("injected", INJECTIONS)
def test_filters_are_values_and_never_statements(engine: Engine, injected: str) -> None:
    write(engine, 3)
    for chosen in (Filter(subject=injected), Filter(action=injected), Filter(actor=injected)):
        assert list_records(engine, chosen) == []
    assert verify(engine).problems == ()


def test_the_list_can_be_narrowed_and_turned_over(engine: Engine) -> None:
    write(engine, 12)

    def numbers(chosen: Filter = Filter(), **page: int) -> list[int]:  # noqa: B008 - never changed
        return [record.number for record in list_records(engine, chosen, **page)]

    assert numbers(limit=3) == [12, 11, 10]
    assert numbers(before=10, limit=2) == [9, 8]
    assert numbers(limit=-5) == [12]
    assert numbers(Filter(subject="key/1")) == [12, 11, 2]
    assert numbers(Filter(subject="key/5", action="key.", actor="alice")) == [6]
    assert numbers(Filter(action="consumer.")) == []
    with engine.begin() as connection:
        append(connection, Actor("alice (84mt5xmje7fs)", "admin", "api"), "key.create", "key/z", None, {})
    assert numbers(Filter(actor="alice (84mt5xmje7fs)")) == [13]
    assert numbers(Filter(actor="alice"), limit=2) == [13, 12]
    assert numbers(Filter(actor="ali")) == numbers(Filter(actor="alice (")) == []
    assert numbers(Filter(since_us=1_002_000_000, until_us=1_004_000_000)) == [4, 3]


def test_a_subject_is_found_by_its_index(engine: Engine) -> None:
    """A million keys make a million changes, and somebody asks for those of one."""
    with engine.begin() as connection:
        for subject in ("key/abc", "KEY/abc", "key/abd"):
            append(connection, ACTOR, "key.create", subject, None, 1)
    told: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(_: object, cursor: Any, statement: str, values: Any, *rest: object) -> None:
        if "ORDER BY" in statement:
            told.extend(str(row) for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    assert [record.subject for record in list_records(engine, Filter(subject="key/abc"))] == ["key/abc"]
    assert "ix_audit_subject" in "".join(told)


def test_no_statement_is_put_together_from_what_was_given(engine: Engine) -> None:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    list_records(engine, Filter(subject="needle", actor="needle", action="needle"))
    assert seen
    assert not any("needle" in statement for statement in seen)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
