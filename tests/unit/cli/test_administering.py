from pathlib import Path

import pytest

from gatewright.cli.administering import (
    changing,
    command_actor,
    parse_duration,
    parse_expiry,
    show_time,
    told,
    unix_now,
)
from gatewright.cli.exits import Exit, Failure
from gatewright.control.refusals import Conflict, Unacceptable
from gatewright.store.database import status
from gatewright.store.secrets_file import UnusableSecret


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("15m", 900), ("1h", 3_600), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1y", "-1h", "1.5h", "1h ", "9999999999d", "１h' OR 1=1"])
def test_what_is_no_length_of_time_is_told(text: str) -> None:
    with pytest.raises(Failure, match="no length of time") as failure:
        parse_duration(text)
    assert failure.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("never", None),
        ("30d", 1_000 + 2_592_000),
        ("2027-01-01", 1_798_761_600),
        ("2027-01-01T01:00+01:00", 1_798_761_600),
        ("2027-01-01T00:00:30Z", 1_798_761_630),
    ],
)
def test_ends(text: str, at: int | None) -> None:
    assert parse_expiry(text, 1_000.7) == at


@pytest.mark.parametrize("text", ["", "soon", "2027-13-01", "30"])
def test_what_is_no_end_is_told(text: str) -> None:
    with pytest.raises(Failure, match="is no time"):
        parse_expiry(text, 1_000.0)


def test_times_are_shown_in_utc() -> None:
    assert show_time(1_798_761_630) == "2027-01-01 00:00"
    assert show_time(None) == "-"


def test_the_actor_is_the_systems_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, "somebody-else")
    actor = command_actor()
    assert (actor.role, actor.origin) == ("admin", "cli")
    assert "@" in actor.name
    assert "somebody-else" not in actor.name
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    assert command_actor().name.startswith("#4000000000@")


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(Unacceptable("wrong"), Exit.USAGE), (Conflict("taken"), Exit.FAILURE), (UnusableSecret("bad"), Exit.FAILURE)],
)
def test_what_is_refused_is_a_failure(refusal: Exception, code: Exit) -> None:
    with pytest.raises(Failure, match=str(refusal)) as failure, told():
        raise refusal
    assert failure.value.code == code


def test_a_database_is_made_where_there_is_none(tmp_path: Path) -> None:
    state = tmp_path / "new"
    with changing(None, state) as (engine, directory):
        assert status(engine).is_current
        assert directory == state
    assert state.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="state directory"), changing(None, tmp_path / "file" / "below"):
        pass


def test_nothing_is_left_in_a_directory_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    with pytest.raises(Failure, match="belongs to") as failure, changing(None, tmp_path):
        pass
    assert "sudo -u" in str(failure.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_now_is_now() -> None:
    assert unix_now() > 1_700_000_000
