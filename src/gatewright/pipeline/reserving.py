"""Reserve, extend, settle: how an exchange takes what it may use, and gives back what it did not (DESIGN §7.4).

Before the upstream is asked, every limit and budget gives its share in one atomic call: the input as far as its bytes
tell, and a slice of output. While the answer streams, the next slice is taken when half of the last is used; a budget
that has none left ends the stream. Whatever happened, the exchange is settled once with what it really used.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from gatewright.config.pricing import Pricing
from gatewright.core.counting import Refused
from gatewright.core.errors import GatewayError
from gatewright.core.exchange import Exchange
from gatewright.core.grant import Grant
from gatewright.core.ports import Ports, Reserving
from gatewright.core.stages import STAGE
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.pipeline.chain import Chain
from gatewright.pipeline.claims import NANO_FEMTO
from gatewright.pipeline.estimates import IMAGE_TOKENS, STREAM_SLICE, asked_output, estimate_input, first_slice
from gatewright.pipeline.matching import NameTable
from gatewright.pipeline.missing_usage import BYTES_PER_COUNTED, stream_tokens
from gatewright.pipeline.plan import Plan, refusal_headers, used_amounts
from gatewright.pipeline.snapshot import Snapshot
from gatewright.pipeline.targets import BoundTarget, PublishedModel
from gatewright.translate.identity import render_name

_UNLIMITED: Final = 1 << 62
_DOUBT: Final = STREAM_SLICE // 2
"""Tokens by which our count may pass what the client allows before more is taken."""


async def reserve(x: Exchange, ports: Ports, target: BoundTarget) -> BoundTarget:
    """Take what the exchange may use. Gives the target to begin with: another model's, where a dry budget says so.

    Raises GatewayError when a limit or budget refuses.
    """
    dry: list[str] = []
    models: NameTable[PublishedModel] = x.snapshot.models
    while True:
        chain: Chain = x.chain
        plan = chain.plan(x, ports.wall, dry)
        if plan is None:
            return target
        amounts = _first_amounts(x, plan, target, ports)
        await STAGE
        result = ports.counters.reserve(plan.allowances, amounts)
        if not isinstance(result, (Grant, Refused)):
            result = await _answered(x, plan, result)
        if isinstance(result, Grant):
            x.plan, x.grant = plan, result
            return target
        name = _other_model(plan, result, dry)
        model = None if name is None else models.find(name)
        if name is None or model is None:
            error = plan.refusals[result.index](result)
            error.headers = (*error.headers, *refusal_headers(plan, result))
            raise error
        target = _change_model(x, name, model, ports)


async def _answered(x: Exchange, plan: Plan, asked: Reserving) -> Grant | Refused:
    try:
        return await asked
    except BaseException:
        if asked.done() and not asked.cancelled() and asked.exception() is None:
            # The client left when the answer had come: what it grants is held, and settled with the exchange.
            answer = asked.result()
            if isinstance(answer, Grant):
                x.plan, x.grant = plan, answer
        raise


def _other_model(plan: Plan, refused: Refused, dry: list[str]) -> str | None:
    """The model that answers in the place of the one asked for, when the budget that refused names one."""
    claims = plan.owners[refused.index]
    if claims.other_model is None or claims.budget is None or claims.budget.name in dry:
        return None
    dry.append(claims.budget.name)
    return claims.other_model


def _change_model(x: Exchange, name: str, model: PublishedModel, ports: Ports) -> BoundTarget:
    """Go on as if the client had called `name`, which is of this published model."""
    snapshot: Snapshot = x.snapshot
    x.model = model
    x.published_model, x.requested_model = model.name, name
    if "model" in x.fields:
        x.fields["model"] = render_name(name)
    x.chain = snapshot.chain_for(x.consumer, model.name, name)
    return model.pick(ports.random)


def _first_amounts(x: Exchange, plan: Plan, target: BoundTarget, ports: Ports) -> list[int]:
    if not plan.counts_input:
        return plan.amounts(0, 0, 0)
    dialect = x.dialect
    family = "chat" if dialect is None else dialect.family
    input_tokens = estimate_input(x)
    output_tokens = first_slice(x, has_output=family == "chat")
    if family == "passing":
        cost = _units_nano(x, plan, target, input_tokens, ports)
    else:
        cost = _cost_nano(x, plan, target, input_tokens, output_tokens, ports) if family != "count" else 0
    return plan.amounts(input_tokens, output_tokens, cost)


def _pricing(x: Exchange, plan: Plan, target: BoundTarget, ports: Ports) -> Pricing | None:
    """The target's prices; None where nobody asks or nobody knows."""
    if not plan.counts_cost:
        return None
    snapshot: Snapshot = x.snapshot
    pricing = snapshot.pricing_of(target.upstream, target.model or x.requested_model, ports.now(), ports.wall)
    if pricing is None and plan.unpriced is not None:
        raise plan.unpriced(x.published_model)
    return pricing


