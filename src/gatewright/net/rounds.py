"""A round of the event loop: everything is read, then handled, exchanges go on in stages, and what they write leaves.

Theory of operation. An exchange runs through two hundred kilobytes of code, of the gateway and of the interpreter, and
every read and write through more of the kernel, while a core's first cache holds 32. Were each request taken from its
bytes to the upstream's before the next one is looked at, each would fetch all that code anew (ADR 0012). So a callback
of the loop only leaves its bytes here. When all have been called, all bytes are taken apart, which puts turns in line.
Those go on, each up to its next `core.stages.STAGE`, and from there once all others have come as far, and so on: what
came together shares the code of each stage. At last all writes follow each other: a write to an idle peer wakes it,
which costs more than the write, on a virtual machine several times more; the others find it at work. An exchange that
is alone goes through all of this in one callback and waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

_LARGE_BYTES: Final = 16_384
"""A read or write beyond this is handled at once: it costs more than what can be shared, and whoever is to be paused
must be so before the next piece is read."""
_MAX_STAGES: Final = 16
"""After this many the loop gets its turn: nobody who only waits for others can keep it from those."""
_OVER: Final = object()


class Receiver:
    """A connection, as a round sees it."""

    __slots__ = ("_transport", "unread")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.unread = 0
        """How many reads wait for the end of the round."""

    def receive(self, data: bytes) -> None:
        """Handle bytes of the peer."""
        raise NotImplementedError


class Round:
    """One per worker: bytes of connections, turns in line, and bytes for transports. Order is kept for each."""

    __slots__ = ("_is_due", "_ready", "_unread", "_unsent", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._is_due = False
        self._unread: list[tuple[Receiver, bytes]] = []
        self._ready: list[Turn] = []
        self._unsent: list[tuple[asyncio.Transport, bytes]] = []

    def take(self, receiver: Receiver, data: bytes) -> None:
        """Have `receiver` handle `data` when this round ends, or at once when it is large."""
        receiver.unread += 1
        self._unread.append((receiver, data))
        self._call_soon()
        if len(data) > _LARGE_BYTES:
            self.read()

    def read(self) -> None:
        """Handle now what was read: before anything else is heard of a connection."""
        unread, self._unread = self._unread, []
        for receiver, data in unread:
            receiver.unread -= 1
            try:
                receiver.receive(data)
            except Exception as error:  # noqa: BLE001 - a fault costs its connection, not the one that is read behind it
                self._drop(receiver, error)

    def _drop(self, receiver: Receiver, error: Exception) -> None:
        """As the loop does with a protocol that raises."""
        self.loop.call_exception_handler({"message": "a connection is dropped for a fault", "exception": error})
        if receiver._transport is not None:
            receiver._transport.abort()

    def put(self, turn: Turn) -> None:
        """Have `turn` go on with the next stage."""
        self._ready.append(turn)
        self._call_soon()

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` when this round ends, or at once when it is large."""
        self._unsent.append((transport, data))
        self._call_soon()
        if len(data) > _LARGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write everything now: before a transport is closed or its write side ended."""
        unsent, self._unsent = self._unsent, []
        for transport, data in unsent:
            # One that was closed meanwhile raises, and would take the writes behind it along.
            if not transport.is_closing():
                transport.write(data)

    def _call_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._end)

    def _end(self) -> None:
        try:
            self.read()
            for _ in range(_MAX_STAGES):
                if not self._ready:
                    break
                self._run_stage()
            self.flush()
        finally:
            self._is_due = False
            if self._ready or self._unsent or self._unread:
                self._call_soon()

    def _run_stage(self) -> None:
        turns, self._ready = self._ready, []
        begun = 0
        try:
            for turn in turns:
                begun += 1
                turn.go_on()
        finally:
            if begun < len(turns):  # one raised, which must not stop the others
                self._ready[:0] = turns[begun:]


class Waiter:
    """A future for one turn, without the price of a callback through the loop. Tasks may await it too."""

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_error", "_is_done", "_result", "_round", "turn")

    def __init__(self, its_round: Round) -> None:
        self._round = its_round
        self._asyncio_future_blocking = False
        self._is_done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callback: Callable[[Any], object] | None = None
        self._context: Any = None
        self.turn: Turn | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._is_done

    def brought(self) -> bool:
        """Whether there is a result."""
        return self._is_done and self._error is None

    def result(self) -> Any:
        """The result. Raises the error, or CancelledError."""
        if self._error is not None:
            raise self._error
        return self._result

    def set_result(self, result: Any) -> None:
        """Let whoever waits go on with `result`."""
        self._result = result
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """Raise `error` where somebody waits."""
        self._error = error
        self._finish()

    def cancel(self, msg: Any = None) -> bool:
        """Raise CancelledError where somebody waits; false when it is too late for that."""
        if self._is_done:
            return False
        self.set_exception(asyncio.CancelledError())
        return True

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """For `asyncio.Task`."""
        return self._round.loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Any = None) -> None:
        """For `asyncio.Task`, which adds one before it is done."""
        self._callback = callback
        self._context = context

    def _finish(self) -> None:
        self._is_done = True
        if self.turn is not None:
            self._round.put(self.turn)
        elif self._callback is not None:
            self._round.loop.call_soon(self._callback, self, context=self._context)


class Turn:
    """One run of a coroutine that handles its own errors: like a task, without a task's price.

    What it lacks is `asyncio.current_task()`: code that needs one (`asyncio.timeout`, most client libraries) is awaited
    as a task of its own, through `TaskGroup.spawn`.
    """

    __slots__ = ("_cancelled", "_coroutine", "_future", "_is_begun", "_round", "_steps")

    def __init__(self, its_round: Round, coroutine: Coroutine[Any, Any, None]) -> None:
        self._round = its_round
        self._coroutine = coroutine
        # Stepped by `for`: it ends without raising StopIteration, which costs as much as the whole of a step.
        self._steps = iter(coroutine.__await__())
        self._future: Any = None
        self._cancelled = False
        self._is_begun = False

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits, or at its first wait."""
        # A future that is done already cannot be cancelled any more; then the next step raises.
        if self._future is None or not self._future.cancel():
            self._cancelled = True

    def go_on(self) -> None:
        """Run up to the next stage, or the next wait."""
        self._future = None
        try:
            future = self._step()
        except (StopIteration, asyncio.CancelledError):
            return
        if future is None:  # a stage, or `asyncio.sleep(0)`: others first
            self._round.put(self)
            return
        if future is _OVER:
            return
        # The protocol between `Future.__await__` and whoever drives it (see asyncio.Task.__step).
        self._future = future
        if isinstance(future, Waiter):
            future._asyncio_future_blocking = False
            future.turn = self
        else:
            future._asyncio_future_blocking = False
            future.add_done_callback(self._on_done)
        if self._cancelled and future.cancel():
            self._cancelled = False

    def _step(self) -> Any:
        if self._cancelled and self._is_begun:
            self._cancelled = False
            return self._coroutine.throw(asyncio.CancelledError())
        self._is_begun = True
        for future in self._steps:
            return future
        return _OVER

    def _on_done(self, done: object) -> None:
        self._round.put(self)
