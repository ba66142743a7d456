import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import typer

from gatewright.cli import main
from gatewright.cli.exits import Exit, Failure
from gatewright.config.problems import ConfigError, InvalidConfig

Plant = Callable[[Callable[[], None] | typer.Typer], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Make `gatewright planted` the only command."""

    def plant(command: Callable[[], None] | typer.Typer) -> None:
        monkeypatch.setattr(main, "COMMANDS", (("planted", "module:planted"),))
        monkeypatch.setattr(main, "import_module", lambda name: SimpleNamespace(planted=command))

    return plant


def raiser(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Failure("port 8080 is taken", hint="use --listen"), 1, "port 8080 is taken"),
        (Failure("no such file", code=Exit.USAGE), 2, "no such file"),
        (InvalidConfig([ConfigError("listen", "is not HOST:PORT")]), 2, "listen: is not HOST:PORT"),
        (KeyboardInterrupt(), 130, ""),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero"),
        (SystemExit("stop"), 1, ""),
    ],
)
def test_every_outcome_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, said: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(raiser(error))
    assert main.run(["planted"]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err


def test_an_argument_that_is_no_text_is_refused(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    plant(raiser(ZeroDivisionError()))
    assert main.run(["planted", "gr\udcfcn"]) == Exit.USAGE
    assert "'gr\\udcfcn' is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(("stdout", "code", "said"), [("/dev/full", 1, "No space left on device"), (None, 0, "")])
def test_a_result_that_cannot_be_written_is_a_failure(stdout: str | None, code: int, said: str) -> None:
    command = [sys.executable, "-c", "from gatewright.cli.main import main; main()", "version"]
    if stdout is None:
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True)
    else:
        with open(stdout, "w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False)


def test_a_defect_shows_its_traceback_when_asked(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_TRACEBACK", "1")
    plant(raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main.run(["planted"])


def test_a_command_may_have_commands_of_its_own(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    family = typer.Typer(no_args_is_help=True)
    family.command("one")(lambda: print("one ran"))
    family.command("two")(lambda: None)
    plant(family)
    assert main.run(["planted", "one"]) == 0
    assert capsys.readouterr().out == "one ran\n"


def test_a_wrong_command_line_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["no-such-command"]) == 2
    assert main.run(["version", "--no-such-option"]) == 2
    assert "No such" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name, _ in main.COMMANDS)


def test_only_the_module_of_the_command_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(main, "import_module", lambda name: asked.append(name) or SimpleNamespace(version=lambda: None))
    assert main.run(["version"]) == 0
    assert asked == ["gatewright.cli.version"]


def test_the_console_script_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gatewright", "version"])
    with pytest.raises(SystemExit) as done:
        main.main()
    assert done.value.code == 0
