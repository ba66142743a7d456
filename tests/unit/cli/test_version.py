import msgspec
import pytest

from gatewright import __version__
from gatewright.cli.main import run


def test_version_prints_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr() == (f"gatewright {__version__}\n", "")


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["version"] == __version__
