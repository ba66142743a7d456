"""The bypass: client and upstream speak the same dialect, so bytes pass through but for what policy changes.

Requests are decoded one level deep and encoded again: every value keeps its spelling, `model` is replaced, and of
members sent twice only the last — the one that was checked — is sent on. Where a second one has its name in other
letters (`Model`), the request is refused, since some servers do not tell them apart. Answers keep every byte but the
model name. Streams are forwarded in blocks of whole events; usage, finish and failure are read on the side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.fields import KNOWN, Fields, find_respelled
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage, with_service
from gatewright.translate.renaming import rename
from gatewright.wire.json_object import mend_surrogates
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""The largest event held back while its end has not come; a base64 image in one event fits."""

_fields_decoder: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_string_decoder = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()
_MODEL: Final = b'"model"'
_MODEL_MEMBER: Final = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*')
_MAX_TRIES: Final = 8
"""Members named `model`, at any depth, that are tried for being the answer's own; each try decodes the answer."""
_STREAM_VALUES: Final = {b"true": True, b"false": False, b"null": False}


def parse_fields(body: bytes) -> Fields:
    """A JSON request → its members. Raises GatewayError."""
    try:
        if not body.isascii():
            str(body, "utf-8")  # which the decoder does not look at where it decodes nothing
        fields = _fields_decoder.decode(body)
    except UnicodeDecodeError as error:
        raise _malformed(f"The request body is not valid UTF-8 (byte {error.start}).") from None
    except RecursionError:
        raise _malformed("The request body is nested too deeply.") from None
    except msgspec.ValidationError:
        raise _malformed('The request body must be a JSON object, such as {"model": …, …}.') from None
    except msgspec.DecodeError as error:
        mended = mend_surrogates(body)
        if mended == body:
            raise _malformed(_json_problem(body, error)) from None
        return parse_fields(mended)
    if not KNOWN.issuperset(fields):
        check_spelling(fields)
    return fields


def check_spelling(names: Iterable[str]) -> None:
    """Raise GatewayError when one of a request's members could be taken for another that is read here."""
    found = find_respelled(names)
    if found is not None:
        name, known = found
        raise _malformed(
            f"`{name}` is not `{known}`, but some providers would take it for that; write `{known}`.", name
        )


def parse_request(body: bytes, *, stream_default: bool = False) -> tuple[Fields, str, bool]:
    """A JSON request → its members, the model it names and whether it asks for a stream. Raises GatewayError.

    `stream_default` is what a request without a `stream` member means.
    """
    fields = parse_fields(body)
    model = fields.get("model")
    if model is None:
        raise _malformed("The request names no model; add a `model` member.", "model")
    try:
        name = _string_decoder.decode(model)
    except msgspec.DecodeError:
        raise _malformed("`model` must be a string.", "model") from None
    stream = fields.get("stream")
    if stream is None:
        return fields, name, stream_default
    wanted = _STREAM_VALUES.get(bytes(stream))
    if wanted is None:
        raise _malformed("`stream` must be true or false.", "stream")
    return fields, name, wanted


def _malformed(message: str, param: str | None = None) -> GatewayError:
    return GatewayError(Kind.MALFORMED_REQUEST, message, param=param)


def _json_problem(body: bytes, error: msgspec.DecodeError) -> str:
    if not body.strip():
        return "The request body is empty; send a JSON object with content-type application/json."
    return f"The request body is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}."


def render_request(
    dialect: Dialect,
    fields: Fields,
    model: msgspec.Raw | None,
    *,
    stream: bool,
    adapt: Callable[[Fields], Fields] | None = None,
) -> tuple[bytes, bool]:
    """The upstream's request body, and whether the usage event it will send must be hidden from the client.

    `model` is the upstream's name as JSON, or None where the client's passes through or the body names none. `adapt`
    has the last word on the members, for hosts that take not all of them.
    """
    fields = fields.copy()
    if model is not None:
        fields["model"] = model
    hide_usage = stream and dialect.ask_usage(fields)
    return _encoder.encode(fields if adapt is None else adapt(fields)), hide_usage