def _cost_nano(
    x: Exchange, plan: Plan, target: BoundTarget, input_tokens: int, output_tokens: int, ports: Ports
) -> int:
    """What so many tokens cost at the target, in nano-dollars; 0 where nobody asks or nobody knows."""
    pricing = _pricing(x, plan, target, ports)
    if pricing is None:
        return 0
    if pricing.plain is not None:
        input_price, output_price = pricing.plain
        return (input_tokens * input_price + output_tokens * output_price) // NANO_FEMTO + 1
    cost = pricing.cost(Usage(input_total=input_tokens, output_total=output_tokens))
    return 0 if cost is None else -(-cost // NANO_FEMTO)


def _units_nano(x: Exchange, plan: Plan, target: BoundTarget, input_tokens: int, ports: Ports) -> int:
    """The same for surfaces that are passed through: pictures, characters or the length of a sound, where those have a
    price; else tokens; else the request."""
    pricing = _pricing(x, plan, target, ports)
    dialect: Dialect | None = x.dialect
    if pricing is None or dialect is None:
        return 0
    units = dialect.asked_units(x.fields, x.body) or Usage()
    if plan.unpriced is not None and not units.estimated and pricing.cost(units) is None:
        # It is all that will ever be known of what was used.
        raise plan.unpriced(x.published_model)
    drawn = (units.images or 0) * IMAGE_TOKENS
    tokens = Usage(input_total=input_tokens, output_total=drawn, output_image=drawn)
    for usage in (units, tokens) if units != Usage() else (tokens, units):
        cost = pricing.cost(usage)
        if cost is not None:
            return -(-cost // NANO_FEMTO)
    return 0


# -- while it runs ----------------------------------------------------------------------------------------------------


class StreamMeter:
    """Watches what a stream brings, and takes the next slice in time. One per streamed answer that counts output."""

    __slots__ = (
        "_allowed",
        "_failure",
        "_held",
        "_plan",
        "_ports",
        "_refusal",
        "_slice_cost",
        "_waiting",
        "_x",
        "due_bytes",
    )

    def __init__(self, x: Exchange, plan: Plan, ports: Ports) -> None:
        self._x = x
        self._plan = plan
        self._ports = ports
        limit, answers = asked_output(x.fields)
        self._allowed = _UNLIMITED if limit is None else limit * answers
        """What all answers may have, by the client's word. The upstream may read another, or not obey."""
        self._held = min(self._allowed, STREAM_SLICE)
        self._slice_cost = 0
        target: BoundTarget = x.target
        if plan.counts_cost:
            self._slice_cost = _cost_nano(x, plan, target, 0, STREAM_SLICE, ports)
        self._waiting = False
        self._refusal: GatewayError | None = None
        self._failure: GatewayError | None = None
        """Why nobody could be asked the last time: what is held is still there, and the next time may be better."""
        self.due_bytes = 0
        """Until `x.bytes_out` has come so far, or text was read (`look_at`), no slice can be due."""

    def on_block(self) -> GatewayError | None:
        """Some of the answer is on its way to the client. Gives the error that ends it here, when a budget is dry.

        Call when `x.bytes_out` has reached `due_bytes`, or its text was read, at least.
        """
        x = self._x
        used = stream_tokens(x)
        due = self._held - STREAM_SLICE // 2
        if self._held >= self._allowed:
            # Nothing is to come beyond that, so nothing is taken for it until it comes.
            due = max(due, self._allowed + _DOUBT)
        spare = due - used
        if spare >= 0:
            self.due_bytes = x.bytes_out + spare * BYTES_PER_COUNTED
            return None
        if self._refusal is None and not self._waiting:
            # A block may bring more than a slice.
            self._extend(1 + max(used - self._held, 0) // STREAM_SLICE)
        return (self._refusal or self._failure) if used >= self._held else None

    def _extend(self, slices: int) -> None:
        x, plan = self._x, self._plan
        grant = x.grant
        if grant is None:
            return
        # What passes a limit now holds back the next request; only budgets end what runs.
        grant.allowances = plan.running
        more = plan.amounts(0, slices * STREAM_SLICE, slices * self._slice_cost, more=True)
        try:
            result = self._ports.counters.extend(grant, more)
        except GatewayError as error:
            self._failure = error
            return
        if result is None or isinstance(result, Refused):
            self._on_result(result, slices)
        else:
            self._waiting = True
            self._ports.spawn(self._finish(result, slices))

    async def _finish(self, result: Awaitable[Refused | None], slices: int) -> None:
        try:
            self._on_result(await result, slices)
        except GatewayError as error:
            self._failure = error
        finally:
            self._waiting = False

    def _on_result(self, refused: Refused | None, slices: int) -> None:
        self._failure = None
        if refused is None:
            self._held += slices * STREAM_SLICE
        else:
            error = self._plan.refusals[refused.index](refused)
            self._refusal = GatewayError(
                error.kind, f"{error.message} The answer was ended here, where the budget ended.", code=error.code
            )


def keep_alive(x: Exchange, ports: Ports) -> None:
    """Let the reservation of an exchange that takes long live on. Call at least every `RESERVED_S / 3` seconds."""
    grant, plan = x.grant, x.plan
    if grant is None or plan is None or not plan.expires:
        return
    grant.allowances = plan.running
    try:
        result = ports.counters.extend(grant, plan.amounts(0, 0, 0, more=True))
    except GatewayError:
        return  # nobody can be asked now; the reservation lives on for a while
    if result is not None and not isinstance(result, Refused):
        ports.spawn(_wait(result))


async def _wait(result: Awaitable[Any]) -> None:
    await result


# -- the end ----------------------------------------------------------------------------------------------------------


def settle_grant(x: Exchange, ports: Ports) -> None:
    """Replace what was reserved by what was used. A second call does nothing."""
    grant = x.grant
    if grant is None:
        return
    x.grant = None
    plan: Plan = x.plan
    x.budgets = plan.budgets
    used = used_amounts(plan, total_usage(x), total_cost(x))
    for limits in plan.shown:
        for limit in limits:
            # What the headers of a whole answer will tell.
            grant.left[limit.index] += grant.taken(limit.index) - used[limit.index]
    ports.counters.settle(grant, used)


def total_usage(x: Exchange) -> Usage | None:
    """Tokens of all attempts together."""
    usage = x.usage
    for attempt in x.past or ():
        if attempt.usage is not None:
            other = attempt.usage
            usage = (
                other
                if usage is None
                else Usage(
                    input_total=usage.input_total + other.input_total,
                    output_total=usage.output_total + other.output_total,
                )
            )
    return usage


def total_cost(x: Exchange) -> int:
    """Femto-dollars of all attempts together, as far as they are known."""
    cost = x.cost_femto_usd or 0
    if x.past is not None:
        cost += sum(attempt.cost_femto_usd or 0 for attempt in x.past)
    return cost
