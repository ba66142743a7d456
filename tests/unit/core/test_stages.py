"""A stage gives way once, and needs nothing of whoever drives the coroutine."""

from __future__ import annotations

from gatewright.core.stages import STAGE


def test_gives_way_once_and_can_be_awaited_again() -> None:
    log: list[str] = []

    async def work() -> None:
        for part in ("first", "second"):
            log.append(part)
            await STAGE
        log.append("last")

    steps = work().__await__()
    assert next(steps) is None
    assert log == ["first"]
    assert next(steps) is None
    assert list(steps) == []
    assert log == ["first", "second", "last"]
