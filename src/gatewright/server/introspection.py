"""Opaque credentials, asked about at the authorisation server that gave them (RFC 7662)."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from typing import Any, Final

from gatewright.config.identity import Introspection
from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.identities import ClaimRules, refused, way_of
from gatewright.server.fetch import Fetcher, FetchFailed
from gatewright.server.verified import Verified

MAX_BYTES: Final = 4_096
"""A longer opaque credential is refused without asking."""
MAX_ASKING: Final = 64
"""Questions on their way at once; beyond it callers are told to try again, so that rubbish floods nobody."""
_NAME: Final = "introspection"
_CREDENTIAL: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*\Z")
"""What a bearer credential may be made of (RFC 6750 §2.1)."""
_RETRY_S: Final = 1.0


class IntrospectionIdentity:
    """Whom opaque credentials stand for. Times are Unix seconds."""

    def __init__(self, config: Introspection, claims: ClaimRules, fetcher: Fetcher, tasks: TaskGroup) -> None:
        self._config = config
        self._claims = claims
        self._fetcher = fetcher
        self._tasks = tasks
        self._way = way_of(config)
        self._verified = Verified()
        self._asking: dict[bytes, asyncio.Task[Consumer]] = {}

    def known(self, credential: bytes, now: float) -> Consumer | None:
        """Whom it stands for by an answer that still counts; None when the server must be asked: then `find`.

        Raises GatewayError when it was refused a moment ago, or cannot be a credential at all.
        """
        if len(credential) > MAX_BYTES or not _CREDENTIAL.match(credential):
            raise refused("The credential is not a key of this gateway, and no opaque one either.")
        return self._verified.find(credential, now)

    async def find(self, credential: bytes, now: float) -> Consumer:
        """Whom it stands for, by asking. Several who come with the same share one question. Raises GatewayError."""
        consumer = self.known(credential, now)
        if consumer is not None:
            return consumer
        digest = sha256(credential).digest()
        asking = self._asking.get(digest)
        if asking is None:
            if len(self._asking) >= MAX_ASKING:
                raise GatewayError(
                    Kind.OVERLOADED, "Too many credentials are being checked. Try again.", retry_after_s=_RETRY_S
                )
            asking = self._asking[digest] = self._tasks.spawn(self._ask(credential, digest, now), _NAME)
        # Shielded: the others who wait need the answer, though this caller may go away.
        return await asyncio.shield(asking)

    async def _ask(self, credential: bytes, digest: bytes, now: float) -> Consumer:
        config = self._config
        form = {"token": credential.decode(), "token_type_hint": "access_token"}
        try:
            fetched = await self._fetcher.post(config.url, self._way, form, config.client_id, config.client_secret)
            consumer = self._judge(fetched.document, now)
        except FetchFailed as error:
            raise GatewayError(
                Kind.UPSTREAM_CONNECT_FAILED,
                "The authorisation server cannot be asked at the moment about your credential. Try again.",
                cause=error,
                status=503,
                retry_after_s=_RETRY_S,
            ) from None
        except GatewayError as error:
            self._verified.keep_refusal(credential, error, now)
            raise
        finally:
            self._asking.pop(digest, None)
        self._verified.keep(credential, consumer, now, answer_bytes=len(fetched.body))
        return consumer

    def _judge(self, answer: Any, now: float) -> Consumer:
        """The consumer of an answer (RFC 7662 §2.2). Raises GatewayError when there is none."""
        if not isinstance(answer, dict) or answer.get("active") is not True:
            raise refused("The credential is not valid (any more), or not known to the authorisation server.")
        until = now + self._config.cache_s
        expires = _date(answer, "exp")
        if expires is not None:
            until = min(until, expires)
            if now >= expires:
                raise refused("The credential has expired. Get a new one.")
        begins = _date(answer, "nbf")
        if begins is not None and now < begins:
            raise refused("The credential may not be used yet.")
        if self._config.audience:
            audience = answer.get("aud")
            named = [audience] if isinstance(audience, str) else audience
            if not isinstance(named, list) or not any(name in self._config.audience for name in named):
                raise refused("The credential is for another audience than this gateway.")
        return self._claims.consumer_of(answer, _NAME, _NAME, until)


def _date(answer: dict[str, Any], name: str) -> float | None:
    value = answer.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise refused(f"The authorisation server's `{name}` for this credential is not a date.")
    return float(value)
