"""From a client's dialect to another one and back, through the hub.

A `Translation` is made per attempt: it renders the upstream's request, then reads the answer into the client's form,
whole or streamed. What could not be carried over is in its `report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from gatewright.core.chat import ChatRequest, NativeTool, Tool
from gatewright.core.codec import ChatCodec, CountCodec, EmbeddingCodec, StreamContext, StreamDecoder, StreamEncoder
from gatewright.core.embedding import EmbeddingRequest
from gatewright.core.errors import GatewayError
from gatewright.core.events import ChatResponse, Delta, Event, Failure, Finish, KeepAlive, Start, UsageReport, unfold
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, Fidelity, LossReport, Outcome, refuse_bound
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage
from gatewright.translate.framing import framing_of
from gatewright.translate.passing import failed
from gatewright.translate.sequence import Sequencer
from gatewright.translate.wish import Wish

_encoder = msgspec.json.Encoder()
_OURS: Final = frozenset(("stream_options",))
"""Members the gateway itself adds to ask for usage: hosts that do not know them report it anyway."""
_QUIET: Final = (Start, KeepAlive, UsageReport)
"""Events that may pass before anything is known of whether the provider will answer at all."""


def read_request(client: Dialect, fields: Fields, model: str, *, stream: bool) -> ChatRequest | EmbeddingRequest:
    """Decode a client's request into the hub. Raises GatewayError (malformed_request)."""
    if client.chat is not None:
        return client.chat.decode_request(fields, model, stream)
    if client.embeddings is not None:
        return client.embeddings.decode_request(fields, model)
    if client.count is not None:
        return client.count.decode_request(fields, model)
    raise TypeError(f"{client.name} has no codec")


def read_wish(
    client: Dialect,
    fields: Fields,
    model: str,
    *,
    stream: bool,
    response_id: str,
    created: int,
    fidelity: Fidelity,
    request: ChatRequest | EmbeddingRequest | None = None,
) -> Wish:
    """Decode a client's request into the hub, unless that was done before. Raises GatewayError (malformed_request)."""
    return Wish(
        client=client,
        request=read_request(client, fields, model, stream=stream) if request is None else request,
        published=model,
        response_id=response_id,
        created=created,
        fidelity=fidelity,
    )


class AnswerStream(Protocol):
    """The codec of one streamed answer: upstream bytes in, client bytes out; state is read when it has ended."""

    usage: Usage | None
    finished: bool
    done: bool
    error: GatewayError | None

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come; give what may go on, whole events. After a failure (`error`) nothing comes out."""
        ...

    def end(self) -> bytes:
        """The upstream's body is complete: give what closes the answer. Sets `error` when it is not complete."""
        ...

    def split(self, block: bytes) -> list[bytes]:
        """The events of a block that `feed` or `end` gave."""
        ...

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """What tells the client, after the answer has begun, that it failed."""
        ...


class Translation(Protocol):
    """One attempt's way there and back."""

    report: LossReport

    def render_request(self) -> bytes:
        """The upstream's request body. Raises GatewayError on what the model's fidelity does not allow."""
        ...

    def render_answer(self, body: bytes) -> tuple[bytes, Usage | None]:
        """The client's answer for a complete one of the upstream, and its usage. Raises GatewayError."""
        ...

    def open_stream(self) -> AnswerStream:
        """The codec of a streamed answer."""
        ...


def translate(wish: Wish, upstream: Dialect, model: str, traits: Traits) -> Translation:
    """The translation of one attempt at `model`, as the upstream calls it. Both dialects are of one family."""
    if upstream.chat is not None and wish.client.chat is not None:
        return ChatTranslation(wish, wish.client.chat, upstream, upstream.chat, model, traits)
    if upstream.embeddings is not None and wish.client.embeddings is not None:
        return EmbeddingTranslation(wish, wish.client.embeddings, upstream.embeddings, model, traits)
    if upstream.count is not None and wish.client.count is not None:
        return CountTranslation(wish, wish.client.count, upstream.count, model, traits)
    raise TypeError(f"{wish.client.name} and {upstream.name} are of different families")


