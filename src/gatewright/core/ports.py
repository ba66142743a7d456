"""What the pure rooms need from the world, as Protocols; `net`, `store` and `testing` implement them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from gatewright.core.consumer import Consumer
from gatewright.core.counting import Allowance, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.grant import Grant


class Reserving(Protocol):
    """A reservation that another machine is asked for; asyncio's futures are such.

    Whoever stops awaiting it cancels it, unless it is done: then what it grants is theirs to settle all the same.
    """

    def __await__(self) -> Generator[Any, None, Grant | Refused]: ...

    def done(self) -> bool: ...

    def cancelled(self) -> bool: ...

    def exception(self) -> BaseException | None: ...

    def result(self) -> Grant | Refused: ...


class Counters(Protocol):
    """Keeps the numbers of all limits and budgets. Each call is atomic, over all its allowances and all processes.

    Adapters that must ask another machine return what is to be awaited; the others answer at once. The keys of one call
    differ. How each kind counts, to the unit, is in `core.cells`. Beyond this, each adapter has
    `raise_settled(allowance, amount)`: at least so much of a budget was spent, says the ledger, after the counter was
    lost.
    """

    def reserve(self, allowances: Sequence[Allowance], amounts: list[int]) -> Grant | Refused | Reserving:
        """Take `amounts[i]` from `allowances[i]`, all or none.

        Refuses when a hard allowance would pass its limit. An amount above a limit is granted when nothing of the
        allowance is used, so that a large request is slowed, not locked out for ever; never for a budget.
        """
        ...

    def extend(self, grant: Grant, amounts: list[int]) -> Refused | Awaitable[Refused | None] | None:
        """Take so much more, all or none, and let the whole reservation live for another `RESERVED_S`.

        What is held of a sliding allowance stays where it was taken. An amount of zero is not refused, unless the
        reservation had expired and does not fit any more. A sliding allowance that nobody else uses lets its exchange
        go on beyond the limit.
        """
        ...

    def settle(self, grant: Grant, used: list[int]) -> None:
        """Replace what is held by what was used, even beyond the limit. Call exactly once; returns at once."""
        ...

    def used(self, allowances: Sequence[Allowance]) -> list[int] | Awaitable[list[int]]:
        """What is used and reserved of each now."""
        ...

    def settled(self, allowances: Sequence[Allowance]) -> list[int] | Awaitable[list[int] | None]:
        """What is settled of each budget, without what is reserved; None when nobody can be asked now.

        On another machine what was settled here a moment ago may not be in it.
        """
        ...


class Callers(Protocol):
    """Who holds a credential, beyond the keys that the configuration lists."""

    generation: int
    """Raised whenever a credential may have become worth something else, so that nobody remembers too long."""

    def known(self, credential: bytes) -> Consumer | None:
        """Whose it is, as far as that can be told at once. Raises GatewayError (unauthenticated) when it is refused."""
        ...

    def find(self, credential: bytes) -> Coroutine[Any, Any, Consumer | None] | None:
        """Ask others: for keys of an identity provider, for what a token is worth. None when there is nobody to ask."""
        ...

    def of_peer(self, peer: Any) -> Consumer | None:
        """Whose certificate the connection shows; None when it shows none. Raises GatewayError when it is nobody's."""
        ...


def _await_in_place(coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
    """Enough wherever the caller is a task already, or nothing will ever run."""
    return coroutine


class Ports(Struct, frozen=True, kw_only=True):
    """The world as filters may use it."""

    counters: Counters
    now: Callable[[], float]
    """Monotonic seconds."""
    wall: Callable[[], float] = lambda: 0.0
    """Unix seconds, for dialects whose answers carry a date."""
    random: Callable[[], float]
    """Uniform in [0, 1)."""
    spawn: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]] = _await_in_place
    """Run a coroutine as a task and give something to await it by; exchanges themselves run without one."""
    callers: Callers | None = None
    """Who calls, where more than the configuration's keys are known."""
    scope: str = ""
    """The policy a filter is built for: unique in a configuration, and the same after a reload that kept it."""
    is_named: bool = False
    """Whether `scope` is a name that an operator gave, and so the same wherever the policy stands."""


class StreamSink(Protocol):
    """Where the body of a streamed upstream answer goes, piece by piece, in the event loop's own thread."""

    def on_data(self, data: bytes) -> None:
        """Some body bytes, in order."""
        ...

    def on_end(self) -> None:
        """The body is complete. Nothing follows."""
        ...

    def on_failure(self, error: GatewayError) -> None:
        """The body broke off. Nothing follows."""
        ...


class UpstreamAnswer(Protocol):
    """The head of an upstream's answer, with its body or the way to it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes | None
    """The complete body; None when the answer is an event stream."""

    def start(self, sink: StreamSink) -> None:
        """Let a streamed body flow into `sink`; call exactly once."""
        ...

    def pause(self) -> None:
        """Read no more from the upstream until `resume`."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close the upstream connection now; the sink hears nothing more."""
        ...
