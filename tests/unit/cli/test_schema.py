import msgspec
import pytest

from gatewright.cli.main import run


def test_schema_knows_every_section_and_provider_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    schema = msgspec.json.decode(capsys.readouterr().out)
    assert {"listen", "providers", "models", "consumers", "policies"} <= schema["properties"].keys()
    assert "openai_compatible" in msgspec.json.encode(schema).decode()