def fit(request: ChatRequest, upstream: str, report: LossReport) -> ChatRequest:
    """A request without what no codec but its own could write, told once for all of them.

    Tools that another vendor hosts are left out: agents offer them with every request and do well without. Only where
    the model had to call one is the request refused.
    """
    refuse_bound(request, upstream, report)
    foreign = [tool for tool in request.tools if isinstance(tool, NativeTool) and tool.dialect != upstream]
    if not foreign:
        return request
    choice = request.tool_choice
    is_forced = choice is not None and choice.mode in ("required", "named")
    is_needed = is_forced and not any(isinstance(tool, Tool) for tool in request.tools)
    for index, tool in enumerate(request.tools):
        if isinstance(tool, NativeTool) and tool.dialect != upstream:
            outcome = Outcome.REFUSED if is_needed else Outcome.DROPPED
            report.add(Feature.NATIVE_TOOLS, outcome, f"tools[{index}]", f"`{tool.kind}` is hosted by another vendor")
    kept = tuple(tool for tool in request.tools if tool not in foreign)
    return msgspec.structs.replace(request, tools=kept, tool_choice=choice if kept else None)


def apply_traits(members: dict[str, Any], traits: Traits, report: LossReport) -> dict[str, Any]:
    """A request's members as one host wants them: renamed, and without those it refuses."""
    if not traits.renames and not traits.unsupported:
        return members
    out: dict[str, Any] = {}
    for name, value in members.items():
        if name in traits.unsupported:
            if name not in _OURS:
                report.dropped(Feature.VENDOR, name, "the provider refuses requests that hold it")
            continue
        renamed = traits.renames.get(name, name)
        if renamed == name or renamed not in members:
            out[renamed] = value
    return out


class ChatTranslation:
    """A chat exchange between two dialects."""

    def __init__(
        self, wish: Wish, client: ChatCodec, upstream: Dialect, codec: ChatCodec, model: str, traits: Traits
    ) -> None:
        if not isinstance(wish.request, ChatRequest):
            raise TypeError("not a chat request")
        self.report = LossReport(wish.fidelity)
        self._request = wish.request
        self._wish = wish
        self._client = client
        self._upstream = upstream
        self._codec = codec
        self._model = model
        self._traits = traits

    def render_request(self) -> bytes:
        request = msgspec.structs.replace(self._request, model=self._model)
        request = fit(request, self._upstream.name, self.report)
        members = self._codec.encode_request(request, self._traits, self.report)
        return _encoder.encode(apply_traits(members, self._traits, self.report))

    def render_answer(self, body: bytes) -> tuple[bytes, Usage | None]:
        response = self._codec.decode_response(body)
        if response.failure is not None:
            raise failed(response.failure)
        response = msgspec.structs.replace(
            response, model=self._wish.published, id=response.id or self._wish.response_id
        )
        if self._request.stream:  # the provider would not stream: its answer in one piece, in the form of a stream
            return self._render_as_stream(response), response.usage
        return self._client.encode_response(response, self._context()), response.usage

    def open_stream(self) -> TranslatedStream:
        return TranslatedStream(
            self._codec.stream_decoder(),
            self._client.stream_encoder(self._context()),
            None if self._client.can_overlap else Sequencer(),
            self._wish,
        )

    def _render_as_stream(self, response: ChatResponse) -> bytes:
        encoder = self._client.stream_encoder(self._context())
        return encoder.encode(unfold(response)) + encoder.end()

    def _context(self) -> StreamContext:
        wish = self._wish
        return StreamContext(
            request=msgspec.structs.replace(self._request, model=wish.published),
            response_id=wish.response_id,
            created=wish.created,
            report=self.report,
        )


