from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.cli import main

PATH = "acme/search/indexer"
INJECTIONS = ["' OR '1'='1", "'; DROP TABLE consumers; --", "%", "x' UNION SELECT digest FROM keys --"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    groups = ("consumers", "keys", "audit")
    monkeypatch.setattr(main, "COMMANDS", tuple((name, f"gatewright.cli.{name}:app") for name in groups))

    def run(*words: str) -> tuple[int, str, str]:
        code = main.run([*words, "--state", str(tmp_path / "state")])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def json_of(run: Run, *words: str) -> Any:
    code, out, err = run(*words, "--json")
    assert code == 0, err
    return msgspec.json.decode(out)


def state_of_key(run: Run, key_id: str) -> str:
    return str(json_of(run, "keys", "show", key_id)["state"])


def test_a_consumer_is_kept_shown_and_changed(run: Run) -> None:
    made = json_of(run, "consumers", "create", PATH, "--name", "Indexer", "--details", '{"owner": "Zoë"}')
    assert (made["path"], made["name"], made["details"]) == (PATH, "Indexer", {"owner": "Zoë"})
    changed = json_of(run, "consumers", "change", PATH, "--details", '{"owner": "Max"}')
    assert (changed["name"], changed["details"]) == ("Indexer", {"owner": "Max"})
    assert json_of(run, "consumers", "change", PATH, "--name", "")["details"] == {"owner": "Max"}
    code, out, _ = run("consumers", "show", PATH)
    assert code == 0
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert shown["consumer"] == PATH
    assert (shown["name"], shown["state"], shown["details"]) == ("-", "active", '{"owner":"Max"}')
    assert run("audit", "verify")[0] == 0


def test_all_keys_of_a_consumer_follow_it(run: Run) -> None:
    key = json_of(run, "keys", "create", PATH)["id"]
    other = json_of(run, "keys", "create", PATH + "2")["id"]
    run("consumers", "create", PATH)
    assert run("consumers", "suspend", PATH)[1] == f"{PATH} is suspended\n"
    assert (state_of_key(run, key), state_of_key(run, other)) == ("suspended", "active")
    assert json_of(run, "consumers", "resume", PATH)["suspended_at"] is None
    assert state_of_key(run, key) == "active"
    code, out, _ = run("consumers", "remove", PATH)
    assert (code, out) == (0, f"{PATH} is removed; keys revoked with it: 1\n")
    assert (state_of_key(run, key), state_of_key(run, other)) == ("revoked", "active")
    assert run("consumers", "show", PATH)[0] == 1


def test_consumers_are_listed_by_path_and_page(run: Run) -> None:
    for team in "cab":
        run("consumers", "create", f"acme/{team}/app", "--name", team)
    run("consumers", "create", "other/x/y")
    run("consumers", "suspend", "acme/b/app")
    code, out, err = run("consumers", "list", "--search", "acme/", "--limit", "2")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0][:3] == ["CONSUMER", "NAME", "STATE"]
    assert [row[:3] for row in rows[1:]] == [["acme/a/app", "a", "active"], ["acme/b/app", "b", "suspended"]]
    assert "--after acme/b/app" in err
    page = json_of(run, "consumers", "list", "--search", "acme/", "--after", "acme/b/app")
    assert [one["path"] for one in page["consumers"]] == ["acme/c/app"]
    assert page["after"] is None


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["create", "acme"], 2, "organisation/team/application"),
        (["create", PATH], 1, "already"),
        (["create", "a/b/c", "--details", "owner"], 2, "no JSON object"),
        (["create", "a/b/c", "--details", "[1]"], 2, "no JSON object"),
        (["change", PATH, "--details", '{"x": "\\u0000"}'], 2, "details must be"),
        (["change", PATH, "--name", "x" * 201], 2, "200"),
        (["show", "a/b/c"], 1, "no such consumer"),
        (["remove", "a/b/c"], 1, "no such consumer"),
        (["suspend", "acme/keys/only"], 1, "created first"),
    ],
)
def test_what_is_wrong_is_told(run: Run, words: list[str], code: int, says: str) -> None:
    run("consumers", "create", PATH)
    run("keys", "create", "acme/keys/only")
    found, out, err = run("consumers", *words)
    assert (found, out) == (code, "")
    assert says in err


@pytest.mark.parametrize("injected", INJECTIONS)
def test_what_is_given_is_a_value_and_never_a_statement(run: Run, injected: str) -> None:
    run("consumers", "create", PATH)
    assert run("consumers", "create", injected)[0] == 2
    for word in ("show", "change", "suspend", "resume", "remove"):
        code, _, err = run("consumers", word, injected)
        assert code == 1
        assert "no such consumer" in err
    assert json_of(run, "consumers", "list", "--search", injected)["consumers"] == []
    assert json_of(run, "consumers", "change", PATH, "--name", injected)["name"] == injected
    assert run("audit", "verify")[0] == 0
