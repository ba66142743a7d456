from pathlib import Path

import pytest

from gatewright.cli.init import render_starter
from gatewright.cli.main import run
from gatewright.config.documents import Gateway
from gatewright.config.load import load


def checked(text: str, environment: dict[str, str]) -> Gateway:
    loaded = load([("starter.yaml", text.encode())], lambda scheme, name: environment.get(name))
    assert (loaded.errors, loaded.warnings) == ((), ())
    assert loaded.document is not None
    return loaded.document


def test_without_keys_the_starter_uses_the_local_model() -> None:
    document = checked(render_starter("gatewright.yaml", {}), {})
    assert list(document.providers) == ["laptop"]
    assert list(document.models) == ["assistant"]


def test_with_a_key_the_starter_uses_the_provider() -> None:
    environment = {"OPENAI_API_KEY": "sk-x"}
    document = checked(render_starter("gatewright.yaml", environment), environment)
    assert list(document.providers) == ["openai"]
    assert list(document.models) == ["assistant", "gpt-*"]


def test_what_is_commented_out_is_right_too() -> None:
    """Every comment that looks like configuration can be uncommented, all at once."""
    text = render_starter("gatewright.yaml", {}).replace("sha256:…", "sha256:" + "0" * 64)
    lines = [line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("listen:"))
    prose = ("Vendors ", "What ", "Who ", "Keys ", "Certificates", "yaml-language")
    yaml = "\n".join(line for line in lines[start:] if not line.startswith(prose))
    document = checked(yaml, {"OPENAI_API_KEY": "sk-x"})
    assert list(document.providers) == ["openai", "laptop", "vllm"]
    assert len(document.models["assistant"].targets) == 3
    assert [policy.filter for policy in document.policies] == ["rate_limit", "budget"]
    assert document.anonymous is False


def test_init_writes_a_file_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run(["init"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote gatewright.yaml",
        "next:  gatewright check gatewright.yaml && gatewright serve -c gatewright.yaml",
    ]
    assert (tmp_path / "gatewright.yaml").read_text() == render_starter("gatewright.yaml", {})


def test_a_file_is_replaced_only_when_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("precious")
    assert run(["init", str(file)]) == 2
    assert file.read_text() == "precious"
    assert "--force" in capsys.readouterr().err
    assert run(["init", str(file), "--force"]) == 0
    assert "providers:" in file.read_text()


def test_init_prints_with_a_dash(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run(["init", "-"]) == 0
    assert capsys.readouterr().out == render_starter("gatewright.yaml", {})


def test_a_place_that_cannot_be_written_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "nowhere/x.yaml")]) == 1
    assert "cannot write" in capsys.readouterr().err
