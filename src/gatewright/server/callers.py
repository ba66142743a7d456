"""Who calls, as a worker finds it out: its gateway's own keys, then those for whom others vouch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.keys import digest_of, is_managed, is_whole
from gatewright.server.federation import Federation
from gatewright.store.key_table import KeyReader

if TYPE_CHECKING:
    from gatewright.server.issued_tokens import IssuedTokens


class Peer(Protocol):
    """A client's connection."""

    @property
    def certificate(self) -> bytes | None:
        """The certificate it showed and the handshake verified, in DER."""
        ...


class WorkerCallers:
    """The callers' port (`core.ports.Callers`) of one worker. `secret` is the gateway's, for digests of keys."""

    def __init__(
        self,
        keys: KeyReader | None,
        secret: bytes,
        federation: Federation,
        wall: Callable[[], float],
        report: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._keys = keys
        self._secret = secret
        self._federation = federation
        self._wall = wall
        self._report = report
        self.tokens: IssuedTokens | None = None
        """The gateway's own tokens, where the configuration has them."""
        self.generation = 0

    def tick(self) -> None:
        """Notice keys that changed: within this, a revocation counts. Call every 50 ms."""
        if self.tokens is not None:
            problem = self.tokens.tick()
            if problem is not None:
                self._report(problem)
        if self._keys is not None and self._keys.refresh():
            self.generation += 1
            if self._keys.problem is not None:
                self._report(self._keys.problem)

    def forget(self) -> None:
        """A credential that was good may not be any more."""
        self.generation += 1

    def known(self, credential: bytes) -> Consumer | None:
        """The holder of a key, or of a credential whose issuer is known well enough."""
        if self.tokens is not None and credential.startswith(b"eyJ"):
            consumer = self.tokens.known(credential)
            if consumer is not None:
                return consumer
        keys = self._keys
        if keys is not None:
            record = keys.find(digest_of(credential, self._secret))
            if record is not None:
                fault = record.fault(self._wall())
                if fault is not None:
                    raise GatewayError(Kind.UNAUTHENTICATED, f"The API key gw-{record.id} {fault}.")
                return record.as_consumer()
        if is_managed(credential) and not is_whole(credential):
            raise GatewayError(
                Kind.UNAUTHENTICATED,
                "The API key is not whole: it was mistyped or cut off. Keys of this gateway end in a checksum, and this"
                " one's does not fit.",
            )
        return self._federation.known(credential)

    def find(self, credential: bytes) -> Coroutine[Any, Any, Consumer | None] | None:
        """Ask the issuer or the authorisation server."""
        return self._federation.find(credential)

    def of_peer(self, peer: Peer | None) -> Consumer | None:
        """Whom the connection's certificate stands for."""
        certificate = None if peer is None else peer.certificate
        return None if certificate is None else self._federation.of_certificate(certificate)

    def close(self) -> None:
        """Give everything back."""
        self._federation.close()
        if self._keys is not None:
            self._keys.close()
