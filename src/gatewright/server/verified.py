"""Credentials that were looked at already, by their SHA-256: whom they stand for, or why they were refused."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError

MAX_VERIFIED: Final = 20_000
"""Consumers that are remembered, about 2 KB each with their claims."""
MAX_REFUSED: Final = 5_000
"""Refusals that are remembered. They are kept apart, so that rubbish drives no good credential out."""
REFUSED_S: Final = 5.0
"""How long a refusal holds without another look."""


class Verified:
    """A bounded memory; when it is full, what was remembered first is forgotten first. Times are Unix seconds."""

    __slots__ = ("_consumers", "_refusals")

    def __init__(self) -> None:
        self._consumers: dict[bytes, Consumer] = {}
        self._refusals: dict[bytes, tuple[float, GatewayError]] = {}

    def find(self, credential: bytes, now: float) -> Consumer | None:
        """Whom it was found to stand for. Raises GatewayError when it was refused a moment ago."""
        digest = sha256(credential).digest()
        consumer = self._consumers.get(digest)
        if consumer is not None:
            if now < consumer.expires_at:
                return consumer
            del self._consumers[digest]
        elif self._refusals:
            refusal = self._refusals.get(digest)
            if refusal is not None:
                if now < refusal[0]:
                    raise _again(refusal[1])
                del self._refusals[digest]
        return None

    def keep(self, credential: bytes, consumer: Consumer) -> None:
        """Remember whom it stands for, until `consumer.expires_at`."""
        if len(self._consumers) >= MAX_VERIFIED:
            del self._consumers[next(iter(self._consumers))]
        self._consumers[sha256(credential).digest()] = consumer

    def keep_refusal(self, credential: bytes, error: GatewayError, now: float) -> None:
        """Remember that it was refused, for REFUSED_S."""
        if len(self._refusals) >= MAX_REFUSED:
            del self._refusals[next(iter(self._refusals))]
        self._refusals[sha256(credential).digest()] = (now + REFUSED_S, error)

    def forget(self, issuer: str) -> None:
        """Forget everybody for whom this issuer (by its configured name) vouched, and all refusals."""
        self._consumers = {
            digest: consumer for digest, consumer in self._consumers.items() if consumer.issuer != issuer
        }
        self._refusals.clear()


def _again(error: GatewayError) -> GatewayError:
    """The same refusal as a new exception: raised twice, one would gather the frames of both."""
    return GatewayError(error.kind, error.message, headers=error.headers)
