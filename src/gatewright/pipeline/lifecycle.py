"""The life of an exchange from a complete request to the head of its answer (DESIGN §4), the same for every surface.

`open_exchange` runs parse → identify → authorize → reserve → guard → look-up → pick → translate → send, with retries
and failover, and returns either a `Reply` (complete) or an `OpenStream` (the body still flows). Whoever writes the
answer then calls `settle` exactly once, whatever happened.
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import OPEN, PRICED, Exchange
from gatewright.core.ports import Ports
from gatewright.core.reply import Reply
from gatewright.core.stages import STAGE
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage, service_in
from gatewright.pipeline.attempts import OpenStream, Send, run_attempts
from gatewright.pipeline.chain import Chain
from gatewright.pipeline.identify import identify, read_user
from gatewright.pipeline.missing_usage import asks_later, fill_usage
from gatewright.pipeline.passing import read_model
from gatewright.pipeline.reserving import reserve, settle_grant
from gatewright.pipeline.snapshot import Snapshot
from gatewright.pipeline.targets import BoundTarget, PublishedModel
from gatewright.translate.identity import parse_fields, parse_request

_AT_ONCE: Final = ("flex", "priority")
"""Services, besides the usual one, that a request may ask for."""


def find_model(snapshot: Snapshot, name: str) -> PublishedModel:
    """The published model a client means. Raises GatewayError when there is none."""
    model = snapshot.models.find(name)
    if model is None:
        raise refuse_model(name)
    return model


def refuse_model(name: str) -> GatewayError:
    """What callers are told of a model that is not there for them."""
    shown = name if len(name) <= 100 else name[:100] + "…"
    return GatewayError(
        Kind.MODEL_NOT_FOUND,
        f"There is no model `{shown}` here, or your key may not use it. GET /v1/models lists what there is.",
        param="model",
        code="model_not_found",
    )


async def open_exchange(x: Exchange, dialect: Dialect, ports: Ports, send: Send) -> Reply | OpenStream:
    """Take a model call to the head of its answer. Raises GatewayError; `x` then says how far it came."""
    if not x.is_identified:
        pending = identify(x, ports)
        if pending is not None:
            await ports.spawn(pending)
    snapshot: Snapshot = x.snapshot
    name = x.path_model
    surface = x.surface
    if surface is not None and dialect.family == "passing":
        name = read_model(x, dialect, surface)
    elif name is None:
        x.fields, name, stream = parse_request(x.body, stream_default=surface is not None and surface.stream_default)
        if stream and dialect.has_streams:
            x.stream = True
    else:
        x.fields = parse_fields(x.body)
        x.stream = surface is not None and surface.stream is True
    x.requested_model = name
    model = find_model(snapshot, name)
    x.published_model = model.name
    x.model = model
    user = read_user(x, snapshot.user_header)
    if user:
        x.user = user
    is_narrowed = x.consumer.scopes is not None
    if is_narrowed or snapshot.has_access_rules:
        # Only credentials that are narrowed are bound to networks; asking the socket costs a microsecond.
        snapshot.access.check(x, x.peer.peer if is_narrowed and x.peer is not None else "")
    chain = x.chain = snapshot.chain_for(x.consumer, model.name, name)
    target = model.pick(ports.random)
    if chain.on_authorize and (reply := await _run_hooks(x, chain, chain.on_authorize, ports)) is not None:
        return reply
    if chain.on_reserve:
        if dialect.deferring_member in x.fields:
            _check_deferring(x, dialect, ports)
        await STAGE
        target = await reserve(x, ports, target)
    if chain.on_request and (reply := await _run_hooks(x, chain, chain.on_request, ports)) is not None:
        return reply
    x.target = target
    await STAGE
    return await run_attempts(x, dialect, ports, send)


def _check_deferring(x: Exchange, dialect: Dialect, ports: Ports) -> None:
    """Refuse what would be answered, and charged, where no limit or budget sees it."""
    model: PublishedModel = x.model
    chain: Chain = x.chain
    if not asks_later(x, dialect, model.in_use()):
        return
    plan = chain.plan(x, ports.wall)
    if plan is not None and plan.counts_output:
        member = dialect.deferring_member
        raise GatewayError(
            Kind.UNSUPPORTED_FEATURE,
            f"`{member}` cannot be used here: what is answered later would be counted by no token limit and no budget,"
            f" and these apply to the model `{x.published_model}`. Send `{member}: false`, with `stream: true` where"
            " the answer takes long.",
            param=member,
        )


async def _run_hooks(x: Exchange, chain: Chain, hooks: tuple[Any, ...], ports: Ports) -> Reply | None:
    if chain.needs_task:
        spawned: Reply | None = await ports.spawn(_run_in_order(x, hooks))
        return spawned
    return await _run_in_order(x, hooks)


async def _run_in_order(x: Exchange, hooks: tuple[Any, ...]) -> Reply | None:
    for hook in hooks:
        reply: Reply | None = await hook(x)
        if reply is not None:
            return reply
    return None


def price(x: Exchange, ports: Ports) -> None:
    """Count what nobody reported and price every attempt; when `x.usage` and `x.finished_s` are final."""
    x.closed = PRICED
    if x.target is not None:
        fill_usage(x)
        if x.usage is not None:
            x.cost_femto_usd, x.price_version = _price(x, x.target, x.usage, ports)
        for attempt in x.past or ():
            if attempt.usage is not None:
                attempt.cost_femto_usd, attempt.price_version = _price(x, attempt.target, attempt.usage, ports)


def settle(x: Exchange, ports: Ports) -> None:
    """Settle limits and budgets with what was used, and let every filter book it; price that before, if need be.

    Call exactly once, when `x.usage`, `x.error` and `x.status` are final.
    """
    if x.closed == OPEN:
        price(x, ports)
    settle_grant(x, ports)
    chain: Chain | None = x.chain
    if chain is not None:
        for hook in chain.on_settle:
            hook(x)


def _price(x: Exchange, target: BoundTarget, usage: Usage, ports: Ports) -> tuple[int | None, str]:
    """What so much costs at a target, in femto-dollars, and by which prices."""
    snapshot: Snapshot = x.snapshot
    pricing = snapshot.pricing_of(target.upstream, target.model or x.requested_model, x.finished_s, ports.wall)
    if pricing is None:
        return None, ""
    service = usage.service or _asked_service(x, target)
    plain = pricing.plain
    if plain is not None and service == "prices" and usage.is_text:
        # Nearly all answers: text in, text out.
        return usage.input_total * plain[0] + usage.output_total * plain[1], pricing.version
    return pricing.cost(usage, service), pricing.version


def _asked_service(x: Exchange, target: BoundTarget) -> str:
    """The price list of the service that the target was asked for, where the answer does not say which one it was.

    What the client writes chooses no prices: only what was sent on counts, and of that only what an answer at once may
    be given by. Batches are cheaper and no such service.
    """
    dialect: Dialect | None = x.dialect
    if dialect is None or not dialect.service_member:
        return "prices"
    tier = x.fields.get(dialect.service_member)
    if tier is None:
        return "prices"
    route = target.routes.get(dialect.name)
    member = "" if route is None else route.dialect.service_member
    if not member or member in target.upstream.traits.unsupported:
        return "prices"
    service = service_in(tier)
    return service if service in _AT_ONCE else "prices"