def render_name(name: str) -> msgspec.Raw:
    """A model name as JSON."""
    return msgspec.Raw(_encoder.encode(name))


def read_answer(dialect: Dialect, body: bytes) -> tuple[msgspec.Raw | None, Usage | None]:
    """The model that a complete answer names, and its usage. Raises GatewayError when it is not JSON."""
    try:
        return dialect.read_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(
            Kind.UPSTREAM_BAD_RESPONSE,
            "The provider answered 200 with a body that is not a JSON object.",
            cause=error,
        ) from None


def rename_answer(dialect: Dialect, body: bytes, named: msgspec.Raw, published: msgspec.Raw) -> bytes:
    """A complete answer with the model's published name in the place of the upstream's own."""
    if not dialect.is_scanned:
        return rename(body, dialect.model_paths, bytes(published))
    return _renamed(body, bytes(named), bytes(published))


def rewrite_answer(dialect: Dialect, body: bytes, published: msgspec.Raw | None) -> tuple[bytes, Usage | None]:
    """`read_answer` and, where there is another name to give, `rename_answer`."""
    named, usage = read_answer(dialect, body)
    if published is None or named is None:
        return body, usage
    return rename_answer(dialect, body, named, published), usage


def _renamed(body: bytes, value: bytes, published: bytes) -> bytes:
    """A JSON object whose top-level `model`, spelled `value`, is replaced; all other bytes stay."""
    found = _find_model(body, value) or _try_models(body, value)
    if found is not None:
        start, end = found
        return b"".join((body[:start], published, body[end:]))
    fields = _fields_decoder.decode(body)
    fields["model"] = msgspec.Raw(published)
    return _encoder.encode(fields)


def _find_model(body: bytes, value: bytes) -> tuple[int, int] | None:
    """Where the only `model` member's value stands; None when there are several members of that name at any depth."""
    at = body.find(b'"model":' + value)  # as nearly all servers space it
    if body.count(_MODEL) != 1:
        return None
    if at >= 0:
        return at + 8, at + 8 + len(value)
    at = body.find(_MODEL)
    start = body.find(value, at + 7)
    if start < 0 or body[at + 7 : start].strip(b" \t\r\n") != b":":
        return None
    return start, start + len(value)


def _try_models(body: bytes, value: bytes) -> tuple[int, int] | None:
    """Where the top-level `model` stands among others: the one whose change is seen when the object is read again."""
    probe = b"[" + value + b"]"
    tries = 0
    for member in _MODEL_MEMBER.finditer(body):
        start = member.end()
        end = start + len(value)
        if body[start:end] != value:
            continue
        tries += 1
        if tries > _MAX_TRIES:
            return None
        try:
            read = _fields_decoder.decode(b"".join((body[:start], probe, body[end:]))).get("model")
        except msgspec.DecodeError:
            continue  # the value is only the beginning of another
        if read is not None and bytes(read) == probe:
            return start, end
    return None


