"""`gatewright admin-keys`: the one way to the first key, and the way back in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gatewright.cli import main
from gatewright.control.admin_keys import AdminKeys, Role
from gatewright.control.audit import list_records
from gatewright.store.database import open_database
from gatewright.store.secrets_file import read_secret

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(main, "COMMANDS", (("admin-keys", "gatewright.cli.admin_keys:app"),))

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run(["admin-keys", *words, "--state", str(state)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_the_first_key_needs_no_gateway_and_is_printed_alone(run: Run, state: Path) -> None:
    code, out, err = run("create", "alice", "--role", "admin", "--expires", "30d")
    assert code == 0
    assert re.fullmatch(r"gwadm-[a-z0-9]{12}-[\w-]{43}\n", out)
    assert "shown only now" in err
    secret = read_secret(state)
    assert secret is not None
    engine = open_database(None, state)
    key = AdminKeys(engine, secret, lambda: 0.0).recognise(out.strip())
    (record,) = list_records(engine)
    engine.dispose()
    assert key is not None
    assert (key.name, key.role) == ("alice", Role.ADMIN)
    assert (record.action, record.origin) == ("admin_key.create", "cli")


def test_keys_are_listed_without_what_is_secret(run: Run) -> None:
    made = msgspec.json.decode(run("create", "ci", "--role", "operator", "--json")[1])
    listed = msgspec.json.decode(run("list", "--json")[1])
    assert [(key["id"], key["role"]) for key in listed] == [(made["id"], "operator")]
    code, out, _ = run("list")
    assert code == 0
    assert made["id"] in out
    assert made["key"] not in out


def test_a_revoked_key_is_listed_as_such(run: Run) -> None:
    made = msgspec.json.decode(run("create", "boss", "--role", "admin", "--json")[1])
    assert run("revoke", made["id"])[:2] == (0, f"{made['id']} is revoked\n")
    assert "revoked" in run("list")[1]
    assert msgspec.json.decode(run("revoke", made["id"], "--json")[1])["revoked_at"] > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create", "x"], 2, "--role"),
        (["create", "x", "--role", "god"], 2, "god"),
        (["create", "", "--role", "admin"], 2, "name"),
        (["create", "x", "--role", "admin", "--expires", "soon"], 2, "soon"),
        (["create", "x", "--role", "admin", "--expires", "2001-01-01"], 2, "a time to come"),
        (["create", "x", "--role", "admin", "--expires", "999999999w"], 2, "a time to come"),
        (["revoke", "nobody"], 1, "no such admin key"),
        (["list"], 1, "no database"),
    ],
)
def test_what_is_wrong_is_told(run: Run, words: list[str], code: int, said: str) -> None:
    got, out, err = run(*words)
    assert (got, out) == (code, "")
    assert said in err
