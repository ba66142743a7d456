import io

import pytest

from gatewright.cli.output import (
    is_terminal,
    print_config_errors,
    print_failure,
    print_json,
    print_line,
    print_note,
)
from gatewright.config.problems import ConfigError, InvalidConfig


class Terminal(io.StringIO):
    """A stream that says a person reads it."""

    def isatty(self) -> bool:
        return True


def test_results_go_to_standard_output_and_remarks_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("[result]")
    print_note("[remark]")
    assert capsys.readouterr() == ("[result]\n", "[remark]\n")


def test_json_is_indented_and_ends_with_a_newline(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1]})
    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ]\n}\n'


def test_a_failure_is_plain_in_a_pipe_and_painted_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_failure("it broke", "mend it")
    assert capsys.readouterr().err == "error: it broke\nhint:  mend it\n"
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    print_failure("it broke")
    assert terminal.getvalue() == "\x1b[1;31merror:\x1b[0m it broke\n"


def test_every_configuration_error_is_printed_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    print_config_errors(
        InvalidConfig([ConfigError("listen", "is not HOST:PORT", "a.yaml", 3), ConfigError("", "is not a mapping")])
    )
    assert capsys.readouterr().err.splitlines() == [
        "a.yaml:3: listen: is not HOST:PORT",
        "is not a mapping",
        "error: the configuration has 2 problems; nothing was started or changed",
    ]


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_terminal()
    monkeypatch.setattr("sys.stdout", Terminal())
    assert is_terminal()
