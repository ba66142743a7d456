"""Writes wait for the end of the round, keep their order, and leave at once when asked to."""

from __future__ import annotations

import asyncio

from gatewright.net.outbox import Outbox


class Transport(asyncio.Transport):
    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        super().__init__()
        self._log, self._name = log, name

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._log.append((self._name, bytes(data)))


def test_writes_of_a_round_leave_together_in_order() -> None:
    async def run() -> list[tuple[str, bytes]]:
        log: list[tuple[str, bytes]] = []
        outbox = Outbox(asyncio.get_running_loop())
        a, b = Transport(log, "a"), Transport(log, "b")
        outbox.send(a, b"1")
        outbox.send(b, b"2")
        outbox.send(a, b"3")
        assert log == []
        await asyncio.sleep(0)
        outbox.send(b, b"4")
        assert log == [("a", b"1"), ("b", b"2"), ("a", b"3")]
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run())[-1] == ("b", b"4")


def test_flush_leaves_nothing_for_later() -> None:
    async def run() -> list[tuple[str, bytes]]:
        log: list[tuple[str, bytes]] = []
        outbox = Outbox(asyncio.get_running_loop())
        outbox.send(Transport(log, "a"), b"1")
        outbox.flush()
        outbox.flush()
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run()) == [("a", b"1")]
