import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.cli import main
from gatewright.core.keys import digest_of, is_whole
from gatewright.store.key_table import KeyReader, KeyTable
from gatewright.store.secrets_file import read_secret

PATH = "acme/search/indexer"
INJECTIONS = ["' OR '1'='1", "'; DROP TABLE keys; --", "%", "x' UNION SELECT digest FROM keys --"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    commands = (("keys", "gatewright.cli.keys:app"), ("audit", "gatewright.cli.audit:app"))
    monkeypatch.setattr(main, "COMMANDS", commands)

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run([*words, "--state", str(state)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def made(run: Run, *words: str) -> dict[str, Any]:
    code, out, err = run("keys", "create", PATH, *words, "--json")
    assert code == 0, err
    answer: dict[str, Any] = msgspec.json.decode(out)
    return answer


def shown(run: Run, named: str) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(run("keys", "show", named, "--json")[1])
    return answer


def test_the_key_alone_is_printed(run: Run) -> None:
    code, out, err = run("keys", "create", PATH)
    assert code == 0
    assert re.fullmatch(r"gw-[a-z2-7]{10}-[0-9A-Za-z]{49}\n", out)
    assert is_whole(out.strip().encode())
    assert "shown only now" in err
    assert out[14:40] not in err


def test_what_narrows_a_key_is_kept(run: Run) -> None:
    words = ["--name", "nightly", "--models", "gpt-*, assistant", "--surfaces", "chat_completions"]
    key = made(run, *words, "--networks", "10.0.0.0/8,192.0.2.1", "--expires", "2099-01-01")
    assert key["scopes"] == {
        "models": ["gpt-*", "assistant"],
        "surfaces": ["chat_completions"],
        "networks": ["10.0.0.0/8", "192.0.2.1/32"],
    }
    assert (key["name"], key["expires_at"], key["state"]) == ("nightly", 4_070_908_800, "active")
    assert "@" in key["created_by"]
    code, out, _ = run("keys", "show", key["prefix"])
    assert code == 0
    assert "gpt-*, assistant" in out
    assert "2099-01-01 00:00" in out
    assert key["key"] not in out


def test_keys_are_listed(run: Run) -> None:
    one, two = made(run, "--name", "one"), made(run, "--name", "two")
    run("keys", "revoke", two["id"])
    _, out, _ = run("keys", "list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0][0] == "KEY"
    assert {(line[0], line[3]) for line in lines[1:]} == {(one["prefix"], "active"), (two["prefix"], "revoked")}
    _, out, err = run("keys", "list", "--limit", "1")
    assert len(out.splitlines()) == 2
    mark = re.search(r"--after (\S+)", err)
    assert mark is not None
    _, out, _ = run("keys", "list", "--limit", "1", "--after", mark[1], "--json")
    page = msgspec.json.decode(out)
    assert len(page["keys"]) == 1
    assert page["after"] is None
    _, out, _ = run("keys", "list", "--only", "active", "--consumer", "acme/*", "--search", "on", "--json")
    assert [key["id"] for key in msgspec.json.decode(out)["keys"]] == [one["id"]]
    assert one["key"][14:] not in out


def test_a_key_goes_through_its_life(run: Run) -> None:
    key = made(run)["id"]
    assert run("keys", "suspend", key)[1] == f"gw-{key} is suspended\n"
    assert run("keys", "resume", key)[1] == f"gw-{key} is active\n"
    code, out, err = run("keys", "rotate", key, "--overlap", "7d")
    assert code == 0
    assert is_whole(out.strip().encode())
    assert f"The old key gw-{key} ends at" in err
    old = shown(run, key)
    assert old["expires_at"] - old["created_at"] == pytest.approx(7 * 86_400, abs=5)
    assert msgspec.json.decode(run("keys", "revoke", key, "--json")[1])["state"] == "revoked"
    assert "replaced" in run("keys", "show", key)[1]
    code, _, err = run("keys", "resume", key)
    assert code == 1
    assert "for good" in err
    assert run("audit", "verify")[0] == 0


def test_only_what_is_given_is_changed(run: Run) -> None:
    key = made(run, "--name", "n", "--models", "a,b", "--networks", "10.0.0.0/8", "--expires", "30d")["id"]
    assert run("keys", "change", key, "--models", "", "--expires", "never")[0] == 0
    after = shown(run, key)
    assert after["scopes"] == {"networks": ["10.0.0.0/8"]}
    assert (after["name"], after["expires_at"]) == ("n", None)
    run("keys", "change", key, "--name", "other")
    assert shown(run, key)["name"] == "other"


@pytest.mark.parametrize("option", ["--models", "--surfaces", "--networks"])
@pytest.mark.parametrize("empty", ["", ",", " , ", " "])
def test_a_key_is_not_left_wide_by_a_list_without_entries(run: Run, option: str, empty: str) -> None:
    code, out, err = run("keys", "create", PATH, option, empty)
    assert (code, out) == (2, "")
    assert f"{option} names nothing" in err
    narrow = {"--models": "m", "--surfaces": "embeddings", "--networks": "10.0.0.0/8"}[option]
    key = made(run, option, narrow)
    code, _, err = run("keys", "change", key["id"], option, empty)
    assert (code, f"{option} names nothing" in err) == ((2, True) if empty else (0, False))
    assert shown(run, key["id"])["scopes"] == (key["scopes"] if empty else {})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["create", "acme"], "organisation/team/application"),
        (["create", PATH, "--expires", "soon"], "is no time"),
        (["create", PATH, "--expires", "2001-01-01"], "expires_at"),
        (["create", PATH, "--networks", "everywhere"], "networks[0]"),
        (["create", PATH, "--surfaces", "chat"], "surfaces[0]"),
        (["rotate", "aaaaaaaaaa", "--overlap", "long"], "no length of time"),
        (["list", "--after", "x"], "after"),
        (["list", "--only", "dead"], ""),
    ],
)
def test_what_is_wrong_is_told(run: Run, words: list[str], says: str) -> None:
    made(run)
    code, out, err = run("keys", *words)
    assert code == 2
    assert says in err
    assert not out


@pytest.mark.parametrize("injected", INJECTIONS)
def test_what_is_given_is_a_value_and_never_a_statement(run: Run, injected: str) -> None:
    key = made(run)
    assert run("keys", "create", injected)[0] == 2
    for word in ("show", "suspend", "resume", "revoke", "rotate", "change"):
        code, _, err = run("keys", word, injected)
        assert code == 1
        assert "there is no such key" in err
    assert msgspec.json.decode(run("keys", "list", "--search", injected, "--json")[1])["keys"] == []
    assert msgspec.json.decode(run("keys", "list", "--consumer", injected, "--json")[1])["keys"] == []
    assert made(run, "--name", injected, "--models", injected.replace("*", ""))["name"] == injected
    assert shown(run, key["id"])["state"] == "active"
    assert run("audit", "list", "--subject", injected, "--actor", injected)[0] == 0
    assert run("audit", "verify")[0] == 0


def test_without_a_database_there_is_nothing_to_read(run: Run) -> None:
    code, _, err = run("keys", "list")
    assert code == 1
    assert "there is no database" in err


def test_a_change_reaches_the_table_of_a_gateway_at_once(run: Run, state: Path) -> None:
    key = made(run)
    secret = read_secret(state)
    assert secret is not None
    assert not (state / "keys.lmdb").exists()
    table = KeyTable(state / "keys.lmdb")
    table.write(lambda writing: setattr(writing, "revision", 0))
    table.close()
    run("keys", "revoke", key["id"])
    reader = KeyReader(state / "keys.lmdb")
    found = reader.find(digest_of(key["key"].encode(), secret))
    assert found is not None
    assert found.is_revoked
    reader.close()


def test_a_secret_that_cannot_be_used_is_told(run: Run, state: Path) -> None:
    made(run)
    (state / "secret").write_bytes(b"short")
    code, _, err = run("keys", "create", PATH)
    assert code == 1
    assert "does not hold 32 bytes" in err
