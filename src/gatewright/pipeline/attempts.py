"""The attempts of one exchange: translate, send, judge the answer, and try elsewhere before the first byte.

An attempt stays in the client's dialect where the provider speaks it (`translate.identity`), and goes through the hub
otherwise (`translate.hub`); everything around it is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Raw

from gatewright.core.chat import holds_carried
from gatewright.core.errors import GatewayError, Kind, Retry, Source
from gatewright.core.exchange import Exchange
from gatewright.core.loss import LossReport
from gatewright.core.ports import Ports, UpstreamAnswer
from gatewright.core.reply import Reply
from gatewright.core.stages import STAGE
from gatewright.core.surface import Dialect, Headers
from gatewright.pipeline.booking import note_attempt
from gatewright.pipeline.chain import Chain
from gatewright.pipeline.facts import decoded_request
from gatewright.pipeline.faults import passed_on_headers, read_failure
from gatewright.pipeline.missing_usage import count_answer
from gatewright.pipeline.passing import choose_target, open_passed, passed_headers, read_passed, render_passed
from gatewright.pipeline.provider import Upstream
from gatewright.pipeline.routes import UpstreamRoute
from gatewright.pipeline.targets import BoundTarget, PublishedModel
from gatewright.translate.counting import estimate_tokens
from gatewright.translate.hub import AnswerStream, Translation, apply_traits, read_wish, translate
from gatewright.translate.identity import IdentityStream, read_answer, rename_answer, render_name, render_request
from gatewright.translate.passing import PassedStream
from gatewright.translate.wish import Wish

Send = Callable[[Upstream, bytes], Awaitable[UpstreamAnswer]]
"""Send one complete HTTP request to an upstream; raises GatewayError before any answer."""

_JSON: Final = b"application/json"
_TRACE_HEADERS: Final = frozenset((b"traceparent", b"tracestate"))
_LOSS_HEADER: Final = b"x-gatewright-loss"
_MAX_LOSS_BYTES: Final = 1024


class OpenStream:
    """An answer that has begun: forward `source` through `codec`, then settle."""

    __slots__ = ("chain", "codec", "content_type", "headers", "source")

    def __init__(
        self,
        source: UpstreamAnswer,
        codec: AnswerStream,
        chain: Chain,
        headers: Headers,
        content_type: bytes | None = None,
    ) -> None:
        self.source = source
        self.codec = codec
        self.chain = chain
        self.headers = headers
        self.content_type = content_type
        """What the answer says it is; None when that is the dialect's kind of stream."""


async def run_attempts(x: Exchange, dialect: Dialect, ports: Ports, send: Send) -> Reply | OpenStream:
    """Try `x.target`, then others, until one answers. Raises the last GatewayError when none does."""
    now = ports.now
    while True:
        x.attempts += 1
        target: BoundTarget = x.target
        if x.losses is not None:
            x.losses = None
        try:
            route = target.routes.get(dialect.name)
            if route is None:
                if dialect.family == "passing":
                    return await _pass_through(x, dialect, ports, send)
                return _answer_without(x, dialect, ports)
            hide_usage = False
            translation: Translation | None = None
            # What another provider signed came back through this client: only the hub can take it out again.
            if route.is_identity and not (dialect.name in x.snapshot.mixed_dialects and holds_carried(x.body)):
                request, hide_usage = _render_identity(x, dialect, target, route)
            else:
                model = _model_of(x, target)
                traits = x.snapshot.traits_of(target.upstream, model)
                translation = translate(_wish(x, dialect, ports), route.dialect, model, traits)
                x.losses = translation.report
                forwarded = dialect.forwarded_headers if route.is_identity else _TRACE_HEADERS
                request = _render(x, route, target, translation.render_request(), forwarded)
            await STAGE
            x.sent_s = now()
            try:
                answer = await send(target.upstream, request)
            finally:
                x.upstream_s += now() - x.sent_s
            return await _accept(x, dialect, target, route, answer, translation, hide_usage=hide_usage)
        except GatewayError as error:
            if error.retry is not Retry.OTHER_UPSTREAM or not _pick_other(x, error):
                raise


