"""Client-facing paths and the wire API spoken on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from gatewright.core.codec import ChatCodec, CountCodec, EmbeddingCodec, StreamDecoder
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.fields import Fields
from gatewright.core.usage import Usage

Headers = tuple[tuple[bytes, bytes], ...]


class Surface(Struct, frozen=True):
    """One client-facing API path."""

    name: str
    """How it is called in logs and metrics (`chat_completions`)."""
    method: bytes
    path: bytes
    """With `{model}` where the API names the model in its path (`/model/{model}/converse`), and with `{id}` where it
    names something that the provider holds (`/v1/files/{id}`)."""
    dialect: str
    """Name of the dialect spoken on it."""
    stream: bool | None = None
    """Whether calls on this path are streamed; None when the body's `stream` member says it."""
    stream_default: bool = False
    """What a missing `stream` member means."""

    # -- of dialects that are only passed through
    names_model: bool = True
    """Whether requests name their model; else the header `x-gatewright-model` may."""
    upstream: str = ""
    """What follows the dialect's path at the upstream, with `{id}` as in `path`."""
    answer: Literal["json", "any", "bytes"] = "json"
    """What a complete answer is: always a JSON object; whatever its Content-Type says, and read when that is JSON; or
    bytes that are none of the gateway's business."""


class UpstreamFault(Struct, frozen=True):
    """What an upstream's error answer says, in the gateway's terms."""

    message: str
    code: str | None = None
    billing: bool = False
    """True for a 429 that no waiting will mend: the account's money or quota is gone."""
    kind: Kind | None = None
    """What the body or headers say it is, where the status alone would mislead."""
    retry_after_s: float | None = None
    """When trying again may help, where the body says it."""


def text_members(*names: str) -> re.Pattern[bytes]:
    """Finds the values, as spelled, of JSON members that hold some text of a streamed answer, unless they are empty."""
    return re.compile(rb'"(?:%b)"\s*:\s*"((?!")[^"\\]*(?:\\.[^"\\]*)*)"' % "|".join(names).encode())


def no_headers(request_id: str, error: GatewayError | None) -> Headers:
    """For dialects whose clients look for no header beyond `x-request-id`."""
    return ()


def same_status(error: GatewayError) -> int:
    """For dialects that use the statuses of the error table."""
    return error.status


class Dialect(Struct, frozen=True, kw_only=True):
    """One wire API, spoken to clients and to upstreams. All members are pure."""

    name: str
    family: Literal["chat", "embeddings", "count", "passing"] = "chat"
    """Dialects of one family translate into each other; the codec of that name is set. Those of the family `passing`
    have none: they are served where the provider speaks them, and nowhere else."""
    surfaces: tuple[Surface, ...]
    summary: str
    chat: ChatCodec | None = None
    embeddings: EmbeddingCodec | None = None
    count: CountCodec | None = None
    asked_units: Callable[[Fields, bytes], Usage | None] = lambda fields, body: None
    """For `passing` dialects: members and body of a request → what it will use that is not counted in tokens, as far as
    it tells; `estimated` unless that is what is charged. Never raises."""
    reader: Callable[[], StreamDecoder] | None = None
    """For `passing` dialects that stream: reads usage and failures beside the events that are passed on."""

    # -- errors
    render_error: Callable[[GatewayError, str], bytes]
    """`(error, request id)` → the JSON body of an error answer."""
    render_stream_error: Callable[[GatewayError, str], bytes]
    """`(error, request id)` → the event that ends a passed-through stream that had begun well."""
    status_of: Callable[[GatewayError], int] = same_status
    """The HTTP status for an error, where this API's clients know another than the table's."""
    answer_headers: Callable[[str, GatewayError | None], Headers] = no_headers
    """`(request id, error if it is one)` → headers that clients of this API look for."""
    read_fault: Callable[[bytes, Mapping[bytes, bytes]], UpstreamFault]
    """Body and headers of an upstream answer with status ≥ 400 → what it says; never raises, whatever they are."""

    # -- passing through
    read_answer: Callable[[bytes], tuple[msgspec.Raw | None, Usage | None]]
    """A complete answer → the value that `model_paths` leads to, as spelled, and its usage. Raises msgspec.DecodeError
    when it is not a JSON object; members that make no sense count as absent."""
    model_paths: tuple[tuple[str, ...], ...] = (("model",),)
    """Where an answer, or an event of a stream, may hold the model's name."""
    stream_type: bytes = b"text/event-stream"
    """Content type of streamed answers: server-sent events, `application/x-ndjson`, or AWS event streams."""
    forwarded_headers: frozenset[bytes] = frozenset()
    """Request headers of the client that belong to this API and are passed to an upstream that speaks it too."""
    service_member: str = ""
    """The member of a request that says which of the vendor's services it is for, `flex` or `priority` among them;
    empty where none can be asked for. What asks for one of them is translated with it to every dialect that has such a
    member, and to no other."""
    deferring_member: str = ""
    """The member of a request that, when true, has it answered later, out of the gateway's sight; empty where none can
    be. No other dialect is asked by it."""
    request_headers: Headers = ()
    """Headers every request of this API needs, unless the client's own value for one is forwarded."""
    has_streams: bool = True
    streamed_text: re.Pattern[bytes] = text_members("text")
    """Finds what the model wrote in events of a stream (`text_members`): told from it is how much one has brought."""

    # -- passing through, for streams whose events are read by pattern instead of by the stream decoder
    is_scanned: bool = False
    """Whether the members below are given."""
    read_usage: Callable[[msgspec.Raw], Usage | None] = lambda raw: None
    """The `usage` member → normal form; None when it is null or not an object."""
    ask_usage: Callable[[Fields], bool] = lambda fields: False
    """Change a streaming request so that the upstream reports usage; true when the client had not asked for it."""
    is_error_event: Callable[[Fields], bool] = lambda fields: False
    """Whether this event of a stream is a failure of the upstream."""
    is_usage_only: Callable[[Fields], bool] = lambda fields: False
    """Whether this event of a stream exists only because usage was asked for."""
    has_finish: Callable[[bytes], bool] = lambda event: False
    """Whether this event marks the end of the answer (a finish reason)."""
    done_event: bytes = b""
    """The event that closes a stream, without its blank line; empty when the dialect has none."""

    @property
    def names_model_in_path(self) -> bool:
        """Whether requests name the model in the path, and so not in the body."""
        return b"{model}" in self.surfaces[0].path
