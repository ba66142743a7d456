"""The access log: what is printed, and that a reader who does not read harms nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from gatewright.control import access_log as module
from gatewright.control.access_log import AccessLog, Mode, render_lines, render_text
from gatewright.telemetry.access_line import AccessLine

LINE = AccessLine(
    time="2026-03-04T05:06:07.890Z",
    id="req_1",
    consumer="acme/search/indexer",
    surface="chat_completions",
    status=200,
    total_ms=812.34,
    gateway_ms=0.21,
    model="assistant",
    provider="openai",
    upstream_model="gpt-4.1-mini",
    stream=True,
    attempts=2,
    input_tokens=12,
    output_tokens=34,
)
JSON = msgspec.json.encode(LINE) + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.mark.parametrize(
    ("mode", "is_terminal", "start"),
    [
        ("auto", False, b'{"time"'),
        ("auto", True, b"\x1b[2m05:06:07"),
        ("json", True, b'{"time"'),
        ("text", False, b"05:06:07 200 chat_completions"),
        ("off", False, b""),
    ],
)
def test_each_mode(pipe: tuple[int, int], mode: Mode, is_terminal: bool, start: bytes) -> None:
    reader, writer = pipe
    log = AccessLog(writer, is_terminal=is_terminal)
    log.mode = mode
    log.add(JSON)
    log.add(b"")
    log.close(5.0)
    os.close(writer)
    printed = os.read(reader, 65_536)
    assert printed[: len(start)] == start
    assert (printed == b"") == (mode == "off")


def test_text_says_it_all_on_one_line() -> None:
    assert render_text(LINE, coloured=False) == (
        "05:06:07 200 chat_completions assistant → openai/gpt-4.1-mini stream 2 attempts 812.3 ms (gateway 0.2 ms)"
        " 12+34 tokens acme/search/indexer req_1"
    )


def test_text_of_a_failure_ends_with_its_reason() -> None:
    failed = AccessLine(
        time="2026-03-04T05:06:07.890Z", id="r", status=504, kind="upstream_timeout", message="too slow"
    )
    failed.total_ms = 61_234.0
    assert render_text(failed, coloured=False) == "05:06:07 504 - 61.23 s (gateway 0.0 ms) r upstream_timeout: too slow"
    assert "\x1b[31m504" in render_text(failed, coloured=True)


def test_nothing_a_client_sent_steers_the_terminal() -> None:
    hostile = msgspec.structs.replace(
        LINE, id="\x1b]0;owned\x07", kind="malformed_request", message="\x9b2J\nfake line"
    )
    text = render_text(hostile, coloured=False)
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\n" not in text


def test_a_line_of_another_shape_is_passed_on() -> None:
    assert render_lines(b'{"event": 1}\n' + JSON, coloured=False).startswith(b'{"event": 1}\n05:06:07 200')


def test_what_a_slow_reader_does_not_take_is_counted(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pipe
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 2_000_000)
    log = AccessLog(writer, is_terminal=False)
    lines = JSON * 1000
    for _ in range(20):
        log.add(lines)
    assert log.lost_lines > 0
    kept = 20_000 - log.lost_lines
    received = b""
    while received.count(b"\n") < kept:
        received += os.read(reader, 1_000_000)
    log.close(5.0)
    assert received == JSON * kept


def test_a_non_blocking_output_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    log = AccessLog(writer, is_terminal=False)
    log.add(JSON * 2000)
    received = b""
    while received.count(b"\n") < 2000:
        received += os.read(reader, 65_536)
    log.close(5.0)
    assert received == JSON * 2000
    assert log.lost_lines == 0


def test_a_reader_that_went_away_ends_the_printing_alone(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    log = AccessLog(writer, is_terminal=False)
    log.add(JSON * 3)
    log.close(5.0)
    log.add(JSON * 2)
    assert log.lost_lines == 5