async def _pass_through(x: Exchange, dialect: Dialect, ports: Ports, send: Send) -> Reply | OpenStream:
    """One attempt on a surface that is never translated. Raises GatewayError."""
    surface = x.surface or dialect.surfaces[0]
    target = choose_target(x, dialect, surface)
    request = render_passed(x, dialect, surface, target)
    x.sent_s = ports.now()
    try:
        answer = await send(target.upstream, request)
    finally:
        x.upstream_s += ports.now() - x.sent_s
    if not 200 <= answer.status < 300:
        raise _failure(dialect, target, answer, is_identity=True)
    chain: Chain = x.chain
    headers = passed_headers(surface, answer)
    body = answer.body
    x.stream = body is None  # here it is the answer that decides, since requests ask for streams in many ways
    if body is None:
        codec, content_type = open_passed(dialect, surface, answer, _published(x, target))
        return OpenStream(answer, codec, chain, headers, content_type)
    body, content_type = read_passed(x, dialect, surface, answer, body, _published(x, target))
    x.is_complete = True
    for hook in chain.on_response:
        body = hook(x, body)
    return Reply(answer.status, body, content_type, headers)


async def fail_over(x: Exchange, dialect: Dialect, ports: Ports, send: Send, error: GatewayError) -> Reply | OpenStream:
    """Try elsewhere after a stream failed before its first byte went to the client. Raises `error` if there is nowhere.

    A stream that breaks off is no cause to ask again once the client has seen some of it; before that it is a failed
    attempt like any other.
    """
    if error.source is not Source.UPSTREAM or error.kind in _FINAL or not _pick_other(x, error):
        raise error
    return await run_attempts(x, dialect, ports, send)


_FINAL: Final = frozenset((Kind.UPSTREAM_BAD_RESPONSE, Kind.UPSTREAM_REJECTED, Kind.UPSTREAM_CREDENTIAL_REJECTED))


def _pick_other(x: Exchange, error: GatewayError) -> bool:
    """Make the next target the exchange's, after `error` of the present one; false when none is left to try."""
    model: PublishedModel = x.model
    if x.attempts >= model.attempts:
        return False
    if x.others is None:
        x.others = list(model.others(x.target))
    if not x.others:
        return False
    note_attempt(x, error)
    x.target = x.others.pop(0)
    return True


def _model_of(x: Exchange, target: BoundTarget) -> str:
    return x.requested_model if target.model is None else target.model


def _wish(x: Exchange, dialect: Dialect, ports: Ports) -> Wish:
    """The client's request as the hub reads it; read once, whatever the number of attempts."""
    if x.wish is None:
        model: PublishedModel = x.model
        x.wish = read_wish(
            dialect,
            x.fields,
            x.requested_model,
            stream=x.stream,
            response_id=x.id,
            created=int(ports.wall()),
            fidelity=model.fidelity,
            request=decoded_request(x),
        )
    wish: Wish = x.wish
    return wish


def _answer_without(x: Exchange, dialect: Dialect, ports: Ports) -> Reply:
    """What can be answered though the provider has no API for it. Raises GatewayError for all else."""
    count = dialect.count
    if count is None:
        raise GatewayError(
            Kind.UNSUPPORTED_FEATURE,
            f"The model `{x.published_model}` cannot be called here: its provider does not speak {dialect.name}.",
            param="model",
        )
    request = _wish(x, dialect, ports).request
    body = count.encode_response(estimate_tokens(request))
    return Reply(200, body, _JSON, ((b"x-gatewright-estimated", b"true"),))


def _render_identity(x: Exchange, dialect: Dialect, target: BoundTarget, route: UpstreamRoute) -> tuple[bytes, bool]:
    """The HTTP request of an attempt in the client's own dialect, and whether its usage event must be hidden."""
    model = None if x.path_model is not None else target.model_json
    traits = target.upstream.traits
    if traits.renames or traits.unsupported:
        x.losses = LossReport("permissive" if x.model.fidelity == "permissive" else "warn")
        adapt = partial(apply_traits, traits=traits, report=x.losses)
    else:
        adapt = None
    body, hide_usage = render_request(dialect, x.fields, model, stream=x.stream, adapt=adapt)
    return _render(x, route, target, body, dialect.forwarded_headers), hide_usage