class IdentityStream:
    """The codec of one streamed answer: blocks of events in, blocks out; state is read when it has ended.

    `feed` and `end` return what to send to the client now. After a failure (`error` set) nothing more comes out.
    """

    __slots__ = (
        "_buffer",
        "_dialect",
        "_has_finish",
        "_hide_usage",
        "_new",
        "_old",
        "_published",
        "done",
        "error",
        "finished",
        "usage",
    )

    def __init__(self, dialect: Dialect, published: msgspec.Raw | None, *, hide_usage: bool) -> None:
        self._dialect = dialect
        self._has_finish = dialect.has_finish
        self._buffer = EventBuffer(MAX_EVENT_BYTES)
        self._published = published
        self._hide_usage = hide_usage
        self._old = b""
        """The upstream's model member as it spells it, once learned from an event."""
        self._new = b""
        self.usage: Usage | None = None
        self.finished = False
        """Whether a finish reason has passed."""
        self.done = False
        """Whether the closing event has passed."""
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come; give the events that may go on. Raises GatewayError on an event without end."""
        buffer = self._buffer
        if data.endswith(b"\n\n") and not buffer.held:
            block = data
        else:
            try:
                block = buffer.feed(data)
            except ValueError as error:
                raise GatewayError(
                    Kind.UPSTREAM_BAD_RESPONSE, f"The provider's stream is not usable: {error}."
                ) from None
            if not block:
                return b""
        # Nearly every block is plain text on its way: it may go on with at most its model member replaced.
        if (
            b'"error"' not in block
            and b"\r" not in block
            and b"[DONE]" not in block
            and (b'"usage"' not in block or block.count(b'"usage"') == block.count(b'"usage":null'))
            and self.error is None
            and not self.done
        ):
            old = self._old
            if old:
                # Certain only when every member of that name is spelled as learned, and no event has two.
                models = block.count(old)
                is_plain = models == block.count(_MODEL) and (
                    models < 2 or all([b"\n\n" in between for between in block.split(old)[1:-1]])
                )
            else:
                is_plain = self._published is None
            if is_plain:
                if not self.finished and self._has_finish(block):
                    self.finished = True
                return block.replace(old, self._new) if old else block
        return b"".join([self._event(event) for event in split_events(block)])

    def end(self) -> bytes:
        """The upstream's body is complete. Sets `error` when the answer is not."""
        if self.done or self.error is not None:
            return b""
        if not self.finished:
            self.error = GatewayError(
                Kind.UPSTREAM_CUT, "The provider ended the stream before the answer was complete."
            )
            return b""
        self.done = True
        closing = self._dialect.done_event
        return closing + b"\n\n" if closing else b""

    def split(self, block: bytes) -> list[bytes]:
        """The events of a block that `feed` or `end` gave."""
        return split_events(block)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """What tells the client, after the answer has begun, that it failed."""
        return self._dialect.render_stream_error(error, request_id)

    def _event(self, event: bytes) -> bytes:
        if self.done or self.error is not None:
            return b""
        data = event_data(event)
        if data.startswith(b"[DONE]"):
            if not self.finished and self._dialect.done_event:
                # Some hosts close without a finish reason; their closing event is word enough.
                self.finished = True
            self.done = True
            return event
        if not data:
            return event
        try:
            fields = _fields_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return event  # not ours to judge: the client's own parser decides
        return self._member_event(event, fields)

    def _member_event(self, event: bytes, fields: Fields) -> bytes:
        dialect = self._dialect
        if dialect.is_error_event(fields):
            fault = dialect.read_fault(event_data(event), {})
            self.error = GatewayError(
                Kind.UPSTREAM_CUT, f"The provider failed in the middle of its answer: {fault.message}", body=event
            )
            return event
        if not self.finished:
            self.finished = dialect.has_finish(event)
        reported = fields.get("usage")
        if reported is not None:
            usage = dialect.read_usage(reported)
            if usage is not None:
                self.usage = with_service(usage, fields.get("service_tier"))
            if self._hide_usage and dialect.is_usage_only(fields) and bytes(reported) != b"null":
                return b""
        if self._published is None or "model" not in fields:
            return event
        return self._rename(event, bytes(fields["model"]))

    def _rename(self, event: bytes, value: bytes) -> bytes:
        found = _find_model(event, value)
        published = bytes(self._published or b"")
        if found is not None:
            start, end = found
            if value.startswith(b'"'):  # any other value may be the beginning of a longer one
                at = event.rfind(_MODEL, 0, start)
                self._old = event[at:end]
                self._new = event[at:start] + published
            return b"".join((event[:start], published, event[end:]))
        data = event_data(event)
        renamed = _renamed(data, value, published)
        if data in event:
            return event.replace(data, renamed, 1)
        prefix = b"".join(line + b"\n" for line in event.splitlines() if line and not line.startswith(b"data:"))
        return b"".join((prefix, *(b"data: " + line + b"\n" for line in renamed.split(b"\n")), b"\n"))