class TranslatedStream:
    """A streamed answer from one dialect to another (`AnswerStream`)."""

    __slots__ = (
        "_begun",
        "_decoder",
        "_encoder",
        "_framing",
        "_held",
        "_sequencer",
        "_wish",
        "done",
        "error",
        "finished",
        "usage",
    )

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder, sequencer: Sequencer | None, wish: Wish) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._sequencer = sequencer
        self._wish = wish
        self._framing = framing_of(wish.client.stream_type)
        self._begun = False
        self._held: list[Event] = []
        """Events of the beginning, held until the provider has said anything of substance: an answer that fails
        before that is an honest HTTP error, and another provider may still be asked."""
        self.usage: Usage | None = None
        self.finished = False
        self.done = False
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        if self.error is not None:
            return b""
        events = self._decoder.feed(data)
        if len(events) == 1 and self._begun and type(events[0]) is Delta:  # nearly every block
            event = events[0]
            if self._sequencer is None or self._sequencer.is_flowing(event.choice, event.part):
                return self._encoder.encode(events)
        return self._write(events)

    def end(self) -> bytes:
        if self.done or self.error is not None:
            return b""
        out = self._write(self._decoder.end())
        if self._has_failed():
            return out
        self.done = True
        if self._held:  # an answer of nothing but its beginning
            out += self._encoder.encode(self._held)
            self._held = []
        return out + self._encoder.end()

    def split(self, block: bytes) -> list[bytes]:
        return self._framing.split(block)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        return self._encoder.fail(error, request_id)

    def _has_failed(self) -> bool:
        return self.error is not None

    def _write(self, events: Sequence[Event]) -> bytes:
        if not events:
            return b""
        ready = self._read(events)
        if self._sequencer is not None:
            ready = self._sequencer.feed(ready)
        if not self._begun:
            self._held += ready
            if all(isinstance(event, _QUIET) for event in self._held):
                return b""
            self._begun = True
            ready, self._held = self._held, []
        return self._encoder.encode(ready) if ready else b""

    def _read(self, events: Sequence[Event]) -> list[Event]:
        """The events that may go on, up to a failure."""
        ready: list[Event] = []
        for event in events:
            if type(event) is Delta:  # nearly all are
                pass
            elif isinstance(event, UsageReport):
                self.usage = event.usage
            elif isinstance(event, Finish):
                self.finished = True
            elif isinstance(event, Start):
                event = msgspec.structs.replace(
                    event, model=self._wish.published, id=event.id or self._wish.response_id
                )
            elif isinstance(event, Failure):
                self.error = failed(event)
                break
            ready.append(event)
        return ready


class EmbeddingTranslation:
    """An embeddings exchange between two dialects."""

    def __init__(self, wish: Wish, client: EmbeddingCodec, codec: EmbeddingCodec, model: str, traits: Traits) -> None:
        if not isinstance(wish.request, EmbeddingRequest):
            raise TypeError("not an embeddings request")
        self.report = LossReport(wish.fidelity)
        self._request = wish.request
        self._published = wish.published
        self._client = client
        self._codec = codec
        self._model = model
        self._traits = traits

    def render_request(self) -> bytes:
        request = msgspec.structs.replace(self._request, model=self._model)
        members = self._codec.encode_request(request, self._traits, self.report)
        return _encoder.encode(apply_traits(members, self._traits, self.report))

    def render_answer(self, body: bytes) -> tuple[bytes, Usage | None]:
        response = self._codec.decode_response(body)
        usage = response.usage
        response = msgspec.structs.replace(response, model=self._published)
        return self._client.encode_response(response, self._request), usage

    def open_stream(self) -> AnswerStream:
        raise TypeError("embeddings are never streamed")


class CountTranslation:
    """A token count asked in one dialect and made in another."""

    def __init__(self, wish: Wish, client: CountCodec, codec: CountCodec, model: str, traits: Traits) -> None:
        if not isinstance(wish.request, ChatRequest):
            raise TypeError("not a chat request")
        self.report = LossReport(wish.fidelity)
        self._request = wish.request
        self._client = client
        self._codec = codec
        self._model = model
        self._traits = traits

    def render_request(self) -> bytes:
        request = msgspec.structs.replace(self._request, model=self._model)
        return _encoder.encode(self._codec.encode_request(request, self._traits, self.report))

    def render_answer(self, body: bytes) -> tuple[bytes, Usage | None]:
        return self._client.encode_response(self._codec.decode_response(body)), None

    def open_stream(self) -> AnswerStream:
        raise TypeError("counts are never streamed")
