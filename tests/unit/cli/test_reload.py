import os
import signal
from pathlib import Path

import msgspec
import pytest

from gatewright.cli.main import run
from gatewright.cli.state import StateLock


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that would have been sent."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: signals.append((pid, number)))
    return signals


@pytest.mark.parametrize(("flags", "number"), [([], signal.SIGHUP), (["--workers"], signal.SIGUSR2)])
def test_the_running_gateway_is_signalled(
    flags: list[str],
    number: signal.Signals,
    tmp_path: Path,
    sent: list[tuple[int, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with StateLock(tmp_path):
        assert run(["reload", "--state", str(tmp_path), *flags]) == 0
    assert sent == [(os.getpid(), number)]
    assert f"pid {os.getpid()}" in capsys.readouterr().out


def test_reload_as_json(tmp_path: Path, sent: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]) -> None:
    with StateLock(tmp_path):
        assert run(["reload", "--state", str(tmp_path), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {"pid": os.getpid(), "asked": "configuration"}


def test_nobody_to_ask_is_a_failure(
    tmp_path: Path, sent: list[tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reload", "--state", str(tmp_path)]) == 1
    assert "no gateway runs" in capsys.readouterr().err
    assert sent == []


@pytest.mark.parametrize(
    ("error", "said"), [(PermissionError(), "another user"), (ProcessLookupError(), "has just ended")]
)
def test_a_signal_that_cannot_be_sent_is_explained(
    error: OSError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise error

    monkeypatch.setattr("os.kill", refuse)
    with StateLock(tmp_path):
        assert run(["reload", "--state", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


def test_the_only_gateway_is_found_without_being_named(
    tmp_path: Path, sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWRIGHT_STATE", str(tmp_path))
    assert run(["reload"]) == 1
    with StateLock(tmp_path / "a"):
        assert run(["reload"]) == 0
        with StateLock(tmp_path / "b"):
            assert run(["reload"]) == 2
    assert len(sent) == 1
    assert f"several gateways run; say which one with --state:\n  {tmp_path / 'a'}" in capsys.readouterr().err
