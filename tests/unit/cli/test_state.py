import os
from pathlib import Path

import pytest

from gatewright.cli.exits import Failure
from gatewright.cli.state import PID_FILE, StateLock, default_state_dir, running_pid


def test_the_default_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("GATEWRIGHT_STATE", raising=False)
    assert default_state_dir() == Path("/h/.local/state/gatewright")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert default_state_dir() == Path("/x/gatewright")
    monkeypatch.setenv("GATEWRIGHT_STATE", "/g")
    assert default_state_dir() == Path("/g")


def test_a_gateway_is_known_while_it_holds_its_directory(tmp_path: Path) -> None:
    directory = tmp_path / "a/b"
    assert running_pid(directory) is None
    with StateLock(directory):
        assert running_pid(directory) == os.getpid()
        assert directory.stat().st_mode & 0o777 == 0o700
    assert running_pid(directory) is None


def test_two_gateways_cannot_share_a_directory(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(Failure, match=f"another gateway \\(pid {os.getpid()}\\)"):
        StateLock(tmp_path).__enter__()


def test_a_number_left_behind_is_nobody(tmp_path: Path) -> None:
    (tmp_path / PID_FILE).write_text(f"{os.getpid()}\n")
    assert running_pid(tmp_path) is None
    with StateLock(tmp_path):
        assert running_pid(tmp_path) == os.getpid()


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=r"cannot use .* as state directory"):
        StateLock(tmp_path / "file").__enter__()
