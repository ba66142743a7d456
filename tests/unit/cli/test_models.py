from pathlib import Path

import msgspec
import pytest

from gatewright.cli.main import run

CONFIG = """\
providers:
  openai: {type: openai, key: "${env:MY_KEY}"}
  vllm: {type: openai_compatible, url: "http://vllm.svc:8000/v1"}
models:
  assistant:
    targets:
      - {provider: openai, model: gpt-4.1-mini, weight: 3}
      - {provider: vllm, model: llama}
    fallback: [{provider: vllm, model: tiny}]
  "gpt-*": {targets: [{provider: openai}]}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    file = tmp_path / "gatewright.yaml"
    file.write_text(CONFIG)
    return file


def test_every_target_has_a_row(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--config", str(config)]) == 0
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["MODEL", "SHARE", "PROVIDER", "TYPE", "HOST", "UPSTREAM MODEL"],
        ["assistant", "75%", "openai", "openai", "api.openai.com:443", "gpt-4.1-mini"],
        ["assistant", "25%", "vllm", "openai_compatible", "vllm.svc:8000", "llama"],
        ["assistant", "fallback", "vllm", "openai_compatible", "vllm.svc:8000", "tiny"],
        ["gpt-*", "100%", "openai", "openai", "api.openai.com:443", "(as called)"],
    ]


def test_models_as_json_without_secrets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "-c", str(config), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "sk-secret" not in printed
    assert msgspec.json.decode(printed)[3] == {
        "model": "gpt-*",
        "share": "100%",
        "provider": "openai",
        "type": "openai",
        "host": "api.openai.com:443",
        "upstream_model": None,
    }


def test_a_file_that_is_not_there_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["models"]) == 2
    assert "gatewright.yaml: cannot be read" in capsys.readouterr().err
