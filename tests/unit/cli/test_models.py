from pathlib import Path

import msgspec
import pytest

from gatewright.cli.catalogue import packaged_catalogue
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
  voice: {targets: [{provider: openai, model: whisper-1}]}
  "gpt-*": {targets: [{provider: openai}]}
catalogue:
  openai_compatible/tiny: {context_tokens: 4096, prices: {input: "0", output: "0"}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    file = tmp_path / "gatewright.yaml"
    file.write_text(CONFIG)
    return file


def test_every_target_has_a_row(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--config", str(config)]) == 0
    heads, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert heads[:6] == ["MODEL", "SHARE", "PROVIDER", "TYPE", "HOST", "UPSTREAM MODEL"]
    assert [row[:6] for row in rows] == [
        ["assistant", "75%", "openai", "openai", "api.openai.com:443", "gpt-4.1-mini"],
        ["assistant", "25%", "vllm", "openai_compatible", "vllm.svc:8000", "llama"],
        ["assistant", "fallback", "vllm", "openai_compatible", "vllm.svc:8000", "tiny"],
        ["voice", "100%", "openai", "openai", "api.openai.com:443", "whisper-1"],
        ["gpt-*", "100%", "openai", "openai", "api.openai.com:443", "(as called)"],
    ]
    assert heads[6:] == ["CONTEXT", "INPUT $/M", "OUTPUT $/M"]
    assert [row[6:] for row in rows] == [
        ["1047576", "0.4", "1.6"],
        ["unknown", "unknown", "unknown"],
        ["4096", "0", "0"],
        ["unknown", "-", "-"],
        ["varies", "varies", "varies"],
    ]


def test_models_as_json_without_secrets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "-c", str(config), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "sk-secret" not in printed
    rows = msgspec.json.decode(printed)
    version = rows[0].pop("price_version")
    assert rows[0] == {
        "model": "assistant",
        "share": "75%",
        "provider": "openai",
        "type": "openai",
        "host": "api.openai.com:443",
        "upstream_model": "gpt-4.1-mini",
        "context_tokens": 1047576,
        "max_output_tokens": 32768,
        "input_usd": "0.4",
        "output_usd": "1.6",
    }
    facts = packaged_catalogue()["openai/gpt-4.1-mini"]
    assert version == facts.price_version
    known = ("context_tokens", "max_output_tokens", "input_usd", "output_usd", "price_version")
    assert [rows[1][name] for name in known] == [None] * 5
    assert rows[4]["upstream_model"] is None
    assert [rows[4][name] for name in known] == [None] * 5


def test_a_file_that_is_not_there_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["models"]) == 2
    assert "gatewright.yaml: cannot be read" in capsys.readouterr().err
