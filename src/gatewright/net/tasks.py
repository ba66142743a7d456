"""The one way to start a task: it is referenced until it ends, and a failure nobody awaited is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Report = Callable[[str, BaseException], None]
"""`(task name, error)`: called for a task that ended with an error that is not of the expected kinds."""


class TaskGroup:
    """Tasks that belong to one owner. Not a nursery: tasks end on their own; `cancel_all` is for the owner's end."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, report: Report, is_expected: Callable[[BaseException], bool]
    ) -> None:
        self._loop = loop
        self._is_expected = is_expected
        self._report = report
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `coroutine` as a task."""
        task = self._loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    def cancel_all(self) -> None:
        """Ask every task to stop."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._is_expected(error):
            self._report(task.get_name(), error)
