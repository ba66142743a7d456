"""What a worker has taken in advance from the counters' server, to grant from without asking.

A lease is a reservation like any other: it is part of what the server counts as used, so all replicas together never
pass a limit. It belongs to one slice of the counter's time, and what is granted from it stands in that slice; when the
slice is over, what is left of the lease is given back and a new one taken. So a grant from a lease is the same as one
from the server, and is settled in the same way.

A counter gets a lease when it is used more than once within a second. Its size follows what was used of late, up to a
part of the limit (the server gives a quarter of what is left at most). It is renewed in the background when half is
used. Whatever exceeds what is used is given back within `GIVEN_BACK_S`, and all of it when the server refuses somebody
here. So no more than the number of workers times their leases is idle elsewhere when a caller is refused, and no longer
than that.

No I/O here: the caller passes the server's time and carries what is owed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatewright.core.counting import Allowance, Kind
from gatewright.core.grant import Grant
from gatewright.store.redis_owed import Owed
from gatewright.store.redis_scripts import Row, Shape

IDLE_S: Final = 1.0
"""An unused lease is given back after this, and one that is larger than what was used in this time is cut."""
SWEEP_S: Final = 0.5
"""How often `sweep` is to be called."""
GIVEN_BACK_S: Final = 2 * (IDLE_S + SWEEP_S)
"""After the last use of a counter, nothing of it is held idle for longer than this."""
_AHEAD: Final = 2
"""A lease covers what was used in so many seconds."""
_MIN_WIDTH_S: Final = 1.0
"""Counters with shorter slices are always asked for: a lease would be over before it is used."""
_MAX_LEASES: Final = 10_000


class Lease:
    """What is held in advance of one counter."""

    __slots__ = (
        "allowance",
        "before",
        "calls",
        "free",
        "is_asked",
        "left",
        "mark",
        "quiet_us",
        "shape",
        "since_us",
        "used",
    )

    def __init__(self, shape: Shape, allowance: Allowance, now_us: float) -> None:
        self.shape = shape
        self.allowance = allowance
        self.mark = 0
        """The slice it belongs to."""
        self.free = 0
        """What is not granted yet."""
        self.left = 0
        """What was left of the limit besides, when the server was last asked."""
        self.is_asked = False
        """Whether more of it is on its way."""
        self.quiet_us = 0.0
        """Until when no more is asked for, since the server refused somebody."""
        self.since_us = now_us
        """When the present second of measuring began."""
        self.used = 0
        """What was asked for in this second, granted or not."""
        self.calls = 0
        self.before = 0
        """What was asked for in the second before."""


class Leases:
    """All leases of one worker. `fraction` of a limit is the most that one of them holds."""

    def __init__(self, fraction: float, owed: Owed) -> None:
        self._fraction = fraction
        self._owed = owed
        self._leases: dict[str, Lease] = {}

    def take(
        self, shapes: Sequence[Shape], allowances: Sequence[Allowance], amounts: list[int], now_us: float
    ) -> tuple[list[int], list[int]] | None:
        """Take all amounts from leases: what is left of each then, and the marks. None: the server must be asked."""
        leases = [self._measure(shape, allowances[i], amounts[i], now_us) for i, shape in enumerate(shapes)]
        if not all(
            lease is not None and lease.mark == lease.shape.slice_at(now_us) and lease.free >= amounts[i]
            for i, lease in enumerate(leases)
        ):
            return None
        left, marks = [], []
        for lease, amount in zip(leases, amounts, strict=True):
            assert lease is not None  # checked above
            lease.free -= amount
            self._ask(lease, now_us)
            left.append(lease.left + lease.free)
            marks.append(lease.mark)
        return left, marks

    def extend(self, shapes: Sequence[Shape], grant: Grant, amounts: list[int], now_us: float) -> bool:
        """Take more for a grant that the server holds, and let all of it live on; False: ask the server."""
        for i, shape in enumerate(shapes):
            lease = self._measure(shape, grant.allowances[i], amounts[i], now_us)
            present = shape.slice_at(now_us)
            if lease is None or lease.mark != present or lease.free < amounts[i]:
                return False
            # Near its end a reservation may be forgotten before it is moved; the server knows.
            if shape.kind is not Kind.SLIDING and present - grant.marks[i] > 1:
                return False
        for i, shape in enumerate(shapes):
            lease = self._leases[shape.name]
            lease.free -= amounts[i]
            if shape.kind is Kind.SLIDING:
                if amounts[i]:
                    grant.go_on(i, lease.mark, amounts[i])
            else:
                if grant.marks[i] != lease.mark:
                    self._owed.give(shape, lease.allowance, grant.marks[i], grant.amounts[i])
                    self._owed.add(shape, lease.allowance, lease.mark, grant.amounts[i])
                    grant.marks[i] = lease.mark
                grant.amounts[i] += amounts[i]
            grant.left[i] = lease.left + lease.free
            self._ask(lease, now_us)
        return True

    def give(self, shape: Shape, mark: int, amount: int, now_us: float) -> bool:
        """Put something that is not needed back into the lease, if it is of that slice; False: tell the server."""
        lease = self._leases.get(shape.name)
        if lease is None or lease.mark != mark or mark != shape.slice_at(now_us):
            return False
        lease.free += amount
        return True

    def granted(self, row: Row, amount: int, left: int, now_us: float) -> None:
        """The server gave `amount` of what `row` wanted, at its time `now_us`."""
        lease, mark = self._leases.get(row.shape.name), row.shape.slice_at(now_us)
        if lease is None or lease.mark > mark:
            # The counter has no lease any more, or a newer one.
            self._owed.give(row.shape, row.allowance, mark, amount)
            return
        lease.is_asked = False
        if lease.mark != mark:
            self._return(lease, lease.free)
            lease.mark = mark
        lease.free += amount
        lease.left = left

    def refused(self, shape: Shape, now_us: float) -> None:
        """The server refused somebody for want of this: what is held here may be just enough, so it goes back."""
        if (lease := self._leases.get(shape.name)) is not None:
            self._return(lease, lease.free)
            lease.quiet_us = now_us + 1e6 * IDLE_S

    def sweep(self, now_us: float) -> None:
        """Give back what nobody uses. Call every `SWEEP_S`."""
        for name, lease in list(self._leases.items()):
            self._roll(lease, now_us)
            if lease.mark != lease.shape.slice_at(now_us):
                self._return(lease, lease.free)
            if not lease.used and not lease.before:
                self._return(lease, lease.free)
                if not lease.is_asked:
                    del self._leases[name]
            elif lease.free > (target := self._target(lease)):
                self._return(lease, lease.free - target)

    def give_up(self) -> None:
        """Give everything back: the server went away, or this worker does."""
        for lease in self._leases.values():
            self._return(lease, lease.free)
        self._leases.clear()

    def held(self) -> int:
        """What is held in all leases and not granted."""
        return sum(lease.free for lease in self._leases.values())

    def _measure(self, shape: Shape, allowance: Allowance, amount: int, now_us: float) -> Lease | None:
        """The counter's lease, if it may have one, with this call counted."""
        lease = self._leases.get(shape.name)
        if lease is None:
            if shape.width_s < _MIN_WIDTH_S or len(self._leases) >= _MAX_LEASES:
                return None
            lease = self._leases[shape.name] = Lease(shape, allowance, now_us)
        lease.allowance = allowance
        self._roll(lease, now_us)
        lease.used += amount
        lease.calls += 1
        if not lease.free or lease.mark != shape.slice_at(now_us):
            self._ask(lease, now_us)
        return lease

    def _roll(self, lease: Lease, now_us: float) -> None:
        passed = now_us - lease.since_us
        if passed >= 1e6 * IDLE_S:
            lease.before = lease.used if passed < 2e6 * IDLE_S else 0
            lease.used = lease.calls = 0
            lease.since_us = now_us

    def _target(self, lease: Lease) -> int:
        if lease.calls < 2 and not lease.before:
            return 0
        return min(_AHEAD * max(lease.used, lease.before), int(self._fraction * lease.allowance.limit))

    def _ask(self, lease: Lease, now_us: float) -> None:
        if lease.is_asked or now_us < lease.quiet_us:
            return
        free = lease.free if lease.mark == lease.shape.slice_at(now_us) else 0
        target = self._target(lease)
        if 2 * free < target:
            lease.is_asked = True
            self._owed.want(lease.shape, lease.allowance, target - free)

    def _return(self, lease: Lease, amount: int) -> None:
        lease.free -= amount
        self._owed.give(lease.shape, lease.allowance, lease.mark, amount)
