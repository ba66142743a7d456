"""`gatewright database`, and how other commands find and open the database."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gatewright.cli.database import opened
from gatewright.cli.exits import Failure
from gatewright.cli.main import run
from gatewright.cli.state import default_state_dir
from gatewright.store.database import FILE, VERSION_TABLE, migrate, open_database


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWRIGHT_STATE", str(tmp_path / "states"))
    return tmp_path / "states"


def make(state: Path) -> Path:
    state.mkdir(parents=True)
    engine = open_database(None, state)
    migrate(engine)
    engine.dispose()
    return state


def test_migrating_makes_the_database_and_does_nothing_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["database", "migrate", "--state", str(tmp_path)]) == 0
    assert "went from nothing to migration 0002" in capsys.readouterr().out
    assert run(["database", "migrate", "--state", str(tmp_path)]) == 0
    assert "was at migration 0002 already" in capsys.readouterr().out
    assert run(["database", "status", "--state", str(tmp_path), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {"at": "0002", "newest": "0002", "is_current": True}


def test_an_empty_database_has_yet_to_be_migrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / FILE).touch()
    assert run(["database", "status", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "the database is empty; the newest is 0002\n"
    assert run(["usage", "--state", str(tmp_path)]) == 1
    assert "gatewright database migrate" in capsys.readouterr().err


def test_a_newer_database_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = make(root / "127.0.0.1-8080")
    engine = open_database(None, state)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    for command in (["database", "status"], ["database", "migrate"], ["usage"]):
        assert run(command) == 1
        assert "migration 9999" in capsys.readouterr().err


def test_the_only_state_directory_is_meant(root: Path) -> None:
    state = make(root / "127.0.0.1-8080")
    with opened(None, None) as engine:
        assert str(state) in str(engine.url)
    make(root / "0.0.0.0-80")
    with pytest.raises(Failure, match="several gateways have run"), opened(None, None):
        pass


def test_without_any_the_hint_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage"]) == 1
    assert "name its configuration with -c" in capsys.readouterr().err


def test_a_configuration_names_the_state_directory_and_the_database(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(default_state_dir("127.0.0.1:9999"))
    config = tmp_path / "gatewright.yaml"
    config.write_text('listen: "127.0.0.1:9999"\n')
    assert run(["usage", "-c", str(config)]) == 0
    monkeypatch.setenv("LEDGER", "mysql://root:hunter2@db/x")
    config.write_text('database: {url: "${env:LEDGER}"}\n')
    assert run(["usage", "-c", str(config)]) == 1
    told = capsys.readouterr().err
    assert "begins with postgresql://" in told
    assert "hunter2" not in told
    config.write_text("database: {uri: x}\n")
    assert run(["usage", "-c", str(config)]) == 2


def test_what_the_database_says_is_a_failure_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    assert run(["usage", "--state", str(tmp_path)]) == 1
    assert "not a database" in capsys.readouterr().err


def test_reading_makes_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["usage", "--state", str(tmp_path)]) == 1
    assert "there is no database at" in capsys.readouterr().err
    assert list(tmp_path.glob("gatewright*")) == []
