"""How an exchange's coroutine is run: like a task, but begun at once and without a task's price.

Creating an `asyncio.Task` costs as much as parsing the request it is for, and its first step waits for the next round
of the loop. A `Turn` takes the first step in the callback that completed the request, and later ones when the future
it waits for is done. What it lacks is `asyncio.current_task()`: code that needs one (`asyncio.timeout`, most client
libraries) is awaited as a task of its own, through `TaskGroup.spawn`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_OVER: Final = object()


class Turn:
    """One run of a coroutine that handles its own errors. `start` it once; `cancel` it as one would a task."""

    __slots__ = ("_cancelled", "_coroutine", "_future", "_loop", "_steps")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        # `next` ends without raising StopIteration, which costs as much as the whole of a step.
        self._steps = iter(coroutine.__await__())
        self._future: asyncio.Future[Any] | None = None
        self._cancelled = False

    def start(self) -> None:
        """Run up to the first wait."""
        self._step()

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        # A future that is done already cannot be cancelled any more; then the next step raises.
        if self._future is None or not self._future.cancel():
            self._cancelled = True

    def _step(self, done: object = None) -> None:
        self._future = None
        try:
            if self._cancelled:
                self._cancelled = False
                future = self._coroutine.throw(asyncio.CancelledError())
            else:
                future = next(self._steps, _OVER)
        except (StopIteration, asyncio.CancelledError):
            return
        if future is _OVER:
            return
        if future is None:  # `asyncio.sleep(0)`: a plain wish to let others go first
            self._loop.call_soon(self._step)
            return
        # The protocol between `Future.__await__` and whoever drives it (see asyncio.Task.__step).
        future._asyncio_future_blocking = False
        self._future = future
        future.add_done_callback(self._step)
        if self._cancelled and future.cancel():
            self._cancelled = False
