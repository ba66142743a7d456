"""A paced SSE upstream: OpenAI chat chunks, one write each, at a fixed interval, for thousands of streams at once.

`POST …/chat/completions` starts a stream when the body asks for one. `GET /bench/pace?chunks=N&interval_ms=M` sets how
long and how fast the streams that start afterwards are. The first chunk (the role) is written at once; the others
follow on a schedule that does not drift, each stream at a phase of its own, as real models are not in step.
Run: `python sse_upstream.py PORT`.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from urllib.parse import parse_qs, urlsplit

import uvloop

IDENTITY = b'"id":"chatcmpl-bench0000000000000000000","object":"chat.completion.chunk","created":1754000000'
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
STREAM = re.compile(rb'"stream"\s*:\s*true')
USAGE = re.compile(rb'"include_usage"\s*:\s*true')
MODEL = re.compile(rb'"model"\s*:\s*"([^"]*)"')
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


class Pace:
    """How the streams that start from now on behave."""

    chunks = 100
    interval_s = 0.02


def _framed(data: bytes) -> bytes:
    """One SSE event as one HTTP chunk."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _chunk(model: bytes, choice: bytes, usage: bytes = b"") -> bytes:
    choices = b"[" + choice + b"]"
    return _framed(b"{" + IDENTITY + b',"model":"' + model + b'","choices":' + choices + usage + b"}")


def _delta(delta: bytes, finish: bytes = b"null") -> bytes:
    return b'{"index":0,"delta":' + delta + b',"logprobs":null,"finish_reason":' + finish + b"}"


class Connection(asyncio.Protocol):
    """One upstream connection; requests on it are served one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = LENGTH.search(head)
        if length is not None:
            total = end + 4 + int(length[1])
        elif b"chunked" in head.lower():
            last = self._buffer.find(END, end)
            total = last + len(END) if last > 0 else sys.maxsize
        else:
            total = end + 4
        if len(self._buffer) >= total:
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        target = head.split(b" ", 2)[1].decode()
        if target.startswith("/bench/pace"):
            query = parse_qs(urlsplit(target).query)
            Pace.chunks, Pace.interval_s = int(query["chunks"][0]), int(query["interval_ms"][0]) / 1000
        if STREAM.search(body) is None:
            text = b'{"status":"ok","object":"list","data":[{"id":"bench-model","object":"model"}]}'
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
            )
            return
        named = MODEL.search(body)
        model = named[1] if named is not None else b"bench-model"
        self._piece = _chunk(model, _delta(b'{"content":" seven"}'))
        self._last = _chunk(model, _delta(b"{}", b'"stop"'))
        if USAGE.search(body) is not None:
            usage = b',"usage":{"prompt_tokens":180,"completion_tokens":%d,"total_tokens":%d}'
            self._last += _chunk(model, b"", usage % (Pace.chunks, 180 + Pace.chunks))
        self._last += _framed(b"[DONE]") + END
        self._left, self._interval = Pace.chunks - 2, Pace.interval_s
        self._transport.write(HEAD + _chunk(model, _delta(b'{"role":"assistant","content":""}')))
        self._due = self._loop.time() + random.random() * self._interval
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        if self._left <= 0:
            self._timer = None
            self._transport.write(self._last)
            return
        self._left -= 1
        self._transport.write(self._piece)
        self._due += self._interval
        self._timer = self._loop.call_at(self._due, self._tick)


async def serve(port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
