from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from gatewright.cli.groups import command_group
from gatewright.cli.main import COMMANDS


def group_of(app: typer.Typer, word: str) -> str:
    app.command("one")(lambda: None)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, [word] if word else []).output


@pytest.mark.parametrize("word", ["", "-h", "--help"])
def test_a_group_says_what_it_has(word: str) -> None:
    said = group_of(command_group("What it is for."), word)
    assert "What it is for." in said
    assert "one" in said


def test_a_failure_comes_out_as_it_is() -> None:
    app = command_group()
    app.callback()(lambda: None)

    @app.command("fail")
    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        app(["fail"], standalone_mode=False)


def test_settings_go_first() -> None:
    assert not group_of(command_group("help", no_args_is_help=False, invoke_without_command=True), "")


@pytest.mark.parametrize("place", [place for _, place in COMMANDS if place.endswith(":app")])
def test_every_group_is_made_so(place: str) -> None:
    app = import_module(place.partition(":")[0]).app
    assert app.info.context_settings == command_group().info.context_settings
    assert app.pretty_exceptions_enable is False
