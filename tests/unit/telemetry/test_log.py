"""Events reach people as text and machines as JSON, and never stop the process."""

from __future__ import annotations

import io
import logging
import os
from datetime import UTC, datetime

import msgspec
import pytest

from gatewright.core.secret import Secret
from gatewright.telemetry.log import Log, StandardLogging, capture_standard_logging

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def build(stream: io.StringIO, as_json: bool | None = None) -> Log:
    return Log("supervisor", stream=stream, as_json=as_json, now=lambda: NOW)


def test_a_pipe_gets_one_json_object_a_line() -> None:
    stream = io.StringIO()
    build(stream).warning("ended unexpectedly", child="worker-1", errors=["a", "b"])
    assert msgspec.json.decode(stream.getvalue()) == {
        "time": "2026-03-04T05:06:07.890+00:00",
        "level": "warning",
        "process": "supervisor",
        "event": "ended unexpectedly",
        "child": "worker-1",
        "errors": ["a", "b"],
    }
    assert stream.getvalue().endswith("}\n")


def test_plain_text_has_no_colours_in_a_pipe() -> None:
    stream = io.StringIO()
    build(stream, as_json=False).info("serving", version=1)
    assert stream.getvalue().endswith("info    supervisor: serving  version=1\n")


def test_a_terminal_gets_coloured_text_with_lists_below() -> None:
    stream = Terminal()
    build(stream).error("refused", errors=["first", "second"])
    assert "\x1b[1;31merror" in stream.getvalue()
    assert stream.getvalue().endswith("refused\n    first\n    second\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_prints_as_stars(as_json: bool) -> None:
    stream = io.StringIO()
    build(stream, as_json).info("key", value=Secret("sk-very-private"))
    assert "***" in stream.getvalue()
    assert "private" not in stream.getvalue()


def test_a_broken_stream_is_ignored() -> None:
    build(Broken()).info("nobody hears this")


def test_a_closed_stream_is_ignored() -> None:
    stream = io.StringIO()
    log = build(stream, as_json=True)
    stream.close()
    log.info("nobody hears this")


def test_standard_logging_is_brought_in_from_warning_on() -> None:
    stream = io.StringIO()
    logger = logging.Logger("library")
    logger.addHandler(StandardLogging(build(stream)))
    logger.info("small talk")
    logger.warning("beware of %s", "dogs")
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("failed")
    first, second = map(msgspec.json.decode, stream.getvalue().splitlines())
    assert (first["level"], first["event"], first["logger"]) == ("warning", "beware of dogs", "library")
    assert (second["level"], second["error"]) == ("error", "ValueError('bad')")


def test_capture_replaces_the_root_handlers() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        capture_standard_logging(build(stream))
        logging.getLogger("any.library").warning("heard")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert msgspec.json.decode(stream.getvalue())["event"] == "heard"


@pytest.mark.parametrize("field", ["short", "long " * 5000])
def test_a_reader_who_stopped_does_not_stop_the_process_and_is_told_what_was_lost(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.telemetry.log._PATIENCE_MS", 1)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        log = Log("supervisor", stream=stream)
        for _ in range(2000):
            log.info("said", field=field)  # far more than a pipe holds
        reader.read1(40_000)
        log.info("heard")
        stream.close()
        lines = reader.read().splitlines()
    assert msgspec.json.decode(lines[-1])["event"] == "heard"
    lost = msgspec.json.decode(lines[-2])
    assert lost["event"].startswith("lines of this log were lost")
    assert 0 < lost["lines"] < 2000
