"""Requests of surfaces that are passed through: which model they mean, what goes to the upstream, what comes back.

They take the way of every exchange (`pipeline.lifecycle`, `pipeline.attempts`); here stands what is different for them.
The body may be JSON, a form with uploads, or absent; the answer may be of any type. What a provider holds, its files
and batches, belongs to no model: such a call goes to the provider of the model that `x-gatewright-model` names, or of
the only one there is, and never to another.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import UpstreamAnswer
from gatewright.core.surface import Dialect, Headers, Surface
from gatewright.pipeline.faults import passed_on_headers
from gatewright.pipeline.provider import CONTENT_TYPE_LINE
from gatewright.pipeline.snapshot import Snapshot
from gatewright.pipeline.targets import BoundTarget, PublishedModel
from gatewright.translate.hub import AnswerStream
from gatewright.translate.identity import check_spelling, parse_fields, render_name, render_request, rewrite_answer
from gatewright.translate.passing import OpaqueStream, PassedStream
from gatewright.wire.multipart import Field, MalformedForm, add_field, parse_boundary, read_fields, replace_field

MODEL_HEADER: Final = b"x-gatewright-model"

_JSON: Final = b"application/json"
_BYTES: Final = b"application/octet-stream"
_FORM: Final = b"multipart/"
_FILE_NAME: Final = b"content-disposition"
_BODILESS: Final = frozenset((b"GET", b"DELETE"))
_TEXT: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]{1,1024}\Z")
_QUERY: Final = re.compile(rb"[!-\"$-~]*\Z")
_ACCOUNT_HINT: Final = " What an account holds is offered only where an operator wrote `share_account: true`."
_string_decoder = msgspec.json.Decoder(str)


class Form(Struct, frozen=True):
    """A form, as far as it was read."""

    boundary: bytes
    model: Field | None


# -- which model --------------------------------------------------------------------------------------------------


def read_model(x: Exchange, dialect: Dialect, surface: Surface) -> str:
    """The published model that a request is for, by its own word or the header's. Raises GatewayError."""
    if not _QUERY.match(x.query):
        raise _malformed("The query holds characters that must be percent-encoded.")
    name = None
    if not surface.names_model:
        x.is_media = True
    elif x.headers.get(b"content-type", b"")[: len(_FORM)].lower() == _FORM:
        x.is_media = True
        name = _read_form(x)
    elif x.body.startswith(b"--"):
        raise _malformed("The body is a form; send it with its Content-Type, `multipart/form-data; boundary=…`.")
    else:
        x.fields = parse_fields(x.body)
        name = _read_member(x)
    if name is None:
        sent = x.headers.get(MODEL_HEADER)
        if sent is not None:
            return sent.decode("utf-8", "replace")
        if surface.names_model:
            raise _malformed("The request names no model; add `model`, or the header `x-gatewright-model`.", "model")
        return _holder(x.snapshot, dialect).name
    return name


def _read_form(x: Exchange) -> str | None:
    try:
        boundary = parse_boundary(x.headers[b"content-type"])
        fields = read_fields(x.body, boundary, "model")
    except MalformedForm as problem:
        raise _malformed(f"The form cannot be read: {problem}.") from None
    check_spelling(fields)
    x.fields = {name: render_name(field.value) for name, field in fields.items()}
    model = fields.get("model")
    x.form = Form(boundary, model)
    return None if model is None else model.value


def _has_model(x: Exchange) -> bool:
    return bytes(x.fields.get("model", b"null")) != b"null"


def _read_member(x: Exchange) -> str | None:
    if not _has_model(x):
        return None
    try:
        return _string_decoder.decode(x.fields["model"])
    except msgspec.DecodeError:
        raise _malformed("`model` must be a string.", "model") from None


def _holder(snapshot: Snapshot, dialect: Dialect) -> PublishedModel:
    holder, providers = snapshot.holder_of(dialect.name)
    if holder is None:
        raise GatewayError(
            Kind.UNSUPPORTED_FEATURE,
            f"No provider here offers {dialect.name}, so this cannot be called.{_ACCOUNT_HINT}",
        )
    if providers > 1:
        raise _malformed(
            f"Of the providers here {providers} speak {dialect.name}. Name a model of the one that is meant by the "
            "header `x-gatewright-model`; GET /v1/models lists what there is.",
            MODEL_HEADER.decode(),
        )
    return holder


def _malformed(message: str, param: str | None = None) -> GatewayError:
    return GatewayError(Kind.MALFORMED_REQUEST, message, param=param)


# -- which target -------------------------------------------------------------------------------------------------


