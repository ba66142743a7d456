"""The life of an exchange from a complete request to the head of its answer (DESIGN §4), the same for every surface.

`open_exchange` runs parse → identify → authorize → reserve → guard → look-up → pick → translate → send, with retries
and failover, and returns either a `Reply` (complete) or an `OpenStream` (the body still flows). Whoever writes the
answer then calls `settle` exactly once, whatever happened.
"""

from __future__ import annotations

from typing import Final

from gatewright.config.pricing import SERVICES
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import ANONYMOUS, Exchange, Reply
from gatewright.core.ports import Ports
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.pipeline.attempts import OpenStream, Send, run_attempts
from gatewright.pipeline.filters import Chain
from gatewright.pipeline.passing import read_model
from gatewright.pipeline.snapshot import BoundTarget, PublishedModel, Snapshot
from gatewright.translate.identity import parse_fields, parse_request

_KEY_HEADERS: Final = (b"x-api-key", b"api-key", b"x-goog-api-key")


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
    name = x.path_model
    surface = x.surface
    if surface is not None and dialect.family == "passing":
        name = read_model(x, dialect, surface)
    elif name is None:
        x.fields, name, stream = parse_request(x.body, stream_default=surface is not None and surface.stream_default)
        x.stream = stream and dialect.has_streams
    else:
        x.fields = parse_fields(x.body)
        x.stream = surface is not None and surface.stream is True
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
    x.target = model.pick(ports.random)
    return await run_attempts(x, dialect, ports, send)


async def _run_request_hooks(x: Exchange, chain: Chain) -> Reply | None:
    for hook in chain.on_request:
        reply: Reply | None = await hook(x)
        if reply is not None:
            return reply
    return None


def settle(x: Exchange, ports: Ports) -> None:
    """Price the exchange and let every filter book what it used.

    Call exactly once, when `x.usage` and `x.error` are final.
    """
    if x.usage is not None and x.target is not None:
        x.cost_femto_usd = _cost(x, x.usage, ports)
    chain: Chain | None = x.chain
    if chain is not None:
        for hook in chain.on_settle:
            hook(x)


def _cost(x: Exchange, usage: Usage, ports: Ports) -> int | None:
    target: BoundTarget = x.target
    snapshot: Snapshot = x.snapshot
    pricing = snapshot.pricing_of(target.upstream, target.model or x.requested_model, x.finished_s, ports.wall)
    if pricing is None:
        return None
    tier = x.fields.get("service_tier")
    return pricing.cost(usage, "prices" if tier is None else SERVICES.get(bytes(tier), "prices"))
