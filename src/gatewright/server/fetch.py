"""Requests of the gateway's own to identity providers: small JSON documents, by addresses from the configuration.

Nothing a client sends becomes part of an address. Answers are limited in size and time, redirects are not followed, and
what is not TLS must be on this machine or allowed by name.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct

from gatewright.core.errors import GatewayError
from gatewright.core.ports import UpstreamAnswer
from gatewright.core.secret import Secret
from gatewright.pipeline.identity_address import TARGET, Way, build_target
from gatewright.pipeline.provider import CONTENT_TYPE_LINE, Upstream

MAX_BODY_BYTES: Final = 1 << 20
TOTAL_S: Final = 10.0
"""How long a request may take in all: a caller is waiting for it."""
_MAX_KEPT: Final = 256
"""Addresses whose requests are kept ready; a provider may name others for ever, and reloads bring other passwords."""
_FORM_LINE: Final = b"content-type: application/x-www-form-urlencoded\r\n"

Send = Callable[[Upstream, bytes], Awaitable[UpstreamAnswer]]
"""`UpstreamPools.send` of pools that only this module uses; their `max_response_bytes` should be MAX_BODY_BYTES."""


class FetchFailed(Exception):
    """No document came; the text says why, for the gateway's log and never for clients."""


class Fetched(Struct, frozen=True):
    """A JSON document, with how long it may be kept."""

    document: Any
    body: bytes
    max_age_s: float | None
    """The `max-age` of its Cache-Control (RFC 9111 §5.2.2.1); None without one."""


class Fetcher:
    """Sends through pools of connections. Call its methods within a task: they have a time limit."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._upstreams: dict[tuple[str, Way, Secret | None], Upstream] = {}

    async def get(self, url: str, way: Way) -> Fetched:
        """The JSON document at `url`. Raises FetchFailed."""
        upstream = self._upstream(url, way, None)
        head = upstream.head.replace(CONTENT_TYPE_LINE, b"")
        target = upstream.paths[TARGET].encode()
        return await self._exchange(upstream, b"GET %b HTTP/1.1\r\n%baccept: application/json\r\n\r\n" % (target, head))

    async def post(self, url: str, way: Way, form: Mapping[str, str], user: str, password: Secret) -> Fetched:
        """The JSON answer to a form, sent with the client's name and password (RFC 6749 §2.3.1). Raises FetchFailed."""
        pair = f"{quote_plus(user)}:{quote_plus(password.reveal())}".encode()
        upstream = self._upstream(url, way, Secret("Basic " + b64encode(pair).decode()))
        head = upstream.head.replace(CONTENT_TYPE_LINE, _FORM_LINE)
        body = urlencode(form).encode()
        request = b"POST %b HTTP/1.1\r\n%baccept: application/json\r\ncontent-length: %d\r\n\r\n%b"
        return await self._exchange(upstream, request % (upstream.paths[TARGET].encode(), head, len(body), body))

    def _upstream(self, url: str, way: Way, authorization: Secret | None) -> Upstream:
        key = (url, way, authorization)
        upstream = self._upstreams.get(key)
        if upstream is None:
            try:
                upstream = build_target(url, way, authorization)
            except ValueError as error:
                raise FetchFailed(f"the address {url!r} cannot be used: {error}") from None
            if len(self._upstreams) >= _MAX_KEPT:
                self._upstreams.clear()
            self._upstreams[key] = upstream
        return upstream

    async def _exchange(self, upstream: Upstream, request: bytes) -> Fetched:
        where = upstream.origin.host
        try:
            async with asyncio.timeout(TOTAL_S):
                answer = await self._send(upstream, request)
        except GatewayError as error:
            raise FetchFailed(f"{where}: {error.message}") from None
        except TimeoutError:
            raise FetchFailed(f"{where} took longer than {TOTAL_S:g} s") from None
        body = answer.body
        if body is None:
            answer.abort()
            raise FetchFailed(f"{where} answered by a stream of events")
        if 300 <= answer.status < 400:
            raise FetchFailed(f"{where} redirects (status {answer.status}); configure the address that it leads to")
        if answer.status != 200:
            raise FetchFailed(f"{where} answered with status {answer.status}")
        if len(body) > MAX_BODY_BYTES:
            raise FetchFailed(f"{where} sent more than {MAX_BODY_BYTES >> 20} MiB")
        try:
            document = _decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise FetchFailed(f"{where} sent something that is not JSON") from None
        return Fetched(document, body, _max_age(answer.headers.get(b"cache-control", b"")))


def _max_age(cache_control: bytes) -> float | None:
    for directive in cache_control.lower().split(b","):
        name, _, value = directive.strip().partition(b"=")
        value = value.strip(b'"')
        if name in (b"no-store", b"no-cache"):
            return 0.0
        if name == b"max-age" and value.isdigit() and len(value) < 12:
            return float(value)
    return None


_decoder: Final = msgspec.json.Decoder()
