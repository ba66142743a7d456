"""Credentials that were looked at already, by their SHA-256: whom they stand for, or why they were refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Generic, TypeVar

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError

MAX_HELD_BYTES: Final = 32_000_000
"""What a memory may take: 12,000 JWTs of the usual size, 1,800 with 200 groups each."""
MAX_REFUSED: Final = 5_000
"""Refusals that are remembered. They are kept apart, so that rubbish drives no good credential out."""
REFUSED_S: Final = 5.0
"""How long a refusal holds without another look."""
_ENTRY_BYTES: Final = 500
_DECODED: Final = 2.5
"""Bytes in memory for each byte of a JWT or an answer, besides _ENTRY_BYTES: what many short claims take."""
_LOOKS: Final = 2
"""More than one, so that what has ended goes faster than new entries come."""

T = TypeVar("T")


class Memory(Generic[T]):
    """What was found out about credentials, in bounded space. Times are Unix seconds.

    What has ended is dropped in passing: with each new entry those at the beginning are looked at, and go to the end if
    they still hold. When there is no room, the beginning is forgotten.
    """

    __slots__ = ("_held", "get", "held_bytes")

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, tuple[T, float, int]] = OrderedDict()
        """What was found out, when that ends, and what it takes."""
        self.get = self._held.get
        """What is held by a digest, though it may have ended meanwhile. No method, as every call asks it."""
        self.held_bytes = 0
        """What all of it takes, about."""

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, digest: bytes, found: T, ends_at: float, said_bytes: int, now: float) -> None:
        """Remember until `ends_at` or a little longer what was made of `said_bytes` of JSON; not if that is past."""
        self.drop(digest)
        if ends_at <= now:
            return
        held_bytes = _ENTRY_BYTES + int(said_bytes * _DECODED)
        while self._held and self.held_bytes + held_bytes > MAX_HELD_BYTES:
            self.drop(next(iter(self._held)))
        self._held[digest] = found, ends_at, held_bytes
        self.held_bytes += held_bytes
        for _ in range(_LOOKS):
            first = next(iter(self._held))
            if self._held[first][1] <= now:
                self.drop(first)
            else:
                self._held.move_to_end(first)

    def drop(self, digest: bytes) -> None:
        """Forget it, if it is there."""
        held = self._held.pop(digest, None)
        if held is not None:
            self.held_bytes -= held[2]

    def drop_each(self, is_meant: Callable[[T], bool]) -> None:
        """Forget all that are meant."""
        for digest in [digest for digest, held in self._held.items() if is_meant(held[0])]:
            self.drop(digest)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.held_bytes = 0


class Verified:
    """A bounded memory of consumers and of refusals. Times are Unix seconds."""

    __slots__ = ("_consumers", "_refusals")

    def __init__(self) -> None:
        self._consumers: Memory[Consumer] = Memory()
        self._refusals: dict[bytes, tuple[float, GatewayError]] = {}

    def find(self, credential: bytes, now: float) -> Consumer | None:
        """Whom it was found to stand for. Raises GatewayError when it was refused a moment ago."""
        digest = sha256(credential).digest()
        held = self._consumers.get(digest)
        if held is not None:
            if now < held[1]:
                return held[0]
            self._consumers.drop(digest)
        elif self._refusals:
            refusal = self._refusals.get(digest)
            if refusal is not None:
                if now < refusal[0]:
                    raise _anew(refusal[1])
                del self._refusals[digest]
        return None

    def keep(self, credential: bytes, consumer: Consumer, now: float, *, answer_bytes: int = 0) -> None:
        """Remember whom it stands for, until `consumer.expires_at`; by its own word, or by an answer of that size."""
        digest, said_bytes = sha256(credential).digest(), answer_bytes or len(credential)
        self._consumers.keep(digest, consumer, consumer.expires_at, said_bytes, now)

    def keep_refusal(self, credential: bytes, error: GatewayError, now: float) -> None:
        """Remember that it was refused, for REFUSED_S."""
        # All hold equally long, so those that have ended are the first.
        while self._refusals:
            oldest = next(iter(self._refusals))
            if len(self._refusals) < MAX_REFUSED and now < self._refusals[oldest][0]:
                break
            del self._refusals[oldest]
        # Not the error itself: by its frames it would hold the credential, and all that was decoded of it.
        self._refusals[sha256(credential).digest()] = (now + REFUSED_S, _anew(error))

    def forget(self, issuer: str) -> None:
        """Forget everybody for whom this issuer (by its configured name) vouched, and all refusals."""
        self._consumers.drop_each(lambda consumer: consumer.issuer == issuer)
        self._refusals.clear()


def _anew(error: GatewayError) -> GatewayError:
    """The same refusal as a new exception: raised twice, one would gather the frames of both."""
    return GatewayError(error.kind, error.message, headers=error.headers)