def choose_target(x: Exchange, dialect: Dialect, surface: Surface) -> BoundTarget:
    """The target of the running attempt, made the exchange's. Raises GatewayError when none speaks the dialect."""
    model: PublishedModel = x.model
    if x.others is None:
        if surface.names_model:
            able = [t for t in (x.target, *model.others(x.target)) if dialect.name in t.upstream.paths]
        else:
            # What one provider holds no other has, and a file that is uploaded twice is two files.
            able = [t for t in model.in_use() if dialect.name in t.upstream.paths][:1]
        if not able:
            raise GatewayError(
                Kind.UNSUPPORTED_FEATURE,
                f"The model `{model.name}` cannot be called here: its provider does not offer {dialect.name}."
                + ("" if surface.names_model else _ACCOUNT_HINT),
                param="model",
            )
        x.target, *x.others = able
    target: BoundTarget = x.target
    return target


# -- there --------------------------------------------------------------------------------------------------------


def render_passed(x: Exchange, dialect: Dialect, surface: Surface, target: BoundTarget) -> bytes:
    """The whole HTTP request of an attempt."""
    headers = x.headers
    method = surface.method
    body, content_type = (b"", None) if method in _BODILESS else _render_body(x, dialect, surface, target)
    lines = [b"%b %b HTTP/1.1\r\n" % (method, _render_target(x, dialect, surface, target))]
    lines.append(target.upstream.head.replace(CONTENT_TYPE_LINE, b"", 1))
    if content_type is not None:
        lines.append(b"content-type: %b\r\n" % content_type)
    if method not in _BODILESS:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"x-request-id: %b\r\n" % x.id.encode())
    forwarded = dialect.forwarded_headers
    lines += [b"%b: %b\r\n" % (name, headers[name]) for name in sorted(forwarded & headers.keys())]
    return b"".join((*lines, b"\r\n", body))


def _render_target(x: Exchange, dialect: Dialect, surface: Surface, target: BoundTarget) -> bytes:
    path, _, query = target.upstream.paths[dialect.name].partition("?")
    path += surface.upstream.replace("{id}", quote(x.path_id or "", safe=""))
    path = path.replace("{model}", quote(target.model or x.requested_model, safe=""))
    queries = b"&".join(filter(None, (query.encode(), x.query)))
    return path.encode() + (b"?" + queries if queries else b"")


def _render_body(x: Exchange, dialect: Dialect, surface: Surface, target: BoundTarget) -> tuple[bytes, bytes | None]:
    """The body with the target's own name for the model, and its Content-Type."""
    form: Form | None = x.form
    sent = x.headers.get(b"content-type", _JSON)
    if not surface.names_model:
        return x.body, sent if x.body and _TEXT.match(sent) else None
    # The provider may have a default of its own, but it was this model that the policies were asked about.
    name = target.model or x.requested_model
    if form is None:
        named = target.model_json if _has_model(x) else render_name(name)
        return render_request(dialect, x.fields, named, stream=False)[0], _JSON
    if form.model is None:
        return add_field(x.body, form.boundary, "model", name.encode()), sent
    # A policy may have put another model in the place of the one that the form names.
    return (x.body if form.model.value == name else replace_field(x.body, form.model, name.encode())), sent


# -- and back -----------------------------------------------------------------------------------------------------


def read_passed(
    x: Exchange, dialect: Dialect, surface: Surface, answer: UpstreamAnswer, body: bytes, published: msgspec.Raw | None
) -> tuple[bytes, bytes]:
    """A complete answer as it goes to the client, and its Content-Type; sets the exchange's usage. Raises GatewayError
    when it is not what the surface's answers are."""
    content_type = answer.headers.get(b"content-type", _BYTES)
    if surface.answer == "json":
        body, x.usage = rewrite_answer(dialect, body, published)
        return body, _JSON
    if surface.answer == "any" and content_type.lower().startswith(_JSON):
        try:
            body, x.usage = rewrite_answer(dialect, body, published)
        except GatewayError:
            x.usage = None  # text that is called JSON is passed on as what it is called
    return body, content_type


def passed_headers(surface: Surface, answer: UpstreamAnswer) -> Headers:
    """The headers of an answer that a client can use."""
    headers = passed_on_headers(answer.headers)
    named = answer.headers.get(_FILE_NAME) if surface.answer == "bytes" else None
    return headers if named is None else (*headers, (_FILE_NAME, named))


def open_passed(
    dialect: Dialect, surface: Surface, answer: UpstreamAnswer, published: msgspec.Raw | None
) -> tuple[AnswerStream, bytes]:
    """The codec of an answer that comes piece by piece, and its Content-Type. Raises GatewayError when the surface's
    answers never do."""
    content_type = answer.headers.get(b"content-type", _BYTES)
    if dialect.has_streams and content_type.startswith(dialect.stream_type):
        return PassedStream(dialect, None if published is None else bytes(published)), dialect.stream_type
    if surface.answer == "json":
        answer.abort()
        raise GatewayError(Kind.UPSTREAM_BAD_RESPONSE, "The provider streamed an answer that was not to be streamed.")
    return OpaqueStream(dialect), content_type
