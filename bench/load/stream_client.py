"""A reader of many SSE streams at once, one connection each.

`drain` reads every stream to its last event and reports how many chunks came. `hold` opens the streams, says so in one
line when each has its first chunk (or the time is over), keeps them open until its standard input ends, and exits.
Run: `python stream_client.py PORT REQUEST_FILE drain|hold STREAMS LIMIT_S`; each report is one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

MARK = b"data: {"
DONE = (b"[DONE]", b'"message_stop"')
OPENING = 128


class Tally:
    """What all streams together have seen."""

    def __init__(self) -> None:
        self.opened = self.finished = self.chunks = self.failures = 0
        self.first_s: list[float] = []
        self.problem = ""


class Stream(asyncio.Protocol):
    """One stream: sends the request, counts events, resolves `opened` at the first and `ended` at the last."""

    def __init__(self, request: bytes, tally: Tally, loop: asyncio.AbstractEventLoop) -> None:
        self._request, self._tally = request, tally
        self._tail = b""
        self._accepted = False
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._started = time.monotonic()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._accepted:
            self._accepted = data.startswith(b"HTTP/1.1 200")
            if not self._accepted:
                self._tally.problem = data[:300].decode(errors="replace")
                self._transport.close()
                return
        text = self._tail + data
        # A mark may be split between two reads; what is kept is one byte shorter than a mark, so none counts twice.
        self._tail = text[1 - len(MARK) :]
        events = text.count(MARK)
        self._tally.chunks += events
        if events and not self.opened.done():
            self._tally.opened += 1
            self._tally.first_s.append(time.monotonic() - self._started)
            self.opened.set_result(None)
        if any(done in text for done in DONE) and not self.ended.done():
            self._tally.finished += 1
            self.ended.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._tally.failures += 1
            self.ended.set_result(None)
        if not self.opened.done():
            self.opened.set_result(None)


async def _open_all(port: int, request: bytes, streams: int, tally: Tally, deadline: float) -> list[Stream]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(OPENING)
    opened: list[Stream] = []

    async def one() -> None:
        async with gate:
            if loop.time() >= deadline:
                return
            _, stream = await loop.create_connection(lambda: Stream(request, tally, loop), "127.0.0.1", port)
            opened.append(stream)
            await stream.opened

    tasks = [loop.create_task(one()) for _ in range(streams)]
    _, late = await asyncio.wait(tasks, timeout=max(0.1, deadline - loop.time()))
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return opened


def _report(tally: Tally, started: float) -> None:
    first = sorted(tally.first_s)
    line = {
        "opened": tally.opened,
        "finished": tally.finished,
        "chunks": tally.chunks,
        "failures": tally.failures,
        "seconds": round(time.monotonic() - started, 3),
        "first_p50_ms": round(first[len(first) // 2] * 1000, 3) if first else -1.0,
        "problem": tally.problem,
    }
    print(json.dumps(line), flush=True)


async def run(port: int, request: bytes, mode: str, streams: int, limit_s: float) -> None:
    """Open the streams and drain or hold them."""
    loop = asyncio.get_running_loop()
    tally, started = Tally(), time.monotonic()
    deadline = loop.time() + limit_s
    opened = await _open_all(port, request, streams, tally, deadline)
    if mode == "hold":
        _report(tally, started)
        await loop.run_in_executor(None, sys.stdin.buffer.read)
        return
    if opened:
        await asyncio.wait([stream.ended for stream in opened], timeout=max(0.1, deadline - loop.time()))
    _report(tally, started)


if __name__ == "__main__":
    port, path, mode, streams, limit_s = sys.argv[1:6]
    uvloop.run(run(int(port), Path(path).read_bytes(), mode, int(streams), float(limit_s)))
