"""What `gatewright explain-translation` prints, and how it ends."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import msgspec
import pytest

from gatewright.cli.main import run

REQUEST = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "max_tokens": 50}'


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    file = tmp_path / "request.json"
    file.write_bytes(REQUEST)
    return str(file)


def explain(*arguments: str) -> int:
    return run(["explain-translation", *arguments])


def test_the_request_goes_out_and_the_losses_beside_it(request_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(request_file, "--to", "anthropic.messages", "--model", "claude-x") == 0
    printed = capsys.readouterr()
    body = msgspec.json.decode(printed.out)
    assert (body["model"], body["max_tokens"]) == ("claude-x", 50)
    assert "seed" not in body
    assert printed.err.startswith("dropped: sampling.seed (seed): ")


def test_a_request_that_loses_nothing_says_so(request_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(request_file, "--to", "google.generate_content") == 0
    assert capsys.readouterr().err == "nothing is lost\n"


def test_standard_input_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(REQUEST))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert explain("-", "--to", "anthropic.messages", "--fidelity", "strict", "--json") == 1
    printed = msgspec.json.decode(capsys.readouterr().out)
    assert printed["request"] is None
    assert "seed" in printed["error"]
    assert printed["losses"][0]["outcome"] == "dropped"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "anthropic"), "there is no chat dialect `anthropic`"),
        (("--to", "anthropic.messages", "--from", "openai.embeddings"), "there is no chat dialect"),
        (("--to", "openai.chat", "--from", "google.generate_content"), "this is no request of google.generate_content"),
    ],
)
def test_what_is_wrong_with_the_call_is_said(
    arguments: tuple[str, ...], says: str, request_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(request_file, *arguments) == 2
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(str(tmp_path / "none.json"), "--to", "anthropic.messages") == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "bad.json").write_bytes(b"{")
    assert explain(str(tmp_path / "bad.json"), "--to", "anthropic.messages") == 2
    assert "not valid JSON" in capsys.readouterr().err
