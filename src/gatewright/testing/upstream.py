"""A provider made of a script: a real TCP (or TLS) server that does on each connection exactly what a test says.

It runs its own event loop in a thread, so synchronous and asynchronous tests use it alike and a blocked test cannot
block it. Every request is recorded byte for byte; every connection keeps count of what the kernel took and of the
moment the peer left, which is what tests of back-pressure and cancellation look at.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

from gatewright.testing import answers
from gatewright.testing.connection import Connection, Script
from gatewright.testing.received import Received
from gatewright.testing.steps import Step

_HANDSHAKE_S: Final = 0.2
"""How long a handshake that is under way may hold up a stop."""
_ACCEPTS: Final = 100
"""Connections accepted in one turn, so that a busy upstream does not let its backlog overflow."""


class ScriptedUpstream:
    """A server on a loopback port; use it as a context manager.

    For each request the first of these that applies is played: a script given to `next`, then what was given to
    `always`, which at first is a healthy OpenAI-compatible provider. `greet` scripts are played before any
    request is read. After a script that does not close, the connection is kept for the next request.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, send_buffer: int = 0
    ) -> None:
        self.host, self.port = host, port
        self._tls = tls
        self._send_buffer = send_buffer
        self._changed = threading.Condition()
        self._next: deque[Script] = deque()
        self._greetings: deque[Script] = deque()
        self._always: Callable[[Received], Script] = answers.as_openai
        self._requests: list[Received] = []
        self._connections: list[Connection] = []
        self._accepted = 0
        self._errors: list[str] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None

    # What it does.

    def next(self, *steps: Step) -> None:
        """Play these steps for the next request that has no script yet."""
        with self._changed:
            self._next.append(steps)

    def always(self, answer: Callable[[Received], Script] | Script) -> None:
        """From now on answer every request without a script of its own like this."""
        self._always = answer if callable(answer) else lambda _request: answer

    def greet(self, *steps: Step) -> None:
        """Play these steps on the next new connection, before reading from it."""
        with self._changed:
            self._greetings.append(steps)

    def reset(self) -> None:
        """Forget all scripts and everything recorded (open connections stay), and be a healthy provider again."""
        with self._changed:
            self._next.clear()
            self._greetings.clear()
            self._requests.clear()
            self._errors.clear()
            self._connections = [connection for connection in self._connections if connection.is_open]
            self._always = answers.as_openai

    # What it saw.

    @property
    def url(self) -> str:
        """The base URL to configure as a provider's `url`."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}/v1"

    @property
    def requests(self) -> list[Received]:
        """Every complete request so far, in order."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> list[Connection]:
        """Every connection so far, in order of acceptance."""
        with self._changed:
            return list(self._connections)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return sum(connection.is_open for connection in self.connections)

    @property
    def errors(self) -> list[str]:
        """What the peers did wrong: bytes that are not HTTP, or TLS handshakes that failed."""
        with self._changed:
            return list(self._errors)

    def wait_for(self, predicate: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Block until the predicate, tried after each thing that happens here, holds. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not predicate():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    seen = f"{len(self._requests)} requests on {len(self._connections)} connections"
                    raise TimeoutError(f"not within {timeout_s} s; the upstream saw {seen}")
                # Byte counts change without a notification, hence the short waits.
                self._changed.wait(min(left_s, 0.01))

    # Running.

    def start(self) -> None:
        """Listen, and return when connections are accepted. Raises OSError when the port cannot be had."""
        listening: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="scripted-upstream", daemon=True)
        self._thread.start()
        self._loop = listening.result()

    def stop(self) -> None:
        """Stop listening and reset every open connection; the port then refuses. May be started again."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, listening: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._serve(listening))
        except OSError as failure:
            listening.set_exception(failure)

    async def _serve(self, listening: Future[asyncio.AbstractEventLoop]) -> None:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        with socket.create_server((self.host, self.port), backlog=4096) as listener:
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            # Accepted by hand, since asyncio's own server loses connections that it accepts while it is being closed.
            loop.add_reader(listener, self._accept, listener)
            listening.set_result(loop)
            await self._stopping.wait()
            loop.remove_reader(listener)
        if self._opening:
            _, handshaking = await asyncio.wait(self._opening, timeout=_HANDSHAKE_S)
            for task in handshaking:
                task.cancel()
            await asyncio.gather(*handshaking, return_exceptions=True)
        for connection in self.connections:
            if connection.is_open:
                await connection.abandon()

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTS):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            task = loop.create_task(self._open(accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        accepted.setblocking(False)
        try:
            await loop.connect_accepted_socket(lambda: Connection(self), accepted, ssl=self._tls)
        except OSError as failure:
            self.on_change(f"a TLS handshake failed: {failure}")

    # What connections call, on the loop's thread.

    def on_connected(self, connection: Connection) -> tuple[int, Script]:
        """Take note of a new connection; give its number and what to play before reading."""
        if self._send_buffer:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        with self._changed:
            self._accepted += 1
            self._connections.append(connection)
            self._changed.notify_all()
            return self._accepted, self._greetings.popleft() if self._greetings else ()

    def on_request(self, request: Received) -> Script:
        """Take note of a complete request; give what to play for it."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            if self._next:
                return self._next.popleft()
        return self._always(request)

    def on_change(self, error: str | None = None) -> None:
        """Wake who waits; an error is kept for the test to see."""
        with self._changed:
            if error:
                self._errors.append(error)
            self._changed.notify_all()
