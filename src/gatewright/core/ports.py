"""What the pure rooms need from the world, as Protocols; `net`, `store` and `testing` implement them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct

from gatewright.core.errors import GatewayError


class Counters(Protocol):
    """Token buckets shared by everything that limits."""

    def take(self, key: str, amount: float, capacity: float, per_s: float) -> float:
        """Take `amount` from the bucket `key`, which refills `capacity` evenly over `per_s` seconds.

        Returns 0.0 when it was taken, otherwise the seconds until it could be; nothing is taken then. An amount above
        the capacity is taken when the bucket is full (it then runs into debt), so a large request is slowed, not
        locked out for ever.
        """
        ...

    def give(self, key: str, amount: float, capacity: float, per_s: float) -> None:
        """Put `amount` back; negative amounts take unconditionally, into debt if need be."""
        ...

    def left(self, key: str, capacity: float, per_s: float) -> float:
        """What the bucket holds now; below zero while in debt."""
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
    scope: str = ""
    """The policy a filter is built for: unique in a configuration, and the same after a reload that kept it."""


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
