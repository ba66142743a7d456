import os
from pathlib import Path

import pytest

from gatewright.cli.exits import Failure
from gatewright.cli.state import PID_FILE, StateLock, default_state_dir, running_pid, running_state_dirs, state_root


def test_the_default_directory_follows_the_environment_and_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("GATEWRIGHT_STATE", raising=False)
    assert state_root() == Path("/h/.local/state/gatewright")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert default_state_dir("127.0.0.1:8080") == Path("/x/gatewright/127.0.0.1-8080")
    monkeypatch.setenv("GATEWRIGHT_STATE", "/g")
    assert default_state_dir("[::1]:80") == Path("/g/1-80")


def test_running_gateways_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_STATE", str(tmp_path))
    assert running_state_dirs() == []
    (tmp_path / "ended").mkdir()
    (tmp_path / "ended" / PID_FILE).write_text("1\n")
    with StateLock(tmp_path / "b"), StateLock(tmp_path / "a"):
        assert running_state_dirs() == [tmp_path / "a", tmp_path / "b"]


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
