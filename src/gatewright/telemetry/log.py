"""The log of a process: one event a line on standard error, readable on a terminal, JSON in a pipe.

This is what supervisor and control say about themselves. Exchanges are not logged here: they are the access log, which
workers write and control prints on standard output. An event is a short constant sentence; what varies goes into its
fields, so lines can be searched by either. Never pass a `Secret`'s value.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

LEVELS: Final = ("debug", "info", "warning", "error")
_COLOURS: Final = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[1;31m"}
_DIM, _END = "\x1b[2m", "\x1b[0m"
_PATIENCE_MS: Final = 200
"""How long a line waits for a reader who lags; the lines after it are lost at once until there is room again."""
_PIECE_BYTES: Final = 4096
"""What a pipe that is ready to be written takes without waiting (PIPE_BUF)."""


class Log:
    """Writes events of one process. The log must never stop what it describes: a stream that fails is ignored, and what
    a full pipe or a stopped terminal does not take is lost and counted.
    """

    def __init__(
        self,
        process: str,
        *,
        stream: TextIO | None = None,
        as_json: bool | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._process = process
        self._stream = sys.stderr if stream is None else stream
        is_terminal = self._stream.isatty()
        self._as_json = not is_terminal if as_json is None else as_json
        self._coloured = is_terminal
        self._now = now
        self._lost = 0
        self._fd = _find_descriptor(self._stream)

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""
        self.write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something is not as it should be, and the gateway goes on by itself."""
        self.write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something failed that an operator should mend."""
        self.write("error", event, fields)

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """One event of any level in `LEVELS`."""
        now = self._now()
        line = (
            self._render_json(now, level, event, fields) if self._as_json else self._render(now, level, event, fields)
        )
        try:
            self._put(line + "\n")
        except (OSError, ValueError):
            return  # nobody reads any more

    def _put(self, line: str) -> None:
        """Write a line, in pieces that cannot block; standard error is shared, so it is not made non-blocking."""
        if self._fd is None:
            self._stream.write(line)
            self._stream.flush()
            return
        if self._lost and _has_room(self._fd, 0):
            lost, self._lost = self._lost, 0
            # On a line of its own: the last line that was lost may have been cut.
            os.write(self._fd, b"\n")
            self.warning("lines of this log were lost; nobody read them in time", lines=lost)
        rest = memoryview(line.encode(errors="backslashreplace"))
        while rest:
            if not _has_room(self._fd, 0 if self._lost else _PATIENCE_MS):
                self._lost += 1
                return
            rest = rest[os.write(self._fd, rest[:_PIECE_BYTES]) :]

    def _render_json(self, now: datetime, level: str, event: str, fields: dict[str, Any]) -> str:
        head = {"time": now.isoformat(timespec="milliseconds"), "level": level, "process": self._process}
        return msgspec.json.encode({**head, "event": event, **fields}, enc_hook=str).decode()

    def _render(self, now: datetime, level: str, event: str, fields: dict[str, Any]) -> str:
        colour, dim, end = (_COLOURS[level], _DIM, _END) if self._coloured else ("", "", "")
        mark = f"{colour}{level:<7}{end}"
        tail = "".join(_render_field(name, value, dim, end) for name, value in fields.items())
        return f"{dim}{now.astimezone():%H:%M:%S}{end} {mark} {self._process}: {event}{tail}"


class StandardLogging(logging.Handler):
    """Brings what libraries log through `logging` into a `Log`."""

    def __init__(self, log: Log, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` for every record at or above the level."""
        level = (
            "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "info"
        )
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = repr(record.exc_info[1])
        self._log.write(level, record.getMessage(), fields)


def capture_standard_logging(log: Log) -> None:
    """Make `log` the place where libraries' warnings and errors go, for the whole process."""
    root = logging.getLogger()  # noqa: TID251 - telemetry owns the loggers
    root.handlers[:] = [StandardLogging(log)]
    root.setLevel(logging.WARNING)


def _find_descriptor(stream: TextIO) -> int | None:
    """A stream's descriptor; None for one that has none (in memory)."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _has_room(fd: int, wait_ms: int) -> bool:
    """Whether a piece can be written without blocking, now or in a while; a descriptor that is broken has room, too."""
    asked = select.poll()  # of its own: one that threads share refuses the second
    asked.register(fd, select.POLLOUT)
    return bool(asked.poll(wait_ms))


def _render_field(name: str, value: object, dim: str, end: str) -> str:
    """` name=value`, or, for a list, each entry on an indented line of its own."""
    if isinstance(value, list | tuple):
        return "".join(f"\n    {entry}" for entry in value)
    return f"  {dim}{name}={end}{value}"
