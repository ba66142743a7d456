import hashlib
import io
import re

import msgspec
import pytest

from gatewright.cli.key import hash_key, make_key
from gatewright.cli.main import run


def test_keys_are_recognisable_and_never_repeat() -> None:
    keys = {make_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"gw-[\w-]{43}", key) for key in keys)


def test_the_hash_is_what_the_documents_accept() -> None:
    assert hash_key("gw-abc") == "sha256:" + hashlib.sha256(b"gw-abc").hexdigest()


def test_key_prints_the_key_and_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key"]) == 0
    made, hashed = capsys.readouterr().out.splitlines()
    assert hashed == hash_key(made)


def test_key_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["key", "--json"]) == 0
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert answer["hash"] == hash_key(answer["key"])


@pytest.mark.parametrize("flags", [["--hash"], ["--hash", "--json"]])
def test_an_existing_key_is_hashed_without_its_newline(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert run(["key", *flags]) == 0
    printed = capsys.readouterr().out
    assert hash_key("secret") in printed
    assert '"secret"' not in printed


def test_no_key_to_hash_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run(["key", "--hash"]) == 2
    assert "no key on standard input" in capsys.readouterr().err


def test_on_a_terminal_the_two_lines_are_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gatewright.cli.key.is_terminal", lambda: True)
    assert run(["key"]) == 0
    assert "shown only now" in capsys.readouterr().err
