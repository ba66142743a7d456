"""Writes wait for the end of the round, keep their order, and leave at once when asked to."""

from __future__ import annotations

import asyncio

from gatewright.net.outbox import Outbox


class Transport(asyncio.Transport):
    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        super().__init__()
        self._log, self._name = log, name
        self._is_closed = False

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closed:
            raise RuntimeError("the handler is closed")
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


def test_a_large_write_leaves_at_once_behind_what_waits() -> None:
    async def run() -> list[tuple[str, bytes]]:
        log: list[tuple[str, bytes]] = []
        outbox = Outbox(asyncio.get_running_loop())
        transport = Transport(log, "a")
        outbox.send(transport, b"1")
        outbox.send(transport, b"2" * 20_000)
        assert [data[:1] for _, data in log] == [b"1", b"2"]
        await asyncio.sleep(0)
        return log

    assert len(asyncio.run(run())) == 2


def test_a_closed_transport_does_not_hurt_the_others() -> None:
    async def run() -> list[tuple[str, bytes]]:
        log: list[tuple[str, bytes]] = []
        outbox = Outbox(asyncio.get_running_loop())
        gone, there = Transport(log, "gone"), Transport(log, "there")
        outbox.send(gone, b"1")
        outbox.send(there, b"2")
        gone.close()
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run()) == [("there", b"2")]
