"""Tasks are kept until they end, and only unexpected failures are reported."""

from __future__ import annotations

import asyncio

from wires import rounds, run

from gatewright.net.tasks import TaskGroup


def test_keeps_tasks_to_their_end_and_reports_what_nobody_expected() -> None:
    async def body() -> None:
        reports: list[tuple[str, str]] = []
        group = TaskGroup(
            asyncio.get_running_loop(),
            lambda name, error: reports.append((name, str(error))),
            lambda error: isinstance(error, KeyError),
        )

        async def fail(error: Exception) -> None:
            raise error

        async def wait() -> None:
            await asyncio.Event().wait()

        group.spawn(fail(ValueError("odd")), "one")
        group.spawn(fail(KeyError("usual")), "two")
        waiting = group.spawn(wait(), "three")
        assert len(group) == 3
        await rounds()
        assert len(group) == 1
        assert reports == [("one", "odd")]
        group.cancel_all()
        await rounds()
        assert waiting.cancelled()
        assert len(group) == 0
        assert len(reports) == 1

    run(body)
