"""`gatewright tokens`: what it changes is seen by workers and written down."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gatewright.cli import main
from gatewright.cli.administering import unix_now
from gatewright.config.gateway_tokens import LONGEST_S
from gatewright.control.audit import list_records
from gatewright.pipeline.gateway_tokens import Origin, Token, encode_token, make_id, parse_id
from gatewright.server.signing_keys import SigningKeys
from gatewright.store.database import open_database
from gatewright.store.revoked_tokens import DIRECTORY, RevokedTokens

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(main, "COMMANDS", (("tokens", "gatewright.cli.tokens:app"),))

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run(["tokens", *words, "--state", str(state)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def audited(state: Path) -> list[tuple[str, str]]:
    engine = open_database(None, state)
    found = [(record.action, record.subject) for record in list_records(engine)]
    engine.dispose()
    return found


def name(ends_in: int = 600) -> str:
    return make_id(int(unix_now()) + ends_in, b"r" * 15)


def is_revoked(state: Path, jti: str) -> bool:
    token_id = parse_id(jti)
    assert token_id is not None
    revoked = RevokedTokens(state / DIRECTORY)
    try:
        return revoked.is_revoked(token_id)
    finally:
        revoked.close()


def test_a_token_is_revoked_by_its_name(run: Run, state: Path) -> None:
    jti = name()
    assert run("revoke", jti)[:2] == (0, f"{jti} is revoked\n")
    assert is_revoked(state, jti)
    assert audited(state) == [("token.revoke", f"token/{jti}")]
    assert [each["id"] for each in msgspec.json.decode(run("list", "--json")[1])] == [jti]
    assert jti in run("list")[1]


def test_a_token_is_revoked_by_itself(run: Run, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jti = name()
    origin = Origin(consumer="acme/a/b")
    token = Token(iss="i", sub="s", aud="a", client_id="c", jti=jti, iat=1, exp=2, gatewright=origin)
    text = SigningKeys(state).current(unix_now()).sign(encode_token(token)).decode()
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))
    code, out, _ = run("revoke", "-", "--json")
    assert (code, msgspec.json.decode(out)["id"]) == (0, jti)
    assert is_revoked(state, jti)


@pytest.mark.parametrize("text", ["x", "a.b.c", "", "é", "a" * 32 + "."])
def test_what_is_no_token(run: Run, text: str) -> None:
    code, _, err = run("revoke", text)
    assert code == 2
    assert "no gateway token" in err


def test_a_token_that_has_ended(run: Run, state: Path) -> None:
    assert run("revoke", name(-1))[0] == 1
    assert not (state / DIRECTORY).exists()


def test_nothing_was_revoked_yet(run: Run) -> None:
    assert msgspec.json.decode(run("list", "--json")[1]) == []
    assert msgspec.json.decode(run("keys", "--json")[1]) == []


def test_a_rotation(run: Run, state: Path) -> None:
    first = run("rotate")[1].strip()
    code, out, err = run("rotate")
    second = out.strip()
    assert code == 0
    assert "to their end" in err
    listed = msgspec.json.decode(run("keys", "--json")[1])
    assert {key["kid"]: key["signs"] for key in listed} == {second: True, first: False}
    retired = next(key for key in listed if key["kid"] == first)
    assert retired["until"] >= unix_now() + LONGEST_S
    assert "verifies" in run("keys")[1]
    assert msgspec.json.decode(run("rotate", "--withdraw", "--json")[1])["signs"]
    assert len(msgspec.json.decode(run("keys", "--json")[1])) == 1
    assert [action for action, _ in audited(state)] == ["token_key.withdraw", "token_key.rotate", "token_key.rotate"]


def test_what_failed_is_not_written_down(run: Run, state: Path) -> None:
    state.mkdir()
    (state / "signing").write_bytes(b"")
    (state / DIRECTORY).write_bytes(b"")
    assert run("rotate")[0] == 1
    assert run("revoke", name())[0] == 1
    assert audited(state) == []
