"""Fakes of what `net` stands on: a loop whose time a test moves, and a transport that keeps what is written."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from gatewright.net.deadlines import Deadlines
from gatewright.testing.clock import FakeClock


class FakeLoop:
    """Time, timers and callbacks of a loop, all run by hand."""

    def __init__(self) -> None:
        self.time = FakeClock()
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.soon: list[Callable[[], None]] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeLoop:
        self.timers.append((self.time() + seconds, callback))
        return self

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        self.soon.append(lambda: callback(*arguments))

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        self.timers.clear()

    def advance(self, seconds: float) -> None:
        """Move the time on and call every timer that is due."""
        now = self.time.advance(seconds)
        due = [callback for at, callback in self.timers if at <= now]
        self.timers = [timer for timer in self.timers if timer[0] > now]
        for callback in due:
            callback()

    def settle(self) -> None:
        """Run what was to be called soon, and what that brings."""
        while self.soon:
            self.soon.pop(0)()


def ticking() -> tuple[FakeLoop, Deadlines]:
    """A fake loop with its clock started."""
    loop = FakeLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    deadlines.start()
    return loop, deadlines


class FakeSocket:
    """Tells of TCP what a test says; without `progress` it is one whose platform tells nothing."""

    def __init__(self) -> None:
        self.progress: tuple[int, int, int] | None = None
        """Bytes acknowledged, bytes sent, and how many of these were repeated."""

    def fileno(self) -> int:
        return -1

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        if self.progress is None:
            raise OSError("no such option")
        acked_bytes, *sent = self.progress
        return (struct.pack("<120xQ72xQQ", acked_bytes, *sent))[:size]


class FakeTransport:
    """Keeps what is written; `protocol` hears of its end when the loop goes on, as with a real one."""

    def __init__(self, protocol: Any = None, *, tls: bool = False) -> None:
        self.protocol = protocol
        self.socket = FakeSocket()
        self._extra = {"socket": self.socket, "sslcontext": object() if tls else None, "peername": ("192.0.2.7", 4711)}
        self.written = b""
        self.reading = True
        self.closing = False
        self.aborted = False
        self.ended = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        assert not self.closing, "a write to a closed transport"
        self.written += data

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self.written = self.written, b""
        return written

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Any:
        return self._extra[name]

    def close(self) -> None:
        self._lose()

    def abort(self) -> None:
        self.aborted = True
        self._lose()

    def _lose(self) -> None:
        if not self.closing:
            self.closing = True
            if self.protocol is not None:
                asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


async def rounds(count: int = 8) -> None:
    """Let the loop go round a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(body: Callable[[], Awaitable[None]]) -> None:
    """Run one test's coroutine; what its callbacks raise fails it, as nothing else would notice."""

    async def watched() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        await body()
        await rounds()
        assert not faults, faults

    asyncio.run(watched())
