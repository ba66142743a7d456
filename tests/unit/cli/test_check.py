from pathlib import Path

import msgspec
import pytest

from gatewright.cli.main import run
from gatewright.control.managed_sources import budgets_file, write_file

RIGHT = """\
providers:
  vllm: {type: openai_compatible, url: "http://vllm.svc:8000/v1"}
models:
  assistant: {targets: [{provider: vllm, model: llama}]}
"""


@pytest.fixture
def right(tmp_path: Path) -> Path:
    file = tmp_path / "right.yaml"
    file.write_text(RIGHT)
    return file


def test_a_right_configuration_is_summed_up(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(right)]) == 0
    assert capsys.readouterr() == (f"{right}: right: 1 provider, 1 model, 0 applications, 0 policies\n", "")


def test_a_folder_is_checked_as_one(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (right.parent / "more.yaml").write_text("models:\n  other: {targets: [{provider: vllm}]}\n")
    assert run(["check", str(right.parent)]) == 0
    assert "2 models" in capsys.readouterr().out


def test_everything_wrong_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(RIGHT.replace("provider: vllm", "provider: vlm") + "listne: x\n")
    assert run(["check", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert [line.split(" ")[0] for line in lines] == [f"{file}:4:", f"{file}:5:", "error:"]
    assert "did you mean `vllm`?" in lines[0]


def test_with_a_state_directory_its_budgets_are_checked_too(
    right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right.write_text(RIGHT + "policies: [{filter: budget, name: filed, config: {usd: 1}}]\n")
    state = tmp_path / "state"
    state.mkdir()
    assert run(["check", str(right), "--state", str(state)]) == 0
    write_file(budgets_file(state), b'{"policies": [{"filter": "budget", "name": "kept", "config": {"usd": 1}}]}')
    assert run(["check", str(right), "--state", str(state)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("2 policies")
    write_file(budgets_file(state), b'{"policies": [{"filter": "budget", "name": "filed", "config": {"usd": 1}}]}')
    assert run(["check", str(right), "--state", str(state)]) == 2
    assert "`filed` is the name of" in capsys.readouterr().err
    assert run(["check", str(right)]) == 0
    assert run(["check", str(right), "--state", str(tmp_path / "nowhere")]) == 2


def test_warnings_do_not_fail(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right.write_text("providers: {}\n")
    assert run(["check", str(right)]) == 0
    assert capsys.readouterr().err.startswith("warning: ")


def test_check_as_json(right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(right), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == {"ok": True, "errors": [], "warnings": []}
    assert run(["check", str(tmp_path / "nowhere.yaml"), "--json"]) == 2
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["errors"][0]["file"] == str(tmp_path / "nowhere.yaml")
