"""One connection of a scripted upstream: reads requests, plays scripts, keeps count."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol, assert_never

import msgspec

from gatewright.testing.received import Received, RequestReader
from gatewright.testing.steps import Close, Deaf, HalfClose, Pause, Repeat, Reset, Send, Stall, Step

Script = Sequence[Step]

_PIECE_BYTES: Final = 65_536
_POLL_S: Final = 0.005
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Director(Protocol):
    """Who tells a connection what to play."""

    def on_connected(self, connection: Connection) -> tuple[int, Script]:
        """A connection was accepted; give its number and what to play before reading from it."""

    def on_request(self, request: Received) -> Script:
        """A request is complete; give what to play for it."""

    def on_change(self, error: str | None = None) -> None:
        """Something else happened; `error` when the peer or a script was wrong."""


class _PeerLeft(Exception):
    """The script cannot go on: nobody is there."""


class Connection(asyncio.Protocol):
    """One accepted connection, playing scripts. Tests read its attributes; only the upstream calls its methods."""

    def __init__(self, director: Director) -> None:
        self._director = director
        self._reader = RequestReader()
        self._inbox: asyncio.Queue[Received | None] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._left = asyncio.Event()
        self._lost = asyncio.Event()
        self.number = 0
        """Its place in the order of acceptance, from 1."""
        self.sent_bytes = 0
        """How many bytes of answers the kernel has taken; it stands still while the peer does not read."""
        self.requests = 0
        """How many complete requests came on it."""
        self.left_s: float | None = None
        """When the peer closed or reset it, on the monotonic clock."""
        self.is_open = True

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.socket: socket.socket = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(0)
        self.number, greeting = self._director.on_connected(self)
        self._task = asyncio.get_running_loop().create_task(self._play(greeting))

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._reader.feed(data):
                self.requests += 1
                self._inbox.put_nowait(msgspec.structs.replace(request, connection=self.number, at_s=time.monotonic()))
        except ValueError as wrong:
            self._director.on_change(f"connection {self.number}: {wrong}")
            self._transport.abort()

    def eof_received(self) -> bool:
        self._mark_left()
        # Stay open for writing, as a server that missed the close would; TLS has no half-closed state.
        return self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._mark_left()
        self._may_write.set()
        # The socket itself is closed behind this call; who sees `is_open` false may rely on that.
        asyncio.get_running_loop().call_soon(self._mark_closed)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _mark_closed(self) -> None:
        self.is_open = False
        self._lost.set()
        self._director.on_change()

    def _mark_left(self) -> None:
        if self.left_s is None:
            self.left_s = time.monotonic()
            self._inbox.put_nowait(None)
        self._left.set()

    # The script.

    async def abandon(self) -> None:
        """Stop playing and reset the connection."""
        self._task.cancel()
        self._reset()
        await asyncio.wait([self._task])
        await self._lost.wait()

    async def _play(self, greeting: Script) -> None:
        try:
            await self._steps(greeting)
            while True:
                request = await self._inbox.get()
                if request is None:
                    raise _PeerLeft
                await self._steps(self._director.on_request(request))
        except _PeerLeft:
            self._transport.close()
        except Exception as failure:  # noqa: BLE001 - a wrong script must show in the test, not in the loop's log
            self._director.on_change(f"connection {self.number}: the script failed: {failure!r}")
            self._transport.abort()

    async def _steps(self, script: Script) -> None:
        for step in script:
            await self._step(step)

    async def _step(self, step: Step) -> None:
        match step:
            case Send():
                await self._write(step.data)
            case Repeat():
                times = step.times
                while times is None or times > 0:
                    await self._write(step.data)
                    times = None if times is None else times - 1
            case Pause():
                await self._pause(step.until)
            case Stall():
                await self._left.wait()
                raise _PeerLeft
            case Deaf():
                self._transport.pause_reading()
            case HalfClose():
                self.socket.shutdown(socket.SHUT_WR)
            case Close():
                self._transport.close()
                raise _PeerLeft
            case Reset():
                self._reset()
                raise _PeerLeft
            case _:
                assert_never(step)

    async def _write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            if self._transport.is_closing():
                raise _PeerLeft
            piece = data[start : start + _PIECE_BYTES]
            self._transport.write(piece)
            await self._may_write.wait()
            if self._transport.is_closing():
                raise _PeerLeft
            self.sent_bytes += len(piece)

    async def _pause(self, until: float | threading.Event) -> None:
        if isinstance(until, threading.Event):
            while not until.is_set():
                await self._nap(_POLL_S)
        else:
            await self._nap(until)

    async def _nap(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._left.wait(), seconds)
        except TimeoutError:
            return
        raise _PeerLeft

    def _reset(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._transport.abort()
