"""Many clients of one gateway at once, from a thread of their own: open streams, and requests one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
DEADLINE_S = 60.0


class Stream:
    """One streamed answer: who gave it, and whether it came to its end."""

    def __init__(self, worker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.worker = worker
        self.is_complete = False
        self._reader, self._writer = reader, writer

    async def read_to_the_end(self) -> None:
        try:
            self.is_complete = b"data: [DONE]" in await self._reader.readuntil(b"\r\n0\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            self.is_complete = False
        finally:
            self._writer.close()


class Crowd:
    """The clients; use as a context manager. Half of the steady ones keep their connection, half take new ones."""

    def __init__(self, address: tuple[str, int], model: str) -> None:
        self._address, self._model = address, model
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._steady: list[asyncio.Task[None]] = []
        self._is_over = False
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.calm_down()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def open_streams(self, count: int) -> list[Stream]:
        """Streams that have begun."""

        async def run() -> list[Stream]:
            return await asyncio.gather(*(self._open_stream() for _ in range(count)))

        return self._wait(run())

    def finish(self, streams: list[Stream]) -> None:
        """Read all of them to their end, or their break."""

        async def run() -> None:
            await asyncio.gather(*(stream.read_to_the_end() for stream in streams))

        self._wait(run())

    def ask_on(self, clients: int) -> None:
        """Let so many clients ask and ask until `calm_down`."""

        async def run() -> None:
            self._steady = [asyncio.ensure_future(self._ask_on(index % 2 == 0)) for index in range(clients)]

        self._wait(run())

    def calm_down(self) -> None:
        """Let the steady clients finish the request they are on."""

        async def run() -> None:
            self._is_over = True
            await asyncio.gather(*self._steady)

        self._wait(run())

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(DEADLINE_S)

    async def _open_stream(self) -> Stream:
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(self._render(stream=True))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readuntil(b"data: ")
        return Stream(read_worker(head), reader, writer)

    async def _ask_on(self, keep: bool) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._is_over:
            try:
                if connection is None:
                    connection = await asyncio.open_connection(*self._address)
                can_go_on = await self._ask(*connection)
                self.answered += 1
            except (OSError, asyncio.IncompleteReadError, AssertionError) as error:
                self.failures.append(f"{'kept' if keep else 'new'} connection: {error!r}")
                can_go_on = False
            if connection is not None and not (keep and can_go_on):
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection can be used for another."""
        writer.write(self._render(stream=False))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        assert head.startswith(b"http/1.1 200 "), (head, body)
        return b"connection: close" not in head

    def _render(self, stream: bool) -> bytes:
        message = {"role": "user", "content": "hello"}
        body = msgspec.json.encode({"model": self._model, "stream": stream, "messages": [message]})
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: application/json\r\ncontent-length: %d"
        )
        return (head % (*self._address, len(body))).encode() + b"\r\n\r\n" + body


def read_worker(head: bytes) -> str:
    """Which worker process answered: request ids begin with a mark of its own."""
    return head.lower().partition(b"x-request-id: ")[2].split(b"\r\n")[0].decode()[:16]
