"""Counters that many machines share, in a Redis or Valkey server (`core.ports.Counters`).

`reserve` and `extend` are one call of one script each, over all allowances together. `settle` returns at once: what it
owes is gathered per counter and sent in batches, one at a time and each with a number, so that a batch whose answer was
lost is sent again without counting twice. A reservation whose answer was lost frees by itself, as one of a process that
died does. With leases (`leases.py`) most reservations need no call.

While the server is away nothing waits for it. What happens is the operator's choice: count in a local adapter up to a
share of each limit, let everything pass, or refuse. When it is back, what was used meanwhile is booked there, and what
is still held locally is reserved there, beyond a limit if need be. A server that comes back without its data says so by
its generation mark; `on_event` tells, and `raise_settled` takes what the ledger knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, TypeVar

from gatewright.config.counters import Counters as Settings
from gatewright.core.cells import LARGEST
from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.errors import Kind as ErrorKind
from gatewright.core.grant import Grant
from gatewright.core.ports import Counters
from gatewright.store.holding import Holding
from gatewright.store.leases import SWEEP_S, Leases
from gatewright.store.redis_events import Event, Happening
from gatewright.store.redis_link import Argument, Call, Link, RedisLink, Spawn
from gatewright.store.redis_owed import PRESENT, Owed, is_gone
from gatewright.store.redis_scripts import (
    BOOK,
    RAISE,
    SEED,
    SETTLED,
    TAKE,
    USED,
    Booked,
    Row,
    Script,
    Shape,
    Shapes,
    Taken,
    parse_booked,
    parse_settled,
    parse_taken,
    parse_used,
    render_book,
    render_clock,
    render_take,
)

_BATCH_S: Final = 0.005
"""How long settled exchanges wait for company."""
_MAX_BATCH: Final = 200
"""Counters in one batch, so that the server is never busy with one for more than a few milliseconds."""
_MAX_OWED: Final = 200_000
"""Counters and slices that may wait to be booked, which is about 100 MB after a long outage."""
_RETRY_AFTER_S: Final = 1.0
_SLIDING: Final = Kind.SLIDING
T = TypeVar("T")


class RedisCounters:
    """The counters of one worker on a server that others share, for one event loop. Open it before the first call.

    `local` answers at once, and counts during outages; `clock` is monotonic and `wall` Unix seconds; `name` is a word
    that is unique among all replicas for ever. `server_clock_us` replaces the server's clock, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        local: Counters,
        spawn: Spawn,
        clock: Callable[[], float],
        wall: Callable[[], float],
        name: str,
        on_event: Callable[[Event], None],
        link: Link | None = None,
        server_clock_us: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._prefix = settings.prefix
        self._local = local
        self._clock = clock
        self._on_event = on_event
        self._server_clock_us = server_clock_us
        self._own_link = RedisLink(settings, spawn, clock, self.change) if link is None else None
        self._link: Link = self._own_link or link  # type: ignore[assignment]  # one of the two is there
        self._owed = Owed(_MAX_OWED)
        self._leases = Leases(settings.lease, self._owed) if settings.lease else None
        self._shape = Shapes(settings.prefix).of
        self._ahead_us = (wall() - clock()) * 1e6
        """What the server's clock is ahead of `clock`, at most; the wall's until the server has answered."""
        self._was_up: bool | None = None
        self._unknown: set[Holding] = set()
        """Grants of which the server does not know all, since it was away."""
        self._uncounted = 0
        self._name = name
        self._number = 0
        self._generation: str | None = None
        self._sending: list[Row] = []
        """What a batch or several are being sent of."""
        self._batch: tuple[int, list[Row]] | None = None
        """The batch on its way, or the one to be sent again."""
        self._is_sent = self._is_repeated = False
        self._epoch = self._booked_epoch = 0
        """How often what was owed has been taken to be sent, and the last of these that is booked."""
        self._flush_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Connect, if the server answers, and begin what runs in the background."""
        if self._own_link is not None:
            await self._own_link.open()
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    async def close(self, patience_s: float = 2.0) -> None:
        """Send what is owed, if the server takes it in time, and let go of it."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._leases is not None:
            self._leases.give_up()
        end = self._clock() + patience_s
        while self._link.is_up and self.is_owing and self._clock() < end:
            self.flush()
            await asyncio.sleep(_BATCH_S)
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._own_link is not None:
            await self._own_link.close()

    @property
    def is_owing(self) -> bool:
        """Whether anything was not booked on the server yet."""
        return bool(self._owed) or bool(self._sending) or self._batch is not None

    def reserve(
        self, allowances: Sequence[Allowance], amounts: list[int]
    ) -> Grant | Refused | asyncio.Future[Grant | Refused]:
        amounts = _bound(amounts)
        if not self._link.is_up:
            return self._reserve_without(allowances, amounts)
        shapes = [self._shape(allowance) for allowance in allowances]
        if self._leases is not None:
            taken = self._leases.take(shapes, allowances, amounts, self._now_us())
            self._flush_soon()
            if taken is not None:
                return Holding(allowances, amounts, taken[0], taken[1], True)
        return self._ask_reserve(shapes, allowances, amounts)

    def extend(self, grant: Grant, amounts: list[int]) -> Refused | Awaitable[Refused | None] | None:
        assert isinstance(grant, Holding)
        amounts = _bound(amounts)
        if not self._link.is_up:
            return self._extend_without(grant, amounts)
        if grant.is_asking:
            return self._extend_after(grant, amounts)
        self._acknowledge(grant)
        shapes = [self._shape(allowance) for allowance in grant.allowances]
        if self._leases is not None and grant.on_server == grant.amounts:
            is_done = self._leases.extend(shapes, grant, amounts, self._now_us())
            self._flush_soon()
            if is_done:
                grant.on_server = list(grant.amounts)
                grant.epoch = self._epoch + 1
                return None
        return self._ask_extend(shapes, grant, amounts)

    async def _extend_after(self, grant: Holding, amounts: list[int]) -> Refused | None:
        """Extend when the extension on its way is answered: two at once would both move what the grant holds."""
        while grant.is_asking:
            if grant.answered is None:
                grant.answered = asyncio.get_running_loop().create_future()
            await asyncio.wait((grant.answered,))
        answer = None if grant.is_settled else self.extend(grant, amounts)
        return answer if answer is None or isinstance(answer, Refused) else await answer

    def settle(self, grant: Grant, used: list[int]) -> None:
        assert isinstance(grant, Holding)
        used = _bound(used)
        if grant.is_asking:
            # Where the server will have put it is known with the answer only.
            grant.final = used
            return
        grant.is_settled = True
        self._settle_on_server(grant, used)
        if grant.local is not None:
            before = [grant.taken(i) - grant.local.taken(i) for i in range(len(used))]
            self._local.settle(grant.local, [max(0, u - b) for u, b in zip(used, before, strict=True)])
        self._flush_soon()

    def used(self, allowances: Sequence[Allowance]) -> list[int] | Awaitable[list[int]]:
        """What is used and reserved of each now; while the server is away what the local adapter counts, or zeros."""
        return self._ask_used(allowances) if self._link.is_up else self._used_without(allowances)

    async def _ask_used(self, allowances: Sequence[Allowance]) -> list[int]:
        shapes = [self._shape(allowance) for allowance in allowances]
        arguments = [argument for shape in shapes for argument in (int(shape.kind), repr(shape.width_s))]
        answer = await self._ask(USED, [shape.name for shape in shapes], arguments)
        return self._used_without(allowances) if answer is None else parse_used(answer)

    async def settled(self, allowances: Sequence[Allowance]) -> list[int] | None:
        answer = await self._ask(SETTLED, [self._shape(allowance).name for allowance in allowances], ())
        return None if answer is None else parse_settled(answer)

    async def raise_settled(self, allowance: Allowance, amount: int) -> bool:
        """Let at least so much of a budget be settled: what the ledger knows, after the server lost its data.

        False when the server is away; then ask again when it is back.
        """
        shape = self._shape(allowance)
        return await self._ask(RAISE, [shape.name], [shape.ends_at_us, amount]) is not None

    async def lacking(self, ledger: str, raised: str = "") -> str:
        """The generation of the server's numbers, if budgets were not raised to this ledger since it began; empty if
        they were, or when the server is away."""
        self._number += 1
        keys = [f"{{{self._prefix}}}:generation", f"{{{self._prefix}}}:raised:{ledger}"]
        answer = await self._ask(SEED, keys, [self._mark(self._number), raised])
        return "" if answer is None else answer.decode()

    async def note_raised(self, ledger: str, generation: str) -> None:
        """All budgets were raised in this generation. Another one that has begun meanwhile lacks them still."""
        await self.lacking(ledger, generation)

    def _ask(self, script: Script, keys: list[str], arguments: Sequence[Argument]) -> asyncio.Future[bytes | None]:
        """What a script replies; None when the server is away."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def reply(answer: bytes | None = None) -> None:
            _answer(future, lambda: answer)

        self._link.call(Call(script, keys, [render_clock(self._given_us()), *arguments], reply, reply))
        return future

    def change(self, is_up: bool, reason: str) -> None:
        """The link's word that the server went or came."""
        if is_up == self._was_up:
            return
        self._was_up = is_up
        self._on_event(Event(Happening.UP if is_up else Happening.DOWN, reason))
        if not is_up:
            if self._leases is not None:
                self._leases.give_up()
            return
        if self._uncounted:
            self._on_event(Event(Happening.UNCOUNTED, count=self._uncounted))
            self._uncounted = 0
        for grant in list(self._unknown):
            self._acknowledge(grant)
        self.flush()

    # --- with the server

    def _ask_reserve(
        self, shapes: list[Shape], allowances: Sequence[Allowance], amounts: list[int]
    ) -> asyncio.Future[Grant | Refused]:
        future: asyncio.Future[Grant | Refused] = asyncio.get_running_loop().create_future()

        def build(answer: bytes) -> Holding | Refused:
            taken = parse_taken(answer)
            self._set_clock(taken.now_us, call)
            if taken.left is None:
                return self._refused(taken, shapes)
            marks = [shape.slice_at(taken.now_us) for shape in shapes]
            return Holding(allowances, amounts, taken.left, marks, True)

        def reply(answer: bytes) -> None:
            result = build(answer)
            if not future.done():
                future.set_result(result)
            elif isinstance(result, Holding):  # whoever asked has gone
                self.settle(result, [0] * len(amounts))

        def late(answer: bytes) -> None:
            if isinstance(result := build(answer), Holding):
                self.settle(result, [0] * len(amounts))

        def fall_back() -> None:
            _answer(future, lambda: self._reserve_without(allowances, amounts))

        arguments = [render_clock(self._given_us()), *render_take(shapes, allowances, amounts, None, None)]
        call = Call(TAKE, [shape.name for shape in shapes], arguments, reply, fall_back, late)
        self._link.call(call)
        return future

    def _ask_extend(self, shapes: list[Shape], grant: Holding, amounts: list[int]) -> asyncio.Future[Refused | None]:
        future: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        # What it holds is moved by the server, unless that has yet to be told of it: then it is moved by a batch.
        is_moved = grant.epoch <= self._booked_epoch

        def reply(answer: bytes) -> None:
            refused = self._note_extended(shapes, grant, amounts, answer, call, is_moved)
            _answer(future, lambda: refused)
            self._end_asking(grant)

        def fall_back() -> None:
            _answer(future, lambda: self._extend_without(grant, amounts))
            self._end_asking(grant)

        def late(answer: bytes) -> None:
            taken = parse_taken(answer)
            for i, shape in enumerate(shapes) if taken.left is not None else ():
                mark = shape.slice_at(taken.now_us)
                if grant.is_settled or not is_moved:
                    self._owed.give(shape, grant.allowances[i], mark, amounts[i])
                elif shape.kind is _SLIDING:
                    self._note_late(grant, i, mark, amounts[i])
                else:
                    grant.on_server[i] += amounts[i]
                    grant.marks[i] = mark

        held, marks = (grant.on_server, grant.marks) if is_moved else (None, None)
        arguments = [render_clock(self._given_us()), *render_take(shapes, grant.allowances, amounts, held, marks)]
        call = Call(TAKE, [shape.name for shape in shapes], arguments, reply, fall_back, late)
        grant.is_asking = True
        self._link.call(call)
        return future

    def _note_late(self, grant: Holding, index: int, mark: int, more: int) -> None:
        """The server had taken more of a sliding allowance, though it was granted without it."""
        if more:
            without = grant.amounts[index] - grant.on_server[index] - more
            grant.amounts[index] = grant.on_server[index]
            grant.go_on(index, mark, more)
            grant.on_server[index] = grant.amounts[index]
            grant.amounts[index] += without

    def _note_extended(
        self, shapes: list[Shape], grant: Holding, amounts: list[int], answer: bytes, call: Call, is_moved: bool
    ) -> Refused | None:
        taken = parse_taken(answer)
        self._set_clock(taken.now_us, call)
        if taken.left is None:
            return self._refused(taken, shapes)
        for i, shape in enumerate(shapes):
            mark = shape.slice_at(taken.now_us)
            if shape.kind is _SLIDING:
                if amounts[i]:
                    grant.go_on(i, mark, amounts[i])
                continue
            if not is_moved and grant.marks[i] != mark:
                self._owed.give(shape, grant.allowances[i], grant.marks[i], grant.on_server[i])
                self._owed.add(shape, grant.allowances[i], mark, grant.on_server[i])
                grant.epoch = self._epoch + 1
            grant.marks[i] = mark
            grant.amounts[i] += amounts[i]
        grant.left = taken.left
        grant.on_server = list(grant.amounts)
        return None

    def _refused(self, taken: Taken, shapes: Sequence[Shape]) -> Refused:
        if self._leases is not None:
            self._leases.refused(shapes[taken.index], taken.now_us)
            self._flush_soon()
        return Refused(taken.index, taken.refused_left, taken.wait_s)

    def _end_asking(self, grant: Holding) -> None:
        grant.is_asking = False
        if grant.answered is not None:
            grant.answered.set_result(None)
            grant.answered = None
        if grant.final is not None:
            self.settle(grant, grant.final)

    def _settle_on_server(self, grant: Holding, used: list[int]) -> None:
        now_us = self._now_us()
        is_known = grant not in self._unknown
        self._unknown.discard(grant)
        for i, allowance in enumerate(grant.allowances):
            shape, mark, held = self._shape(allowance), grant.marks[i], grant.on_server[i]
            if allowance.kind is _SLIDING:
                spent, unused = grant.used_since(i, used[i])
                for part in unused:
                    self._owed.give(shape, allowance, part.mark, part.amount)
                if spent < held:
                    self._give(shape, allowance, mark, held - spent, now_us)
                elif spent > held:
                    # What went beyond a slice that is over counts now; what was used in an outage counted then.
                    is_late = is_known and is_gone(shape, mark, now_us)
                    self._owed.add(shape, allowance, PRESENT if is_late else mark, spent - held)
            elif allowance.kind is Kind.BUDGET:
                back = max(0, held - used[i])
                if self._leases is None or not back or not self._leases.give(shape, mark, back, now_us):
                    back = 0
                self._owed.give(shape, allowance, mark, held - back)
                self._owed.settle(shape, allowance, used[i])
            else:
                self._give(shape, allowance, mark, held, now_us)

    def _give(self, shape: Shape, allowance: Allowance, mark: int, amount: int, now_us: float) -> None:
        if self._leases is None or not self._leases.give(shape, mark, amount, now_us):
            self._owed.give(shape, allowance, mark, amount)

    def _acknowledge(self, grant: Holding) -> None:
        """Reserve on the server what was granted without it."""
        if grant not in self._unknown:
            return
        self._unknown.discard(grant)
        for i, allowance in enumerate(grant.allowances):
            shape, more = self._shape(allowance), grant.amounts[i] - grant.on_server[i]
            if grant.on_server[i]:
                self._owed.give(shape, allowance, grant.marks[i], grant.on_server[i])
            mark = grant.marks[i] = shape.slice_at(self._now_us())
            self._owed.add(shape, allowance, mark, grant.on_server[i] + more)
            grant.on_server[i] = grant.amounts[i]
        grant.epoch = self._epoch + 1

    # --- without the server

    def _reserve_without(self, allowances: Sequence[Allowance], amounts: list[int]) -> Holding | Refused:
        """Grant or refuse as the operator chose for outages. Raises GatewayError when nothing may pass."""
        granted: Grant | None = None
        left = [allowance.limit for allowance in allowances]
        match self._settings.on_outage:
            case "local":
                answer = self._local.reserve([self._reduce(allowance) for allowance in allowances], list(amounts))
                if isinstance(answer, Refused):
                    return answer
                assert isinstance(answer, Grant)
                granted, left = answer, answer.left
            case "open":
                self._uncounted += 1
            case "closed":
                raise _refuse()
        now_us = self._now_us()
        marks = [self._shape(allowance).slice_at(now_us) for allowance in allowances]
        holding = Holding(allowances, amounts, left, marks, False)
        holding.local = granted
        self._unknown.add(holding)
        return holding

    def _extend_without(self, grant: Holding, amounts: list[int]) -> Refused | None:
        match self._settings.on_outage:
            case "local" if grant.local is not None:
                refused = self._local.extend(grant.local, amounts)
                assert refused is None or isinstance(refused, Refused)
                if refused is not None:
                    return refused
            case "local":
                answer = self._local.reserve([self._reduce(a) for a in grant.allowances], list(amounts))
                if isinstance(answer, Refused):
                    return answer
                assert isinstance(answer, Grant)
                grant.local = answer
            case "open":
                self._uncounted += 1
            case "closed":
                raise _refuse()
        for i, amount in enumerate(amounts):
            grant.amounts[i] += amount
        self._unknown.add(grant)
        return None

    def _used_without(self, allowances: Sequence[Allowance]) -> list[int]:
        answer = self._local.used(allowances)
        assert isinstance(answer, list)
        return answer

    def _reduce(self, allowance: Allowance) -> Allowance:
        limit = allowance.limit and max(1, int(allowance.limit * self._settings.share))
        return replace(allowance, limit=limit)

    # --- in the background

    def _flush_soon(self) -> None:
        if self._flush_timer is None and self._owed and self._link.is_up:
            self._flush_timer = asyncio.get_running_loop().call_later(_BATCH_S, self.flush)

    def flush(self, is_forced: bool = False) -> None:
        """Send the next batch now, if none is on its way; with `is_forced` even one of nothing."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._is_sent or not self._link.is_up:
            return
        if self._batch is None:
            if not self._sending:
                self._sending = self._owed.take(self._now_us())
                self._epoch += 1
            if not self._sending and not is_forced:
                return
            rows = list(islice(self._sending, _MAX_BATCH))
            del self._sending[: len(rows)]
            self._number += 1
            self._batch = (self._number, rows)
            self._is_repeated = False
        number, rows = self._batch
        keys = [f"{{{self._prefix}}}:replica:{self._name}", f"{{{self._prefix}}}:generation"]
        keys += [row.shape.name for row in rows]
        arguments = [render_clock(self._given_us()), *render_book(number, self._mark(number), rows)]
        self._is_sent = True
        is_first = not self._is_repeated
        call = Call(BOOK, keys, arguments, lambda answer: self._booked(answer, call, is_first), self._not_booked)
        call.on_late = call.on_reply
        self._link.call(call)

    def _booked(self, answer: bytes, call: Call, is_first: bool) -> None:
        if self._batch is None or call.arguments[1] != self._batch[0]:
            return  # a late answer to what was sent again since
        booked = parse_booked(answer)
        if is_first:  # or it may only repeat an answer, with the time that it was then
            self._set_clock(booked.now_us, call)
        number, rows = self._batch
        self._batch = None
        self._is_sent = False
        wanting = (row for row in rows if row.want)
        for row, (amount, left) in zip(wanting, booked.leases, strict=True):
            if self._leases is not None:
                self._leases.granted(row, amount, left, booked.now_us)
        self._note_generation(number, booked)
        if self._sending:
            self.flush()
            return
        self._booked_epoch = self._epoch
        self._flush_soon()

    def _not_booked(self) -> None:
        # The batch stays, and is sent again with its number when the server is back.
        self._is_sent = False
        self._is_repeated = True

    def _mark(self, number: int) -> str:
        """What a server without data is marked with, by the batch that finds it so."""
        return f"{self._name}.{number}"

    def _note_generation(self, number: int, booked: Booked) -> None:
        known, self._generation = self._generation, booked.generation
        if booked.generation != known and (known is not None or booked.generation == self._mark(number)):
            self._on_event(Event(Happening.EMPTIED, "the server has no data of before"))

    def _sweep(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        self.tick()

    def tick(self) -> None:
        """What is done every `SWEEP_S`: give idle leases back, and ask whether the server has its data."""
        now_us = self._now_us()
        if self._leases is not None and self._link.is_up:
            self._leases.sweep(now_us)
        self._owed.forget_gone(now_us)
        if self._owed.lost:
            self._on_event(Event(Happening.LOST, "too much waits to be booked", self._owed.lost))
            self._owed.lost = 0
        # Even when nothing is owed: the answer says whether the server still has its data.
        self.flush(is_forced=True)

    def _given_us(self) -> int | None:
        return None if self._server_clock_us is None else self._server_clock_us()

    def _now_us(self) -> float:
        """The server's time: never behind it by more than the drift of two clocks since the last answer."""
        return self._clock() * 1e6 + self._ahead_us if self._server_clock_us is None else self._server_clock_us()

    def _set_clock(self, server_us: int, call: Call) -> None:
        self._ahead_us = server_us - call.sent_at * 1e6


def _answer(future: asyncio.Future[T], find: Callable[[], T]) -> None:
    """Give the answer, or the error, to whoever waits; nobody may."""
    if not future.done():
        try:
            future.set_result(find())
        except GatewayError as error:
            future.set_exception(error)


def _bound(amounts: list[int]) -> list[int]:
    """The amounts, none larger than sums of them can bear. Raises ValueError for one below zero."""
    if amounts and min(amounts) < 0:
        raise ValueError(f"cannot count {min(amounts)}")
    return [min(amount, LARGEST) for amount in amounts]


def _refuse() -> GatewayError:
    return GatewayError(
        ErrorKind.OVERLOADED,
        "Limits cannot be checked at the moment, and nothing passes unchecked. Try again in a moment.",
        retry_after_s=_RETRY_AFTER_S,
    )
