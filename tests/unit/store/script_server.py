"""A stand-in for the counters' server: what its scripts do, done in plain Python over a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gatewright.core.cells import CELLS
from gatewright.core.counting import SLICES, Kind
from gatewright.store.redis_link import Call
from gatewright.store.redis_scripts import BOOK, RAISE, SEED, SETTLED, TAKE, USED


class ScriptServer:
    """The numbers, and the scripts' arithmetic over them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.cells: dict[str, dict[int, int]] = {}
        self.settled: dict[str, int] = {}
        self.batches: dict[str, tuple[int, bytes]] = {}
        self.generation = ""
        self.raised: dict[str, str] = {}

    def run(self, call: Call) -> bytes:
        now_us = int(self._now() * 1e6)
        arguments = list(call.arguments)
        assert arguments.pop(0) == ""
        match call.script.digest:
            case TAKE.digest:
                return self._take(now_us, call.keys, arguments)
            case BOOK.digest:
                return self._book(now_us, call.keys, arguments)
            case USED.digest:
                totals = [
                    self.total(key, int(arguments[2 * i]), float(arguments[2 * i + 1]))
                    for i, key in enumerate(call.keys)
                ]
                return _render(now_us, *totals)
            case SETTLED.digest:
                return _render(*[self.settled.get(key, 0) for key in call.keys])
            case RAISE.digest:
                missing = max(0, int(arguments[1]) - self.settled.get(call.keys[0], 0))
                self.settled[call.keys[0]] = self.settled.get(call.keys[0], 0) + missing
                return _render(missing)
            case SEED.digest:
                self.generation = self.generation or arguments[0]
                if arguments[1] == self.generation:
                    self.raised[call.keys[1]] = self.generation
                return b"" if self.raised.get(call.keys[1]) == self.generation else self.generation.encode()
        raise AssertionError(call.script.digest)

    def total(self, key: str, kind: int, width: float) -> int:
        _, first = self._slices(kind, width)
        live = sum(amount for number, amount in self.cells.get(key, {}).items() if number >= first)
        return live + self.settled.get(key, 0)

    def _slices(self, kind: int, width: float) -> tuple[int, int]:
        present = int(int(self._now() * 1e6) / 1e6 / width)
        return present, present - (SLICES if kind == Kind.SLIDING else CELLS) + 1

    def _take(self, now_us: int, keys: Sequence[str], arguments: Sequence[Any]) -> bytes:
        plans = []
        for i, key in enumerate(keys):
            kind, width, _, limit, is_hard, more, held, mark = arguments[8 * i : 8 * i + 8]
            present, first = self._slices(kind, float(width))
            take, own = more, 0
            if mark >= 0:
                own = min(held, self.cells.get(key, {}).get(mark, 0)) if mark >= first else 0
                take += 0 if kind == Kind.SLIDING else held - own
            total = self.total(key, kind, float(width))
            is_alone = kind == Kind.SLIDING and total == own and own + more > limit > 0
            if is_hard and total + take > limit and (mark < 0 or take > 0) and not is_alone:
                return _render(0, now_us, i, limit - total, -1)
            moved = 0 if kind == Kind.SLIDING else own
            plans.append((key, mark, moved, present, take, limit, kind, float(width)))
        reply = [1, now_us]
        for key, mark, moved, present, take, limit, kind, width in plans:
            self._change(key, mark, -moved)
            self._change(key, present, moved + take)
            reply.append(limit - self.total(key, kind, width))
        return _render(*reply)

    def _book(self, now_us: int, keys: Sequence[str], arguments: Sequence[Any]) -> bytes:
        number, mark_of_server = arguments[:2]
        if keys[0] in self.batches and self.batches[keys[0]][0] >= number:
            return self.batches[keys[0]][1]
        self.generation = self.generation or mark_of_server
        reply = []
        for i, key in enumerate(keys[2:]):
            kind, width, _, limit, is_hard, mark, give, add, settled, want = arguments[2 + 10 * i : 12 + 10 * i]
            present, first = self._slices(kind, float(width))
            mark = present if mark < 0 else mark
            if mark >= first:
                self._change(key, mark, max(add - give, -self.cells.get(key, {}).get(mark, 0)))
            self.settled[key] = self.settled.get(key, 0) + settled
            if want > 0:
                left = limit - self.total(key, kind, float(width))
                want = max(0, min(want, left // 4)) if is_hard else want
                self._change(key, present, want)
                reply += [want, limit - self.total(key, kind, float(width))]
        answer = f"{self.generation} ".encode() + _render(now_us, *reply)
        self.batches[keys[0]] = number, answer
        return answer

    def _change(self, key: str, slice_: int, amount: int) -> None:
        cells = self.cells.setdefault(key, {})
        cells[slice_] = cells.get(slice_, 0) + amount
        assert cells[slice_] >= 0


class ScriptLink:
    """A link to it (`redis_link.Link`). It answers at once, or when told, or not at all."""

    def __init__(self, server: ScriptServer, now: Callable[[], float]) -> None:
        self.server = server
        self.is_up = True
        self.is_slow = False
        """Whether calls wait in `waiting`: executed by `deliver`, failed by `fail`."""
        self.waiting: list[Call] = []
        self.calls: list[Call] = []
        self._now = now

    def call(self, call: Call) -> None:
        self.calls.append(call)
        call.sent_at = self._now()
        if not self.is_up:
            call.fail()
        elif self.is_slow:
            self.waiting.append(call)
        else:
            call.reply(self.server.run(call))

    def deliver(self) -> None:
        """Execute and answer what waits, in time or late."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call.reply(self.server.run(call))

    def lose_answers(self) -> None:
        """Execute what waits, and lose the answers with the connection."""
        waiting, self.waiting = self.waiting, []
        self.is_up = False
        for call in waiting:
            self.server.run(call)
            call.fail()


def _render(*numbers: int) -> bytes:
    return " ".join(map(str, numbers)).encode()
