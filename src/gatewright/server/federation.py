"""Callers for whom others vouch: identity providers by JWTs, an authorisation server by its word, an authority by
certificates.

This is what a worker holds. What it needs of cryptography is loaded when the first configuration asks for it: that
takes 12 MB and a tenth of a second, which gateways with keys alone are spared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.deadlines import Deadlines
from gatewright.net.pool import UpstreamPools
from gatewright.net.rounds import Round
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.identities import Identities
from gatewright.server.fetch import MAX_BODY_BYTES, Fetcher
from gatewright.server.introspection import IntrospectionIdentity

if TYPE_CHECKING:
    from gatewright.server.issuers import JwtIdentity, Report

_MAX_CERTIFICATES: Final = 10_000
_OWN_KEY: Final = b"gw-"
"""How the gateway's own keys begin. One that is not valid (any more) is nobody else's business."""


class Federation:
    """Whom credentials of others stand for, by the configuration in use; nobody before the first `use`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fetcher: Fetcher,
        tasks: TaskGroup,
        wall: Callable[[], float],
        report: Report,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._fetcher = fetcher
        self._tasks = tasks
        self._wall = wall
        self._report = report
        self._on_change = on_change
        """Called when a credential that was good may not be any more: forget whom it stood for."""
        self._identities = Identities()
        self._jwts: JwtIdentity | None = None
        self._introspection: IntrospectionIdentity | None = None
        self._certificates: dict[bytes, Consumer] = {}

    def use(self, identities: Identities) -> None:
        """Recognise callers by `identities` from now on. Keys of issuers that stay are kept."""
        self._identities = identities
        self._certificates = {}
        previous, self._jwts = self._jwts, None
        if identities.issuers:
            self._jwts = import_module("gatewright.server.issuers").JwtIdentity(
                identities.issuers,
                self._fetcher,
                self._tasks,
                self._loop,
                self._report,
                previous=previous,
                on_change=self._on_change,
            )
        elif previous is not None:
            previous.close()
        self._introspection = (
            None
            if identities.introspection is None
            else IntrospectionIdentity(*identities.introspection, self._fetcher, self._tasks)
        )

    def close(self) -> None:
        """Fetch nothing more."""
        self.use(Identities())

    def known(self, credential: bytes) -> Consumer | None:
        """Whose it is, as far as that can be told at once. Raises GatewayError when it is refused.

        With None there may be more to find out: `find` says whether.
        """
        if self._jwts is not None and _is_jwt(credential):
            return self._jwts.known(credential, self._wall())
        if self._introspection is not None and not credential.startswith(_OWN_KEY):
            return self._introspection.known(credential, self._wall())
        return None

    def find(self, credential: bytes) -> Coroutine[Any, Any, Consumer] | None:
        """How to find out whose it is, as a coroutine for a task; None when there is nobody to ask."""
        if self._jwts is not None and _is_jwt(credential):
            return self._jwts.find(credential, self._wall())
        if self._introspection is not None and not credential.startswith(_OWN_KEY):
            return self._introspection.find(credential, self._wall())
        return None

    def of_certificate(self, der: bytes) -> Consumer | None:
        """Whom a client certificate stands for that the handshake has verified; None when certificates say nothing.

        Raises GatewayError when it stands for nobody.
        """
        rules = self._identities.certificates
        if rules is None:
            return None
        digest = sha256(der).digest()
        consumer = self._certificates.get(digest)
        if consumer is None:
            facts, expires_at = import_module("gatewright.pipeline.certificate_facts").read_certificate(der)
            consumer = rules.consumer_of(facts, expires_at)
            if len(self._certificates) >= _MAX_CERTIFICATES:
                self._certificates.clear()
            self._certificates[digest] = consumer
        if self._wall() >= consumer.expires_at:
            raise GatewayError(Kind.UNAUTHENTICATED, "The client certificate has expired since it was shown.")
        return consumer


def _is_jwt(credential: bytes) -> bool:
    """Whether a credential is meant to be a JWT: it begins as `{"` does in base64, and has dots."""
    return credential[:3] == b"eyJ" and b"." in credential


def build_fetcher(loop: asyncio.AbstractEventLoop, deadlines: Deadlines, tasks: TaskGroup) -> Fetcher:
    """A fetcher with pools of its own."""
    return Fetcher(build_pools(loop, deadlines, tasks).send)


def build_pools(loop: asyncio.AbstractEventLoop, deadlines: Deadlines, tasks: TaskGroup) -> UpstreamPools:
    """Pools for a Fetcher (`Fetcher(pools.send)`), which read no more than a document may have."""
    pools = UpstreamPools(Round(loop), deadlines, tasks)
    pools.max_response_bytes = MAX_BODY_BYTES
    return pools