def _render(x: Exchange, route: UpstreamRoute, target: BoundTarget, body: bytes, forwarded: frozenset[bytes]) -> bytes:
    """The whole HTTP request."""
    headers = x.headers
    extra = b""
    if not forwarded.isdisjoint(headers):
        extra = b"".join([b"\r\n%b: %b" % (name, headers[name]) for name in forwarded if name in headers])
    for name, value in route.dialect.request_headers:
        if name not in forwarded or name not in headers:
            extra += b"\r\n%b: %b" % (name, value)
    head = (
        route.head(_model_of(x, target), stream=x.stream)
        if route.is_template
        else (route.streamed if x.stream else route.plain)
    )
    return b"%b%d\r\nx-request-id: %b%b\r\n\r\n%b" % (head, len(body), x.id.encode(), extra, body)


async def _accept(
    x: Exchange,
    dialect: Dialect,
    target: BoundTarget,
    route: UpstreamRoute,
    answer: UpstreamAnswer,
    translation: Translation | None,
    *,
    hide_usage: bool,
) -> Reply | OpenStream:
    """The answer of one attempt. Raises GatewayError when it is a failure."""
    if answer.status != 200:
        raise _failure(route.dialect, target, answer, is_identity=translation is None)
    chain: Chain = x.chain
    headers = passed_on_headers(answer.headers)
    body = answer.body
    if body is None:
        headers = _with_losses(headers, x.losses)
        if not x.stream:
            answer.abort()
            raise GatewayError(
                Kind.UPSTREAM_BAD_RESPONSE, "The provider streamed an answer that was not to be streamed."
            )
        return OpenStream(answer, _open_codec(x, dialect, target, translation, hide_usage=hide_usage), chain, headers)
    content_type = _JSON
    if translation is None:
        named, x.usage = read_answer(dialect, body)
        await STAGE
        published = _published(x, target)
        if published is not None and named is not None:
            body = rename_answer(dialect, body, named, published)
    else:
        body, x.usage = translation.render_answer(body)
        if x.stream:
            content_type = dialect.stream_type
    x.is_complete = True
    if x.usage is None and not x.stream:
        x.answer_tokens = count_answer(dialect, body)
    for hook in chain.on_response:
        body = hook(x, body)
    return Reply(200, body, content_type, _with_losses(headers, x.losses))


def _with_losses(headers: Headers, losses: LossReport | None) -> Headers:
    """The headers of an answer, with what was lost: of a stream on the way there, of a complete answer on both ways."""
    if losses is None or not losses.entries:
        return headers
    return (*headers, (_LOSS_HEADER, render_losses(losses)))


def _failure(dialect: Dialect, target: BoundTarget, answer: UpstreamAnswer, *, is_identity: bool) -> GatewayError:
    body = answer.body
    if body is None:  # an event stream with an error status: nothing to read whole
        answer.abort()
        body = b""
    return read_failure(dialect, target.provider, answer.status, answer.headers, body, is_identity=is_identity)


def _open_codec(
    x: Exchange, dialect: Dialect, target: BoundTarget, translation: Translation | None, *, hide_usage: bool
) -> AnswerStream:
    if translation is not None:
        return translation.open_stream()
    published = _published(x, target)
    if dialect.is_scanned:
        return IdentityStream(dialect, published, hide_usage=hide_usage)
    return PassedStream(dialect, None if published is None else bytes(published))


def _published(x: Exchange, target: BoundTarget) -> Raw | None:
    """The name to put into the answer, as JSON; None when the upstream's own is the client's."""
    asked = x.requested_model
    if target.model is None or target.model == asked:
        return None
    model: PublishedModel = x.model
    return model.name_json if model.name == asked else render_name(asked)


def render_losses(report: LossReport) -> bytes:
    """The value of `x-gatewright-loss`: `feature=outcome` for each, once, as far as a header may hold them."""
    parts = dict.fromkeys(f"{loss.feature.name.lower()}={loss.outcome.value}" for loss in report.entries)
    text = "; ".join(parts).encode()
    return text if len(text) <= _MAX_LOSS_BYTES else text[:_MAX_LOSS_BYTES].rpartition(b"; ")[0] + b"; more=true"
