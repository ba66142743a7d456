"""`gatewright ledger`: exit codes and what is printed, with and without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.ledger_entries import random_entries

from gatewright.cli import main
from gatewright.config.ledger import Ledger
from gatewright.control.ledger_booking import book
from gatewright.core.ledger import Entry
from gatewright.store.database import migrate, open_database
from gatewright.store.journal import Journal
from gatewright.store.tables import USAGE_DAYS

Run = Callable[..., tuple[int, str, str]]
ENTRIES = random_entries(1, 50)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command, on a gateway whose worker wrote 50 entries, of which 30 are booked."""
    monkeypatch.setattr(main, "COMMANDS", (("ledger", "gatewright.cli.ledger:app"),))
    engine = open_database(None, tmp_path)
    migrate(engine)
    with engine.begin() as connection:
        book(connection, "j", ENTRIES[:30])
    engine.dispose()
    journal = Journal(tmp_path / "journal", "j", Ledger())
    for one in ENTRIES:
        journal.add(*(getattr(one, field) for field in Entry.__struct_fields__[1:]))

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run(["ledger", *words, "--state", str(tmp_path)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    journal.close()


def test_a_whole_ledger(run: Run) -> None:
    code, out, err = run("verify")
    assert (code, err) == (0, "")
    assert out == "The ledger is whole: 30 exchanges, and 20 on their way.\n"
    code, out, _ = run("verify", "--json")
    report = msgspec.json.decode(out)
    assert code == 0
    assert report == {
        "is_whole": True,
        "problems": [],
        "entries": 30,
        "kept": 30,
        "waiting": 20,
        "journals": 1,
        "live": 1,
        "pruned_before_us": 0,
    }


def test_a_problem_is_a_failure(run: Run, tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    with engine.begin() as connection:
        connection.execute(USAGE_DAYS.delete())
    engine.dispose()
    code, out, err = run("verify")
    assert code == 1
    assert "usage_days counts 0 exchanges, but 30 were booked" in err
    assert "The ledger has" in out
    code, out, _ = run("verify", "--json")
    assert code == 1
    assert not msgspec.json.decode(out)["is_whole"]


def test_status_lists_the_journals(run: Run) -> None:
    code, out, _ = run("status")
    assert code == 0
    assert [line.split("\t")[:5] for line in out.splitlines()] == [
        ["JOURNAL", "WORKER", "WRITTEN", "BOOKED", "WAITING"],
        ["j", "runs", "50", "30", "20"],
    ]
    (one,) = msgspec.json.decode(run("status", "--json")[1])
    assert (one["journal"], one["is_live"], one["written"], one["booked"], one["waiting"]) == ("j", True, 50, 30, 20)


def test_status_works_without_the_database(run: Run, tmp_path: Path) -> None:
    for path in tmp_path.glob("gatewright.db*"):
        path.unlink()
    code, out, err = run("status")
    assert code == 0
    assert "what is booked is not known" in err
    assert out.splitlines()[1].split("\t")[:5] == ["j", "runs", "50", "?", "?"]
    assert run("verify")[0] == 1
