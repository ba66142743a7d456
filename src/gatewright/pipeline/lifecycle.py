"""The life of an exchange from a complete request to the head of its answer (DESIGN §4), the same for every surface.

`open_exchange` runs parse → identify → authorize → reserve → guard → look-up → pick → translate → send, with retries
and failover, and returns either a `Reply` (complete) or an `OpenStream` (the body still flows). Whoever writes the
answer then calls `settle` exactly once, whatever happened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind, Retry
from gatewright.core.exchange import ANONYMOUS, Exchange, Reply
from gatewright.core.ports import Ports, UpstreamAnswer
from gatewright.core.surface import Dialect
from gatewright.pipeline.faults import passed_on_headers, read_failure
from gatewright.pipeline.filters import Chain
from gatewright.pipeline.provider import Upstream
from gatewright.pipeline.snapshot import BoundTarget, PublishedModel, Snapshot
from gatewright.translate.identity import IdentityStream, parse_request, render_name, render_request, rewrite_answer

Send = Callable[[Upstream, bytes], Awaitable[UpstreamAnswer]]
"""Send one complete HTTP request to an upstream; raises GatewayError before any answer."""

_KEY_HEADERS: Final = (b"x-api-key", b"api-key", b"x-goog-api-key")
_JSON: Final = b"application/json"


class OpenStream(Struct):
    """An answer that has begun: forward `source` through `codec`, then settle."""

    source: UpstreamAnswer
    codec: IdentityStream
    chain: Chain
    headers: tuple[tuple[bytes, bytes], ...]


def identify(x: Exchange) -> None:
    """Find the consumer of the key the client sent. Raises GatewayError when there is none or it is not valid."""
    snapshot: Snapshot = x.snapshot
    headers = x.headers
    authorization = headers.get(b"authorization")
    key: bytes | None = None
    if authorization is not None:
        if authorization[:7].lower() != b"bearer ":
            raise GatewayError(
                Kind.UNAUTHENTICATED, "The Authorization header must read `Bearer`, one space, and the key."
            )
        key = authorization[7:].strip()
    else:
        for name in _KEY_HEADERS:
            key = headers.get(name)
            if key is not None:
                break
    if key:
        consumer = snapshot.consumer_of(key)
        if consumer is not None:
            x.consumer = consumer
            x.is_identified = True
            return
    if snapshot.anonymous:
        x.consumer = ANONYMOUS
        return
    raise GatewayError(
        Kind.UNAUTHENTICATED,
        "The API key is not valid here. Use a key of this gateway, not a provider's."
        if key
        else "No API key was sent. Send one of this gateway's keys as `Authorization: Bearer <key>`.",
    )


def find_model(snapshot: Snapshot, name: str) -> PublishedModel:
    """The published model a client means. Raises GatewayError when there is none."""
    model = snapshot.models.find(name)
    if model is None:
        shown = name if len(name) <= 100 else name[:100] + "…"
        raise GatewayError(
            Kind.MODEL_NOT_FOUND,
            f"There is no model `{shown}` here, or your key may not use it. GET /v1/models lists what there is.",
            param="model",
            code="model_not_found",
        )
    return model


async def open_exchange(x: Exchange, dialect: Dialect, ports: Ports, send: Send) -> Reply | OpenStream:
    """Take a model call to the head of its answer. Raises GatewayError; `x` then says how far it came."""
    if not x.is_identified:
        identify(x)
    snapshot: Snapshot = x.snapshot
    fields, name, stream = parse_request(x.body)
    x.fields = fields
    x.stream = stream and dialect.has_streams
    x.requested_model = name
    model = find_model(snapshot, name)
    x.published_model = model.name
    x.model = model
    chain = snapshot.chain_for(x.consumer.path, model.name)
    x.chain = chain
    if chain.needs_task:
        reply: Reply | None = await ports.spawn(_run_request_hooks(x, chain))
        if reply is not None:
            return reply
    else:
        for hook in chain.on_request:
            reply = await hook(x)
            if reply is not None:
                return reply
    target = model.pick(ports.random)
    others: list[BoundTarget] | None = None
    now = ports.now
    while True:
        x.attempts += 1
        x.target = target
        try:
            request, hide_usage = _render_attempt(x, dialect, target)
            x.sent_s = now()
            try:
                answer = await send(target.upstream, request)
            finally:
                x.upstream_s += now() - x.sent_s
            return _accept(x, dialect, target, answer, hide_usage)
        except GatewayError as error:
            if error.retry is not Retry.OTHER_UPSTREAM or x.attempts >= model.attempts:
                raise
            if others is None:
                others = model.others(target)
            if not others:
                raise
            target = others.pop(0)


async def _run_request_hooks(x: Exchange, chain: Chain) -> Reply | None:
    for hook in chain.on_request:
        reply: Reply | None = await hook(x)
        if reply is not None:
            return reply
    return None


def _render_attempt(x: Exchange, dialect: Dialect, target: BoundTarget) -> tuple[bytes, bool]:
    """The HTTP request for one attempt, and whether its usage event must be hidden."""
    head = target.heads.get(dialect.name)
    if head is None:
        raise GatewayError(
            Kind.UNSUPPORTED_FEATURE,
            f"The model `{x.published_model}` cannot be called here: its provider does not speak {dialect.name}.",
            param="model",
        )
    body, hide_usage = render_request(dialect, x.fields, target.model_json, stream=x.stream)
    headers = x.headers
    extra = b""
    if not dialect.forwarded_headers.isdisjoint(headers):
        extra = b"".join([b"\r\n%b: %b" % (name, headers[name]) for name in dialect.forwarded_headers & headers.keys()])
    return b"%b%d\r\nx-request-id: %b%b\r\n\r\n%b" % (head, len(body), x.id.encode(), extra, body), hide_usage


def _accept(
    x: Exchange, dialect: Dialect, target: BoundTarget, answer: UpstreamAnswer, hide_usage: bool
) -> Reply | OpenStream:
    """The answer of one attempt. Raises GatewayError when it is a failure."""
    if answer.status != 200:
        fault_body = answer.body
        if fault_body is None:  # an event stream with an error status: nothing to read whole
            answer.abort()
            fault_body = b""
        raise read_failure(dialect, target.provider, answer.status, answer.headers, fault_body)
    model: PublishedModel = x.model
    asked = x.requested_model
    published = None
    if target.model is not None and target.model != asked:
        published = model.name_json if model.name == asked else render_name(asked)
    chain: Chain = x.chain
    headers = passed_on_headers(answer.headers)
    body = answer.body
    if body is None:
        if not x.stream:
            answer.abort()
            raise GatewayError(
                Kind.UPSTREAM_BAD_RESPONSE, "The provider streamed an answer that was not to be streamed."
            )
        return OpenStream(answer, IdentityStream(dialect, published, hide_usage=hide_usage), chain, headers)
    body, x.usage = rewrite_answer(dialect, body, published)
    for hook in chain.on_response:
        body = hook(x, body)
    return Reply(200, body, _JSON, headers)


def settle(x: Exchange) -> None:
    """Let every filter book what the exchange used. Call exactly once, when `x.usage` and `x.error` are final."""
    chain: Chain | None = x.chain
    if chain is not None:
        for hook in chain.on_settle:
            hook(x)
