import msgspec
import pytest

from gatewright import __version__
from gatewright.cli.main import run


def test_version_prints_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr() == (f"gatewright {__version__} (interpreted)\n", "")


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["version"], told["compiled"]) == (__version__, False)
