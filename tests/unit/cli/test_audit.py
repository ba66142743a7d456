from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gatewright.cli import main
from gatewright.control.actor import Actor
from gatewright.control.audit import append
from gatewright.store.database import migrate, open_database

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(main, "COMMANDS", (("audit", "gatewright.cli.audit:app"), ("keys", "gatewright.cli.keys:app")))
    engine = open_database(None, tmp_path)
    migrate(engine)
    for number, action in enumerate(("key.create", "key.revoke", "consumer.create")):
        with engine.begin() as connection:
            append(
                connection, Actor("alice", "admin", "cli"), action, f"key/{number}", None, {"n": number}, 1e9 + number
            )
    engine.dispose()

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run([*words, "--state", str(tmp_path)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_whole_log_gives_its_head(run: Run) -> None:
    code, head, err = run("audit", "verify")
    assert code == 0
    assert head.startswith("3:")
    assert "3 changes" in err
    assert run("audit", "verify", "--head", head.strip())[0] == 0
    answer = msgspec.json.decode(run("audit", "verify", "--json")[1])
    assert answer["is_whole"]
    assert answer["head"]["number"] == 3


def test_an_altered_log_is_a_failure(run: Run, tmp_path: Path) -> None:
    _, head, _ = run("audit", "verify")
    engine = open_database(None, tmp_path)
    with engine.begin() as connection:
        connection.execute(text("update audit set actor = 'bob' where number = 2"))
    engine.dispose()
    code, out, err = run("audit", "verify")
    assert (code, out) == (1, "")
    assert "change 2 was altered" in err
    answer = msgspec.json.decode(run("audit", "verify", "--json")[1])
    assert answer["problems"] == ["change 2 was altered"]
    code, _, err = run("audit", "verify", "--head", f"9{head.strip()}")
    assert code == 1
    assert "written anew" in err


@pytest.mark.parametrize("head", ["", "3", "3:xyz", "0:" + "a" * 64, "' OR 1=1"])
def test_what_is_no_head_is_told(run: Run, head: str) -> None:
    assert run("audit", "verify", "--head", head)[0] == 2


def test_changes_are_listed(run: Run) -> None:
    code, out, _ = run("audit", "list")
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[1] == ["3", "2001-09-09 01:46", "alice", "cli", "consumer.create", "key/2"]
    assert len(lines) == 4
    answer = msgspec.json.decode(run("audit", "list", "--action", "key.", "--limit", "1", "--json")[1])
    assert [(one["number"], one["before"], one["after"]) for one in answer] == [(2, None, {"n": 1})]
    assert len(run("audit", "list", "--before", "2")[1].splitlines()) == 2
    assert len(run("audit", "list", "--since", "7d")[1].splitlines()) == 1
    assert len(run("audit", "list", "--until", "7d", "--actor", "alice")[1].splitlines()) == 4
    assert run("audit", "list", "--since", "yesterday")[0] == 2
