"""The access log on standard output: JSON lines as the workers made them, or one coloured line each for people.

Writing happens in a thread of its own, because a slow reader (a full pipe, a stopped terminal) must stop neither the
metrics nor the health checks. What it cannot take in time is thrown away and counted, never kept without bound.
Standard output is shared with other processes, so it is not made non-blocking; one that is already so is waited for.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections import deque
from typing import Final, Literal

import msgspec

from gatewright.telemetry.access_line import AccessLine

Mode = Literal["auto", "json", "text", "off"]

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Lines that wait for their reader; some ten thousand."""
_decoder: Final = msgspec.json.Decoder(AccessLine)

_BOLD, _DIM, _END = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_GREEN, _YELLOW, _RED = "\x1b[32m", "\x1b[33m", "\x1b[31m"


class AccessLog:
    """Prints lines on a file descriptor. `mode` may be changed at any time."""

    def __init__(self, fd: int, *, is_terminal: bool) -> None:
        self.mode: Mode = "auto"
        self._fd = fd
        self._is_terminal = is_terminal
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._waiting_bytes = 0
        self._lost_lines = 0
        self._is_broken = False
        self._is_ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    @property
    def lost_lines(self) -> int:
        """Lines thrown away so far because they were not taken."""
        return self._lost_lines

    def add(self, lines: bytes) -> None:
        """Print some lines, each JSON with its newline; returns at once."""
        mode = self.mode if self.mode != "auto" else "text" if self._is_terminal else "json"
        if mode == "off" or not lines:
            return
        data = lines if mode == "json" else render_lines(lines, coloured=self._is_terminal)
        count = lines.count(b"\n")
        with self._changed:
            if self._is_broken or self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
                self._lost_lines += count
                return
            self._waiting.append((data, count))
            self._waiting_bytes += len(data)
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Finish writing, for as long as that may take."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_ending:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch, self._waiting = self._waiting, deque()
            done = self._write(b"".join(data for data, _ in batch))
            with self._changed:
                self._waiting_bytes -= sum(len(data) for data, _ in batch)
                if not done:
                    self._is_broken = True
                    self._lost_lines += sum(count for _, count in (*batch, *self._waiting))
                    return

    def _write(self, data: bytes) -> bool:
        """Write all of it; False when nobody will ever read it."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    return True  # a full disk may have room again; these lines are gone
                return False
        return True


def render_lines(lines: bytes, *, coloured: bool) -> bytes:
    """JSON lines as lines for people. One that is not an access line is passed on as it is."""
    return b"".join(_render(line, coloured) for line in lines.splitlines())


def _render(line: bytes, coloured: bool) -> bytes:
    try:
        access = _decoder.decode(line)
    except msgspec.MsgspecError:
        return line + b"\n"
    return (render_text(access, coloured=coloured) + "\n").encode()


def render_text(line: AccessLine, *, coloured: bool) -> str:
    """One exchange for people: when, status, what was asked of whom, how long, how much, and what went wrong."""
    bold, dim, end = (_BOLD, _DIM, _END) if coloured else ("", "", "")
    colour = "" if not coloured else _GREEN if line.status < 400 else _YELLOW if line.status < 500 else _RED
    parts = [f"{dim}{line.time[11:19]}{end} {colour}{line.status}{end} {bold}{line.surface or '-'}{end}"]
    if line.model:
        parts.append(_shown(line.model))
    if line.provider:
        parts.append(f"{dim}→{end} {_shown(line.provider)}/{_shown(line.upstream_model)}")
    if line.stream:
        parts.append("stream")
    if line.attempts > 1:
        parts.append(f"{line.attempts} attempts")
    parts.append(_duration(line.total_ms) + f" {dim}(gateway {_duration(line.gateway_ms)}){end}")
    if line.input_tokens is not None or line.output_tokens is not None:
        parts.append(f"{line.input_tokens or 0}+{line.output_tokens or 0} tokens")
    if line.consumer:
        parts.append(_shown(line.consumer))
    parts.append(f"{dim}{_shown(line.id)}{end}")
    if line.kind:
        parts.append(f"{colour}{line.kind}{end}: {_shown(line.message)}")
    return " ".join(parts)


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"


def _shown(text: str) -> str:
    """Text that may hold what a client sent: nothing in it may steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)
