import sys
from pathlib import Path

import pytest

from gatewright.cli import demo
from gatewright.cli.demo import Call, Gateway, Told, cosine, read_headers, time_rows
from gatewright.cli.exits import Failure
from gatewright.providers.local import BUNDLED


def test_cosine() -> None:
    assert cosine([1.0, 0.0], [2.0, 0.0]) == pytest.approx(1.0)
    assert cosine([1.0, 0.0], [0.0, 3.0]) == pytest.approx(0.0)
    assert cosine([1.0, 1.0], [-1.0, -1.0]) == pytest.approx(-1.0)


def test_a_row_splits_the_time_of_a_call() -> None:
    stream = {"total_ms": 500.0, "gateway_ms": 9.0, "attempts": 1, "input_tokens": 30, "output_tokens": 12}
    chat = {"total_ms": 500.0, "gateway_ms": 0.25, "attempts": 1, "input_tokens": 30, "output_tokens": 12}
    refused = {"total_ms": 0.2, "gateway_ms": 0.2, "attempts": 0}
    calls = [
        (Call("stream", Told("s", 0.5), 0.51), stream),
        (Call("chat", Told("a"), 0.5021), chat),
        (Call("wrong key", Told("b"), 0.004), refused),
    ]
    assert time_rows(calls) == [
        ["stream", "510.0", "0.50", "499.5", "30", "12"],
        ["chat", "502.1", "0.25", "499.8", "30", "12"],
        ["wrong key", "4.0", "0.20", "-", "-", "-"],
    ]


def test_an_answer_tells_its_id_and_the_gateways_share() -> None:
    assert read_headers({"x-request-id": "r", "server-timing": "gateway;dur=0.153, upstream;dur=6.986"}) == Told(
        "r", 0.153
    )
    assert read_headers({"x-request-id": "r"}) == Told("r", None)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(Failure) as failed:
        demo.demo(prompt="hello")
    assert failed.value.hint == "pip install openai"


def test_without_the_engine_or_the_weights_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", sys)
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path))
    (tmp_path / BUNDLED["smollm2"].file).touch()
    with pytest.raises(Failure, match="embed") as failed:
        demo.demo(prompt="hello")
    assert failed.value.hint == "gatewright local pull"
    monkeypatch.setattr(demo, "is_runtime_installed", lambda: False)
    with pytest.raises(Failure, match=r"llama\.cpp"):
        demo.demo(prompt="hello")


def test_a_gateway_that_ends_is_told_with_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_COMMAND", (sys.executable, "-c", "import sys; sys.exit('no room')"))
    with pytest.raises(Failure, match="exit code 1: no room"), Gateway(tmp_path):
        pass


def test_a_gateway_that_never_gets_ready_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(demo, "READY_S", 0.1)
    gateway = Gateway(tmp_path)
    with pytest.raises(Failure, match="not ready"), gateway:
        pass
    assert gateway._process is not None
    assert gateway._process.returncode is not None


def test_the_log_is_read_by_request_id(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b'Gatewright serves\n{"time":"t","id":"a","total_ms":1.0}\n')
    assert Gateway(tmp_path).log_lines()["a"]["total_ms"] == 1.0


def test_a_call_without_a_log_line_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stdout").touch()
    monkeypatch.setattr(demo, "LOG_S", 0.0)
    with pytest.raises(Failure, match="no line for: chat"):
        demo._read_log(Gateway(tmp_path), [Call("chat", Told("a"), 0.1)])
